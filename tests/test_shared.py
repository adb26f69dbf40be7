"""Shared fields: what is declared is watched, what is not is refused with the line to add."""

import pytest

from notifierlab import events
from notifierlab.machine.access import Access, Mode
from notifierlab.machine.sched import LabError, Machine
from notifierlab.machine.shared import Atomic, shared, SharedState
from tests.toys import run_tasks, Toy


class Counters(SharedState):
    """What a driver would have."""

    running: int = shared(0)
    names: tuple[str, ...] = shared(())
    requests: Atomic[int] = shared(0, atomic=True)
    flag: Atomic[bool] = shared(False, atomic=True)

    def __init__(self, machine: Machine, name: str = "c0") -> None:
        super().__init__(machine, name)
        self.limit = 3


def field_events(toy: Toy) -> list[tuple[str, str]]:
    kinds = (events.FieldRead, events.FieldWritten, events.AtomicRead, events.AtomicWritten)
    return [(type(event).__name__, getattr(event, "value", "")) for event in toy.events if isinstance(event, kinds)]


def test_plain_fields_are_read_and_written_without_a_switch() -> None:
    async def main(machine: Machine) -> None:
        state = Counters(machine)
        state.running += 1
        state.running = state.running + state.limit

    toy = run_tasks(main)
    assert field_events(toy) == [
        ("FieldRead", ""),
        ("FieldWritten", "1"),
        ("FieldRead", ""),
        ("FieldWritten", "4"),
    ]
    assert toy.steps == 0


def test_a_long_bitmap_is_written_in_hex() -> None:
    async def main(machine: Machine) -> None:
        Counters(machine).running = 1 << 20_000

    toy = run_tasks(main)
    assert toy.error is None
    assert field_events(toy) == [("FieldWritten", "0x1" + "0" * 5000)]


def test_each_operation_on_an_atomic_field_is_one_switch_and_one_event() -> None:
    async def main(machine: Machine) -> None:
        state = Counters(machine)
        assert await state.requests.get() == 0
        assert await state.requests.add(2) == 2
        assert await state.requests.exchange(7) == 2
        await state.requests.set(1)
        assert await state.requests.change(lambda value: value * 10) == 10
        assert await state.flag.test_and_set() is False
        assert await state.flag.test_and_set() is True
        assert state.requests.peek() == 10

    toy = run_tasks(main)
    assert toy.error is None
    assert toy.steps == 7
    assert [value for _, value in field_events(toy)] == ["0", "2", "7", "1", "10", "True", "True"]


@pytest.mark.parametrize(("value", "kind", "mode"), [(0, "AtomicRead", Mode.READ), (4, "AtomicWritten", Mode.WRITE)])
def test_a_change_that_changes_nothing_only_reads(value: int, kind: str, mode: Mode) -> None:
    async def main(machine: Machine) -> None:
        machine.record()
        assert await Counters(machine).requests.change(lambda _: value) == value
        await machine.step()
        assert Access("c0.requests", mode) in machine.trace[-1].accesses

    toy = run_tasks(main)
    assert toy.error is None
    assert field_events(toy) == [(kind, str(value))]


def test_two_objects_have_fields_of_their_own() -> None:
    async def main(machine: Machine) -> None:
        one, two = Counters(machine, "one"), Counters(machine, "two")
        one.running = 5
        assert two.running == 0
        await one.requests.add(1)
        assert two.requests.peek() == 0

    assert run_tasks(main).error is None


@pytest.mark.parametrize("value", [[], {}, set(), object(), ([],), bytearray()])
def test_a_value_that_can_change_in_place_is_refused(value: object) -> None:
    async def main(machine: Machine) -> None:
        Counters(machine).running = value  # type: ignore[assignment]

    error = run_tasks(main).error
    assert isinstance(error, LabError)
    assert "c0.running cannot be a" in str(error)
    assert "a value that changes in place escapes the bench" in str(error)


@pytest.mark.parametrize("value", [1, "x", b"x", 1.5, True, None, (1, ("a",)), frozenset({1})])
def test_values_that_cannot_change_are_accepted(value: object) -> None:
    async def main(machine: Machine) -> None:
        state = Counters(machine)
        state.running = value  # type: ignore[assignment]
        await state.requests.set(value)  # type: ignore[arg-type]

    assert run_tasks(main).error is None


def test_a_mutable_default_is_refused_where_it_is_declared() -> None:
    with pytest.raises((LabError, RuntimeError)) as caught:
        type("Bad", (SharedState,), {"items": shared([])})
    error = caught.value if isinstance(caught.value, LabError) else caught.value.__cause__
    assert "Bad.items cannot be a list" in str(error)


def test_an_attribute_that_nobody_declared_is_refused_with_its_declaration() -> None:
    async def main(machine: Machine) -> None:
        Counters(machine).seq = 4

    error = run_tasks(main).error
    assert isinstance(error, LabError)
    assert "Counters.seq is assigned after construction but not declared" in str(error)
    assert "`seq: int = shared(4)`" in str(error)


def test_constants_of_the_constructor_cannot_change_later() -> None:
    async def main(machine: Machine) -> None:
        Counters(machine).limit = 4

    assert isinstance(run_tasks(main).error, LabError)


def test_the_constructor_of_a_subclass_may_still_assign() -> None:
    class More(Counters):
        def __init__(self, machine: Machine) -> None:
            super().__init__(machine)
            self.more = [1, 2]

    async def main(machine: Machine) -> None:
        assert More(machine).more == [1, 2]

    assert run_tasks(main).error is None


def test_an_atomic_field_is_not_assigned_but_set() -> None:
    async def main(machine: Machine) -> None:
        Counters(machine).requests = 4  # type: ignore[assignment]

    error = run_tasks(main).error
    assert isinstance(error, LabError)
    assert str(error) == "c0.requests is atomic: change it by `await self.requests.set(...)`"
