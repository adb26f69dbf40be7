"""What the commands do that run something: run, explore, replay.

Each takes a request, does the work by the rooms below, and gives back an `Outcome` to
show. The clock is read here and nowhere else: how long a thing took is no part of it.
"""

import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from notifierlab.errors import InputError
from notifierlab.events import Event, Violation
from notifierlab.explore.kinds import kind_of
from notifierlab.explore.run import run_once, RunResult, RunSpec
from notifierlab.explore.search import explore as search, Finding, Progress, SearchResult
from notifierlab.explore.shrink import shrink
from notifierlab.explore.strategies import Calm, RandomWalk, Replay, Strategy
from notifierlab.recheck import read_log, rules_but, severity_of
from notifierlab.replay import replay, Replayed
from notifierlab.report.lanes import Glyphs, UNICODE
from notifierlab.report.outcome import Outcome
from notifierlab.report.story import story
from notifierlab.request import changed_switches, header_of, Request, request_of
from notifierlab.trace import Verdict, verdict_of, Writer
from notifierlab.wire import encode_event

KEPT_IN: Final = Path(".notifierlab")
"""Where a search puts the logs of what it finds, unless it is told otherwise."""


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """How to search: the strategy and its limits, what to look for, where to put the log."""

    strategy: str
    bound: int
    runs: int | None
    seed: int
    rules: Collection[str] = ()
    find_all: bool = False
    log: Path | None = None


def run(request: Request, *, seed: int | None, rules: Collection[str], log: Path | None) -> Outcome:
    """One run, checked live: the calm one, or the one that a seed draws."""
    spec = request.resolve()
    disabled = rules_but(rules)
    strategy: Strategy = Calm() if seed is None else RandomWalk(seed)
    begin = time.perf_counter()
    if log is None:
        strategy.new_run()
        result = run_once(spec, strategy, disabled=disabled)
    else:
        _check_writable(log)
        result = write_run(log, request, spec, strategy, seed=seed, disabled=disabled)
    return Outcome(
        about=describe(request, spec),
        verdict=verdict_of(result.violations, complete=result.ended not in ("interrupted", "raised")),
        violations=ranked(result.violations),
        runs=1,
        steps=result.steps,
        events=result.events,
        bound="this one run" + (f", drawn by seed {seed}" if seed is not None else ", the calm one"),
        seconds=time.perf_counter() - begin,
        interrupted=result.ended == "interrupted",
        logs={"": str(log)} if log else {},
        notes=() if log or not result.violations else ("write it down with --log FILE, then `notifierlab story FILE`",),
    )


def explore(
    request: Request,
    plan: SearchPlan,
    *,
    progress: Callable[[Progress], None] | None = None,
    width: int = 100,
    glyphs: Glyphs = UNICODE,
) -> Outcome:
    """A search; what it finds is run once more, written to a log, and told."""
    spec = request.resolve()
    rules_but(plan.rules)
    if plan.log is not None:
        _check_writable(plan.log)
    begin = time.perf_counter()
    result = search(
        spec,
        plan.strategy,
        bound=plan.bound,
        runs=plan.runs,
        seed=plan.seed,
        rules=plan.rules,
        find_all=plan.find_all,
        progress=progress,
    )
    seconds = time.perf_counter() - begin
    keeper = _Keeper(request, spec, plan.log)
    for finding in result.findings if plan.find_all else result.findings[:1]:
        keeper.keep(finding)
    violations = tuple(keeper.as_kept(finding.violation) for finding in result.findings)
    return Outcome(
        about=describe(request, spec),
        verdict=result.verdict,
        violations=violations,
        others=tuple(keeper.as_kept(finding.violation) for finding in result.others),
        runs=result.runs,
        steps=result.steps,
        bound=result.bound + _found_in(result),
        seconds=seconds,
        interrupted=result.cut == "interrupted",
        notes=(*keeper.notes, *_kept_note(keeper.logs)),
        logs=keeper.logs,
        story=keeper.story(violations[0], width=width, glyphs=glyphs) if violations else "",
    )


def replay_log(name: str) -> tuple[Outcome, str]:
    """Runs a log again; the text says whether everything was the same, or where not."""
    begin = time.perf_counter()
    reader, events = read_log(name)
    request = request_of(reader.header)
    spec = request.resolve()
    replayed = replay(spec, reader.header, events, reader.verdict)
    whole = reader.verdict is not None and reader.verdict.ended != "interrupted"
    # Where the log ends the replay is stopped: only the log knows how a whole run ends.
    result = replayed.result
    outcome = Outcome(
        about=describe(request, spec),
        verdict="undecided" if replayed.difference else verdict_of(result.violations, complete=whole),
        violations=ranked(result.violations),
        runs=1,
        steps=result.steps,
        events=replayed.events,
        bound="this one run",
        seconds=time.perf_counter() - begin,
    )
    return outcome, _comparison(name, replayed, whole=whole)


def describe(request: Request, spec: RunSpec) -> str:
    """What was run, in a line: the scenario and everything that is not as usual."""
    parts = [f"profile {spec.profile.name}"]
    parts += [
        f"{switch.replace('_', '-')}={value}"
        for switch, value in changed_switches(spec.profile, request.profile).items()
    ]
    parts += [f"mutant {name}" for name in sorted(spec.mutants)]
    if request.driver:
        parts.append(f"driver {request.driver}")
    if request.strict:
        parts.append("strict")
    return f"{request.scenario} ({', '.join(parts)})"


