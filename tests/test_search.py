"""The search finds what is there, says what it covered, and no more."""

import signal
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import trio
import trio.lowlevel

from notifierlab.events import Violation
from notifierlab.explore.kinds import kind_of
from notifierlab.explore.run import arun_once, run_once, RunSpec
from notifierlab.explore.search import explore, Progress
from notifierlab.explore.shrink import shrink
from notifierlab.explore.strategies import Bounded, Calm, deviations, RandomWalk, Replay
from notifierlab.host import Host
from notifierlab.machine.locks import SpinLock
from notifierlab.machine.sched import LabError
from notifierlab.machine.shared import shared, SharedState

Scenario = Callable[[Host], Coroutine[Any, Any, None]]


def spec_of(scenario: Scenario, carrier: str = "bare", steps_max: int = 1000) -> RunSpec:
    return RunSpec(name=scenario.__name__, scenario=scenario, carrier=carrier, steps_max=steps_max)


async def opposite_locks(host: Host) -> None:
    """Two tasks take two locks in opposite orders; a third has nothing to do with it."""
    a, b = SpinLock(host.machine, "a", "i_mmap_lock"), SpinLock(host.machine, "b", "i_mmap_lock")

    async def both(first: SpinLock, second: SpinLock) -> None:
        async with first:
            await second.acquire(nest=True)
            await second.release()

    async def idler() -> None:
        for _ in range(3):
            await host.machine.step()

    async with host.together() as tasks:
        tasks.start(both, a, b, name="one")
        tasks.start(both, b, a, name="two")
        tasks.start(idler, name="idler")


async def correct(host: Host) -> None:
    """Two tasks take one lock."""
    lock = SpinLock(host.machine, "l", "mmu_lock")

    async def work() -> None:
        async with lock:
            await host.machine.step()

    async with host.together() as tasks:
        tasks.start(work, name="one")
        tasks.start(work, name="two")


class Counter(SharedState):
    """A driver's count, kept without a lock."""

    running: int = shared(0)


async def unlocked_count(host: Host) -> None:
    """Two tasks raise a count that no lock protects."""
    counter = Counter(host.machine, "c0")

    async def work() -> None:
        value = counter.running
        await host.machine.step()
        counter.running = value + 1

    async with host.together() as tasks:
        tasks.start(work, name="one")
        tasks.start(work, name="two")


def test_a_deadlock_is_found_and_its_schedule_shows_it_again() -> None:
    result = explore(spec_of(opposite_locks), rules=["deadlock"])
    assert (result.verdict, result.cut) == ("violated", "found")
    (finding,) = result.findings
    assert finding.violation.rule == "deadlock"
    assert finding.deviations == 1
    again = run_once(spec_of(opposite_locks), Replay(finding.schedules[0]))
    assert finding.violation in again.violations


def test_a_scenario_without_a_bug_is_proved_when_no_order_is_left() -> None:
    result = explore(spec_of(correct), bound=50)
    assert result.verdict == "proved"
    assert result.bound == f"all {result.runs} orders"
    assert sum(result.orders) == result.runs
    assert result.cut == ""


def test_a_bound_that_was_reached_is_named_with_the_number_of_orders() -> None:
    result = explore(spec_of(correct), bound=1)
    assert result.verdict == "no-violation-within"
    assert result.bound == f"all {result.runs} orders with at most 1 preemption or fault"
    calm = explore(spec_of(correct), bound=0)
    assert calm.bound == f"all {calm.runs} orders without a preemption or fault"


def test_a_search_that_its_budget_cut_says_so() -> None:
    whole = explore(spec_of(correct), bound=1)
    cut = explore(spec_of(correct), bound=2, runs=whole.runs + 3)
    assert cut.cut == "runs"
    assert cut.verdict == "no-violation-within"
    assert cut.bound == (
        f"all {whole.runs} orders with at most 1 preemption or fault and 3 orders with 2 preemptions or faults "
        f"(cut after {cut.runs} runs; --runs goes further)"
    )


def test_a_search_for_one_rule_passes_over_others_and_mentions_them() -> None:
    result = explore(spec_of(unlocked_count), bound=50, rules=["deadlock"])
    assert result.findings == ()
    assert result.verdict == "proved"
    assert [finding.violation.rule for finding in result.others] == ["data-race"]


def test_a_lesser_violation_does_not_end_a_search_for_any() -> None:
    result = explore(spec_of(unlocked_count), bound=50)
    assert (result.verdict, result.cut) == ("violated", "")
    assert result.findings[0].violation.rule == "data-race"
    assert result.findings[0].times > 1


def test_every_kind_of_violation_is_kept_once_with_its_simplest_run() -> None:
    result = explore(spec_of(opposite_locks), bound=2, find_all=True)
    kinds = [kind_of(finding.violation) for finding in result.findings]
    assert len(kinds) == len(dict.fromkeys(kinds))
    assert result.cut == ""


def test_a_random_search_names_its_seeds_and_repeats() -> None:
    result = explore(spec_of(correct), "random", runs=20, seed=5)
    assert result.bound == "20 orders drawn at random, seeds 5 to 24"
    assert result.verdict == "no-violation-within"
    found = explore(spec_of(opposite_locks), "random", seed=3, rules=["deadlock"])
    assert found.verdict == "violated"
    assert explore(spec_of(opposite_locks), "random", seed=3, rules=["deadlock"]) == found


