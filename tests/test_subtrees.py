"""A search by `dpor` that is shared out executes every trace once, whoever does what and however little at a time."""

from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings, strategies as st

from notifierlab.explore import below, subtrees
from notifierlab.explore.below import Below, Errand, Report
from notifierlab.explore.dpor import Dpor
from notifierlab.explore.happens import Taken
from notifierlab.explore.subtrees import Subtrees
from notifierlab.explore.wakeup import Point
from tests.brute_force import orders_of
from tests.test_dpor import CHANGING, CHOICES, compare, drawn, GRACE, PROGRAMS, REFERENCES, STEADY, TRACES_MAX, WAITS
from tests.trace_programs import Program, run, Trace, trace_of

ALL = STEADY + CHOICES + REFERENCES + GRACE + CHANGING + WAITS


def sent(errand: Errand) -> Errand:
    """Return what another process gets."""
    return msgspec.json.decode(msgspec.json.encode(errand), type=Errand)


def done(program: Program, errand: Errand) -> tuple[Report, Counter[Trace]]:
    """Do an errand as another process would; return its report and the traces executed."""
    strategy = Below(sent(errand))
    got: Counter[Trace] = Counter()
    steps = 0
    while steps < errand.steps and strategy.new_run():
        before = strategy.traces
        ran = run(program, strategy)
        steps += len(ran.trace)
        if strategy.traces > before:
            got[trace_of(ran.trace)] += 1
    return msgspec.json.decode(msgspec.json.encode(strategy.report()), type=Report), got


