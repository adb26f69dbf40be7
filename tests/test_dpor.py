"""Partial-order reduction executes every trace, and each of them once."""

import random
from collections import Counter
from itertools import islice

import pytest
from hypothesis import given, settings, strategies as st

from guests.scenarios.yardstick import MUTANTS, yardstick
from notifierlab.explore.dpor import Dpor
from notifierlab.explore.hunt import Restarts
from notifierlab.explore.run import run_once, RunSpec
from notifierlab.explore.search import explore
from notifierlab.host import Host
from notifierlab.machine.access import conflicts, Mode
from tests.brute_force import cells_of, graces_begun_early, Order, Orders, orders_of, whole_orders
from tests.trace_programs import Program, run, Trace, trace_of

TRACES_MAX = 250


def spec_of(mutant: str = "", **params: object) -> RunSpec:
    return RunSpec(name="yardstick", scenario=yardstick, params=params, mutants=frozenset([mutant] if mutant else []))


def search(spec: RunSpec, strategy: Dpor | Restarts, *, runs: int = 100_000, stop: bool = False) -> tuple[int, int]:
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
def test_three_guests_have_36905_traces_and_that_is_a_proof() -> None:
    strategy = Dpor()
    made, first = search(spec_of(guests=3), strategy)
    assert (made, strategy.traces, strategy.redundant, first) == (36905, 36905, 0, 0)
    assert strategy.proved


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
    firsts = [search(spec_of(mutant), Restarts(seed), runs=500, stop=True)[1] for seed in range(10)]
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


def test_the_yardstick_is_proved_though_what_its_steps_touch_depends_on_the_order() -> None:
    # A guest takes mmu_lock only if the truncate left it a page.
    result = explore(spec_of(), "dpor")
    assert (result.verdict, result.runs) == ("proved", 11)
    assert result.bound == "all 11 orders that differ in what conflicts"


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


def check(program: list[list[str]], seed: int | None) -> tuple[int, int]:
    """Compare the orders that a search executes with all there are; return how many there are, and how
    many runs were thrown away."""
    want = orders_of(program, TRACES_MAX)
    if want is None:
        return 0, 0
    strategy = Dpor(seed=seed)
    got: Counter[Trace] = Counter()
    while strategy.new_run():
        before = strategy.traces
        ran = run(program, strategy)
        if strategy.traces < before:
            got.clear()
        if strategy.traces > before:
            trace = trace_of(ran.trace)
            got[trace] += 1
            assert cells_of(want[trace]) == ran.cells
    compare(program, want, got)
    assert strategy.proved
    return len(want), strategy.redundant


def compare(program: Program, want: Orders, got: Counter[Trace]) -> None:
    """See that every order was executed, and once.

    Of those in which a grace period could have begun before a section, none need be executed but as far as
    they are the only ones to end as they do.
    """
    assert set(got.values()) <= {1}
    if not any("grace r" in task for task in program):
        assert got.keys() == want.keys()
        return
    assert got.keys() <= want.keys()
    ends = [_end(want[trace]) for trace in got]
    for order in want.values():
        early, whole = graces_begun_early(program, order)
        assert early in got or not whole
        assert _end(order) in ends


def _end(order: Order) -> object:
    """Return who has what left to do at the end, and what there is then."""
    state = order[1]
    return [task.operations for task in state.tasks], state.cells, sorted(state.holders)


