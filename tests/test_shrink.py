"""What is handed out after shrinking is simple: nothing can be left out, and nothing slipped."""

import signal
from collections.abc import Callable
from functools import cache

import pytest

from notifierlab.catalogue import mutants
from notifierlab.events import Event, MmCreated, Violation
from notifierlab.explore.kinds import kind_of
from notifierlab.explore.plans import Execute, InTurns, Plan, Planned, Recorder, Turn
from notifierlab.explore.run import run_once, RunResult, RunSpec
from notifierlab.explore.shrink import shrink, Shrunk
from notifierlab.explore.smaller import shrink_scenario
from notifierlab.explore.strategies import Bounded, deviations, Divergence, RandomWalk, Replay, Strategy
from notifierlab.request import Request

QUICK = ("kvm-forgets-seq", "unregister-without-synchronize", "fork-without-window")
MUTANTS = (
    *QUICK,
    "no-take-all-locks",
    "kvm-boolean-count",
    "gru-forgets-wakeup",
    "unwind-forgets-locks",
    "gru-counts-after-flush",
    "kvm-lowers-count-first",
    "madvise-without-mmap-sem",
)
RULE = {"kvm-lowers-count-first": "data-race"}
"""What to look for where the last rule of the table is too seldom broken by random runs."""

TEN = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in MUTANTS]


def spec_of(mutant: str) -> RunSpec:
    return Request(scenario=mutants()[mutant].scenario, mutants=(mutant,), steps_max=20_000).resolve()


def executing(spec: RunSpec) -> Execute:
    return lambda strategy, sink: run_once(spec, strategy, sink=sink)


def drawn(spec: RunSpec, rule: str) -> tuple[tuple[int, ...], Violation]:
    """Return the choices of the first random run that breaks `rule`, and how."""
    walk = RandomWalk(0)
    for _ in range(2000):
        walk.new_run()
        result = run_once(spec, walk)
        for violation in result.violations:
            if violation.rule == rule:
                return result.choices, violation
    pytest.fail(f"no random run of {spec.name} breaks {rule}")


@cache
def shrunk_from_random(mutant: str) -> tuple[RunSpec, Violation, Shrunk]:
    spec = spec_of(mutant)
    choices, violation = drawn(spec, RULE.get(mutant, mutants()[mutant].rules[-1]))
    return spec, violation, shrink(executing(spec), choices, violation)


def shows(result: RunResult, violation: Violation) -> bool:
    return kind_of(violation) in [kind_of(each) for each in result.violations]


def run(spec: RunSpec, strategy: Strategy) -> RunResult:
    return run_once(spec, strategy)


def simpler(result: RunResult, shrunk: Shrunk) -> bool:
    return shows(result, shrunk.violation) and deviations(result.choices, result.options) < shrunk.deviations


def without(plan: Plan, first: int, count: int) -> Plan:
    items = list(plan.items())
    return dict(items[:first] + items[first + count :])


@pytest.mark.parametrize("mutant", TEN)
def test_no_deviation_of_a_shrunk_run_can_be_left_out(mutant: str) -> None:
    spec, violation, shrunk = shrunk_from_random(mutant)

    assert shrunk.minimal
    assert kind_of(shrunk.violation) == kind_of(violation)
    assert shrunk.violation in run(spec, Replay(shrunk.choices)).violations
    for at, choice in enumerate(shrunk.choices):
        if choice:
            calmer = (*shrunk.choices[:at], 0, *shrunk.choices[at + 1 :])
            assert not simpler(run(spec, Replay(calmer, strict=False)), shrunk), at
    for count in (1, 2):
        for first in range(len(shrunk.plan) + 1 - count):
            assert not simpler(run(spec, Planned(without(shrunk.plan, first, count))), shrunk), first


@pytest.mark.parametrize("mutant", TEN)
def test_what_is_called_the_fewest_deviations_is(mutant: str) -> None:
    spec, violation, shrunk = shrunk_from_random(mutant)

    assert shrunk.fewest
    orders = Bounded(shrunk.deviations - 1)
    while shrunk.deviations and orders.new_run():
        assert not shows(run(spec, orders), violation)


