"""Small programs for a search that must see every trace once, and brute force that knows them all.

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
    read s   write s  leave s  a reader-writer lock
    sleep x  wake x            a wait queue, for x not to be zero
    fork x                     a new task that sets x
    reap x                     the same, and wait for its end

`run` runs one on the machine. `traces` knows by itself what operations mean and tries every
order of them; of two beginnings that are one trace it follows one only.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from notifierlab.machine.access import Access, conflicts, Mode, Step
from notifierlab.machine.carriers import BareMachine
from notifierlab.machine.locks import RwSem, SpinLock, WaitQueue
from notifierlab.machine.sched import Machine

Program = Sequence[Sequence[str]]
Event = tuple[str, int, tuple[Access, ...], tuple[int, ...]]
"""A step of a trace: whose, the how manyth of the task's, what it touches, what it chose."""
Trace = frozenset[tuple[Event, tuple[tuple[str, int], ...]]]
"""Each step, and what was the last step of each task that had to come before it."""
Steps = tuple[tuple[str, tuple[Access, ...], tuple[int, ...]], ...]

_CELLS = "xyz"


class Ran(NamedTuple):
    """One run; it stands in for a `RunResult`."""

    trace: tuple[Step, ...]
    blocked: tuple[Step, ...]
    choices: tuple[int, ...]
    ended: str
    cells: tuple[int, ...]
    declared: bool


def run(program: Program, strategy: Any) -> Ran:
    """Run a program by a strategy that was asked for a `new_run`, and tell it the result."""
    cells = dict.fromkeys(_CELLS, 0)
    machine = BareMachine(strategy.choose, None, steps_max=1000)
    machine.record()
    machine.declared = True
    strategy.begin_run(machine)
    world = _World(machine, cells)

    async def main() -> None:
        tasks = [machine.start(world.work, task, name=f"t{n}") for n, task in enumerate(program)]
        await machine.join(*tasks)

    machine.run(main())
    if machine.error is not None:
        raise machine.error
    trace, choices = tuple(machine.trace), tuple(machine.choices)
    ran = Ran(trace, machine.blocked, choices, machine.ended, tuple(cells.values()), machine.declared)
    strategy.end_run(ran)
    return ran


class _World:
    def __init__(self, machine: Machine, cells: dict[str, int]) -> None:
        self.machine = machine
        self.cells = cells
        self.locks = {name: SpinLock(machine, name, "toy") for name in "ab"}
        self.sem = RwSem(machine, "s", "toy")
        self.queues = {name: WaitQueue(machine, f"queue {name}") for name in _CELLS}

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

    async def do_fork(self, cell: str) -> None:
        await self.machine.step()
        self.machine.start(self.work, [f"set {cell}"], name=self.machine.fresh("child"))

    async def do_reap(self, cell: str) -> None:
        await self.machine.step()
        await self.machine.join(self.machine.start(self.work, [f"set {cell}"], name=self.machine.fresh("child")))


# --- traces -------------------------------------------------------------------------


def trace_of(steps: Sequence[Step]) -> Trace:
    """Return what matters of the order of a run: each step with what had to come before it."""
    return _ordered(
        (step.task, tuple(access for access in step.accesses if _matters(access)), step.values)
        for step in steps
        if step.task != "main"
    )


def _matters(access: Access) -> bool:
    return not access.object.startswith(("start of t", "end of t", "end of main"))


def _ordered(steps: Iterable[tuple[str, tuple[Access, ...], tuple[int, ...]]]) -> Trace:
    counts: dict[str, int] = {}
    last: dict[str, dict[str, int]] = {}
    seen: list[tuple[Event, dict[str, int]]] = []
    for task, accesses, values in steps:
        if not accesses and not values:
            continue
        counts[task] = counts.get(task, 0) + 1
        clock = dict(last.get(task, {}))
        for (other, n, touched, _), before in seen:
            if other != task and _dependent(accesses, touched):
                for who, at in (*before.items(), (other, n)):
                    clock[who] = max(clock.get(who, 0), at)
        seen.append(((task, counts[task], accesses, values), clock))
        last[task] = {**clock, task: counts[task]}
    return frozenset((event, tuple(sorted(clock.items()))) for event, clock in seen)


def _dependent(some: Sequence[Access], others: Sequence[Access]) -> bool:
    return any(a.object == b.object and conflicts(a.mode, b.mode) for a in some for b in others)


