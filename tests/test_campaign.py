"""A search over workers is the search of one process, run for run, whoever dies on the way."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pytest

from notifierlab.explore import shares, stages, subtrees
from notifierlab.explore.campaign import campaign, Limits
from notifierlab.explore.portion import Quest, Resolvable
from notifierlab.explore.prove import Disagreement
from notifierlab.explore.run import RunSpec
from notifierlab.explore.search import explore, Progress, SearchResult
from notifierlab.explore.tally import Wanted
from notifierlab.explore.workers import Here, Processes, Workers
from notifierlab.host import Host
from notifierlab.machine.locks import SpinLock
from notifierlab.machine.sched import LabError
from notifierlab.request import Request
from tests.test_search import opposite_locks, unlocked_count


async def either_order(host: Host) -> None:
    """Two locks in one order or the other: no single run shows that this is wrong."""
    locks = [SpinLock(host.machine, name, f"my_{name}") for name in "ab"]
    host.choose("something", 0, 1, 2, 3)
    if host.choose("order", False, True):
        locks.reverse()
    async with locks[0], locks[1]:
        pass


async def few_states(host: Host) -> None:
    """Tasks that all write the same into one cell: many orders, and hardly a state."""
    machine = host.machine
    host.all_touches_declared()

    async def work() -> None:
        for n in range(2):
            machine.at(n)
            await machine.step()
            machine.touch("x", machine.mode.WRITE)
            machine.holds("x", 1)
        machine.at("end")

    async with host.together() as tasks:
        for n in range(4):
            tasks.start(work, name=f"t{n}")


SCENARIOS = {each.__name__: each for each in (opposite_locks, unlocked_count, either_order, few_states)}


@dataclass(frozen=True)
class Toy:
    """A request for a scenario of these tests."""

    name: str

    def resolve(self) -> RunSpec:
        return RunSpec(name=self.name, scenario=SCENARIOS[self.name], steps_max=1000)


class Threads:
    """Three threads: what is handed out first is not done first."""

    lost: tuple[type[BaseException], ...] = ()
    room = 7

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(3)

    def submit(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        return self._pool.submit(fn, *args, **kwargs)

    def renew(self) -> bool:
        return False

    def close(self) -> None:
        self._pool.shutdown()


class Died(Exception):
    """What a worker of `Mortal` leaves behind."""


class Mortal(Here):
    """A worker that dies with each portion `often` times before it is done."""

    lost: tuple[type[BaseException], ...] = (Died,)
    room = 5

    def __init__(self, often: int, *, together: bool = False) -> None:
        self._often = often
        self._together = together
        self._seen: dict[object, int] = {}

    def submit(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        died = self._seen.get(args[-1].key, 0)
        self._seen[args[-1].key] = died + 1
        if died >= self._often:
            return super().submit(fn, *args, **kwargs)
        future: Future[Any] = Future()
        future.set_exception(Died())
        return future

    def renew(self) -> bool:
        return self._together


def quest(request: Resolvable, strategy: str = "bounded", rules: tuple[str, ...] = (), *, every: bool = False) -> Quest:
    return Quest(request=request, strategy=strategy, wanted=Wanted(frozenset(rules), every), repeat_every=0)


def alone(what: Quest, limits: Limits) -> SearchResult:
    return explore(
        what.request.resolve(),
        what.strategy,
        bound=limits.bound,
        runs=limits.runs,
        seed=limits.seed,
        rules=what.wanted.rules,
        find_all=what.wanted.every,
        shrinking=False,
        repeat_every=0,
    )


@pytest.fixture(params=[(1, 1), (3, 2), (7, 5), (192, 48)])
def sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Portions of several sizes: the smallest make the most of what may go wrong between them."""
    runs, roots = request.param
    monkeypatch.setattr(shares, "PORTION_RUNS", runs)
    monkeypatch.setattr(shares, "PORTION_ROOTS", roots)
    monkeypatch.setattr(shares, "SPLIT", 3)


