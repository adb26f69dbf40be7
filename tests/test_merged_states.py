"""Two runs that came to the same state by value go on alike, whatever happened to either before."""

import pytest

from notifierlab.explore.run import RunSpec
from notifierlab.explore.search import explore
from notifierlab.explore.states import States
from notifierlab.host import Host
from notifierlab.machine.shared import Atomic, shared, SharedState
from notifierlab.request import Request
from tests.futures import compare_futures, proved_by_states

SCENARIOS = (
    ("founding-race", ""),
    ("kvm-fault-vs-truncate", ""),
    ("reclaim-vs-guest", ""),
    ("dirty-log-vs-guest", ""),
    ("register-interrupted", ""),
    ("unregister-vs-exit", ""),
    ("two-mmus", ""),
    ("two-registrations", ""),
    ("device-vs-truncate", ""),
    ("gru-dropin-vs-truncate", ""),
    ("founding-race", "no-take-all-locks"),
    ("kvm-fault-vs-truncate", "end-before-zap"),
    ("kvm-fault-vs-truncate", "kvm-samples-seq-late"),
    ("reclaim-vs-guest", "reclaim-skips-notify"),
)


@pytest.mark.slow
@pytest.mark.parametrize(("scenario", "mutant"), SCENARIOS)
def test_runs_that_came_to_one_state_go_on_alike(scenario: str, mutant: str) -> None:
    spec = Request(scenario=scenario, mutants=(mutant,) if mutant else ()).resolve()
    compared = compare_futures(spec, runs=120, pairs=25)
    assert compared.pairs >= 3
    assert compared.differences == []


class Box(SharedState):
    value: Atomic[int] = shared(0, atomic=True)
    other: Atomic[int] = shared(0, atomic=True)


async def _read_and_act(host: Host, *, kept: bool) -> None:
    """A task reads a value, forgets it or not, and does by it what it does; others count up."""
    box = Box(host.machine, "box")

    async def act() -> None:
        begun = host.machine.mark()
        seen = await box.value.get()
        if kept:
            host.machine.forget(begun, seen % 2)
        else:
            host.machine.forget(begun)
        await box.other.set(seen % 2)

    async def count() -> None:
        for _ in range(4):
            await box.value.add(1)

    async with host.together() as tasks:
        tasks.start(act, name="actor")
        tasks.start(count, name="counter")


async def remembers(host: Host) -> None:
    await _read_and_act(host, kept=True)


async def forgets(host: Host) -> None:
    await _read_and_act(host, kept=False)


def test_what_is_forgotten_and_used_all_the_same_shows() -> None:
    right = compare_futures(RunSpec(name="toy", scenario=remembers), runs=60, pairs=20)
    assert right.pairs
    assert right.differences == []
    assert compare_futures(RunSpec(name="toy", scenario=forgets), runs=60, pairs=20).differences


def test_what_is_kept_tells_states_apart_and_nothing_else_does() -> None:
    # Of the numbers from 0 to 4 that the actor may have read, one bit is left: after its last step there are two
    # ends for each of what it wrote.
    assert len(proved_by_states(remembers).final) == 2


async def retries(host: Host) -> None:
    """A task that tries until a value is even enough; how often, nobody knows afterwards."""
    box = Box(host.machine, "box")

    async def try_again() -> None:
        begun = host.machine.mark()
        while await box.value.get() < 3:
            host.machine.forget(begun)
            await host.machine.relax()
            host.machine.forget(begun)
        host.machine.forget(begun)

    async def count() -> None:
        for _ in range(3):
            await box.value.add(1)

    async with host.together() as tasks:
        tasks.start(try_again, name="t0")
        tasks.start(count, name="t1")


def test_how_often_something_was_tried_is_forgotten() -> None:
    assert len(proved_by_states(retries).final) == 1


async def for_ever(host: Host) -> None:
    """Two tasks try again for ever, and each sees that the other did something."""
    box = Box(host.machine, "box")

    async def spin(mine: Atomic[int], other: Atomic[int]) -> None:
        begun = host.machine.mark()
        while True:
            host.machine.forget(begun)
            await mine.change(lambda value: 1 - value)
            await other.get()
            await host.machine.relax()

    async with host.together() as tasks:
        tasks.start(spin, box.value, box.other, name="t0")
        tasks.start(spin, box.other, box.value, name="t1")


def test_a_search_that_merges_states_does_not_call_an_endless_run_proved() -> None:
    states = States()
    result = explore(RunSpec(name="toy", scenario=for_ever, steps_max=200), states, runs=500, shrinking=False)
    assert result.verdict != "proved"
    assert not states.proved
    if states.exhausted:
        assert states.endless == ("t0", "t1")
        assert "round in circles (t0, t1)" in result.bound


async def chooses(host: Host) -> None:
    """A choice that is made behind a forget, in the same step, still counts."""
    box = Box(host.machine, "box")

    async def act() -> None:
        await host.machine.step()
        begun = host.machine.mark()
        host.machine.forget(begun)
        value = host.machine.choose("which", 1, 2)
        await host.machine.step()
        await box.other.set(value)

    async with host.together() as tasks:
        tasks.start(act, name="t0")


def test_what_comes_behind_a_forget_in_the_same_step_is_not_forgotten() -> None:
    assert len(proved_by_states(chooses).final) == 2
    compared = compare_futures(RunSpec(name="toy", scenario=chooses), runs=20, pairs=20)
    assert compared.differences == []


async def nested(host: Host) -> None:
    """A mark that was forgotten with what came around it is worth nothing, and does no harm."""
    box = Box(host.machine, "box")

    async def act() -> None:
        outer = host.machine.mark()
        inner = host.machine.mark()
        seen = await box.value.get()
        host.machine.forget(outer, seen)
        host.machine.forget(inner)
        await box.other.set(seen)

    async def count() -> None:
        await box.value.add(1)

    async with host.together() as tasks:
        tasks.start(act, name="t0")
        tasks.start(count, name="t1")


def test_what_was_kept_outside_is_not_forgotten_by_a_mark_from_inside() -> None:
    assert compare_futures(RunSpec(name="toy", scenario=nested), runs=40, pairs=20).differences == []
    assert len(proved_by_states(nested).final) == 2


@pytest.mark.slow
def test_an_answer_that_was_forgotten_and_is_used_ends_taking_states_by_value() -> None:
    spec = Request(scenario="kvm-fault-vs-munmap").resolve()
    kvm = spec.drivers["kvm"]

    class Forgetful(kvm):  # type: ignore[valid-type,misc]  # whatever class is installed
        async def look_up(self, va):  # type: ignore[no-untyped-def]  # as the class's own
            begun = self.machine.mark()
            answer = await super().look_up(va)
            self.machine.forget(begun)
            return answer

    forgetful = RunSpec(name="toy", scenario=spec.scenario, drivers={**spec.drivers, "kvm": Forgetful})
    by_value, by_history = States(), States()
    for one, states in ((spec, by_value), (forgetful, by_history)):
        assert explore(one, states).verdict == "proved"
    assert by_value.by_value
    assert not by_history.by_value
    assert by_history.states > by_value.states