# What each step touches is the same in every order, and a wait is for a lock.
STEADY = (
    ("add x", "set x", "get x", "add y", "get y"),
    ("take a", "drop a", "take b", "drop b", "try a", "add x", "set x"),
    ("read s", "write s", "leave s", "set x", "get x"),
    ("pass a", "take a", "drop a", "set x", "skim s", "read s", "leave s", "write s"),
    ("fork x", "reap x", "get x", "set x"),
)
CHOICES = (("pick x", "get x", "set x", "get y"), ("pick x", "pick y", "set x", "add z", "pick z"))
REFERENCES = (("keep r", "let r", "find r", "let r"), ("let r", "get x", "let r", "set x"))
GRACE = (("enter r", "exit r", "grace r"), ("enter r", "exit r", "grace r", "set x", "get x"))
GRACE_WAITS = (*GRACE[0], "take a", "drop a", "wait x", "add x", "sleep x", "wake x", "read s", "write s", "leave s")
# What a step touches depends on what others did before.
CHANGING = (
    ("more x", "more z", "set x", "set z", "get y", "add y"),
    ("less x", "less y", "set x", "add y", "get z", "set z"),
    ("toss x", "more y", "set x", "add y", "get y"),
    ("pick x", "more x", "pick z", "more z", "set x", "get y"),
    ("swap a", "pass a", "take a", "drop a", "get x"),
)
WAITS = (
    ("wait x", "add x", "set x", "wait y", "add y"),
    ("sleep x", "wake x", "set x", "add x", "more x"),
    ("even x", "add x", "set x", "even y", "add y"),
    ("both x", "some z", "set x", "add y", "set z"),
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


def drawn(seed: int, pools: tuple[tuple[str, ...], ...]) -> list[list[str]]:
    draw = random.Random(seed)
    pool = [operation for chosen in draw.sample(pools, draw.randint(1, min(3, len(pools)))) for operation in chosen]
    tasks, most = draw.randint(2, 4), draw.randint(2, 12)
    return [
        well_formed([draw.choice(pool) for _ in range(draw.randint(1, max(1, most // tasks + 1)))])
        for _ in range(tasks)
    ]


ORDERS = st.none() | st.integers(0, 9)


@given(st.integers(0, 2**32), ORDERS)
@settings(max_examples=8, deadline=None)
def test_every_trace_of_small_programs_is_executed_once(program: int, order: int | None) -> None:
    _, redundant = check(drawn(program, STEADY), order)
    assert redundant == 0


@given(st.integers(0, 2**32), ORDERS)
@settings(max_examples=10, deadline=None)
def test_every_trace_is_executed_once_whatever_touches_and_waits_depend_on(program: int, order: int | None) -> None:
    check(drawn(program, STEADY + CHOICES + REFERENCES + GRACE + CHANGING + WAITS), order)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize(
    ("pools", "thrown_max"),
    [
        (STEADY, 0.0),
        (CHOICES, 0.01),
        (STEADY + CHOICES, 0.01),
        (REFERENCES, 0.05),
        (GRACE, 0.01),
        ((*GRACE, GRACE_WAITS), 0.05),
        (CHANGING, 0.25),
        (WAITS, 1.0),
    ],
    ids=["steady", "choices", "both", "references", "grace", "grace and waits", "changing", "waits"],
)
def test_every_trace_of_thousands_of_small_programs_is_executed_once(
    pools: tuple[tuple[str, ...], ...], thrown_max: float, part: int
) -> None:
    made = thrown = 0
    for seed in range(250 * part, 250 * (part + 1)):
        found, redundant = check(drawn(seed, pools), None if seed % 2 else seed)
        made, thrown = made + found, thrown + redundant
    assert thrown <= thrown_max * made


PROGRAMS: dict[str, list[list[str]]] = {
    "locks in opposite orders": [["take a", "take b", "drop b", "drop a"], ["take b", "take a", "drop a", "drop b"]],
    "readers that never leave": [["get y", "read s"], ["write s", "get x"], ["set x", "read s"]],
    "a try that fails": [["take a", "add x", "drop a"], ["try a", "get x", "drop a"]],
    "a choice that nobody sees": [["set x"], ["set x"], ["pick x"]],
    "a choice whose touches differ": [["set x"], ["set y", "get x"], ["pick x", "pick y"]],
    "a choice that is not always there": [["toss x"], ["toss x"], ["set x"]],
    "a choice asleep in part": [["get y", "more x"], ["set x"], ["more x"], ["pick y"]],
    "a choice beside a wait for two cells": [["set y"], ["some z"], ["pick z"], ["set y"]],
    "a sleeper and two wakers": [["sleep x"], ["set x", "wake x"], ["wake x"]],
    "a wait that two adds end": [["wait x", "get y"], ["add x"], ["add x", "add y"]],
    "a wait that two adds end and neither does": [["even x", "get y"], ["add x"], ["add x"], ["set y"]],
    "a wait for one of two cells": [["some x"], ["set y", "set x"], ["set x"]],
    "the last of three references": [["let r"], ["let r"], ["let r"]],
    "references taken and dropped": [["keep r", "let r", "let r"], ["let r"], ["let r", "find r"]],
    "a reference found or not": [["let r"], ["let r"], ["let r", "find r", "let r"]],
    "a task born late": [["fork x", "get x"], ["set x"]],
    "a task waited for": [["reap x", "get x"], ["set x", "take a"], ["get x", "take a", "reap y"]],
    "a section that waits for what comes behind the grace period": [
        ["grace r", "add x"],
        ["enter r", "wait x", "exit r"],
    ],
    "the same with a lock": [["take a", "grace r", "drop a"], ["enter r", "take a", "drop a", "exit r"]],
    "the same with a third between": [["grace r", "add x"], ["wait x", "add y"], ["enter r", "wait y", "exit r"]],
    "two grace periods and two sections in a circle": [
        ["grace r", "add x"],
        ["grace r", "add y"],
        ["enter r", "wait y", "exit r"],
        ["enter r", "wait x", "exit r"],
    ],
    "a look behind a grace period, and before what a section does": [
        ["get x", "grace r"],
        ["get x", "grace r"],
        ["set x", "enter r", "set x"],
    ],
    "a section that never ends, beside a lock that is not given back": [
        ["take a", "enter r"],
        ["enter r"],
        ["grace r", "take a"],
    ],
    "a get that only sometimes counts": [["more x", "more x"], ["set x", "get y"]],
    "a conflict that is only there in another order": [["set x"], ["more x"], ["set x"], ["set y"]],
    "touches that differ from what was planned": [["set x", "add y"], ["set x", "more x"], ["get y"]],
    "many of those": [["set x", "more x"], ["more x", "set x"], ["get y", "get y"], ["get y", "more x"]],
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("order", [None, 1, 2])
def test_every_trace_is_executed_once(name: str, order: int | None) -> None:
    check(PROGRAMS[name], order)


@pytest.mark.parametrize("pool", [REFERENCES, GRACE], ids=["references", "grace"])
def test_orders_that_are_one_trace_end_alike(pool: tuple[tuple[str, ...], ...]) -> None:
    several = 0
    for seed in range(60):
        ends: dict[Trace, object] = {}
        for trace, end in islice(whole_orders(drawn(seed, pool)), 500):
            several += trace in ends
            assert ends.setdefault(trace, end) == end
    assert several > 1000
