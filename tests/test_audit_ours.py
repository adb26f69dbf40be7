"""No scenario, kernel or mutant of ours is accused of sharing in secret."""

from dataclasses import replace

import pytest

from notifierlab import lists
from notifierlab.explore.audit import Audits, Unrecorded
from notifierlab.explore.run import run_once, RunSpec
from notifierlab.explore.strategies import RandomWalk
from notifierlab.mm.profile import PRESETS
from notifierlab.request import Request

SCENARIOS = [str(row["scenario"]) for row in lists.LISTS["scenarios"]()]
MUTANTS = {str(row["mutant"]): str(row["scenario"]) for row in lists.LISTS["mutants"]()}


def accused(spec: RunSpec, seeds: range) -> list[str]:
    """What an audit of some random walks says."""
    told = []
    audits = Audits(spec, 1)
    for seed in seeds:
        walk = RandomWalk(seed)
        walk.new_run()
        try:
            audits.look(run_once(spec, walk))
        except Unrecorded as error:
            told.append(str(error))
    return told


@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if name != "churn"])
def test_nothing_of_ours_is_accused(scenario: str) -> None:
    assert accused(replace(Request(scenario=scenario).resolve(), steps_max=5000), range(2)) == []


@pytest.mark.slow
@pytest.mark.parametrize("profile", [*PRESETS])
def test_nothing_of_ours_is_accused_in_any_kernel(profile: str) -> None:
    for n, scenario in enumerate(SCENARIOS):
        spec = replace(Request(scenario=scenario, profile=profile).resolve(), steps_max=5000)
        assert accused(spec, range(n, n + 3)) == []


@pytest.mark.slow
def test_nothing_that_is_broken_on_purpose_is_accused_of_this() -> None:
    for n, (mutant, scenario) in enumerate(MUTANTS.items()):
        spec = replace(Request(scenario=scenario, mutants=(mutant,)).resolve(), steps_max=5000)
        assert accused(spec, range(n, n + 2)) == []