def shared_out(program: Program, ahead: int, steps: int) -> tuple[Subtrees, Counter[Trace], int]:
    """Search a program; return what is known of it then, the traces executed, and the number of errands.

    At most `ahead` errands are on their way, of at most `steps` steps each.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subtrees, "AHEAD", ahead)
        patch.setattr(subtrees, "SLICE_STEPS", steps)
        tree, made = Subtrees(), 0
        got: Counter[Trace] = Counter()
        line: deque[Errand] = deque()
        while True:
            while (errand := tree.next_errand()) is not None:
                line.append(errand)
                made += 1
            if not line:
                return tree, got, made
            report, mine = done(program, line.popleft())
            if tree.learn(report):
                got += mine
            else:
                line.clear()
                got.clear()


def check(program: Program, ahead: int, steps: int) -> int:
    """Compare what a search executes that is shared out with all there is; return the number of errands."""
    want = orders_of(program, TRACES_MAX)
    if want is None:
        return 0
    tree, got, made = shared_out(program, ahead, steps)
    compare(program, want, got)
    assert (tree.proved, tree.traces) == (True, len(got))
    return made


@given(st.integers(0, 2**32), st.sampled_from([2, 3, 16]), st.sampled_from([1, 5, 30]))
@settings(max_examples=8, deadline=None)
@example(112, 16, 1)
def test_every_trace_of_small_programs_is_executed_once(program: int, ahead: int, steps: int) -> None:
    check(drawn(program, ALL), ahead, steps)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize(
    "pools",
    [STEADY, CHOICES, STEADY + CHOICES, REFERENCES, GRACE, CHANGING, WAITS, ALL],
    ids=["steady", "choices", "both", "references", "grace", "changing", "waits", "all"],
)
def test_every_trace_of_hundreds_of_small_programs_is_executed_once(
    pools: tuple[tuple[str, ...], ...], part: int
) -> None:
    errands = 0
    for seed in range(40 * part, 40 * (part + 1)):
        errands += check(drawn(seed, pools), (1, 2, 3, 16)[seed % 4], (1, 5, 30, 100)[seed // 4 % 4])
    # Fewer orders of programs with nothing but grace periods need be executed.
    assert errands > (50 if pools is GRACE else 100)


# Found on the way to this: each lost a trace to another mistake.
HARD: dict[str, list[list[str]]] = {
    "an order that a sibling covers and the young one asks for": [["get y"], ["add y"], ["get y"]],
    "asked for while the branch was on its way": [["less y"], ["set y"], ["set z"], ["get z"]],
    "asked for before the branch was": [["pick x", "pick y"], ["pick y"]],
    "the same with three": [["pick y"], ["pick y"], ["pick y"]],
    "both": [["set x", "add y"], ["add y", "less x"], ["add y", "more y"], ["get y", "add y"]],
    "a task that is born while others sleep": [["pick y", "fork x", "add x"], ["add x", "pick y"]],
}


@pytest.mark.parametrize("ahead", [2, 3, 16])
@pytest.mark.parametrize("name", list(HARD)[:4])
def test_every_trace_is_executed_once(name: str, ahead: int) -> None:
    check(HARD[name], ahead, 1)


@pytest.mark.slow
@pytest.mark.parametrize("ahead", [2, 3, 16])
@pytest.mark.parametrize("name", [*list(HARD)[4:], *PROGRAMS])
def test_every_trace_of_more_programs_is_executed_once(name: str, ahead: int) -> None:
    for steps in (1, 5):
        check({**HARD, **PROGRAMS}[name], ahead, steps)


def test_most_is_done_while_something_else_is() -> None:
    program = [["set x", "set y"], ["set x", "set y"], ["set x"]]
    alone, together = shared_out(program, 1, 5), shared_out(program, 16, 5)
    assert alone[1] == together[1]
    tree = Subtrees()
    assert tree.next_errand() is not None
    assert tree.next_errand() is None


def test_a_search_that_is_shared_out_throws_no_more_away_where_touches_are_steady() -> None:
    for seed in range(4):
        assert shared_out(drawn(seed, STEADY), 16, 5)[0].redundant == 0


# --- what begins anew -------------------------------------------------------------------


def test_a_loose_step_has_the_search_begin_anew_and_not_be_shared_out() -> None:
    program = [["even x", "get y"], ["add x"], ["add x"], ["set y"]]
    strategy = Dpor()
    while strategy.new_run():
        run(program, strategy)
    tree, got, _ = shared_out(program, 16, 1)
    assert tree.next_errand() is None
    assert (tree.traces, sum(got.values())) == (strategy.traces, strategy.traces)
    # From then on there is never a second one.
    again = Subtrees()
    again.learn(done(program, _only(again))[0])
    while (errand := again.next_errand()) is not None:
        if again.traces > 2:
            assert again.next_errand() is None
        again.learn(done(program, errand)[0])


def _only(tree: Subtrees) -> Errand:
    errand = tree.next_errand()
    assert errand is not None
    return errand


# --- what the comparison is worth ---------------------------------------------------------


def notices(pools: tuple[tuple[str, ...], ...]) -> bool:
    """Tell whether one of some dozens of programs shows that the search is broken."""
    for seed in range(120):
        try:
            check(drawn(seed, pools), 16, 1)
        except (AssertionError, KeyError):
            return True
    return False


def _kept_in(self: Below, node: Point, steps: list[Taken]) -> None:
    """Lose what the races of an errand ask for at shared points."""
    if not isinstance(node, below.Above):
        Dpor._plan(self, node, steps)


def _with_nobody_young(point: Any) -> Point:
    """Leave points at which somebody young sleeps to whoever passes there."""
    branch = at_branch(point)
    branch.young = {}
    return branch


at_branch = subtrees._at_branch

BREAKS: dict[str, tuple[object, str, Callable[..., object]]] = {
    "what a young one asks for is dropped where a sibling covers it": (subtrees, "_handed_down", lambda *_: []),
    "what is asked for above an errand is lost": (Below, "_plan", _kept_in),
    "nobody is young": (subtrees, "_at_branch", _with_nobody_young),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BREAKS)
def test_the_comparison_notices_that(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, what, broken = BREAKS[name]
    monkeypatch.setattr(where, what, broken)
    assert notices(STEADY)
