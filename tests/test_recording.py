"""A run that begins as an earlier one did records what it would record by itself."""

import pytest

from notifierlab.events import Event
from notifierlab.explore.dpor import Dpor
from notifierlab.explore.run import run_once, RunResult, RunSpec
from notifierlab.explore.strategies import Replay, Strategy
from notifierlab.machine.access import Step
from notifierlab.machine.sched import Machine
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


class Noted:
    """A strategy that records, and what can be seen of its run."""

    name = "noted"
    records = True

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy
        self._machine: Machine | None = None
        self.new_run = strategy.new_run
        self.choose = strategy.choose
        self.end_run = strategy.end_run

    def begin_run(self, machine: Machine) -> None:
        self._machine = machine
        self._strategy.begin_run(machine)
        machine.noting = True

    def look(self, spec: RunSpec) -> tuple[list[Step], dict[str, object]]:
        """Make a run; return its steps, and all else."""
        told: list[Event] = []
        result = run_once(spec, self, sink=told.append)
        machine = self._machine
        assert machine is not None
        return list(result.trace), {
            "result": result,
            "told": told,
            "happened": machine.happened,
            "notes": machine.notes,
            "alike": machine.alike,
            "wanted": machine.wanted,
        }


def check_alike(spec: RunSpec, runs: int) -> None:
    """Compare each run of a search, which begins as the one before, with the same run by itself."""
    search = Noted(Dpor())
    for n in range(runs):
        if not search.new_run():
            break
        trace, seen = search.look(spec)
        result = seen["result"]
        assert isinstance(result, RunResult)
        again, known = Noted(Replay(result.choices)).look(spec)
        for one, other in zip(trace, again, strict=False):
            assert one == other, f"run {n} of {spec.name}"
        for what, value in seen.items():
            assert value == known[what], f"{what}, run {n} of {spec.name}"


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