def test_the_seed_of_a_random_run_repeats_it_alone() -> None:
    search = RandomWalk(3)
    results = []
    for _ in range(5):
        search.new_run()
        results.append(run_once(spec_of(opposite_locks), search))
    alone = RandomWalk(7)
    alone.new_run()
    assert run_once(spec_of(opposite_locks), alone) == results[4]


def test_an_inversion_of_driver_locks_over_two_runs_keeps_both() -> None:
    async def either_order(host: Host) -> None:
        locks = [SpinLock(host.machine, name, f"my_{name}") for name in "ab"]
        if host.choose("order", False, True):
            locks.reverse()
        async with locks[0], locks[1]:
            pass

    result = explore(spec_of(either_order), bound=2)
    assert result.verdict == "violated"
    (finding,) = result.findings
    assert finding.violation.rule == "lock-order"
    assert finding.violation.objects == ("my_a", "my_b")
    assert "different runs" in finding.violation.message
    assert sorted(finding.schedules) == [(), (1,)]
    for schedule in finding.schedules:
        assert run_once(spec_of(either_order), Replay(schedule)).violations == ()


def test_a_driver_that_raises_is_a_violation_of_its_run() -> None:
    async def fragile(host: Host) -> None:
        if host.choose("allocation-fails", False, True):
            raise MemoryError("no page")

    result = explore(spec_of(fragile))
    (finding,) = result.findings
    assert finding.violation.rule == "driver-raised"
    assert "MemoryError: no page" in finding.violation.message
    assert finding.schedules == ((1,),)


def test_wrong_use_of_the_bench_ends_the_search_and_names_the_run() -> None:
    async def wrong(host: Host) -> None:
        if host.choose("which", 0, 1):
            host.driver("gpu")

    with pytest.raises(LabError, match="no driver of kind 'gpu'") as caught:
        explore(spec_of(wrong))
    assert caught.value.__notes__ == ["in run 2 of the search (bounded)"]


def test_a_scenario_that_waits_for_trio_cannot_be_searched() -> None:
    async def napping(host: Host) -> None:
        await trio.lowlevel.checkpoint()

    with pytest.raises(LabError, match="cannot be searched"):
        explore(spec_of(napping, carrier="trio"))
    assert run_once(spec_of(napping, carrier="trio"), Calm()).external


def test_ctrl_c_ends_a_search_with_what_is_known() -> None:
    seen: list[Progress] = []

    def press(progress: Progress) -> None:
        seen.append(progress)
        if progress.runs == 4:
            signal.raise_signal(signal.SIGINT)

    result = explore(spec_of(correct), bound=50, progress=press)
    assert (result.runs, result.cut, result.verdict) == (4, "interrupted", "undecided")
    assert [progress.runs for progress in seen] == [1, 2, 3, 4]


def test_ctrl_c_within_a_run_ends_the_search_too() -> None:
    async def pressing(host: Host) -> None:
        signal.raise_signal(signal.SIGINT)
        await host.machine.step()

    result = explore(spec_of(pressing))
    assert (result.runs, result.cut, result.verdict) == (1, "interrupted", "undecided")


def test_both_carriers_find_the_same() -> None:
    bare, on_trio = (explore(spec_of(opposite_locks, carrier), bound=1, find_all=True) for carrier in ("bare", "trio"))
    assert bare == on_trio


async def test_a_run_inside_a_trio_test_is_the_run_outside() -> None:
    spec = spec_of(opposite_locks, "trio")
    assert await arun_once(spec, Replay((1, 0, 1))) == run_once(spec_of(opposite_locks), Replay((1, 0, 1)))


# --- shrinking ----------------------------------------------------------------------


def random_deadlock(seed: int) -> tuple[tuple[int, ...], Violation]:
    while True:
        strategy = RandomWalk(seed)
        strategy.new_run()
        result = run_once(spec_of(opposite_locks), strategy)
        for violation in result.violations:
            if violation.rule == "deadlock":
                return result.choices, violation
        seed += 1


@pytest.mark.parametrize("seed", range(0, 100, 20))
def test_a_shrunk_deadlock_needs_one_preemption_and_shows_the_same_rule(seed: int) -> None:
    choices, violation = random_deadlock(seed)
    spec = spec_of(opposite_locks)
    shrunk = shrink(lambda strategy, sink: run_once(spec, strategy, sink=sink), choices, violation)
    assert shrunk.minimal
    assert kind_of(shrunk.violation) == kind_of(violation)
    assert shrunk.deviations == 1
    again = run_once(spec, Replay(shrunk.choices))
    assert shrunk.violation in again.violations
    assert deviations(again.choices, again.options) == 1
    assert shrink(lambda strategy, sink: run_once(spec, strategy, sink=sink), choices, violation) == shrunk


def test_shrinking_cannot_do_better_than_the_exact_minimum_and_reaches_it() -> None:
    choices, violation = random_deadlock(0)
    spec = spec_of(opposite_locks)
    shrunk = shrink(lambda strategy, sink: run_once(spec, strategy, sink=sink), choices, violation)
    strategy, least = Bounded(1), 10**6
    while strategy.new_run():
        result = run_once(spec, strategy)
        if any(kind_of(each) == kind_of(violation) for each in result.violations):
            least = min(least, deviations(result.choices, result.options))
    assert shrunk.deviations == least


def test_shrinking_stops_at_its_budget_and_says_that_more_may_be_possible() -> None:
    choices, violation = random_deadlock(0)
    spec = spec_of(opposite_locks)
    shrunk = shrink(lambda strategy, sink: run_once(spec, strategy, sink=sink), choices, violation, replays_max=2)
    assert not shrunk.minimal
    assert kind_of(shrunk.violation) == kind_of(violation)
