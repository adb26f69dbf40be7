"""A task that tries again is taken up only when something changed that its last try had looked at.

What is lost by that is compared with every order: how tries fail does not matter, what
is seen when one succeeds does, and so does what there is in the end.
"""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import event, given, reject, settings, strategies as st

from notifierlab.explore.dpor import Dpor
from notifierlab.machine.access import Mode
from notifierlab.machine.carriers import BareMachine
from notifierlab.machine.locks import RwSem, SpinLock, WaitQueue
from notifierlab.machine.sched import Machine
from tests.trace_programs import Ran

Program = Sequence[Sequence[str]]
Outcome = tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]

STEPS_MAX = 60
MOST_ORDERS = 5_000


class World:
    """Tasks that change cells under locks, and tasks that try.

    add x, set x, get x   one step with a cell
    take a, drop a        a spin lock
    wake x                wakes whoever sleeps on x
    poll x                try until x is not zero, and look at y in each try
    spin a                try until the lock is had; look at x, give it back
    tell a                likewise, and set z when a try has failed; wait z waits for that
    gaze s                likewise for the reader-writer lock; write s, leave s take it and give it back
    both x                try until x was the same twice and not zero
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.cells = dict.fromkeys("xyz", 0)
        self.lock = SpinLock(machine, "a", "toy")
        self.sem = RwSem(machine, "s", "toy")
        self.queue = WaitQueue(machine, "queue")
        self.seen: dict[str, list[int]] = {}

    async def work(self, operations: Sequence[str]) -> None:
        self.seen[self.machine.current.name] = []
        for operation in operations:
            verb, _, what = operation.partition(" ")
            await getattr(self, f"do_{verb}")(what)

    def note(self, *values: int) -> None:
        self.seen[self.machine.current.name] += values

    async def look(self, cell: str) -> int:
        await self.machine.step()
        self.machine.touch(cell, Mode.READ)
        return self.cells[cell]

    async def do_get(self, cell: str) -> None:
        self.note(await self.look(cell))

    async def do_add(self, cell: str) -> None:
        await self.machine.step()
        self.machine.touch(cell, Mode.ADD)
        self.cells[cell] += 1

    async def do_set(self, cell: str) -> None:
        await self.machine.step()
        self.machine.touch(cell, Mode.WRITE)
        self.cells[cell] = 0 if self.cells[cell] else 5

    async def do_take(self, _: str) -> None:
        if not self.lock.held_by_current():
            await self.lock.acquire()

    async def do_drop(self, _: str) -> None:
        if self.lock.held_by_current():
            await self.lock.release()

    async def do_write(self, _: str) -> None:
        if not self.sem.held_for_write():
            await self.sem.acquire_write()

    async def do_leave(self, _: str) -> None:
        if self.sem.held_for_write():
            await self.sem.release_write()

    async def do_poll(self, cell: str) -> None:
        while True:
            self.machine.trying()
            first = await self.look(cell)
            second = await self.look("y")
            if first:
                self.note(first, second)
                return
            await self.machine.relax()

    async def do_both(self, cell: str) -> None:
        while True:
            self.machine.trying()
            first = await self.look(cell)
            second = await self.look("y")
            if first and first == await self.look(cell):
                self.note(first, second)
                return
            await self.machine.relax()

    async def do_spin(self, _: str) -> None:
        if self.lock.held_by_current():
            return
        self.machine.trying()
        while not await self.lock.try_acquire():
            await self.machine.relax()
        await self.do_get("x")
        await self.lock.release()

    async def do_wait(self, cell: str) -> None:
        def is_set() -> bool:
            self.machine.touch(cell, Mode.READ)
            return self.cells[cell] != 0

        await self.machine.step(is_set)

    async def do_tell(self, _: str) -> None:
        self.machine.trying()
        while not await self.lock.try_acquire():
            await self.machine.step()
            self.machine.touch("z", Mode.WRITE)
            self.cells["z"] = 1
            await self.machine.relax()
        await self.do_get("x")
        await self.lock.release()

    async def do_gaze(self, _: str) -> None:
        if self.sem.held_for_write():
            return
        self.machine.trying()
        while not await self.sem.try_read():
            await self.machine.relax()
        await self.do_get("x")
        await self.sem.release_read()

    def outcome(self) -> Outcome:
        return tuple(tuple(seen) for _, seen in sorted(self.seen.items())), tuple(self.cells.values())


def run(program: Program, decide: Callable[[int, bool, bool], int], recorded: Dpor | None = None) -> Outcome | None:
    """Run a program; return what came of it, None where it did not end."""
    machine = BareMachine(decide, None, steps_max=STEPS_MAX)
    if recorded is not None:
        machine.record()
        machine.declared = True
        recorded.begin_run(machine)
    world = World(machine)

    async def main() -> None:
        await machine.join(*[machine.start(world.work, task, name=f"t{n}") for n, task in enumerate(program)])

    machine.run(main())
    if machine.error is not None:
        raise machine.error
    if recorded is not None:
        trace, choices, options = tuple(machine.trace), tuple(machine.choices), tuple(machine.options)
        ran = Ran(trace, machine.blocked, choices, options, machine.ended, (), machine.declared)
        recorded.end_run(ran)  # type: ignore[arg-type]  # stands in for a RunResult
    return world.outcome() if machine.ended == "complete" else None


def by_dpor(program: Program) -> tuple[Dpor, set[Outcome | None]]:
    search = Dpor()
    found: set[Outcome | None] = set()
    while search.new_run():
        found.add(run(program, search.choose, search))
    return search, found


def by_all_orders(program: Program) -> set[Outcome | None] | None:
    """Run every order of a program; None if there are too many."""
    found: set[Outcome | None] = set()
    path: list[list[int]] = []
    for _ in range(MOST_ORDERS):
        at = 0

        def choose(options: int, carry_on: bool, is_value: bool) -> int:
            nonlocal at
            if at == len(path):
                path.append([0, options])
            at += 1
            return path[at - 1][0]

        found.add(run(program, choose))
        del path[at:]
        while path and path[-1][0] + 1 == path[-1][1]:
            path.pop()
        if not path:
            return found
        path[-1][0] += 1
    return None


@pytest.mark.parametrize(
    "program",
    [
        [["take a", "drop a", "add x"], ["spin a"], ["get y"]],
        [["write s", "leave s", "add x"], ["gaze s"], ["get y"]],
        [["add y", "add x", "add y"], ["poll x"]],
        [["set x", "set x", "set y", "set x"], ["both x"]],
        [["take a", "wait z", "drop a", "add x"], ["tell a"]],
    ],
)
def test_what_can_come_of_a_program_that_tries_again_is_found(program: Program) -> None:
    expected = by_all_orders(program)
    assert expected is not None
    search, found = by_dpor(program)
    assert found == expected
    assert search.proved


PLAIN = ("add x", "set x", "get x", "add y", "set y", "get z", "take a", "drop a", "write s", "leave s", "wait z")
TRYING = ("poll x", "poll z", "spin a", "tell a", "gaze s", "both x")


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Draw one task that tries, and one or two others; in most programs it succeeds in the end."""
    plain = st.sampled_from(PLAIN)
    first = [*draw(st.lists(plain, max_size=1)), draw(st.sampled_from(TRYING)), *draw(st.lists(plain, max_size=1))]
    others = draw(st.lists(st.lists(plain, min_size=1, max_size=4), min_size=1, max_size=2))
    return [first, *[[*other, "drop a", "leave s"] for other in others]]


