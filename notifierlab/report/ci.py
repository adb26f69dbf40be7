"""For machines that show results to people: JUnit XML, and annotations of GitHub.

JUnit XML is of the family `xunit2`: one test case for what was run, or one for each log
that was checked; what was found is its failure, an undecided search its error, since it
must not pass. The logs are attachments, as property and as Jenkins has them.

GitHub reads commands from what a job prints, and shows ten of a kind for each step: so
the worst come first.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

from notifierlab.events import Violation
from notifierlab.report.outcome import Outcome, TOGETHER

ANNOTATIONS_MAX: Final = 10
"""How many annotations of a kind GitHub shows for a step of a job."""


@dataclass(frozen=True)
class Place:
    """Where an annotation stands: a file, as the repository names it, and a line counted from 1."""

    file: str
    line: int


def junit(outcome: Outcome, command: str, logs: Sequence[str] = ()) -> bytes:
    """The outcome of a command as JUnit XML; `logs` are those that `check` judged."""
    cases = dict.fromkeys(logs or (outcome.about,), ())
    of_case = _by_case(outcome, list(cases))
    suite = ElementTree.Element("testsuite", name="notifierlab")
    for name, violations in of_case.items():
        suite.append(_case(outcome, command, name, violations, alone=len(of_case) == 1))
    count = {kind: str(len(suite.findall(f"testcase/{kind}"))) for kind in ("failure", "error")}
    suite.attrib.update(
        tests=str(len(of_case)),
        failures=count["failure"],
        errors=count["error"],
        skipped="0",
        time=f"{outcome.seconds:.3f}",
    )
    root = ElementTree.Element("testsuites", name="notifierlab")
    root.append(suite)
    ElementTree.indent(root)
    text = BytesIO()
    ElementTree.ElementTree(root).write(text, encoding="utf-8", xml_declaration=True)
    return text.getvalue() + b"\n"


def _by_case(outcome: Outcome, cases: Sequence[str]) -> Mapping[str, list[Violation]]:
    """The violations by the case that they belong to; those of logs together are a case of their own."""
    found: dict[str, list[Violation]] = {name: [] for name in cases}
    for n, violation in enumerate(outcome.violations):
        name = outcome.where[n] if outcome.where else cases[0]
        found.setdefault(", ".join(cases) if name == TOGETHER else name, []).append(violation)
    return found


def _case(
    outcome: Outcome, command: str, name: str, violations: Sequence[Violation], *, alone: bool
) -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname=f"notifierlab.{command}", name=_clean(name))
    if alone:
        case.set("time", f"{outcome.seconds:.3f}")
        properties = ElementTree.SubElement(case, "properties")
        for key, value in _properties(outcome):
            ElementTree.SubElement(properties, "property", name=key, value=_clean(value))
    if violations:
        first = violations[0]
        failure = ElementTree.SubElement(
            case, "failure", type=first.rule, message=_clean(f"{first.rule}: {first.message}")
        )
        listed = "".join(f"{each.rule} (step {each.step}): {each.message}\n" for each in violations)
        failure.text = _clean(f"{listed}\n{outcome.story}" if alone and outcome.story else listed)
    elif outcome.verdict == "undecided":
        error = ElementTree.SubElement(case, "error", type="undecided", message=_clean(f"undecided: {outcome.bound}"))
        error.text = _clean("\n".join(outcome.notes))
    if alone and outcome.logs:
        attached = "".join(f"[[ATTACHMENT|{Path(log).absolute()}]]\n" for log in dict.fromkeys(outcome.logs.values()))
        ElementTree.SubElement(case, "system-out").text = _clean(attached)
    return case


def _properties(outcome: Outcome) -> Iterator[tuple[str, str]]:
    yield "verdict", outcome.verdict
    for key, value in (("bound", outcome.bound), ("runs", outcome.runs), ("steps", outcome.steps)):
        if value is not None:
            yield key, str(value)
    for log in dict.fromkeys(outcome.logs.values()):
        yield "attachment", log


def _clean(text: str) -> str:
    """The text without the control characters that XML cannot have."""
    return "".join(sign for sign in text if sign in "\t\n\r" or ord(sign) >= 32)


# --- GitHub -------------------------------------------------------------------------


def annotations(outcome: Outcome, place: Place | None = None) -> list[str]:
    """The workflow commands for an outcome, the worst first; none for one that is clean.

    Args:
        outcome: what there is to tell.
        place: where they are shown; a violation of a log is shown at the log.
    """
    lines = []
    for n, violation in enumerate(outcome.violations[:ANNOTATIONS_MAX]):
        at = place
        if at is None and outcome.where and outcome.where[n] != TOGETHER:
            at = Place(outcome.where[n], 1)
        message = f"{violation.message} (step {violation.step}; {_seen_in(outcome, n)})"
        lines.append(_command("error", at, violation.rule, message))
    if outcome.verdict == "undecided":
        lines.append(_command("warning", place, "undecided", "; ".join((outcome.about, *outcome.notes))))
    return lines


def _seen_in(outcome: Outcome, n: int) -> str:
    log = outcome.logs.get(outcome.violations[n].rule)
    return f"notifierlab replay {log}" if log else outcome.about


def _command(kind: str, place: Place | None, title: str, message: str) -> str:
    properties = {"file": place.file, "line": str(place.line)} if place else {}
    properties["title"] = f"notifierlab: {title}"
    listed = ",".join(f"{key}={_escaped(value, ':,')}" for key, value in properties.items())
    return f"::{kind} {listed}::{_escaped(message)}"


def _escaped(text: str, more: str = "") -> str:
    for sign in f"%\r\n{more}":
        text = text.replace(sign, f"%{ord(sign):02X}")
    return text