@pytest.mark.parametrize(
    ("what", "limits"),
    [
        (quest(Toy("opposite_locks"), every=True), Limits(bound=2, seed=0)),
        (quest(Toy("opposite_locks"), rules=("deadlock",)), Limits(bound=2, seed=0)),
        (quest(Toy("opposite_locks"), every=True), Limits(bound=2, seed=0, runs=70)),
        (quest(Toy("unlocked_count")), Limits(bound=50, seed=0)),
        (quest(Toy("unlocked_count"), rules=("deadlock",)), Limits(bound=50, seed=0)),
        (quest(Toy("either_order"), rules=("lock-order",)), Limits(bound=2, seed=0)),
        (quest(Toy("either_order"), every=True), Limits(bound=2, seed=0)),
        (quest(Toy("opposite_locks"), "random", rules=("deadlock",)), Limits(bound=0, seed=3)),
        (quest(Toy("opposite_locks"), "random", every=True), Limits(bound=0, seed=3, runs=50)),
    ],
)
@pytest.mark.parametrize("workers", [Here, Threads])
@pytest.mark.usefixtures("sizes")
def test_a_campaign_finds_and_counts_what_a_search_alone_does(
    what: Quest, limits: Limits, workers: Callable[[], Workers]
) -> None:
    assert campaign(what, limits, workers(), shrinking=False) == alone(what, limits)


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.usefixtures("sizes")
def test_a_portion_whose_worker_died_is_done_again(together: bool) -> None:
    what, limits = quest(Toy("opposite_locks"), every=True), Limits(bound=1, seed=0)
    assert campaign(what, limits, Mortal(1, together=together), shrinking=False) == alone(what, limits)


def test_workers_that_die_again_and_again_end_the_search_in_words() -> None:
    with pytest.raises(LabError, match="workers died 6 times and nothing was done in between"):
        campaign(quest(Toy("opposite_locks")), Limits(bound=1, seed=0), Mortal(99))


def test_hunters_begin_anew_in_each_portion_whatever_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "HUNT_RUNS", 20)
    what = quest(Request(scenario="yardstick", params={"guests": "2"}), "hunt")
    first = campaign(what, Limits(bound=0, seed=1, runs=50), Here(), shrinking=False)
    assert (first.runs, first.bound) == (50, "50 orders by hunt, begun anew every 20 from seed 1 on")
    assert campaign(what, Limits(bound=0, seed=1, runs=50), Threads(), shrinking=False) == first


def test_a_hunt_that_leaves_no_order_untried_ends_and_says_so() -> None:
    what = quest(Request(scenario="yardstick"), "hunt")
    result = campaign(what, Limits(bound=0, seed=0, runs=2000), Threads(), shrinking=False)
    assert result.verdict == "proved"
    assert result.bound.startswith("all 11 orders that differ in what conflicts")
    assert result.runs < 512


@pytest.mark.parametrize("strategy", ["pct", "pos", "surw"])
def test_strategies_that_learn_give_the_same_whatever_the_workers(strategy: str) -> None:
    what, limits = quest(Toy("opposite_locks"), strategy, every=True), Limits(bound=0, seed=1, runs=400)
    first = campaign(what, limits, Here(), shrinking=False)
    assert first.bound == f"400 orders drawn by {strategy}, seeds 1 to 400"
    assert campaign(what, limits, Threads(), shrinking=False) == first


def test_a_strategy_that_decides_by_all_it_has_seen_is_refused_with_workers() -> None:
    with pytest.raises(LabError, match="'states' decides by all that it has seen, so it searches in one process"):
        campaign(quest(Toy("opposite_locks"), "states"), Limits(bound=0, seed=0), Here())


def test_progress_tells_how_many_orders_of_the_level_are_done_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "PORTION_ROOTS", 2)
    told: list[Progress] = []
    what = quest(Toy("opposite_locks"), every=True)
    result = campaign(what, Limits(bound=2, seed=0), Here(), progress=told.append)
    last = [each for each in told if each.level == 2]
    assert [each.orders for each in last] == sorted(each.orders or 0 for each in last)
    assert last[-1].orders == result.orders[2]
    assert last[-1].left == 0
    assert (last[0].left or 0) > 0


# --- orders that differ ---------------------------------------------------------------


@pytest.fixture
def short_errands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subtrees, "SLICE_STEPS", 60)