# --- brute force --------------------------------------------------------------------


class _Task(NamedTuple):
    name: str
    operations: tuple[str, ...]
    phase: str = ""
    seen: int = 0
    children: int = 0


_ZEROS = tuple((name, 0) for name in _CELLS)


class _State(NamedTuple):
    tasks: tuple[_Task, ...]
    cells: tuple[tuple[str, int], ...] = _ZEROS
    holders: tuple[tuple[str, str], ...] = ()
    wakes: tuple[tuple[str, int], ...] = _ZEROS

    def cell(self, name: str) -> int:
        return dict(self.cells)[name]

    def having(self, name: str, value: int) -> "_State":
        return self._replace(cells=tuple((n, value if n == name else v) for n, v in self.cells))

    def turned(self, name: str) -> "_State":
        return self.having(name, 0 if self.cell(name) else 5)

    def grown(self, name: str) -> "_State":
        return self.having(name, self.cell(name) + 1)


def traces(program: Program, most: int) -> dict[Trace, tuple[int, ...]] | None:
    """Return every trace of a program and what the cells hold at its end; None if there are too many."""
    start = _State(tuple(_Task(f"t{n}", tuple(task)) for n, task in enumerate(program)))
    frontier: dict[Trace, tuple[Steps, _State]] = {frozenset(): ((), start)}
    ends: dict[Trace, tuple[int, ...]] = {}
    while frontier:
        behind: dict[Trace, tuple[Steps, _State]] = {}
        for key, (steps, state) in frontier.items():
            moved = False
            for at in range(len(state.tasks)):
                for accesses, values, after in _moves(_without_idle(state, at), at):
                    moved = True
                    more = (*steps, (state.tasks[at].name, accesses, values))
                    behind[_ordered(more)] = (more, after)
            if not moved:
                ends[key] = tuple(value for _, value in state.cells)
        frontier = behind
        if len(frontier) > most or len(ends) > most:
            return None
    return ends


def _without_idle(state: _State, at: int) -> _State:
    """Leave out operations that are no step: dropping what is not held, trying what is."""
    task = state.tasks[at]
    while task.operations:
        verb, _, what = task.operations[0].partition(" ")
        mine = (what, task.name) in state.holders or (what + "/r", task.name) in state.holders
        if (verb not in ("drop", "leave") or mine) and (verb != "try" or not mine):
            break
        task = task._replace(operations=task.operations[1:])
    return state._replace(tasks=(*state.tasks[:at], task, *state.tasks[at + 1 :]))


Move = tuple[tuple[Access, ...], tuple[int, ...], _State]
"""What a step touches, what it chooses, and what is then."""


def _moves(state: _State, at: int) -> Iterator[Move]:
    """Return what the next step of a task can be."""
    task = state.tasks[at]
    if not task.operations:
        return
    verb, _, what = task.operations[0].partition(" ")
    rest = task._replace(operations=task.operations[1:], phase="", seen=0)

    def then(state: _State, task: _Task = rest) -> _State:
        return state._replace(tasks=(*state.tasks[:at], task, *state.tasks[at + 1 :]))

    if verb in ("take", "try", "drop", "read", "write", "leave"):
        yield from ((accesses, (), then(after)) for accesses, after in _lock_moves(state, task.name, verb, what))
    elif verb == "sleep":
        yield from ((accesses, (), then(state, after)) for accesses, after in _sleep_moves(state, task, rest, what))
    elif verb in ("fork", "reap"):
        child = _Task(f"child{at + 1}.{task.children + 1}", (f"first {what}", f"last {what}"))
        behind = (f"end {child.name}", *rest.operations) if verb == "reap" else rest.operations
        after = then(state, rest._replace(children=task.children + 1, operations=behind))
        yield (Access(f"start of {child.name}", Mode.FIRST),), (), after._replace(tasks=(*after.tasks, child))
    elif verb == "first":
        yield (Access(f"start of {task.name}", Mode.AFTER),), (), then(state)
    elif verb == "last":
        yield (Access(what, Mode.WRITE), Access(f"end of {task.name}", Mode.FIRST)), (), then(state.turned(what))
    elif verb == "end":
        if not any(other.operations for other in state.tasks if other.name == what):
            yield (Access(f"end of {what}", Mode.AFTER),), (), then(state)
    else:
        yield from ((accesses, values, then(after)) for accesses, values, after in _cell_moves(state, verb, what))


