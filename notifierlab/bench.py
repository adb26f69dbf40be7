"""What the commands do that run something: run, explore, replay.

Each takes a request, does the work by the rooms below, and gives back an `Outcome` to
show. The clock is read here and nowhere else: how long a thing took is no part of it.
"""

import inspect
import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from notifierlab import catalogue
from notifierlab.again import is_test, replay_command
from notifierlab.errors import InputError
from notifierlab.events import Event, Violation
from notifierlab.explore.kinds import kind_of, signature_of
from notifierlab.explore.menu import make_strategy
from notifierlab.explore.repeat import REPEAT_EVERY
from notifierlab.explore.run import run_once, RunResult, RunSpec
from notifierlab.explore.search import explore as search, Progress, SearchResult
from notifierlab.explore.strategies import Calm, RandomWalk, Strategy
from notifierlab.explore.tally import Wanted
from notifierlab.keeping import Keeper, reasons_of, write_run
from notifierlab.reading import LogReader
from notifierlab.recheck import read_log, rules_but, severity_of
from notifierlab.replay import follow, Followed, replay, Replayed
from notifierlab.report.ci import Place
from notifierlab.report.lanes import Glyphs, UNICODE
from notifierlab.report.outcome import Outcome
from notifierlab.request import changed_switches, Request, request_of
from notifierlab.trace import Verdict, verdict_of
from notifierlab.wire import encode_event


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
    audit_every: int | None = None


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
    same = signature_of if plan.find_all else kind_of
    keeper = Keeper(request, spec, plan.log, same=same, hurried=result.cut == "interrupted")
    for finding in result.findings if plan.find_all else result.findings[:1]:
        keeper.keep(finding)
    violations = tuple(dict.fromkeys(keeper.as_kept(finding.violation) for finding in result.findings))
    return Outcome(
        about=describe(request, spec),
        verdict=result.verdict,
        violations=violations,
        others=tuple(keeper.as_kept(finding.violation) for finding in result.others),
        runs=result.runs,
        steps=result.steps,
        traces=result.traces,
        states=result.states,
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
            audit_every=plan.audit_every,
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
        audit_every=plan.audit_every,
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
    request = _request_of(reader)
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
    request = _request_of(reader)
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
    return outcome, following(name, followed, _goes_on(then, seed))


def why(reader: LogReader, violation: Violation, *, width: int = 100) -> list[str]:
    """Why the run of a log shows `violation`, in a few lines: other orders are run to find out."""
    if reader.header.external:
        raise InputError(f"{reader.name} has a task that waited for trio itself: its choices alone do not repeat it.")
    if reader.verdict is None:
        raise InputError(f"{reader.name} was cut off: without its verdict line nobody knows its choices.")
    return reasons_of(_request_of(reader).resolve(), reader.verdict.choices, violation, width=width)


def _request_of(reader: LogReader) -> Request:
    if is_test(reader.header.scenario):
        again = replay_command(reader.header.scenario, reader.name)
        raise InputError(
            f"{reader.name} is the log of a test, which only pytest can find. Run it again with `{again}`."
        )
    return request_of(reader.header)


def place_of(request: Request) -> Place | None:
    """Where the code stands that is under test: the driver's if one was put in, else the scenario's."""
    drivers = [catalogue.driver(request.driver)] if request.driver else []
    drivers += [mutant.driver for mutant in map(catalogue.mutant, request.mutants) if mutant.driver is not None]
    try:
        under_test = drivers[0] if drivers else inspect.unwrap(catalogue.scenario(request.scenario))
        file, line = inspect.getsourcefile(under_test), inspect.getsourcelines(under_test)[1]
    except (OSError, TypeError):
        # No source at hand, or no function: then nobody can be shown it.
        return None
    return Place(os.path.relpath(file), line) if file else None


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
    return [f"a log of each was kept: {', '.join(paths)}"] if len(paths) > 1 else []


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


def following(name: str, followed: Followed, goes_on: str) -> str:
    """How far a lenient replay of the log `name` was the same, and where it left it."""
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
