"""Small programs for a search that must see every trace once.

A program is a list of tasks, a task a list of operations, each a step of its own:

    add x    set x    get x    cells
    more x   if x is not zero, y grows by one
    less x   if x is zero, z is set, else y is read and, if it is not zero, z is read
    wait x   until x is not zero
    even x   until x is even
    both x   until neither x nor y is zero (looked at in this order, y only if need be)
    some x   until x or y is not zero (likewise)
    pick x   a choice: nothing, or x grows by one, or y is read
    toss x   if x is not zero, a choice: nothing, or y grows by one
    take a   drop a   try a    spin locks (a drop of what is not held is no step)
    pass a                     x is read while the lock is held, all in one step
    swap a                     likewise x is set, if the lock can be had
    read s   write s  leave s  a reader-writer lock
    skim s                     x is read while it is held for reading, in one step
    sleep x  wake x            a wait queue, for x not to be zero
    keep r   let r   find r    references, of which each task has one at first: one more of one
                               it has, one less, one of who knows whether there are any
    enter r  exit r  grace r   a section that reads under RCU, and the wait for those of others
    fork x                     a new task that sets x
    reap x                     the same, and wait for its end

`run` runs one on the machine, and `trace_of` tells which trace it was; `tests/brute_force.py`
knows all there are.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from notifierlab.machine.access import Access, conflicts, Mode, Step
from notifierlab.machine.carriers import BareMachine
from notifierlab.machine.locks import Rcu, RwSem, SpinLock, WaitQueue
from notifierlab.machine.sched import Machine

Program = Sequence[Sequence[str]]
Event = tuple[str, int, tuple[Access, ...], tuple[int, ...]]
"""A step of a trace: whose, the how manyth of the task's, what it touches, what it chose."""
Trace = frozenset[tuple[Event, tuple[tuple[str, int], ...]]]
"""Each step, and what was the last step of each task that had to come before it."""
Steps = tuple[tuple[str, tuple[Access, ...], tuple[int, ...]], ...]

CELLS = "xyz"


class Ran(NamedTuple):
    """One run; it stands in for a `RunResult`."""

    trace: tuple[Step, ...]
    blocked: tuple[Step, ...]
    choices: tuple[int, ...]
    options: tuple[int, ...]
    ended: str
    cells: tuple[int, ...]
    declared: bool


def run(program: Program, strategy: Any) -> Ran:
    """Run a program by a strategy that was asked for a `new_run`, and tell it the result."""
    cells = dict.fromkeys(CELLS, 0)
    machine = BareMachine(strategy.choose, None, steps_max=1000)
    machine.record()
    machine.declared = True
    strategy.begin_run(machine)
    world = _World(machine, cells, len(program))

    async def main() -> None:
        tasks = [machine.start(world.work, task, name=f"t{n}") for n, task in enumerate(program)]
        await machine.join(*tasks)

    machine.run(main())
    if machine.error is not None:
        raise machine.error
    trace, choices, options = tuple(machine.trace), tuple(machine.choices), tuple(machine.options)
    ran = Ran(trace, machine.blocked, choices, options, machine.ended, tuple(cells.values()), machine.declared)
    strategy.end_run(ran)
    return ran


