"""Two searches that have little in common come to the same ends, or say that they do not."""

from itertools import pairwise

import pytest
from hypothesis import given, settings

from guests.scenarios.yardstick import yardstick
from notifierlab.explore.prove import Disagreement, model_of, Prove, SLICE_STEPS
from notifierlab.explore.run import RunSpec
from notifierlab.explore.search import explore
from notifierlab.host import Host
from tests.small_programs import Program, programs, runs_of, spec_of


def yardstick_spec(guests: int, *mutants: str) -> RunSpec:
    return RunSpec(name="yardstick", scenario=yardstick, params={"guests": guests}, mutants=frozenset(mutants))


def passes_a_lock(program: Program) -> bool:
    """Tell whether a task gives a lock back in the step in which it takes it."""
    return any(drop == take.replace("take", "drop") for task in program for take, drop in pairwise(task))


@settings(max_examples=30, deadline=None)
@given(programs())
def test_both_ways_come_to_the_same_ends(program: Program) -> None:
    prove = Prove()
    for _ in runs_of(spec_of(program), prove):
        pass
    assert prove.dpor.exhausted or prove.states.exhausted
    if prove.agreed:
        # Without declarations, final states are orders that differ, no fewer; but whether somebody only
        # passed a lock before it was held or behind, or found a reference before a put, no state remembers;
        # nor is compared for whom a grace period waited.
        assert len(prove.final) <= prove.dpor.traces
        assert (
            passes_a_lock(program)
            or any("find" in task or "grace" in task for task in program)
            or len(prove.final) == prove.dpor.traces
        )


@settings(max_examples=30, deadline=None)
@given(programs())
def test_what_is_declared_of_states_changes_no_end(program: Program) -> None:
    prove = Prove()
    for _ in runs_of(spec_of(program, declared=True), prove):
        pass
    assert prove.proved


@pytest.mark.parametrize("guests", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_yardstick_is_proved_both_ways(guests: int) -> None:
    prove = Prove()
    result = explore(yardstick_spec(guests), strategy=prove)
    assert result.verdict == "proved"
    assert prove.agreed
    assert prove.dpor.traces == {1: 11, 2: 288}[guests]
    assert prove.final == prove.final_too == prove.states.final
    assert result.bound == prove.certificate
    assert (result.traces, result.states) == prove.counted()
    assert "the same final states" in result.bound


def test_tasks_that_have_nothing_to_do_with_each_other_cost_little() -> None:
    spec = RunSpec(name="yardstick", scenario=yardstick, params={"guests": 1, "unrelated": 3})
    result = explore(spec, strategy="prove", runs=300)
    assert result.verdict == "proved"


def test_a_proof_ends_at_a_violation() -> None:
    result = explore(yardstick_spec(1, "yardstick-b"), strategy="prove", shrinking=False)
    assert result.verdict == "violated"


def test_the_second_way_has_a_limit_once_the_first_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notifierlab.explore.prove.CHECK_STEPS", 0)
    alone = explore(yardstick_spec(2), strategy="states")
    prove = Prove()
    both = explore(yardstick_spec(2), strategy=prove)
    assert prove.proved
    assert not prove.agreed
    assert both.steps < 2.5 * alone.steps + SLICE_STEPS


def test_a_disagreement_is_an_error_that_says_so() -> None:
    prove = Prove()
    prove.final["a state that only one of them saw",] = None
    with pytest.raises(Disagreement, match="disagree"):
        explore(yardstick_spec(1), strategy=prove)


def test_what_was_seen_before_the_search_over_states_began_anew_does_not_count() -> None:
    prove = Prove()
    prove.final_too["a state of before",] = None
    explore(yardstick_spec(1), strategy=prove)
    assert prove.agreed


def test_nothing_is_proved_of_a_scenario_that_does_not_record_all() -> None:
    async def silent(host: Host) -> None:
        async with host.together() as tasks:
            tasks.start(_step, host, name="one")
            tasks.start(_unrecorded_wait, host, name="two")

    result = explore(RunSpec(name="silent", scenario=silent), strategy="prove")
    assert result.verdict == "no-violation-within"


async def _unrecorded_wait(host: Host) -> None:
    others: list[str] = []
    await host.machine.step(lambda: not others)


async def _step(host: Host) -> None:
    await host.machine.step()


def test_a_model_is_told_apart_by_what_is_run() -> None:
    models = [model_of(yardstick_spec(1)), model_of(yardstick_spec(2)), model_of(yardstick_spec(1, "yardstick-c"))]
    assert len(set(models)) == 3
    assert models[0] == model_of(yardstick_spec(1))
