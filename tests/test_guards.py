"""A plain field is guarded if a lock is between every two uses that must not meet."""

import pytest

from notifierlab.explore.guards import Guards, Locks
from notifierlab.explore.run import RunSpec
from notifierlab.explore.search import explore
from notifierlab.host import Host
from notifierlab.machine.locks import SpinLock
from notifierlab.machine.shared import Atomic, shared, SharedState
from tests.futures import proved_by_states


def locks(*names: str) -> Locks:
    """`a` is a lock held for writing, and so for reading too; `a read` one held for reading."""
    held = []
    for name in names:
        lock, _, how = name.partition(" ")
        held += [(lock, "read")] if how else [(lock, "write"), (lock, "read")]
    return frozenset(held)


READ, WROTE = False, True


@pytest.mark.parametrize(
    ("first", "second", "guarded"),
    [
        ((WROTE, locks("a")), (WROTE, locks("a")), True),
        ((WROTE, locks("a")), (READ, locks("a")), True),
        ((WROTE, locks("a")), (READ, locks("b")), False),
        ((WROTE, locks("a")), (READ, locks()), False),
        ((READ, locks()), (READ, locks()), True),
        # Under an rwsem: a reader keeps out whoever writes under it, not one who reads under it.
        ((WROTE, locks("sem")), (READ, locks("sem read")), True),
        ((WROTE, locks("sem read")), (READ, locks("sem read")), False),
        ((WROTE, locks("a", "b")), (READ, locks("b", "c")), True),
    ],
)
def test_two_uses(first: tuple[bool, Locks], second: tuple[bool, Locks], guarded: bool) -> None:
    for one, other in ((first, second), (second, first)):
        guards = Guards()
        guards.saw("t0", [("field", one[0])], one[1])
        guards.saw("t1", [("field", other[0])], other[1])
        assert bool(guards.unguarded) is not guarded


def test_only_what_is_held_at_every_use_counts() -> None:
    guards = Guards()
    guards.saw("t0", [("field", WROTE)], locks("a", "b"))
    guards.saw("t1", [("field", WROTE)], locks("b"))
    assert guards.unguarded == ""
    guards.saw("t0", [("field", WROTE)], locks("a"))
    assert str(guards.unguarded) == "field"


def test_a_task_is_no_danger_to_itself() -> None:
    guards = Guards()
    guards.saw("t0", [("field", WROTE)], locks("a"))
    guards.saw("t0", [("field", WROTE)], locks())
    assert not guards.unguarded


class Box(SharedState):
    value: int = shared(0)
    full: Atomic[bool] = shared(False, atomic=True)


async def published(host: Host) -> None:
    """The field is handed over by a flag: that orders its uses, and no lock does."""
    box = Box(host.machine, "box")

    async def fill() -> None:
        box.value = 1
        await box.full.set(True)

    async def empty() -> None:
        if await box.full.get():
            box.value += 1

    async with host.together() as tasks:
        tasks.start(fill, name="t0")
        tasks.start(empty, name="t1")


async def unordered(host: Host) -> None:
    """The same without a look at the flag."""
    box = Box(host.machine, "box")

    async def fill() -> None:
        await host.machine.step()
        box.value = 1

    async with host.together() as tasks:
        tasks.start(fill, name="t0")
        tasks.start(fill, name="t1")


async def locked(host: Host) -> None:
    """A lock guards the field; before and after that the first task has it alone."""
    box = Box(host.machine, "box")
    lock = SpinLock(host.machine, "lock", "toy")
    box.value = 0

    async def count() -> None:
        async with lock:
            box.value += 1

    async with host.together() as tasks:
        tasks.start(count, name="t0")
        tasks.start(count, name="t1")
    assert box.value == 2


def test_states_are_taken_by_value_where_a_lock_guards_every_field() -> None:
    # Who of the two counted first, no state remembers.
    assert proved_by_states(locked).by_value


def test_where_something_else_orders_two_uses_the_order_is_kept() -> None:
    assert not proved_by_states(published).by_value


def test_a_race_is_found_all_the_same() -> None:
    result = explore(RunSpec(name="toy", scenario=unordered), "states", shrinking=False)
    assert result.verdict == "violated"
    assert [finding.violation.rule for finding in result.findings] == ["data-race"]
