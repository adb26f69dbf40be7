"""Every trace of a small program (`tests/trace_programs.py`), by trying every order of its operations.

It knows by itself what operations mean. Of two beginnings that are one trace it follows one
only, so that there may be many; `whole_orders` follows all.
"""

from collections.abc import Iterator
from typing import NamedTuple

from notifierlab.machine.access import Access, Mode
from tests.trace_programs import CELLS, dependent, ordered, Program, Steps, Trace


class _Task(NamedTuple):
    name: str
    operations: tuple[str, ...]
    phase: str = ""
    seen: int = 0
    children: int = 0
    owed: tuple[tuple[str, int], ...] = ()


_GRACE_BEGINS = (Access("rcu", Mode.READ),)
_SECTION_BEGINS = Access("rcu", Mode.INSERT)
_ZEROS = tuple((name, 0) for name in CELLS)


class _State(NamedTuple):
    tasks: tuple[_Task, ...]
    cells: tuple[tuple[str, int], ...] = _ZEROS
    holders: tuple[tuple[str, str], ...] = ()
    wakes: tuple[tuple[str, int], ...] = _ZEROS
    begun: tuple[tuple[str, int], ...] = ()

    def cell(self, name: str) -> int:
        return dict(self.cells)[name]

    def having(self, name: str, value: int) -> "_State":
        return self._replace(cells=tuple((n, value if n == name else v) for n, v in self.cells))

    def turned(self, name: str) -> "_State":
        return self.having(name, 0 if self.cell(name) else 5)

    def grown(self, name: str) -> "_State":
        return self.having(name, self.cell(name) + 1)


Order = tuple[Steps, _State]
"""The steps of an order, and what is at its end."""

Orders = dict[Trace, Order]
"""For each trace one order that is this trace."""


def orders_of(program: Program, most: int) -> Orders | None:
    """Return every trace of a program; None if there are too many."""
    start = _started(program)
    frontier: Orders = {frozenset(): ((), start)}
    ends: Orders = {}
    while frontier:
        behind: Orders = {}
        for key, (steps, state) in frontier.items():
            moved = False
            for at in range(len(state.tasks)):
                for accesses, values, after in _moves(_without_idle(state, at), at):
                    moved = True
                    more = (*steps, (state.tasks[at].name, accesses, values))
                    behind[ordered(more)] = (more, after)
            if not moved:
                ends[key] = steps, state
        frontier = behind
        if len(frontier) > most or len(ends) > most:
            return None
    return ends


def cells_of(order: Order) -> tuple[int, ...]:
    """Return what the cells hold at the end of an order."""
    return tuple(value for _, value in order[1].cells)


def graces_begun_early(program: Program, order: Order) -> tuple[Trace, bool]:
    """Return the trace of an order in which each grace period begins before every section that its task had
    not seen, and whether that has come to its end."""
    steps, state = order
    while (early := _replayed(program, _begun_early(steps)))[0] != steps:
        steps, state = early
    return ordered(steps), not any(True for at in range(len(state.tasks)) for _ in _moves(_without_idle(state, at), at))


def _replayed(program: Program, schedule: Steps) -> Order:
    """Return the order in which the same tasks go, with what their steps touch then."""
    state = _started(program)
    steps: Steps = ()
    for task, _, values in schedule:
        at = [each.name for each in state.tasks].index(task)
        moves = _moves(_without_idle(state, at), at)
        accesses, state = next((accesses, after) for accesses, chosen, after in moves if chosen == values)
        steps = (*steps, (task, accesses, values))
    return steps, state


def _begun_early(steps: Steps) -> Steps:
    """Return the steps, each begin of a grace period put before the sections that its task had not seen."""
    at = 0
    while at < len(steps):
        if steps[at][1] == _GRACE_BEGINS:
            seen = _seen_before(steps, at)
            if any(_SECTION_BEGINS in steps[n][1] for n in range(at) if n not in seen):
                late = [step for n, step in enumerate(steps) if n != at and n not in seen]
                steps = (*[steps[n] for n in seen], steps[at], *late)
                at = len(seen)
        at += 1
    return steps