def _cell_moves(state: _State, verb: str, what: str) -> Iterator[Move]:
    value = state.cell(what)
    if verb == "add":
        yield (Access(what, Mode.ADD),), (), state.grown(what)
    elif verb == "set":
        yield (Access(what, Mode.WRITE),), (), state.turned(what)
    elif verb == "get":
        yield (Access(what, Mode.READ),), (), state
    elif verb == "more":
        read = (Access(what, Mode.READ),)
        yield (*read, Access("y", Mode.ADD)) if value else read, (), state.grown("y") if value else state
    elif verb == "less":
        yield _less(state, what)
    elif verb in ("wait", "even", "both", "some"):
        waited = _waited(state, verb, what)
        if waited:
            yield waited, (), state
    elif verb == "toss":
        read = (Access(what, Mode.READ),)
        yield read, (0,) if value else (), state
        if value:
            yield (*read, Access("y", Mode.ADD)), (1,), state.grown("y")
    elif verb == "pick":
        yield (), (0,), state
        yield (Access(what, Mode.ADD),), (1,), state.grown(what)
        yield (Access("y", Mode.READ),), (2,), state
    elif verb == "wake":
        wakes = tuple((name, n + (name == what)) for name, n in state.wakes)
        yield (Access(f"queue {what}", Mode.WAKE),), (), state._replace(wakes=wakes)


def _less(state: _State, what: str) -> Move:
    touched = [Access(what, Mode.READ)]
    if not state.cell(what):
        return (*touched, Access("z", Mode.WRITE)), (), state.turned("z")
    touched.append(Access("y", Mode.READ))
    if state.cell("y"):
        touched.append(Access("z", Mode.READ))
    return tuple(dict.fromkeys(touched)), (), state


def _waited(state: _State, verb: str, what: str) -> tuple[Access, ...]:
    """Return what a wait touches that is over; nothing if it is not."""
    value, other = state.cell(what), state.cell("y")
    one, two = Access(what, Mode.AWAIT), Access("y", Mode.AWAIT)
    if verb == "both":
        return tuple(dict.fromkeys((one, two))) if value and other else ()
    if verb == "some":
        return (one,) if value else tuple(dict.fromkeys((one, two))) if other else ()
    return (one,) if (value if verb == "wait" else value % 2 == 0) else ()


def _lock_moves(state: _State, me: str, verb: str, what: str) -> Iterator[tuple[tuple[Access, ...], _State]]:
    holders = state.holders
    writers = [who for lock, who in holders if lock == what]
    readers = [who for lock, who in holders if lock == what + "/r"]
    if verb == "try" and writers:
        yield (Access(what, Mode.TEST),), state
    elif verb in ("take", "try", "write") and not writers and not readers:
        mode = Mode.TRY if verb == "try" else Mode.ACQUIRE
        yield (Access(what, mode),), state._replace(holders=(*holders, (what, me)))
    elif verb == "read" and not writers:
        yield (Access(what, Mode.ACQUIRE_READ),), state._replace(holders=(*holders, (what + "/r", me)))
    elif verb in ("drop", "leave"):
        mine = (what, me) if (what, me) in holders else (what + "/r", me)
        mode = Mode.RELEASE if mine[0] == what else Mode.RELEASE_READ
        left = list(holders)
        left.remove(mine)
        yield (Access(what, mode),), state._replace(holders=tuple(left))


def _sleep_moves(state: _State, task: _Task, rest: _Task, what: str) -> Iterator[tuple[tuple[Access, ...], _Task]]:
    queue, wakes = f"queue {what}", dict(state.wakes)[what]
    if task.phase == "":
        yield (Access(queue, Mode.ENQUEUE),), task._replace(phase="look", seen=wakes)
    elif task.phase == "look":
        if state.cell(what):
            # Whoever woke it has come before.
            yield (Access(what, Mode.READ), Access(queue, Mode.READ)), rest
        else:
            yield (Access(what, Mode.READ),), task._replace(phase="asleep")
    elif wakes != task.seen:
        yield (Access(queue, Mode.AWAIT), Access(queue, Mode.ENQUEUE)), task._replace(phase="look", seen=wakes)