@pytest.mark.parametrize(("guests", "count"), [("1", 11), pytest.param("2", 288, marks=pytest.mark.slow)])
@pytest.mark.parametrize("workers", [Here, Threads, lambda: Mortal(1), lambda: Mortal(1, together=True)])
@pytest.mark.usefixtures("short_errands")
def test_orders_that_differ_are_proved_and_counted_whoever_searches(
    guests: str, count: int, workers: Callable[[], Workers]
) -> None:
    what = quest(Request(scenario="yardstick", params={"guests": guests}), "dpor")
    result = campaign(what, Limits(bound=0, seed=0), workers(), shrinking=False)
    assert (result.verdict, result.traces, result.runs) == ("proved", count, count)
    assert result.bound == f"all {count} orders that differ in what conflicts"


@pytest.mark.parametrize(
    ("what", "limits"),
    [
        (quest(Toy("opposite_locks"), "dpor", every=True), Limits(bound=0, seed=0)),
        (quest(Toy("opposite_locks"), "dpor", rules=("deadlock",)), Limits(bound=0, seed=0)),
        (quest(Toy("unlocked_count"), "dpor"), Limits(bound=0, seed=0, runs=5)),
        (quest(Toy("either_order"), "dpor", every=True), Limits(bound=0, seed=0)),
        (quest(Request(scenario="yardstick", mutants=("yardstick-b",)), "dpor"), Limits(bound=0, seed=0)),
    ],
)
@pytest.mark.usefixtures("short_errands")
def test_orders_that_differ_are_the_same_runs_whoever_searches(what: Quest, limits: Limits) -> None:
    first = campaign(what, limits, Here(), shrinking=False)
    assert campaign(what, limits, Threads(), shrinking=False) == first
    assert campaign(what, limits, Mortal(1), shrinking=False) == first
    single = alone(what, limits)
    assert (first.verdict, first.cut) == (single.verdict, single.cut)
    assert {each.violation.rule for each in first.findings} == {each.violation.rule for each in single.findings}


def test_a_search_for_orders_that_differ_ends_with_its_budget_to_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subtrees, "SLICE_STEPS", 2000)
    what = quest(Request(scenario="yardstick", params={"guests": "2"}), "dpor")
    for runs in (1, 100):
        result = campaign(what, Limits(bound=0, seed=0, runs=runs), Threads(), shrinking=False)
        assert (result.runs, result.traces, result.cut) == (runs, runs, "runs")
        assert "others are left" in result.bound


def test_shared_state_that_nobody_records_is_found_by_whoever_searches() -> None:
    what = quest(Request(scenario="tests/test_audit.py:closed_over"), "dpor")
    with pytest.raises(LabError, match="the bench saw nothing of it"):
        campaign(what, Limits(bound=0, seed=0), Here(), shrinking=False)


# --- a proof, and a search that was not told how ----------------------------------------


@pytest.fixture
def _few_states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "STATES_STEPS", 200)


@pytest.mark.parametrize(
    ("what", "how"),
    [
        # One guest has few orders; tasks that conflict have few states.
        (Request(scenario="yardstick"), "all 11 orders that differ in what conflicts; no run longer than 43 steps"),
        pytest.param(Toy("few_states"), "all 86 states between steps", marks=pytest.mark.slow),
    ],
    ids=["by orders", "by states"],
)
@pytest.mark.parametrize("strategy", ["prove", "auto"])
@pytest.mark.usefixtures("short_errands", "_few_states")
def test_a_proof_is_whoever_ends_first_orders_or_states(what: Resolvable, how: str, strategy: str) -> None:
    limits = Limits(bound=0, seed=0, runs=3000)
    first = campaign(quest(what, strategy), limits, Here(), shrinking=False)
    assert first.verdict == "proved"
    assert how in first.bound
    assert campaign(quest(what, strategy), limits, Threads(), shrinking=False) == first
    assert alone(quest(what, strategy), limits).verdict == "proved"


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["yardstick", "kvm-fault-vs-munmap", "register-vs-fault", "slots-vs-guest"])
@pytest.mark.usefixtures("short_errands", "_few_states")
def test_where_both_ways_end_they_come_to_the_same_ends(scenario: str) -> None:
    what = quest(Request(scenario=scenario), "prove")
    first = campaign(what, Limits(bound=0, seed=0), Here(), shrinking=False)
    assert first.verdict == "proved"
    assert "both ways come to the same final states" in first.bound
    assert campaign(what, Limits(bound=0, seed=0), Threads(), shrinking=False) == first


