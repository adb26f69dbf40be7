"""What the commands do that run something: run, explore, replay.

Each takes a request, does the work by the rooms below, and gives back an `Outcome` to
show. The clock is read here and nowhere else: how long a thing took is no part of it.
"""

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from notifierlab.errors import InputError
from notifierlab.events import Event, Violation
from notifierlab.explore.kinds import kind_of
from notifierlab.explore.menu import make_strategy
from notifierlab.explore.repeat import REPEAT_EVERY
from notifierlab.explore.run import run_once, RunResult, RunSpec
from notifierlab.explore.search import explore as search, Progress, SearchResult
from notifierlab.explore.shrink import REPLAYS_MAX
from notifierlab.explore.smaller import shrink_scenario, Smaller
from notifierlab.explore.strategies import Calm, RandomWalk, Replay, Strategy
from notifierlab.explore.tally import Finding, Wanted
from notifierlab.explore.why import explain
from notifierlab.reading import LogReader
from notifierlab.recheck import read_log, rules_but, severity_of
from notifierlab.replay import follow, Followed, replay, Replayed
from notifierlab.report.lanes import Glyphs, UNICODE
from notifierlab.report.outcome import Outcome
from notifierlab.report.reasons import reasons_lines
from notifierlab.report.story import story
from notifierlab.request import changed_switches, header_of, Request, request_of
from notifierlab.trace import mark_external, Verdict, verdict_of, Writer
from notifierlab.wire import encode_event

KEPT_IN: Final = Path(".notifierlab")
"""Where a search puts the logs of what it finds, unless it is told otherwise."""


_LESSER_MAX: Final = 300
_HURRIED_MAX: Final = 100
"""How many runs shrinking may take for a finding after the first, and when somebody interrupted the search."""


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
    jobs: int | None = None
    cluster: str | None = None
    checkpoint: Path | None = None
    repeat_every: int = REPEAT_EVERY


def run(request: Request, *, seed: int | None, rules: Collection[str], log: Path | None) -> Outcome:
    """One run, checked live: the calm one, or the one that a seed draws."""
    if seed is not None:
        request = request.seeded(seed)
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
    result, resumed = _searched(request, spec, plan, progress)
    seconds = time.perf_counter() - begin
    return tell(request, spec, plan, result, seconds=seconds, notes=resumed, width=width, glyphs=glyphs)


def tell(
    request: Request,
    spec: RunSpec,
    plan: SearchPlan,
    result: SearchResult,
    *,
    seconds: float = 0.0,
    notes: tuple[str, ...] = (),
    width: int = 100,
    glyphs: Glyphs = UNICODE,
) -> Outcome:
    """What a search found is made simple, run once more, written to a log, and told."""
    keeper = _Keeper(request, spec, plan.log, hurried=result.cut == "interrupted")
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
        notes=(*notes, *_idle_note(result, plan.rules), *keeper.notes, *_kept_note(keeper.logs)),
        not_exercised=result.not_exercised,
        logs=keeper.logs,
        story=keeper.story(violations[0], width=width, glyphs=glyphs) if violations else "",
    )


def _searched(
    request: Request, spec: RunSpec, plan: SearchPlan, progress: Callable[[Progress], None] | None
) -> tuple[SearchResult, tuple[str, ...]]:
    """The search, in this process or over workers, and a note on what was known before."""
    # Schedules are made simple later, of what is kept.
    if plan.jobs is None and plan.cluster is None and plan.checkpoint is None:
        result = search(
            spec,
            plan.strategy,
            bound=plan.bound,
            runs=plan.runs,
            seed=plan.seed,
            rules=plan.rules,
            find_all=plan.find_all,
            shrinking=False,
            repeat_every=plan.repeat_every,
            progress=progress,
        )
        return result, ()
    from notifierlab.explore.campaign import campaign, Limits
    from notifierlab.explore.checkpoint import Checkpoint, head_of
    from notifierlab.explore.portion import Quest
    from notifierlab.explore.workers import workers_for

    quest = Quest(
        request=request,
        strategy=plan.strategy,
        wanted=Wanted(frozenset(plan.rules), plan.find_all),
        repeat_every=plan.repeat_every,
    )
    limits = Limits(bound=plan.bound, seed=plan.seed, runs=plan.runs)
    checkpoint = Checkpoint(plan.checkpoint, head_of(quest, spec, plan.seed)) if plan.checkpoint else None
    known = checkpoint.runs if checkpoint else 0
    workers = workers_for(plan.jobs, plan.cluster)
    result = campaign(quest, limits, workers, checkpoint=checkpoint, shrinking=False, progress=progress)
    return result, (f"{plan.checkpoint} had {known} of the runs",) if known else ()


def _idle_note(result: SearchResult, rules: Collection[str]) -> tuple[str, ...]:
    """Which rules had nothing to judge; of a search for them it is the verdict."""
    if not result.not_exercised:
        return ()
    idle = ", ".join(result.not_exercised)
    if rules:
        return (f"not exercised, so nothing is said of it: {idle} (no run had anything that it judges)",)
    return (f"not exercised: {idle}",)


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