def _seen_before(steps: Steps, at: int) -> list[int]:
    """Return the steps that happened before the one before `at` of the same task, and that one."""
    seen: list[int] = []
    for n in range(at - 1, -1, -1):
        task, accesses, _ = steps[n]
        if task == steps[at][0] or any(
            task == steps[later][0] or dependent(accesses, steps[later][1]) for later in seen
        ):
            seen.insert(0, n)
    return seen


def whole_orders(program: Program) -> Iterator[tuple[Trace, _State]]:
    """Go through every order of a program, however many are one trace: what it is, and what is then."""
    waiting: list[tuple[Steps, _State]] = [((), _started(program))]
    while waiting:
        steps, state = waiting.pop()
        behind = [
            ((*steps, (state.tasks[at].name, accesses, values)), after)
            for at in range(len(state.tasks))
            for accesses, values, after in _moves(_without_idle(state, at), at)
        ]
        waiting += behind
        if not behind:
            yield ordered(steps), state._replace(holders=tuple(sorted(state.holders)))


def _started(program: Program) -> _State:
    refs = tuple(("refs", f"t{n}") for n in range(len(program)))
    return _State(tuple(_Task(f"t{n}", tuple(task)) for n, task in enumerate(program)), holders=refs)


def _without_idle(state: _State, at: int) -> _State:
    """Leave out operations that are no step: dropping what is not held, trying what is."""
    task = _without_idle_of(state, state.tasks[at])
    return state._replace(tasks=(*state.tasks[:at], task, *state.tasks[at + 1 :]))


def _without_idle_of(state: _State, task: _Task) -> _Task:
    while task.operations:
        verb, _, what = task.operations[0].partition(" ")
        mine = (what, task.name) in state.holders or (what + "/r", task.name) in state.holders
        if verb in ("pass", "swap", "skim"):
            idle = (what, task.name) in state.holders
        elif verb in ("keep", "let"):
            idle = ("refs", task.name) not in state.holders
        elif verb in ("enter", "exit", "grace"):
            idle = (("rcu", task.name) in state.holders) != (verb == "exit")
        else:
            idle = mine if verb == "try" else verb in ("drop", "leave") and not mine
        if not idle:
            break
        task = task._replace(operations=task.operations[1:])
    return task


Touched = tuple[Access, ...]
Move = tuple[Touched, tuple[int, ...], _State]
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

    if verb in ("take", "try", "drop", "pass", "swap", "read", "write", "leave", "skim"):
        yield from ((accesses, (), then(after)) for accesses, after in _lock_moves(state, task.name, verb, what))
    elif verb in ("keep", "let", "find"):
        yield from ((accesses, (), then(after)) for accesses, after in _ref_moves(state, task.name, verb))
    elif verb in ("enter", "exit"):
        yield from ((accesses, (), then(after)) for accesses, after in _section_moves(state, task.name, verb))
    elif verb == "grace":
        yield from ((accesses, (), then(state, after)) for accesses, after in _grace_moves(state, task, rest))
    elif verb == "sleep":
        yield from ((accesses, (), then(state, after)) for accesses, after in _sleep_moves(state, task, rest, what))
    elif verb in ("fork", "reap", "first", "last", "end"):
        yield from ((accesses, (), after) for accesses, after in _child_moves(state, at, rest, verb, what))
    else:
        yield from ((accesses, values, then(after)) for accesses, values, after in _cell_moves(state, verb, what))


def _child_moves(state: _State, at: int, rest: _Task, verb: str, what: str) -> Iterator[tuple[Touched, _State]]:
    me, tasks = rest.name, state.tasks
    after = state._replace(tasks=(*tasks[:at], rest, *tasks[at + 1 :]))
    if verb in ("fork", "reap"):
        child = _Task(f"child{at + 1}.{rest.children + 1}", (f"first {what}", f"last {what}"))
        behind = (f"end {child.name}", *rest.operations) if verb == "reap" else rest.operations
        mine = rest._replace(children=rest.children + 1, operations=behind)
        yield (
            (Access(f"start of {child.name}", Mode.FIRST),),
            after._replace(tasks=(*tasks[:at], mine, *tasks[at + 1 :], child)),
        )
    elif verb == "first":
        yield (Access(f"start of {me}", Mode.AFTER),), after
    elif verb == "last":
        yield (Access(what, Mode.WRITE), Access(f"end of {me}", Mode.FIRST)), after.turned(what)
    elif not any(other.operations for other in tasks if other.name == what):
        yield (Access(f"end of {what}", Mode.AFTER),), after


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