@pytest.mark.usefixtures("short_errands", "_few_states")
def test_where_they_come_to_other_ends_nothing_is_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notifierlab.explore.below.end_of", lambda machine: f"one of {machine.steps} steps")
    what = quest(Request(scenario="kvm-fault-vs-munmap"), "prove")
    with pytest.raises(Disagreement, match=r"disagree: \d+ final states from 27 orders, \d+ from \d+ states"):
        campaign(what, Limits(bound=0, seed=0), Here(), shrinking=False)


@pytest.mark.slow
@pytest.mark.usefixtures("short_errands", "_few_states")
def test_a_search_that_was_not_told_how_goes_near_by_then_proves_then_hunts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "PORTION_RUNS", 20)
    monkeypatch.setattr(stages, "HUNT_RUNS", 30)
    what = quest(Request(scenario="yardstick", params={"guests": "3"}), "auto")
    first = campaign(what, Limits(bound=0, seed=0, runs=300), Here(), shrinking=False)
    assert (first.verdict, first.runs, first.cut) == ("no-violation-within", 300, "runs")
    near, proof, hunt = first.bound.split("; ", 1)[0], first.bound.partition("towards a proof: ")[2], first.bound[-60:]
    assert near.startswith("near by: ")
    assert "others are left" in proof
    assert "by hunt, begun anew every 30 from seed 0 on" in hunt
    assert campaign(what, Limits(bound=0, seed=0, runs=300), Threads(), shrinking=False) == first


# --- processes ------------------------------------------------------------------------

FOUNDING = Request(scenario="founding-race", mutants=("no-take-all-locks",))


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [2, 3])
def test_processes_find_and_count_what_a_search_alone_does(jobs: int) -> None:
    for what, limits in [
        (quest(FOUNDING, every=True), Limits(bound=1, seed=0)),
        (quest(FOUNDING), Limits(bound=2, seed=0)),
        (quest(FOUNDING, "random", rules=("stale-access",)), Limits(bound=0, seed=5, runs=300)),
    ]:
        assert campaign(what, limits, Processes(jobs), shrinking=False) == alone(what, limits)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["bounded", "dpor"])
def test_a_process_that_is_killed_loses_nothing(strategy: str) -> None:
    killed: list[int] = []

    def kill_one(progress: Progress) -> None:
        if not killed and progress.runs > 80:
            child = multiprocessing.active_children()[0]
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)
            killed.append(child.pid)

    what, limits = quest(FOUNDING, strategy, every=True), Limits(bound=2, seed=0, runs=900)
    first = campaign(what, limits, Here(), shrinking=False)
    assert campaign(what, limits, Processes(2), shrinking=False, progress=kill_one) == first
    assert killed


@pytest.mark.slow
def test_processes_prove_and_count_the_same_however_many_there_are() -> None:
    what = quest(Request(scenario="founding-race-madvise"), "dpor")
    first = campaign(what, Limits(bound=0, seed=0), Here(), shrinking=False)
    single = alone(what, Limits(bound=0, seed=0))
    assert (first.verdict, first.traces) == (single.verdict, single.traces) == ("proved", 499)
    for jobs in (2, 3):
        assert campaign(what, Limits(bound=0, seed=0), Processes(jobs), shrinking=False) == first


@pytest.mark.slow
def test_processes_find_the_same_violations_in_orders_that_differ() -> None:
    for what in (quest(FOUNDING, "dpor"), quest(FOUNDING, "dpor", every=True)):
        first = campaign(what, Limits(bound=0, seed=0, runs=700), Here(), shrinking=False)
        assert first.verdict == "violated"
        assert campaign(what, Limits(bound=0, seed=0, runs=700), Processes(2), shrinking=False) == first


@pytest.mark.slow
def test_a_scenario_that_uses_the_bench_wrongly_says_so_from_another_process() -> None:
    with pytest.raises(LabError, match="already") as caught:
        campaign(quest(Request(scenario="tests/wrong_use.py:two_of_a_name")), Limits(bound=1, seed=0), Processes(2))
    assert "portion 0p.0" in "".join(caught.value.__notes__)


@pytest.mark.slow
def test_a_scenario_that_walks_a_set_of_texts_is_seen_by_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    what = replace(quest(Request(scenario="tests/wrong_use.py:walks_a_set")), repeat_every=64)
    with pytest.raises(LabError, match="is not the same in two processes"):
        campaign(what, Limits(bound=0, seed=0), Processes(2))