def follow_log(name: str, then: str, *, seed: int = 0) -> tuple[Outcome, str]:
    """Runs what a log says as far as it can be done, then goes on by the strategy `then`; says where that was."""
    begin = time.perf_counter()
    reader, events = read_log(name)
    request = request_of(reader.header)
    spec = request.resolve()
    strategy = Calm() if then == "calm" else make_strategy(then, bound=0, seed=seed)
    followed = follow(spec, events, reader.verdict, strategy)
    result = followed.result
    departed = f"as the log says up to step {followed.step}, then {_goes_on(then, seed)}"
    outcome = Outcome(
        about=describe(request, spec),
        verdict=verdict_of(result.violations, complete=result.ended not in ("interrupted", "raised")),
        violations=ranked(result.violations),
        runs=1,
        steps=result.steps,
        events=result.events,
        bound=f"this one run{'' if followed.departed is None else f', {departed}'}",
        seconds=time.perf_counter() - begin,
        interrupted=result.ended == "interrupted",
    )
    return outcome, _following(name, followed, _goes_on(then, seed))


def why(reader: LogReader, violation: Violation, *, width: int = 100) -> list[str]:
    """Why the run of a log shows `violation`, in a few lines: other orders are run to find out."""
    if reader.header.external:
        raise InputError(f"{reader.name} has a task that waited for trio itself: its choices alone do not repeat it.")
    if reader.verdict is None:
        raise InputError(f"{reader.name} was cut off: without its verdict line nobody knows its choices.")
    return _why(request_of(reader.header).resolve(), reader.verdict.choices, violation, width=width)


def _why(spec: RunSpec, schedule: Sequence[int], violation: Violation, *, width: int) -> list[str]:
    reasons = explain(lambda strategy, sink: run_once(spec, strategy, sink=sink), schedule, violation)
    return reasons_lines(reasons, width=width) if reasons is not None else []


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
    if result.external:
        mark_external(path)
    return result


# --- keeping what was found ---------------------------------------------------------


class _Keeper:
    """Makes what a search found as simple as it can be, writes it down, and tells it."""

    def __init__(self, request: Request, spec: RunSpec, log: Path | None, *, hurried: bool) -> None:
        self.notes: tuple[str, ...] = ()
        self.logs: dict[str, str] = {}
        self._seen: dict[tuple[str, ...], Violation] = {}
        self._request = request
        self._spec = spec
        self._log = log
        self._hurried = hurried
        self._shrunk: dict[str, Smaller] = {}

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
        smaller = shrink_scenario(
            self._spec,
            finding.schedules[0],
            finding.violation,
            keep=frozenset(name.replace("-", "_") for name in self._request.params),
            # The first one is told; for the others it is enough to be short.
            replays_max=_HURRIED_MAX if self._hurried else _LESSER_MAX if self.logs else REPLAYS_MAX,
            hurried=self._hurried,
        )
        shrunk = smaller.shrunk
        self._write(rule, shrunk.choices, 0, smaller.spec)
        if smaller.params:
            params = ", ".join(f"{name}={value}" for name, value in smaller.params.items())
            self._note(f"the log has a smaller scenario that shows {rule} too: {params}")
        self._shrunk[rule] = smaller
        self._seen.setdefault(kind_of(shrunk.violation), shrunk.violation)
        for violation in shrunk.result.violations:
            self._seen.setdefault(kind_of(violation), violation)

    def as_kept(self, violation: Violation) -> Violation:
        """The violation as a log that was kept has it, if one does: its steps and pages are that log's."""
        return self._seen.get(kind_of(violation), violation)

    def story(self, violation: Violation, *, width: int, glyphs: Glyphs) -> str:
        """The story of a violation, as its log tells it; nothing when no one log does."""
        log = self.logs.get(violation.rule, "")
        smaller = self._shrunk.get(violation.rule)
        if not log or smaller is None or kind_of(violation) not in self._seen:
            return ""
        reader, events = read_log(log)
        others = reader.verdict.violations if reader.verdict else ()
        closing = [] if self._hurried else _why(smaller.spec, smaller.shrunk.choices, violation, width=width)
        return story(events, violation, others=others, log=log, width=width, glyphs=glyphs, closing=closing)

    def _write(self, rule: str, schedule: tuple[int, ...], part: int, spec: RunSpec | None = None) -> str:
        path = self._path(rule, part)
        try:
            if self._log is None:
                kept_folder()
            write_run(path, self._request, spec or self._spec, Replay(schedule), schedule=schedule)
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


def kept_folder() -> Path:
    """The folder of kept logs, made if need be; it belongs to this machine, not into anybody's repository."""
    if not KEPT_IN.exists():
        KEPT_IN.mkdir()
        (KEPT_IN / ".gitignore").write_text("*\n")
    return KEPT_IN


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


def _goes_on(then: str, seed: int) -> str:
    return "calmly" if then == "calm" else f"by {then}, seed {seed}"


def _following(name: str, followed: Followed, goes_on: str) -> str:
    difference = followed.difference
    if difference is None:
        return f"same: all {followed.same} events\n"
    text = (
        f"different: {followed.same} events are the same, then {name}, line {difference.line}\n"
        f"  recorded  {_shown(difference.recorded)}\n"
        f"  now       {_shown(difference.now)}\n"
    )
    if followed.departed is None:
        return text + "The schedule could be followed to its end.\n"
    recorded = followed.departed
    return text + (
        f"Step {recorded.step} of the log ({recorded.task}) no longer exists; from there the run went on {goes_on}:\n"
        f"  recorded  {_shown(recorded)}\n"
    )


def _shown(end: Event | Verdict | RunResult | None) -> str:
    if end is None:
        return "nothing more"
    if isinstance(end, Event):
        return encode_event(end).decode()
    violations = ", ".join(dict.fromkeys(each.rule for each in end.violations)) or "no violation"
    return f"{end.ended} after {end.steps} steps, {violations}"