def ranked(violations: Collection[Violation]) -> tuple[Violation, ...]:
    """The most severe first; within a rule, the earliest."""
    return tuple(sorted(violations, key=severity_of))


def write_run(
    path: Path,
    request: Request,
    spec: RunSpec,
    strategy: Strategy,
    *,
    seed: int | None = None,
    schedule: tuple[int, ...] = (),
    disabled: Collection[str] = (),
) -> RunResult:
    """Executes one run and writes its log while it goes."""
    strategy.new_run()
    with Writer.to(path, header_of(request, spec, seed=seed, schedule=schedule)) as writer:
        result = run_once(spec, strategy, sink=writer, disabled=disabled)
        writer.end(ended=result.ended, violations=result.violations, steps=result.steps, choices=result.choices)
    return result


# --- keeping what was found ---------------------------------------------------------


class _Keeper:
    """Makes what a search found as simple as it can be, writes it down, and tells it."""

    def __init__(self, request: Request, spec: RunSpec, log: Path | None) -> None:
        self.notes: tuple[str, ...] = ()
        self.logs: dict[str, str] = {}
        self._seen: dict[tuple[str, ...], Violation] = {}
        self._request = request
        self._spec = spec
        self._log = log

    def keep(self, finding: Finding) -> None:
        """Writes a log of the finding, two if only two runs show it; one finding of each rule is enough."""
        rule = finding.violation.rule
        if rule in self.logs:
            return
        if len(finding.schedules) > 1:
            written = [self._write(rule, schedule, n) for n, schedule in enumerate(finding.schedules, 1)]
            if all(written):
                self._note(f"no single run shows {rule}: `notifierlab check {' '.join(written)}` does")
            return
        shrunk = shrink(self._execute, finding.schedules[0], finding.violation)
        self._write(rule, shrunk.choices, 0)
        self._seen.setdefault(kind_of(shrunk.violation), shrunk.violation)
        for violation in shrunk.result.violations:
            self._seen.setdefault(kind_of(violation), violation)

    def as_kept(self, violation: Violation) -> Violation:
        """The violation as a log that was kept has it, if one does: its steps and pages are that log's."""
        return self._seen.get(kind_of(violation), violation)

    def story(self, violation: Violation, *, width: int, glyphs: Glyphs) -> str:
        """The story of a violation, as its log tells it; nothing when no one log does."""
        log = self.logs.get(violation.rule, "")
        if not log or kind_of(violation) not in self._seen:
            return ""
        reader, events = read_log(log)
        others = reader.verdict.violations if reader.verdict else ()
        return story(events, violation, others=others, log=log, width=width, glyphs=glyphs)

    def _execute(self, strategy: Strategy, sink: Callable[[Event], None] | None) -> RunResult:
        return run_once(self._spec, strategy, sink=sink)

    def _write(self, rule: str, schedule: tuple[int, ...], part: int) -> str:
        path = self._path(rule, part)
        try:
            if self._log is None and not KEPT_IN.exists():
                KEPT_IN.mkdir()
                # The folder belongs to this machine, not into anybody's repository.
                (KEPT_IN / ".gitignore").write_text("*\n")
            write_run(path, self._request, self._spec, Replay(schedule), schedule=schedule)
        except OSError as error:
            self._note(f"no log written to {path}: {error.strerror}; give a place with --log FILE")
            return ""
        self.logs.setdefault(rule, str(path))
        return str(path)

    def _path(self, rule: str, part: int) -> Path:
        """The first log has the name that was asked for; others say whose they are."""
        place = self._log or KEPT_IN / f"{Path(self._request.scenario).stem}.jsonl"
        marks = ([rule] if any(other != rule for other in self.logs) else []) + ([str(part)] if part > 1 else [])
        return place.with_name(".".join([place.stem, *marks]) + place.suffix)

    def _note(self, note: str) -> None:
        self.notes = (*self.notes, note)


def _check_writable(path: Path) -> None:
    """Fails before the work is done, not after."""
    if path.is_dir():
        raise InputError(f"Cannot write the log {path}: it is a folder. Give a file with --log.")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        why = "permission denied" if path.parent.exists() else f"there is no folder {path.parent}"
        raise InputError(f"Cannot write the log {path}: {why}. Give another place with --log.")


def _kept_note(logs: Mapping[str, str]) -> list[str]:
    """Where the logs are, when there is more than the one that the story names."""
    paths = list(dict.fromkeys(logs.values()))
    return [f"a log of each rule was kept: {', '.join(paths)}"] if len(paths) > 1 else []


def _found_in(result: SearchResult) -> str:
    return f"; found in run {result.findings[0].run}" if result.findings else ""


def _comparison(name: str, replayed: Replayed, *, whole: bool) -> str:
    difference = replayed.difference
    if difference is None:
        rest = "" if whole else "; the log ends there, the run would go on"
        return f"same: all {replayed.events} events{rest}\n"
    return (
        f"different: {replayed.events} events are the same, then {name}, line {difference.line}\n"
        f"  recorded  {_shown(difference.recorded)}\n"
        f"  now       {_shown(difference.now)}\n"
        "The scenario, a driver or notifierlab itself changed since, or something in it does not repeat itself.\n"
    )


def _shown(end: Event | Verdict | RunResult | None) -> str:
    if end is None:
        return "nothing more"
    if isinstance(end, Event):
        return encode_event(end).decode()
    violations = ", ".join(dict.fromkeys(each.rule for each in end.violations)) or "no violation"
    return f"{end.ended} after {end.steps} steps, {violations}"
