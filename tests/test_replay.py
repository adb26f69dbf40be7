"""A log that is run again gives itself, and the first difference is shown with both sides."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import trio

from notifierlab.errors import InputError
from notifierlab.events import Event, Interrupted, LockAcquired, MightSleep
from notifierlab.explore.run import run_once, RunSpec
from notifierlab.explore.sampling import Pct
from notifierlab.explore.strategies import Calm, RandomWalk, Strategy
from notifierlab.host import Host
from notifierlab.machine.locks import SpinLock
from notifierlab.replay import follow, replay
from notifierlab.request import header_of, Request
from notifierlab.trace import RunHeader, Verdict, verdict_of

REQUEST = Request(scenario="kvm-fault-vs-munmap")
Log = tuple[RunSpec, RunHeader, list[Event], Verdict]


@pytest.fixture
def log() -> Log:
    return made(REQUEST.resolve())


def made(spec: RunSpec, seed: int = 3) -> Log:
    events: list[Event] = []
    strategy: Strategy = RandomWalk(seed)
    strategy.new_run()
    result = run_once(spec, strategy, sink=events.append)
    assert result.ended != "left"
    verdict = Verdict(
        verdict=verdict_of(result.violations, complete=True),
        ended=result.ended,
        violations=result.violations,
        steps=result.steps,
        events=len(events),
        choices=result.choices,
    )
    return spec, header_of(REQUEST, spec, seed=seed), events, verdict


def changed(verdict: Verdict, **fields: object) -> Verdict:
    values = {name: getattr(verdict, name) for name in verdict.__struct_fields__}
    return Verdict(**{**values, **fields})


@pytest.mark.parametrize("carrier", ["bare", "trio"])
def test_a_log_gives_itself_on_either_carrier(log: Log, carrier: str) -> None:
    spec, header, events, verdict = log
    replayed = replay(replace(spec, carrier=carrier), header, events, verdict)
    assert replayed.difference is None
    assert replayed.events == len(events)


def test_the_first_event_that_differs_is_shown_with_its_line(log: Log) -> None:
    spec, header, events, verdict = log
    place = next(n for n, event in enumerate(events) if isinstance(event, LockAcquired))
    was = events[place]
    events[place] = LockAcquired(was.step, was.task, "another", "mmu_lock", "write", "wait")
    difference = replay(spec, header, events, verdict).difference
    assert difference is not None
    assert (difference.line, difference.recorded, difference.now) == (place + 2, events[place], was)


def test_an_event_that_no_longer_happens_and_one_too_many_are_differences(log: Log) -> None:
    spec, header, events, verdict = log
    missing = replay(spec, header, [*events, events[-1]], verdict).difference
    assert missing is not None
    assert (missing.line, missing.recorded, missing.now) == (len(events) + 2, events[-1], None)
    more = replay(spec, header, events[:-1], verdict).difference
    assert more is not None
    assert (more.line, more.recorded, more.now) == (len(events) + 1, verdict, events[-1])


def test_a_verdict_that_differs_is_a_difference(log: Log) -> None:
    spec, header, events, verdict = log
    difference = replay(spec, header, events, changed(verdict, steps=verdict.steps + 1)).difference
    assert difference is not None
    assert difference.line == len(events) + 2


def test_a_log_without_a_verdict_is_compared_as_far_as_it_goes(log: Log) -> None:
    spec, header, events, _ = log
    replayed = replay(spec, header, events[:50], None)
    assert replayed.difference is None
    assert replayed.events == 50


def test_an_interrupted_log_is_compared_up_to_the_interruption(log: Log) -> None:
    spec, header, events, verdict = log
    stopped = [*events[:50], Interrupted(events[50].step, events[50].task)]
    replayed = replay(spec, header, stopped, changed(verdict, ended="interrupted", choices=verdict.choices))
    assert replayed.difference is None
    assert replayed.events == 51


def test_a_run_that_waited_for_trio_cannot_be_run_again() -> None:
    async def napping(host: Host) -> None:
        await trio.lowlevel.checkpoint()

    spec, header, events, verdict = made(RunSpec(name="napping", scenario=napping, carrier="trio"))
    with pytest.raises(InputError, match="waited for trio itself"):
        replay(spec, header, events, verdict)


# --- lenient --------------------------------------------------------------------------


async def guest_and_host(host: Host, *, longer: bool = False, renamed: bool = False, noisy: bool = False) -> None:
    """Two tasks that take turns at a lock; the first may have been edited since a log was made."""
    lock = SpinLock(host.machine, "l", "mmu_lock")

    async def work(times: int) -> None:
        for _ in range(times):
            if noisy:
                host.machine.might_sleep("new")
            async with lock:
                await host.machine.step()

    async with host.together() as tasks:
        tasks.start(work, 3 if longer else 1, name="guest" if not renamed else "visitor")
        tasks.start(work, 2, name="host")


def edited(**params: bool) -> RunSpec:
    return RunSpec(name="guest-and-host", scenario=guest_and_host, params=params)


def test_a_log_is_followed_to_its_end_where_nothing_has_changed(log: Log) -> None:
    spec, _, events, verdict = log
    followed = follow(spec, events, verdict)
    assert (followed.same, followed.difference, followed.departed) == (len(events), None, None)
    assert followed.result.choices == verdict.choices


def test_an_event_more_within_the_same_steps_does_not_end_the_following() -> None:
    _, _, events, verdict = made(edited(), seed=4)
    followed = follow(edited(noisy=True), events, verdict)
    assert followed.difference is not None
    assert isinstance(followed.difference.now, MightSleep)
    assert followed.departed is None
    assert followed.result.ended == "complete"


@pytest.mark.parametrize("change", ["longer", "renamed"])
@pytest.mark.parametrize("then", [Calm, RandomWalk, Pct])
def test_a_changed_scenario_departs_where_a_recorded_step_is_no_more(change: str, then: Callable[[], Strategy]) -> None:
    _, _, events, verdict = made(edited(), seed=4)
    followed = follow(edited(**{change: True}), events, verdict, then())
    assert followed.result.ended == "complete"
    assert followed.departed is not None
    assert followed.departed.step >= followed.step
    assert followed.departed in events
    assert followed.difference is not None
    assert followed.difference.recorded == events[followed.same]
    assert follow(edited(**{change: True}), events, verdict, then()) == followed


def test_a_log_without_its_verdict_cannot_be_followed(log: Log) -> None:
    spec, _, events, _ = log
    with pytest.raises(InputError, match="was cut off"):
        follow(spec, events, None)