def test_shrinking_the_same_run_twice_gives_the_same() -> None:
    spec = spec_of("kvm-forgets-seq")
    choices, violation = drawn(spec, "freed-while-reachable")
    assert shrink(executing(spec), choices, violation) == shrink(executing(spec), choices, violation)


def test_shrinking_keeps_to_its_replays() -> None:
    spec = spec_of("gru-forgets-wakeup")
    choices, violation = drawn(spec, "deadlock")
    shrunk = shrink(executing(spec), choices, violation, replays_max=30)
    assert shrunk.replays <= 31
    assert not shrunk.least


def test_ctrl_c_ends_shrinking_with_what_is_known() -> None:
    spec = spec_of("kvm-forgets-seq")
    choices, violation = drawn(spec, "freed-while-reachable")
    runs = 0

    def press_in_the_third(strategy: Strategy, sink: Callable[[Event], None] | None) -> RunResult:
        nonlocal runs
        runs += 1

        def see(event: Event) -> None:
            if runs == 3 and event.step == 0 and isinstance(event, MmCreated):
                signal.raise_signal(signal.SIGINT)
            assert sink is not None
            sink(event)

        return run_once(spec, strategy, sink=see)

    shrunk = shrink(press_in_the_third, choices, violation)
    assert shrunk.stopped
    assert not shrunk.minimal
    assert kind_of(shrunk.violation) == kind_of(violation)
    assert runs == shrunk.replays == 4


def test_a_run_that_does_not_repeat_is_named() -> None:
    spec = spec_of("kvm-forgets-seq")
    _, violation = drawn(spec, "freed-while-reachable")
    with pytest.raises(Divergence, match="does not repeat itself"):
        shrink(executing(spec), (), violation)


def test_a_plan_and_turns_that_were_written_down_make_the_same_run() -> None:
    spec = spec_of("kvm-forgets-seq")
    choices, _ = drawn(spec, "freed-while-reachable")
    written = Recorder(Replay(choices))
    result = run(spec, written)

    assert run(spec, Planned(written.plan)) == result
    assert run(spec, InTurns(written.turns, written.plan)) == result


def test_a_turn_of_a_task_that_is_not_there_is_passed_over() -> None:
    spec = spec_of("kvm-forgets-seq")
    result = run(spec, InTurns([Turn("nobody", 3)], {}))
    assert result == run(spec, Replay(()))


# --- smaller scenarios --------------------------------------------------------------


def sized(scenario: str, mutant: str, **params: int) -> RunSpec:
    return Request(scenario=scenario, mutants=(mutant,), params=params).resolve()


def test_a_scenario_is_made_as_small_as_its_violation_allows() -> None:
    spec = sized("founding-race", "no-take-all-locks", pages=3, vcpus=2)
    choices, violation = drawn(spec, "take-all-incomplete")
    smaller = shrink_scenario(spec, choices, violation)

    assert smaller.params == {"pages": 1, "vcpus": 1}
    assert smaller.spec.params == {**spec.params, **smaller.params}
    assert kind_of(smaller.shrunk.violation) == kind_of(violation)
    assert smaller.shrunk.violation in run(smaller.spec, Replay(smaller.shrunk.choices)).violations


def test_a_parameter_that_was_asked_for_stays() -> None:
    spec = sized("founding-race", "no-take-all-locks", pages=2, vcpus=2)
    choices, violation = drawn(spec, "take-all-incomplete")
    smaller = shrink_scenario(spec, choices, violation, keep=("pages",))

    assert smaller.params == {"vcpus": 1}


@pytest.mark.slow
def test_a_parameter_that_the_violation_needs_stays() -> None:
    spec = sized("overlapping-windows", "kvm-boolean-count", windows=2, pages=2)
    choices, violation = drawn(spec, "window-count")
    smaller = shrink_scenario(spec, choices, violation)
    assert smaller.spec.params["windows"] == 2
    assert smaller.spec.params["pages"] == 1
