"""A search that is not told how looks near by, proves if it can, and hunts where it cannot."""

import pytest

from guests.scenarios.yardstick import yardstick
from notifierlab.explore.auto import Auto
from notifierlab.explore.run import RunSpec
from notifierlab.explore.search import explore
from notifierlab.request import Request


def spec_of(mutant: str = "", **params: object) -> RunSpec:
    return RunSpec(name="yardstick", scenario=yardstick, params=params, mutants=frozenset([mutant] if mutant else []))


def test_a_small_scenario_is_proved_both_ways() -> None:
    result = explore(spec_of(), "auto")
    assert result.verdict == "proved"
    assert "all 11 orders" in result.bound
    assert "the same final states" in result.bound
    assert result.traces == 11


def test_a_scenario_without_a_choice_is_proved_by_looking_near_by() -> None:
    async def alone(host: object) -> None:
        pass

    result = explore(RunSpec(name="alone", scenario=alone), "auto")
    assert (result.verdict, result.runs, result.bound) == ("proved", 1, "all 1 order")


def test_what_lies_near_by_is_found_before_anything_is_proved() -> None:
    strategy = Auto()
    result = explore(spec_of("yardstick-b"), strategy)
    assert result.verdict == "violated"
    assert strategy.proof.dpor.traces == 0
    assert result.findings[0].deviations <= 1


def test_looking_near_by_says_when_it_was_whole() -> None:
    result = explore(spec_of(), Auto(runs=6400), runs=120)
    assert "near by: 113 orders, all with at most 1 preemption or fault; " in result.bound


def test_where_a_proof_takes_too_long_the_rest_of_the_runs_hunt() -> None:
    strategy = Auto(runs=400)
    result = explore(spec_of(guests=4), strategy, runs=400)
    assert (result.verdict, result.runs, result.cut) == ("no-violation-within", 400, "runs")
    assert sum(strategy.near.counts) == 25
    assert strategy.proof.states.runs > 100
    # There are more than 25 without a preemption.
    assert "near by: 25 orders, fewest preemptions first; " in result.bound
    assert "towards a proof: " in result.bound
    assert "hunting: " in result.bound
    assert strategy.hunt.seen


@pytest.mark.slow
def test_a_bug_beyond_one_preemption_is_found_too() -> None:
    strategy = Auto()
    spec = Request(scenario="gru-dropin-vs-truncate", mutants=("gru-hardware-cancel-off",)).resolve()
    result = explore(spec, strategy, rules=("freed-while-reachable",), repeat_every=0)
    assert result.verdict == "violated"
    assert strategy.records


def test_a_search_that_repeats_makes_the_same_runs() -> None:
    first, again = (explore(spec_of(guests=2), Auto(seed=3, runs=300), runs=300) for _ in range(2))
    assert first == again
