"""A run that begins as an earlier one did records what it would record by itself."""

from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

import pytest

from notifierlab.events import Event, Interrupted
from notifierlab.explore.dpor import Dpor
from notifierlab.explore.run import run_once, RunResult, RunSpec
from notifierlab.explore.search import explore
from notifierlab.explore.strategies import Replay, Strategy
from notifierlab.host import Host
from notifierlab.machine.access import Step
from notifierlab.machine.locks import SpinLock
from notifierlab.machine.sched import LabError, Machine
from notifierlab.request import Request
from tests.gate import Walk

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


Body = Callable[[Host, int], Coroutine[Any, Any, None]]
"""A scenario that is told which run it is."""


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


def fickle(body: Body) -> RunSpec:
    """Return a scenario that is told which run it is."""
    runs = count()

    async def scenario(host: Host) -> None:
        await body(host, next(runs))

    return RunSpec(name="fickle", scenario=scenario)


async def _touches(host: Host, times: int) -> None:
    machine = host.machine
    for _ in range(times):
        await machine.step()
        machine.touch("x", machine.mode.WRITE)


async def _another_name(host: Host, run: int) -> None:
    async with host.together() as tasks:
        tasks.start(_touches, host, 3, name=f"a{run}")
        tasks.start(_touches, host, 3, name="b")


async def _a_lock_that_is_kept(host: Host, run: int) -> None:
    lock = SpinLock(host.machine, "lock", "toy")

    async def takes() -> None:
        await lock.acquire()
        await _touches(host, 3)

    await (lock.acquire() if run else host.machine.step())
    async with host.together() as tasks:
        tasks.start(takes, name="a")
        tasks.start(_touches, host, 3, name="b")


async def _another_choice(host: Host, run: int) -> None:
    host.choose("fault", *range(2 + run))
    async with host.together() as tasks:
        tasks.start(_touches, host, 2, name="a")
        tasks.start(_touches, host, 2, name="b")


@pytest.mark.parametrize(
    ("body", "told"),
    [(_another_name, "is not there"), (_a_lock_that_is_kept, "cannot go on"), (_another_choice, "had other options")],
)
def test_a_run_that_does_not_go_as_the_earlier_one_is_refused(body: Body, told: str) -> None:
    with pytest.raises(LabError, match=f"{told}.*does not repeat itself"):
        explore(fickle(body), Dpor(), repeat_every=0, audit_every=0)


async def _alone_at_first(host: Host, _: int) -> None:
    host.machine.trying()
    # There is no other: it tries again, though nobody else ran.
    await host.machine.relax()
    await _another_name(host, 0)


def test_who_tried_again_though_there_was_no_other_does_so_in_a_run_that_begins_alike() -> None:
    found = explore(fickle(_alone_at_first), Dpor(), repeat_every=0, audit_every=0)
    assert found.traces == explore(fickle(lambda host, _: _another_name(host, 0)), Dpor(), repeat_every=0).traces


def test_a_run_that_is_interrupted_while_it_repeats_has_what_happened_by_then() -> None:
    spec = Request(scenario="yardstick").resolve()
    search = Dpor()
    first, second = Noted(search), Noted(search)
    assert first.new_run()
    _, seen = first.look(spec)

    def begin_run(machine: Machine) -> None:
        Noted.begin_run(second, machine)
        machine.ask_to_end()

    second.begin_run = begin_run  # type: ignore[method-assign]
    assert second.new_run()
    _, interrupted = second.look(spec)
    result, told, before = interrupted["result"], interrupted["told"], seen["told"]
    assert isinstance(result, RunResult)
    assert isinstance(told, list)
    assert isinstance(before, list)
    assert result.ended == "interrupted"
    assert told[:-1] == [event for event in before if event.step < result.steps]
    assert told[-1] == Interrupted(result.steps, told[-1].task)


def test_what_a_registration_brings_along_and_does_not_need_is_not_heard_of() -> None:
    # Two that register each have a list of notifiers at hand; who had it first would be told by its name, though
    # nothing orders the two.
    spec = Request(scenario="two-registrations").resolve()
    names = [name for seed in range(8) for step in run_once(spec, Walk(seed)).trace for name, _ in step.accesses]
    assert any(name.startswith("mm0.mmu_notifier_mm.") for name in names)
    assert not [name for name in names if name.startswith("mm0.mmu_notifier_mm#")]
