"""A run that begins as an earlier one did records what it would record by itself."""

import pytest

from notifierlab.explore.dpor import Dpor
from notifierlab.explore.run import run_once, RunSpec
from notifierlab.explore.strategies import Replay
from notifierlab.request import Request

FEW: tuple[tuple[str, dict[str, str]], ...] = (
    # Here a device tries again: whether it may depends on what it looked at before.
    ("kvm-fault-vs-truncate", {}),
    ("two-mmus", {}),
    ("yardstick", {"guests": "2"}),
    # Choices of values.
    ("register-interrupted", {}),
)
MANY = (
    "device-vs-reclaim",
    "founding-race",
    "founding-race-rmap",
    "gru-dropin-vs-reclaim",
    "reclaim-vs-guest",
    "truncate-lock-break",
    "two-mmus",
    "two-registrations",
)


class Recorded(Replay):
    """A replay that records."""

    records = True


def check_alike(spec: RunSpec, runs: int) -> None:
    """Compare each run of a search, which begins as the one before, with the same run by itself."""
    search = Dpor()
    for n in range(runs):
        if not search.new_run():
            break
        result = run_once(spec, search)
        alone = Recorded(result.choices)
        alone.new_run()
        again = run_once(spec, alone)
        for one, other in zip(result.trace, again.trace, strict=False):
            assert one == other, f"run {n} of {spec.name}"
        assert result == again, f"run {n} of {spec.name}"


@pytest.mark.parametrize(("scenario", "params"), FEW)
def test_what_an_earlier_run_had_is_what_this_run_has(scenario: str, params: dict[str, str]) -> None:
    check_alike(Request(scenario=scenario, params=dict(params)).resolve(), 50)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", MANY)
def test_what_an_earlier_run_had_is_what_this_run_has_in_larger_scenarios(scenario: str) -> None:
    check_alike(Request(scenario=scenario).resolve(), 250)


@pytest.mark.slow
def test_a_search_finds_as_many_orders_wherever_it_begins() -> None:
    # Which steps runs share depends on where a search begins; how many orders there are does not.
    spec = Request(scenario="founding-race-madvise").resolve()
    counts = []
    for seed in (None, 2):
        search = Dpor(seed=seed)
        while search.new_run():
            run_once(spec, search)
        assert search.proved
        counts.append(search.traces)
    assert counts[0] == counts[1]
