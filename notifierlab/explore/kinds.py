"""When two violations of different runs are the same, and which one weighs more."""

import re
from collections.abc import Sequence
from typing import Final

from notifierlab.checker import RULES
from notifierlab.events import Violation

# A page frame, and names that a run gives, like win2.1 or lookup0.3.
_GIVEN_IN_RUN: Final = re.compile(r"^(pfn) \d+$|^([a-z_]+)\d+\.\d+$")
_NUMBERS: Final = re.compile(r"0x[0-9a-f]+|\d+")
_SEVERITY: Final = {rule.id: rule.severity for rule in RULES}
_ORDER: Final = {rule.id: n for n, rule in enumerate(RULES)}


def severity(rule: str) -> tuple[int, int]:
    """Return what a rule sorts by: how severe it is, then where it stands in the table."""
    return _SEVERITY.get(rule, len(_ORDER)), _ORDER.get(rule, len(_ORDER))


def kind_of(violation: Violation) -> tuple[str, ...]:
    """Return what makes two violations of different runs the same: the rule, and the named objects.

    Page frames, addresses and the names that a run gives (`win2.1`) differ from order to
    order where the cause does not, so only their kind counts.
    """
    return violation.rule, *(_kind_of_object(name) for name in violation.objects)


def signature_of(violation: Violation) -> tuple[str, ...]:
    """Return what tells causes apart before runs are compared: the kind, who broke the rule, and how.

    Which frame, address or vCPU it was is left out. What is equal here may still have
    different causes, and what is not may have one: `shape.py` looks closer.
    """
    return *kind_of(violation), nameless(violation.task), nameless(violation.message)


def nameless(text: str) -> str:
    """Return a text without its numbers: frames, addresses and counts differ where the cause does not."""
    return _NUMBERS.sub("#", text)


def _kind_of_object(name: str) -> str:
    if name.startswith("0x"):
        return "address"
    return _GIVEN_IN_RUN.sub(r"\1\2", name)


def trimmed(choices: Sequence[int]) -> tuple[int, ...]:
    """Return a schedule without the calm choices at its end: those need not be written."""
    end = len(choices)
    while end and not choices[end - 1]:
        end -= 1
    return tuple(choices[:end])