class _World:
    def __init__(self, machine: Machine, cells: dict[str, int], tasks: int) -> None:
        self.machine = machine
        self.cells = cells
        self.locks = {name: SpinLock(machine, name, "toy") for name in "ab"}
        self.sem = RwSem(machine, "s", "toy")
        self.queues = {name: WaitQueue(machine, f"queue {name}") for name in CELLS}
        self.refs = [f"t{n}" for n in range(tasks)]
        self.rcu = Rcu(machine)

    async def work(self, operations: Sequence[str]) -> None:
        for operation in operations:
            verb, _, what = operation.partition(" ")
            await getattr(self, f"do_{verb}")(what)

    def see(self, cell: str) -> int:
        self.machine.touch(cell, Mode.READ)
        return self.cells[cell]

    def grow(self, cell: str) -> None:
        self.machine.touch(cell, Mode.ADD)
        self.cells[cell] += 1

    def turn(self, cell: str) -> None:
        self.machine.touch(cell, Mode.WRITE)
        self.cells[cell] = 0 if self.cells[cell] else 5

    async def do_add(self, cell: str) -> None:
        await self.machine.step()
        self.grow(cell)

    async def do_set(self, cell: str) -> None:
        await self.machine.step()
        self.turn(cell)

    async def do_get(self, cell: str) -> None:
        await self.machine.step()
        self.see(cell)

    async def do_more(self, cell: str) -> None:
        await self.machine.step()
        if self.see(cell):
            self.grow("y")

    async def do_wait(self, cell: str) -> None:
        await self.machine.step(lambda: bool(self.see(cell)))

    async def do_less(self, cell: str) -> None:
        await self.machine.step()
        if not self.see(cell):
            self.turn("z")
        elif self.see("y"):
            self.see("z")

    async def do_even(self, cell: str) -> None:
        await self.machine.step(lambda: self.see(cell) % 2 == 0)

    async def do_both(self, cell: str) -> None:
        await self.machine.step(lambda: bool(self.see(cell) and self.see("y")))

    async def do_some(self, cell: str) -> None:
        await self.machine.step(lambda: bool(self.see(cell) or self.see("y")))

    async def do_toss(self, cell: str) -> None:
        await self.machine.step()
        if self.see(cell) and self.machine.choose("toss", 0, 1):
            self.grow("y")

    async def do_pick(self, cell: str) -> None:
        await self.machine.step()
        value = self.machine.choose("pick", 0, 1, 2)
        if value == 1:
            self.grow(cell)
        elif value == 2:
            self.see("y")

    async def do_take(self, lock: str) -> None:
        await self.locks[lock].acquire()

    async def do_drop(self, lock: str) -> None:
        if self.locks[lock].held_by_current():
            await self.machine.step()
            self.locks[lock].drop()

    async def do_try(self, lock: str) -> None:
        if not self.locks[lock].held_by_current():
            await self.locks[lock].try_acquire()

    async def do_pass(self, lock: str) -> None:
        if not self.locks[lock].held_by_current():
            await self.locks[lock].acquire()
            self.see("x")
            self.locks[lock].drop()

    async def do_swap(self, lock: str) -> None:
        if not self.locks[lock].held_by_current() and await self.locks[lock].try_acquire():
            self.turn("x")
            self.locks[lock].drop()

    async def do_skim(self, _: str) -> None:
        if not self.sem.held_for_write():
            await self.sem.acquire_read()
            self.see("x")
            await self.sem.release_read()

    async def do_read(self, _: str) -> None:
        await self.sem.acquire_read()

    async def do_write(self, _: str) -> None:
        await self.sem.acquire_write()

    async def do_leave(self, _: str) -> None:
        if self.sem.held_for_write():
            await self.machine.step()
            await self.sem.release_write()
        elif self.sem.held_for_read():
            await self.machine.step()
            await self.sem.release_read()

    async def do_sleep(self, cell: str) -> None:
        await self.machine.step()
        await self.queues[cell].wait(lambda: bool(self.see(cell)))

    async def do_wake(self, cell: str) -> None:
        await self.machine.step()
        await self.queues[cell].wake_all()

    async def do_keep(self, _: str) -> None:
        me = self.machine.current.name
        if me in self.refs:
            await self.machine.step()
            self.machine.touch("refs", Mode.ADD)
            self.refs.append(me)

    async def do_let(self, _: str) -> None:
        me = self.machine.current.name
        if me in self.refs:
            await self.machine.step()
            self.refs.remove(me)
            self.machine.touch_put("refs", len(self.refs))

    async def do_find(self, _: str) -> None:
        await self.machine.step()
        self.machine.touch_get_unless_zero("refs", len(self.refs))
        if self.refs:
            self.refs.append(self.machine.current.name)

    async def do_enter(self, _: str) -> None:
        if not self.machine.current.rcu_depth:
            await self.machine.step()
            self.rcu.read_enter()

    async def do_exit(self, _: str) -> None:
        if self.machine.current.rcu_depth:
            await self.machine.step()
            self.rcu.read_exit()

    async def do_grace(self, _: str) -> None:
        if not self.machine.current.rcu_depth:
            await self.rcu.synchronize()

    async def do_fork(self, cell: str) -> None:
        await self.machine.step()
        self.machine.start(self.work, [f"set {cell}"], name=self.machine.fresh("child"))

    async def do_reap(self, cell: str) -> None:
        await self.machine.step()
        await self.machine.join(self.machine.start(self.work, [f"set {cell}"], name=self.machine.fresh("child")))


# --- traces -------------------------------------------------------------------------


def trace_of(steps: Sequence[Step]) -> Trace:
    """Return what matters of the order of a run: each step with what had to come before it."""
    return ordered(
        (step.task, tuple(access for access in step.accesses if _matters(access)), step.values)
        for step in steps
        if step.task != "main"
    )


def _matters(access: Access) -> bool:
    return not access.object.startswith(("start of t", "end of t", "end of main"))


def ordered(steps: Iterable[tuple[str, tuple[Access, ...], tuple[int, ...]]]) -> Trace:
    counts: dict[str, int] = {}
    last: dict[str, dict[str, int]] = {}
    seen: list[tuple[Event, dict[str, int]]] = []
    for task, accesses, values in steps:
        if not accesses and not values:
            continue
        counts[task] = counts.get(task, 0) + 1
        clock = dict(last.get(task, {}))
        for (other, n, touched, _), before in seen:
            if other != task and dependent(accesses, touched):
                for who, at in (*before.items(), (other, n)):
                    clock[who] = max(clock.get(who, 0), at)
        # Which of two puts left more does not matter, as long as there are some.
        named = tuple(
            Access(name, Mode.PUT) if mode is Mode.PUT_LEAVES_ONE else Access(name, mode) for name, mode in accesses
        )
        seen.append(((task, counts[task], named, values), clock))
        last[task] = {**clock, task: counts[task]}
    return frozenset((event, tuple(sorted(clock.items()))) for event, clock in seen)


def dependent(some: Sequence[Access], others: Sequence[Access]) -> bool:
    return any(a.object == b.object and conflicts(a.mode, b.mode) for a in some for b in others)
