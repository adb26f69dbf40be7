"""Partial-order reduction executes every trace, and each of them once."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings, strategies as st

from guests.scenarios.yardstick import MUTANTS, yardstick
from notifierlab.explore.dpor import Dpor
from notifierlab.explore.run import run_once, RunSpec
from notifierlab.explore.search import explore
from notifierlab.host import Host
from notifierlab.machine.access import Access, conflicts, Mode, Step
from tests.trace_programs import run, trace_of, traces

TRACES_MAX = 250


def spec_of(mutant: str = "", **params: object) -> RunSpec:
    return RunSpec(name="yardstick", scenario=yardstick, params=params, mutants=frozenset([mutant] if mutant else []))


def search(spec: RunSpec, strategy: Dpor, *, runs: int = 100_000, stop: bool = False) -> tuple[int, int]:
    """Return how many runs were made, and which was the first that broke a rule (0: none)."""
    made = first = 0
    while made < runs and not (stop and first) and strategy.new_run():
        made += 1
        if run_once(spec, strategy).violations and not first:
            first = made
    return made, first


# --- golden counts, from Nidhugg and others ------------------------------------------


@pytest.mark.parametrize(("guests", "commute", "count"), [(1, True, 11), (2, True, 288), (1, False, 15)])
def test_the_yardstick_has_as_many_traces_as_other_tools_count(guests: int, commute: bool, count: int) -> None:
    strategy = Dpor()
    made, first = search(spec_of(guests=guests, commute=commute), strategy)
    assert (made, strategy.traces, strategy.redundant, first) == (count, count, 0, 0)
    assert strategy.exhausted


@pytest.mark.slow
def test_with_conflicting_adds_two_guests_have_1998_traces() -> None:
    strategy = Dpor()
    made, _ = search(spec_of(guests=2, commute=False), strategy)
    assert (made, strategy.traces, strategy.exhausted) == (1998, 1998, True)


@pytest.mark.parametrize(
    ("mutant", "guests", "first"),
    [("yardstick-a", 1, 9), ("yardstick-a", 2, 267), ("yardstick-b", 1, 3), ("yardstick-b", 2, 9)],
)
def test_the_first_run_that_fails_is_that_of_other_tools(mutant: str, guests: int, first: int) -> None:
    assert search(spec_of(mutant, guests=guests), Dpor(), stop=True)[1] == first


@pytest.mark.slow
def test_bug_e_shows_in_14_of_333_traces() -> None:
    strategy, failed = Dpor(), 0
    spec = spec_of("yardstick-e", guests=2)
    while strategy.new_run():
        failed += bool(run_once(spec, strategy).violations)
    assert (strategy.traces, failed) == (333, 14)


def test_unrelated_tasks_add_no_trace() -> None:
    strategy = Dpor()
    search(spec_of(guests=1, unrelated=2), strategy)
    assert strategy.traces == 11


@pytest.mark.parametrize("mutant", MUTANTS)
def test_random_order_with_restarts_finds_each_bug_soon(mutant: str) -> None:
    firsts = [search(spec_of(mutant), Dpor(seed=seed, restart=50), runs=500, stop=True)[1] for seed in range(10)]
    assert all(firsts)
    assert sum(firsts) / len(firsts) < 25


@pytest.mark.slow
def test_what_random_order_finds_is_the_same_in_any_order() -> None:
    counts = set()
    for seed in (None, 1, 2, 3):
        strategy = Dpor(seed=seed)
        search(spec_of(guests=2), strategy)
        counts.add((strategy.traces, strategy.redundant, strategy.exhausted))
    assert counts == {(288, 0, True)}


# --- words ---------------------------------------------------------------------------


def test_a_search_whose_steps_touch_different_things_in_different_orders_proves_nothing() -> None:
    # A guest of the yardstick takes mmu_lock only if the truncate left it a page.
    result = explore(spec_of(), "dpor")
    assert (result.verdict, result.runs) == ("no-violation-within", 11)
    assert "depends on the order" in result.bound


def test_a_scenario_that_does_not_record_all_is_not_proved() -> None:
    async def silent(host: Host) -> None:
        others: list[str] = []

        async def wait() -> None:
            await host.machine.step(lambda: not others)

        async with host.together() as tasks:
            tasks.start(wait, name="one")
            tasks.start(wait, name="two")

    result = explore(RunSpec(name="silent", scenario=silent), "dpor")
    assert result.verdict == "no-violation-within"
    assert "orders may be missing" in result.bound


def test_a_search_that_was_cut_says_so() -> None:
    result = explore(spec_of(guests=2), "dpor", runs=10)
    assert result.verdict == "no-violation-within"
    assert "others are left" in result.bound


# --- the table of modes --------------------------------------------------------------


def test_conflicts_go_both_ways_and_reads_and_adds_commute() -> None:
    assert all(conflicts(a, b) == conflicts(b, a) for a in Mode for b in Mode)
    for a, b in [(Mode.READ, Mode.READ), (Mode.ADD, Mode.ADD), (Mode.ACQUIRE_READ, Mode.ACQUIRE_READ)]:
        assert not conflicts(a, b)
    for a, b in [(Mode.TRY, Mode.ACQUIRE), (Mode.TRY, Mode.RELEASE), (Mode.TEST, Mode.RELEASE), (Mode.ADD, Mode.READ)]:
        assert conflicts(a, b)


# --- against brute force -------------------------------------------------------------


def check(program: list[list[str]], seed: int | None) -> None:
    want = traces(program, TRACES_MAX)
    if want is None:
        return
    strategy = Dpor(seed=seed)
    got: Counter[object] = Counter()
    while strategy.new_run():
        thrown, method = strategy.redundant, strategy.method
        ran = run(program, strategy)
        if method != strategy.method:
            got.clear()
        elif strategy.redundant == thrown:
            trace = trace_of(ran.trace)
            got[trace] += 1
            assert want[trace] == ran.cells
    assert got == dict.fromkeys(want, 1)
    assert strategy.exhausted
    assert strategy.redundant == 0 or strategy.method != "optimal"


POOLS = (
    ("add x", "set x", "get x", "add y", "get y"),
    ("take a", "drop a", "take b", "drop b", "try a", "add x", "set x"),
    ("read s", "write s", "leave s", "set x", "get x"),
    ("wait x", "add x", "set x", "wait y", "add y"),
    ("pick x", "get x", "set x", "get y"),
    ("sleep x", "wake x", "set x", "add x"),
    ("fork x", "get x", "set x"),
)


def well_formed(operations: list[str]) -> list[str]:
    """Leave out second takes of what a task may hold."""
    held: list[str] = []
    kept = []
    for operation in operations:
        verb, _, what = operation.partition(" ")
        if verb in ("take", "try", "read", "write"):
            if what in held:
                continue
            held.append(what)
        elif verb in ("drop", "leave") and what in held:
            held.remove(what)
        kept.append(operation)
    return kept


def drawn(seed: int) -> list[list[str]]:
    draw = random.Random(seed)
    pool = [operation for chosen in draw.sample(POOLS, draw.randint(1, 3)) for operation in chosen]
    tasks, most = draw.randint(2, 4), draw.randint(2, 12)
    return [
        well_formed([draw.choice(pool) for _ in range(draw.randint(1, max(1, most // tasks + 1)))])
        for _ in range(tasks)
    ]


@given(st.integers(0, 2**32), st.none() | st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_every_trace_of_small_programs_is_executed_once(program: int, order: int | None) -> None:
    check(drawn(program), order)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_every_trace_of_a_thousand_small_programs_is_executed_once(part: int) -> None:
    for seed in range(250 * part, 250 * (part + 1)):
        check(drawn(seed), None if seed % 2 else seed)


PROGRAMS: dict[str, list[list[str]]] = {
    "locks in opposite orders": [["take a", "take b", "drop b", "drop a"], ["take b", "take a", "drop a", "drop b"]],
    "readers that never leave": [["get y", "read s"], ["write s", "get x"], ["set x", "read s"]],
    "a try that fails": [["take a", "add x", "drop a"], ["try a", "get x", "drop a"]],
    "a choice that nobody sees": [["set x"], ["set x"], ["pick x"]],
    "a sleeper and two wakers": [["sleep x"], ["set x", "wake x"], ["wake x"]],
    "a wait that two adds end": [["wait x", "get y"], ["add x"], ["add x", "add y"]],
    "a task born late": [["fork x", "get x"], ["set x"]],
    "a get that only sometimes counts": [["more x", "more x"], ["set x", "get y"]],
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("order", [None, 1, 2])
def test_every_trace_is_executed_once(name: str, order: int | None) -> None:
    check(PROGRAMS[name], order)


def test_where_touches_depend_on_the_order_a_search_loses_traces_and_does_not_say_proved() -> None:
    program = [["set x", "more x"], ["more x", "set x"], ["get y", "get y"], ["get y", "more x"]]
    want = traces(program, TRACES_MAX)
    assert want is not None

    strategy = Dpor()
    while strategy.new_run():
        run(program, strategy)
    # When it finds them all, this is the place to say so.
    assert strategy.exhausted
    assert strategy.traces < len(want)
    assert not strategy.proved


def test_a_trace_does_not_depend_on_the_order_of_what_commutes() -> None:
    a = Step("t0", (Access("x", Mode.ADD),))
    b = Step("t1", (Access("x", Mode.ADD),))
    assert trace_of([a, b]) == trace_of([b, a])
    assert trace_of([a, b._replace(accesses=(Access("x", Mode.READ),))]) != trace_of([b, a])
