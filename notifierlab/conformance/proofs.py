"""Whether a variant of a driver does what the driver does: both are proved, and their doings compared.

What counts is what host and device do in all runs together, whenever they do it: events
of the host, of the notifier and of the device, without their steps. How the machine
comes there (locks, switches) does not count.
"""

import difflib
import hashlib
import sys
from types import FrameType
from typing import Any, Final, NamedTuple

from notifierlab import events
from notifierlab.conformance.mutate import Variant
from notifierlab.events import Event
from notifierlab.explore.audit import Audits
from notifierlab.explore.prove import Disagreement, Prove
from notifierlab.explore.run import run_once, RunSpec
from notifierlab.explore.search import explore, rare_collections

PROOF_RUNS: Final = 1_000
"""How many runs a proof may take."""

LOOK_RUNS: Final = 20
"""In how many runs it is looked whether a changed line runs."""

_FACTS: Final = tuple(
    kind for kind in events.EVENTS if kind.__module__.rpartition(".")[2] in ("host", "shadow", "notifier")
)


class Proof(NamedTuple):
    """What came of it: `facts` is a short text for all that host and device do, if it is `proved`;
    `broken` is the first rule that was broken."""

    facts: str = ""
    broken: str = ""

    @property
    def proved(self) -> bool:
        """Whether all orders that differ were gone through, and none breaks a rule."""
        return bool(self.facts)


def prove(spec: RunSpec, *, runs: int = PROOF_RUNS) -> Proof:
    """Try to prove `spec`.

    Raises:
        LabError: the driver uses the bench wrongly, or shares what it does not record.
    """
    facts: dict[Event, None] = {}

    def note(event: Event) -> None:
        if isinstance(event, _FACTS):
            facts[type(event)(0, *(getattr(event, name) for name in event.__struct_fields__[1:]))] = None

    strategy, audits = Prove(), Audits(spec)
    strategy.begin_search(spec)
    with rare_collections():
        try:
            while strategy.new_run():
                result = run_once(spec, strategy, sink=note)
                if result.violations:
                    return Proof(broken=result.violations[0].rule)
                audits.look(result)
                runs -= 1
                if not runs:
                    break
        except Disagreement:
            # Two searches that contradict each other prove nothing.
            return Proof()
    return Proof(_digest(facts)) if strategy.proved else Proof()


def _digest(facts: dict[Event, None]) -> str:
    told = "\n".join(sorted(map(repr, facts)))
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


def runs_a_changed_line(spec: RunSpec, variant: Variant, original: str) -> bool:
    """Whether the first orders of `spec` come through a line of the variant that the driver has not."""
    changed = changed_lines(original, variant.text)
    ran: set[int] = set()

    def called(frame: FrameType, _what: str, _value: object) -> Any:
        return line if frame.f_code.co_filename == variant.place else None

    def line(frame: FrameType, _what: str, _value: object) -> Any:
        ran.add(frame.f_lineno)
        return line

    before = sys.gettrace()
    sys.settrace(called)
    try:
        explore(spec, "bounded", bound=1, runs=LOOK_RUNS, shrinking=False, repeat_every=0)
    finally:
        sys.settrace(before)
    return not changed.isdisjoint(ran)


def changed_lines(original: str, text: str) -> set[int]:
    """The numbers of the lines of `text` that are not as in `original`."""
    matcher = difflib.SequenceMatcher(None, original.splitlines(), text.splitlines(), autojunk=False)
    return {
        number + 1 for tag, _, _, begin, end in matcher.get_opcodes() if tag != "equal" for number in range(begin, end)
    }