@pytest.mark.slow
@settings(deadline=None)
@given(programs())
def test_what_can_come_of_any_program_that_tries_again_is_found(program: Program) -> None:
    compare(program)


def compare(program: Program) -> None:
    expected = by_all_orders(program)
    if expected is None:
        reject()
    search, found = by_dpor(program)
    # Where a try may fail for ever, nothing is claimed.
    event(f"proved: {search.proved}")
    assert found == expected if search.proved else found <= expected


def counted(program: Program) -> int:
    search, _ = by_dpor(program)
    assert search.proved
    return search.traces


def test_a_try_that_met_a_change_is_followed_at_once() -> None:
    # Both looks at x differ: whatever else changes y, the next try waits for nobody.
    assert counted([["set x", "add z", "add z"], ["both x"]]) == counted([["set x"], ["both x"]])


def woken_by(*cells: str) -> list[bool]:
    """Return which steps of a task that changes cells wake one that looked at y, began a try, and looked at x."""
    machine = BareMachine(lambda *_: 0, None)
    machine.record()

    async def watch() -> None:
        await machine.step()
        machine.touch("y", Mode.READ)
        machine.trying()
        machine.touch("x", Mode.READ)
        await machine.relax()

    async def change() -> None:
        for cell in cells:
            await machine.step()
            machine.touch(cell, Mode.WRITE)

    async def main() -> None:
        await machine.join(machine.start(watch, name="watch"), machine.start(change, name="change"))

    machine.run(main())
    return [
        any(access.mode is Mode.WAKE for access in step.accesses)
        for step in machine.trace
        if step.task == "change" and any(access.mode is Mode.WRITE for access in step.accesses)
    ]


def test_whoever_changes_it_twice_is_waited_for_once() -> None:
    assert woken_by("x", "x") == [True, False]


def test_what_was_looked_at_before_a_try_is_none_of_it() -> None:
    assert woken_by("y", "x") == [False, True]
