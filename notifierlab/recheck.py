"""The checker over logs: reads them back, judges them, and needs no simulator for it.

Each log is judged by itself. Two or more logs are also judged together: locks that one
log takes in an order and another in the opposite one are an inversion, even if neither
deadlocked.

A log that was cut off is judged as far as it goes; what is found in it stands, and if
nothing is found the verdict is undecided.
"""

import sys
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from notifierlab.again import replay_command
from notifierlab.checker import Checker, LedgerRow, LockEdge, RULES
from notifierlab.errors import InputError, unknown_name
from notifierlab.events import Event, Violation
from notifierlab.explore.kinds import severity
from notifierlab.explore.lock_graph import inversion, LockGraph
from notifierlab.reading import LogReader
from notifierlab.report.lanes import Glyphs
from notifierlab.report.ledger import ledger_table
from notifierlab.report.outcome import EXIT_STATUS, Outcome, TOGETHER
from notifierlab.report.story import story, told
from notifierlab.report.timeline import Run
from notifierlab.trace import RunHeader, Verdict, verdict_of, VerdictWord


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What the checker says about one log. `claimed` is the log's own verdict line, if it has one.

    `places` tells for each violation at which event it was found, counted from 0.
    """

    name: str
    header: RunHeader
    violations: tuple[Violation, ...]
    places: tuple[int, ...]
    complete: bool
    events: int
    steps: int
    claimed: Verdict | None
    ledger: tuple[LedgerRow, ...]
    lock_edges: tuple[LockEdge, ...]

    @property
    def verdict(self) -> VerdictWord:
        """What was found stands; nothing found in half a log decides nothing."""
        return verdict_of(self.violations, complete=self.complete)

    @property
    def disagrees(self) -> bool:
        """Whether the log claims another verdict than the checker now gives."""
        return self.claimed is not None and self.claimed.verdict != self.verdict


def open_log(name: str) -> BinaryIO:
    """The log called `name`; `-` is standard input."""
    if name == "-":
        return sys.stdin.buffer
    try:
        return Path(name).open("rb")
    except OSError as error:
        raise InputError(f"Cannot read the log {name}: {error.strerror}. Is the path right?") from None


def read_log(name: str) -> tuple[LogReader, list[Event]]:
    """A whole log in memory, with the reader that knows its header and end."""
    with open_log(name) as file:
        reader = LogReader(file, name)
        return reader, list(reader)


def check_log(file: BinaryIO, name: str, *, strict: bool = False, rules: Collection[str] = ()) -> Checked:
    """Judges one log while reading it.

    Args:
        file: the log.
        name: what messages call it.
        strict: judge by the strict rules as well; a log that was made so always is.
        rules: judge by these rules alone; empty means all.
    """
    reader = LogReader(file, name)
    return check_events(reader, reader, strict=strict, rules=rules)


def check_events(
    reader: LogReader,
    events: Iterable[Event],
    *,
    strict: bool = False,
    rules: Collection[str] = (),
    ledger: bool = False,
) -> Checked:
    """Judges the events of a log; `reader` is asked for the log's end when they are through.

    `ledger` asks for the ledger as well, which has a row for each freed page.
    """
    strict = strict or reader.header.strict
    checker = Checker(reader.header.switches, strict=strict, disabled=rules_but(rules), ledger=ledger)
    feed, found = checker.feed, checker.violations
    steps = 0
    places: list[int] = []
    for n, event in enumerate(events):
        feed(event)
        steps = event.step
        if len(found) > len(places):
            places += [n] * (len(found) - len(places))
    # An interrupted run has a verdict line, but the end that some rules wait for never came.
    complete = reader.verdict is not None and reader.verdict.ended == "complete"
    checker.finish(complete=complete)
    # What is only seen at the end of a run is found at its last event.
    places += [max(reader.events_read - 1, 0)] * (len(found) - len(places))
    decided = reader.verdict is not None and reader.verdict.ended != "interrupted"
    return Checked(
        name=reader.name,
        header=reader.header,
        violations=tuple(found),
        places=tuple(places),
        complete=decided,
        events=reader.events_read,
        steps=reader.verdict.steps if reader.verdict else steps,
        claimed=reader.verdict,
        ledger=tuple(checker.ledger()),
        lock_edges=tuple(checker.lock_edges),
    )


def rules_but(rules: Collection[str]) -> frozenset[str]:
    """Every rule except these; none when there are none. An unknown rule is an error."""
    known = [rule.id for rule in RULES]
    for rule in rules:
        if rule not in known:
            raise unknown_name("rule", rule, known, listing="notifierlab rules")
    return frozenset(known) - frozenset(rules) if rules else frozenset()


def merged_inversions(logs: Sequence[Checked]) -> list[Violation]:
    """The inversions of lock order that only several logs together show."""
    graph: LockGraph[int] = LockGraph()
    found = []
    for n, log in enumerate(logs):
        for edge in log.lock_edges:
            cycle = graph.add(edge.outer, edge.inner, n)
            if cycle is not None and len(dict.fromkeys(run for _, _, run in cycle)) > 1:
                found.append(inversion([(outer, inner) for outer, inner, _ in cycle], log.steps, edge.task))
    return found


# --- what the commands show -----------------------------------------------------------


def check_logs(names: Sequence[str], *, strict: bool, rules: Collection[str]) -> Outcome:
    """Judges logs, each by itself and all together."""
    rules_but(rules)
    begin = time.perf_counter()
    logs = []
    for name in names:
        with open_log(name) as file:
            logs.append(check_log(file, name, strict=strict, rules=rules))
    found = [(violation, log.name) for log in logs for violation in log.violations]
    if not rules or "lock-order" in rules:
        found += [(violation, TOGETHER) for violation in merged_inversions(logs)]
    found.sort(key=lambda each: severity_of(each[0]))
    violations = tuple(violation for violation, _ in found)
    return Outcome(
        about=", ".join(names),
        verdict=verdict_of(violations, complete=all(log.complete for log in logs)),
        violations=violations,
        where=tuple(place for _, place in found) if len(logs) > 1 else (),
        runs=len(logs),
        steps=sum(log.steps for log in logs),
        events=sum(log.events for log in logs),
        bound="this one run" if len(logs) == 1 else f"these {len(logs)} runs",
        seconds=time.perf_counter() - begin,
        notes=tuple(note for log in logs for note in _notes(log, alone=len(logs) == 1)),
    )


Explain = Callable[[LogReader, Violation], Sequence[str]]
"""What gives the lines that end a story."""


def tell(
    name: str,
    *,
    rules: Collection[str],
    width: int,
    glyphs: Glyphs,
    full: bool = False,
    explain: Explain | None = None,
) -> tuple[str, int]:
    """The story of the most severe violation of a log, and the exit status.

    `full` tells all that happened; `explain` gives the lines that end the story.
    """
    reader, events, checked, violation = _most_severe(name, rules)
    if violation is None:
        status = EXIT_STATUS[verdict_of((), complete=checked.complete)]
        return _no_story(checked, rules), status
    text = story(
        events,
        violation,
        others=checked.violations,
        replay=replay_command(reader.header.scenario, name),
        width=width,
        glyphs=glyphs,
        full=full,
        closing=explain(reader, violation) if explain is not None else (),
    )
    return text, EXIT_STATUS["violated"]


def tell_json(
    name: str, *, rules: Collection[str], full: bool = False, explain: Explain | None = None
) -> tuple[dict[str, object], int]:
    """The same as data: the violation, the rows of its story, what explains it; null where there is none."""
    reader, events, checked, violation = _most_severe(name, rules)
    verdict = "violated" if violation is not None else verdict_of((), complete=checked.complete)
    rows = told(events, violation, others=checked.violations, full=full) if violation is not None else ()
    data: dict[str, object] = {
        "about": name,
        "verdict": verdict,
        "violation": None if violation is None else msgspec.to_builtins(violation),
        "story": [{"step": row.step, "task": row.task, "text": row.text, "violation": row.strong} for row in rows],
        "why": list(explain(reader, violation)) if explain is not None and violation is not None else None,
        "replay": replay_command(reader.header.scenario, name),
    }
    return data, EXIT_STATUS[verdict]


def _most_severe(name: str, rules: Collection[str]) -> tuple[LogReader, list[Event], Checked, Violation | None]:
    rules_but(rules)
    reader, events = read_log(name)
    checked = check_events(reader, events)
    wanted = [each for each in checked.violations if not rules or each.rule in rules]
    return reader, events, checked, min(wanted, key=severity_of, default=None)


def ledger_of(name: str, *, as_json: bool, width: int) -> tuple[str, int]:
    """The ledger of a log, and the exit status that `check` gives it."""
    with open_log(name) as file:
        reader = LogReader(file, name)
        checked = check_events(reader, reader, ledger=True)
    if as_json:
        text = msgspec.json.format(msgspec.json.encode(checked.ledger), indent=2).decode() + "\n"
    else:
        text = ledger_table(checked.ledger, width=width)
    return text, EXIT_STATUS[checked.verdict]


def run_of(name: str, *, rules: Collection[str] = ()) -> Run:
    """A log, judged, with all there is to draw of it; violations of `rules` come before others."""
    rules_but(rules)
    reader, events = read_log(name)
    checked = check_events(reader, events, ledger=True)
    found = sorted(
        zip(checked.violations, checked.places, strict=True),
        key=lambda each: (bool(rules) and each[0].rule not in rules, *severity_of(each[0])),
    )
    notes = _notes(checked, alone=True)
    if rules and not any(violation.rule in rules for violation, _ in found):
        notes.append(f"the log shows no violation of {' and '.join(rules)}")
    return Run(
        name=name,
        header=checked.header,
        events=events,
        verdict=checked.verdict,
        complete=reader.complete,
        violations=tuple(violation for violation, _ in found),
        places=tuple(place for _, place in found),
        claimed=checked.claimed,
        ledger=checked.ledger,
        notes=tuple(f"{note[:1].upper()}{note[1:]}." for note in notes),
    )


def severity_of(violation: Violation) -> tuple[int, int, int]:
    """What a violation sorts by: the most severe rule first, then the rules' order, then the earliest."""
    return (*severity(violation.rule), violation.step)


def _notes(log: Checked, *, alone: bool) -> list[str]:
    name = "the log" if alone else log.name
    notes = []
    if log.claimed is None:
        notes.append(f"{name} was cut off after {log.events} events: it has no verdict line; judged as far as it goes")
    elif log.disagrees:
        notes.append(f"the verdict line of {name} says {log.claimed.verdict}, the checker says {log.verdict}")
    return notes


def _no_story(checked: Checked, rules: Collection[str]) -> str:
    what = " and ".join(rules) if rules else "any rule"
    others = ", ".join(dict.fromkeys(each.rule for each in checked.violations))
    rest = f" It shows {others}." if others else ""
    cut = "" if checked.complete else " (The log was cut off.)"
    return f"{checked.name} shows no violation of {what}: there is no story to tell.{rest}{cut}\n"
