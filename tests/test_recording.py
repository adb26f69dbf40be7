"""What a machine records of a run, whether or not an earlier run had the same beginning."""

import pytest

from notifierlab.explore.dpor import Dpor
from notifierlab.explore.run import run_once
from notifierlab.explore.strategies import Replay
from notifierlab.request import Request


class Recorded(Replay):
    """Choices made again, by a run of its own that records all its steps."""

    records = True


def differing(strategy: Dpor, runs: int, scenario: str) -> list[int]:
    """Return in which runs of a search a step was recorded otherwise than in a run that repeats nothing."""
    spec = Request(scenario=scenario).resolve()
    found: list[bool] = []
    while len(found) < runs and strategy.new_run():
        result = run_once(spec, strategy)
        alone = Recorded(result.choices)
        alone.new_run()
        found.append(run_once(spec, alone).trace != result.trace)
    return [run for run, differs in enumerate(found) if differs]


def test_who_tried_again_in_a_beginning_that_is_repeated_does_not_try_for_ever() -> None:
    assert differing(Dpor(), 60, "two-mmus") == []


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["founding-race", "truncate-lock-break", "two-mmus", "two-registrations"])
@pytest.mark.parametrize("seed", [None, 1])
def test_a_repeated_beginning_is_recorded_as_it_was(scenario: str, seed: int | None) -> None:
    assert differing(Dpor(seed=seed), 100, scenario) == []
