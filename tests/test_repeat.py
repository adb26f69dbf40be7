"""What does not repeat itself is named: the event, and the line that made it."""

import random
from itertools import count
from pathlib import Path

import pytest
import trio.lowlevel

from notifierlab.explore.repeat import NotRepeatable, Repeats
from notifierlab.explore.run import RunSpec
from notifierlab.explore.search import explore
from notifierlab.explore.strategies import RandomWalk
from notifierlab.host import Host
from notifierlab.machine.locks import SpinLock
from notifierlab.machine.sched import LabError
from notifierlab.machine.shared import shared, SharedState
from tests.test_search import correct, spec_of

HERE = Path(__file__)


class Counter(SharedState):
    """A driver's count."""

    running: int = shared(0)


def line_of(text: str) -> int:
    return next(n for n, line in enumerate(HERE.read_text().splitlines(), 1) if line.strip() == text)


def test_a_scenario_that_draws_its_own_numbers_is_named_with_event_and_line() -> None:
    draws = random.Random(1)

    async def drawing(host: Host) -> None:
        counter = Counter(host.machine, "c0")
        counter.running = 1
        counter.running = draws.randrange(10**9)

    with pytest.raises(NotRepeatable, match="'drawing' does not repeat itself") as caught:
        explore(spec_of(drawing))
    told = str(caught.value)
    assert '"ev":"field_written"' in told.split("first  ")[1]
    assert f"at     {HERE}:{line_of('counter.running = draws.randrange(10**9)')}\n" in told
    assert caught.value.__notes__ == ["in run 1 of the search (bounded)"]


def test_what_is_kept_from_run_to_run_is_seen() -> None:
    runs = count()

    async def keeping(host: Host) -> None:
        if next(runs) % 2:
            await host.machine.step()
        await SpinLock(host.machine, "l", "mmu_lock").acquire()

    with pytest.raises(NotRepeatable, match="does not repeat itself"):
        explore(spec_of(keeping))


def test_a_choice_that_is_there_one_time_only_is_seen() -> None:
    runs = count()

    async def choosing(host: Host) -> None:
        host.choose("fault", *range(2 + next(runs) % 2))

    with pytest.raises(NotRepeatable, match="choice 1 had 2 options first, and 3 then"):
        explore(spec_of(choosing))


def test_a_run_that_ends_early_the_second_time_is_seen() -> None:
    runs = count()

    async def shortening(host: Host) -> None:
        if next(runs) % 2 == 0:
            host.machine.might_sleep("a")

    with pytest.raises(NotRepeatable, match="the same for 1 events, then"):
        explore(spec_of(shortening))


def test_orders_that_are_not_there_again_are_named_by_two_runs_side_by_side() -> None:
    runs = count()

    async def fewer(host: Host) -> None:
        if next(runs) in (0, 2, 4):
            host.choose("fault", 0, 1, 2, 3)

    with pytest.raises(NotRepeatable):
        explore(spec_of(fewer), repeat_every=50)
    with pytest.raises(LabError):
        explore(spec_of(fewer), repeat_every=0)


def test_every_so_manieth_run_is_executed_twice() -> None:
    runs = 0

    async def counted(host: Host) -> None:
        nonlocal runs
        runs += 1

    for every, twice in ((0, 0), (1, 10), (4, 3), (64, 1)):
        runs = 0
        explore(spec_of(counted), "random", runs=10, repeat_every=every)
        assert runs == 10 + twice


def test_the_check_changes_nothing_of_what_a_search_says() -> None:
    assert explore(spec_of(correct), bound=50, repeat_every=1) == explore(spec_of(correct), bound=50, repeat_every=0)


def test_a_run_that_waits_for_trio_itself_is_no_run_of_a_search() -> None:
    async def sleeping(host: Host) -> None:
        await trio.lowlevel.checkpoint()

    strategy = RandomWalk()
    strategy.new_run()
    spec = RunSpec(name="sleeping", scenario=sleeping, carrier="trio")
    with pytest.raises(LabError, match="waits for trio itself"):
        Repeats(spec, 1).run(strategy)