def _waited(state: _State, verb: str, what: str) -> Touched:
    """Return what a wait touches that is over; nothing if it is not."""
    value, other = state.cell(what), state.cell("y")
    one, two = Access(what, Mode.AWAIT), Access("y", Mode.AWAIT)
    if verb == "both":
        return tuple(dict.fromkeys((one, two))) if value and other else ()
    if verb == "some":
        return (one,) if value else tuple(dict.fromkeys((one, two))) if other else ()
    return (one,) if (value if verb == "wait" else value % 2 == 0) else ()


def _lock_moves(state: _State, me: str, verb: str, what: str) -> Iterator[tuple[Touched, _State]]:
    holders = state.holders
    writers = [who for lock, who in holders if lock == what]
    readers = [who for lock, who in holders if lock == what + "/r"]
    if verb in ("try", "swap") and writers:
        yield (Access(what, Mode.TEST),), state
    elif verb == "pass" and not writers:
        yield (Access(what, Mode.PASS), Access("x", Mode.READ)), state
    elif verb == "swap":
        yield (Access(what, Mode.TEST), Access("x", Mode.WRITE)), state.turned("x")
    elif verb == "skim" and not writers:
        yield (Access(what, Mode.PASS_READ), Access("x", Mode.READ)), state
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


def _ref_moves(state: _State, me: str, verb: str) -> Iterator[tuple[Touched, _State]]:
    holders, mine = state.holders, ("refs", me)
    count = sum(what == "refs" for what, _ in holders)
    if verb == "let":
        left = list(holders)
        left.remove(mine)
        mode, last = {1: (Mode.WRITE, Mode.WRITE), 2: (Mode.ADD, Mode.PUT_LEAVES_ONE)}.get(count, (Mode.ADD, Mode.PUT))
        yield (Access("refs", mode), Access("refs.last", last)), state._replace(holders=tuple(left))
        return
    sees = (Access("refs.last", Mode.READ),) if verb == "find" else ()
    mode = Mode.ADD if count else Mode.READ
    yield (Access("refs", mode), *sees), state._replace(holders=(*holders, mine) if count else holders)


def _section_moves(state: _State, me: str, verb: str) -> Iterator[tuple[Touched, _State]]:
    section = dict(state.begun).get(me, 0)
    if verb == "exit":
        left = tuple(each for each in state.holders if each != ("rcu", me))
        yield (Access(f"rcu section {section} of {me}", Mode.FIRST),), state._replace(holders=left)
        return
    begun = tuple(sorted((dict(state.begun) | {me: section + 1}).items()))
    yield (Access("rcu", Mode.INSERT),), state._replace(holders=(*state.holders, ("rcu", me)), begun=begun)


def _grace_moves(state: _State, task: _Task, rest: _Task) -> Iterator[tuple[Touched, _Task]]:
    if not task.phase:
        yield (Access("rcu", Mode.READ),), task._replace(phase="waits", owed=state.begun)
        return
    ended = [other.name for other in state.tasks if not _without_idle_of(state, other).operations]
    touched = []
    for who, section in task.owed:
        inside = ("rcu", who) in state.holders and dict(state.begun)[who] == section
        if not inside:
            touched.append(Access(f"rcu section {section} of {who}", Mode.AFTER))
        elif who not in ended:
            return
    yield tuple(touched), rest._replace(owed=())


def _sleep_moves(state: _State, task: _Task, rest: _Task, what: str) -> Iterator[tuple[Touched, _Task]]:
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
