"""Small programs over locks, fields, adds, waits and choices, all of whose touches are declared.

A program is a list of tasks, a task a list of operations:

    take l / drop l     a spinlock              read l / drop-read l    an rwsem, as `write l`
    set x / add x       x = what was seen + 1   see x                   the task remembers x
    if x / wait x       skip the rest / wait,   pick                    a choice of two values
                        unless x is not 0
    let                 drop a reference, of which each task has one at first; the last one frees: x = 9
    find                take one, if there is any, and remember whether there was
    enter / exit        a section that reads under RCU         grace     wait for those of others
"""

from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence

from hypothesis import strategies as st

from notifierlab.explore.run import run_once, RunResult, RunSpec
from notifierlab.explore.strategies import Bounded, Strategy
from notifierlab.host import Host
from notifierlab.machine.locks import Rcu, RwSem, SpinLock
from notifierlab.machine.sched import Machine

Program = Sequence[Sequence[str]]

_BLOCKS = (
    ["set x"],
    ["see x"],
    ["see y"],
    ["add y"],
    ["if x"],
    ["pick"],
    ["pick", "set y"],
    ["take l", "set x", "drop l"],
    ["take l", "see x", "drop l"],
    ["take l", "take m", "drop m", "drop l"],
    ["take m", "take l", "drop l", "drop m"],
    ["read s", "see x", "drop-read s"],
    ["write s", "set x", "drop-write s"],
    ["try l", "add y"],
    ["wait x"],
    ["let"],
    ["find"],
    ["find", "let"],
    ["enter", "see x", "exit"],
    ["grace"],
)


def bodies(blocks: int = 2) -> st.SearchStrategy[list[str]]:
    """Return tasks of up to `blocks` blocks."""
    block = st.sampled_from(_BLOCKS)
    return st.lists(block, min_size=1, max_size=blocks).map(lambda parts: [op for part in parts for op in part])


def programs(tasks: int = 3, blocks: int = 2) -> st.SearchStrategy[list[list[str]]]:
    """Return programs of two to `tasks` tasks with up to `blocks` blocks each."""
    return st.lists(bodies(blocks), min_size=2, max_size=tasks)


class World:
    """What the tasks of a program share, and where each of them stands."""

    def __init__(self, host: Host, program: Program, *, declared: bool) -> None:
        host.all_touches_declared()
        self.machine = host.machine
        self.program = program
        self.declared = declared
        self.fields = {"x": 0, "y": 0}
        self.locks = {name: SpinLock(host.machine, name, "toy") for name in "lm"}
        self.sem = RwSem(host.machine, "s", "toy")
        self.refs = [f"t{n}" for n in range(len(program))]
        self.rcu = Rcu(host.machine)
        self.places: dict[str, tuple[Hashable, ...]] = {}

    async def work(self, n: int) -> None:
        """Be task `n`."""
        name, seen = f"t{n}", 0
        for at, op in enumerate(self.program[n]):
            self._stand(name, at, seen)
            verb, _, what = op.partition(" ")
            if verb == "if":
                await self.machine.step()
                if not self._look(what):
                    break
            else:
                seen = await self._do(verb, what, seen)
        self._stand(name, "end", seen)

    def _stand(self, name: str, at: Hashable, seen: int) -> None:
        self.places[name] = at, seen
        if self.declared:
            self.machine.at(at, seen)

    def _look(self, what: str) -> int:
        self.machine.touch(what, self.machine.mode.READ)
        return self.fields[what]

    async def _do(self, verb: str, what: str, seen: int) -> int:
        machine, sem = self.machine, self.sem
        lock = self.locks.get(what, self.locks["l"])
        moves: dict[str, Callable[[], Awaitable[object]]] = {
            "take": lock.acquire,
            "drop": lock.release,
            "read": sem.acquire_read,
            "drop-read": sem.release_read,
            "write": sem.acquire_write,
            "drop-write": sem.release_write,
            "wait": lambda: machine.step(lambda: bool(self._look(what)), f"{what} to be set"),
            "grace": self.rcu.synchronize,
        }
        if verb in moves:
            await moves[verb]()
            return seen
        if verb == "try":
            if await lock.try_acquire():
                await lock.release()
                return seen + 1
            return seen
        await machine.step()
        if verb in ("let", "find"):
            return seen + (self._let() if verb == "let" else self._find())
        if verb in ("enter", "exit"):
            (self.rcu.read_enter if verb == "enter" else self.rcu.read_exit)()
            return seen
        if verb == "pick":
            return machine.choose("pick", seen, seen + 5)
        if verb == "see":
            return self._look(what)
        self._change(what, seen + 1 if verb == "set" else self.fields[what] + 1, add=verb == "add")
        return seen

    def _let(self) -> int:
        """Drop a reference, if the task has one; tell whether it was the last."""
        me = self.machine.current.name
        if me not in self.refs:
            return 0
        self.refs.remove(me)
        self.machine.touch_put("refs", len(self.refs))
        if self.refs:
            return 0
        self._change("x", 9, add=False)
        return 1

    def _find(self) -> int:
        self.machine.touch_get_unless_zero("refs", len(self.refs))
        if not self.refs:
            return 0
        self.refs.append(self.machine.current.name)
        return 1

    def _change(self, what: str, value: int, *, add: bool) -> None:
        self.machine.touch(what, self.machine.mode.ADD if add else self.machine.mode.WRITE)
        self.fields[what] = value
        if self.declared:
            self.machine.holds(what, value)

    def state(self) -> Hashable:
        """Return the state as it is, names and all."""
        locks = tuple(lock.holder.name if lock.holder else "" for lock in self.locks.values())
        readers = tuple(sorted(task.name for task in self.sem.readers))
        writer = self.sem.writer.name if self.sem.writer else ""
        refs = tuple((f"t{n}", self.refs.count(f"t{n}")) for n in range(len(self.program)))
        return (tuple(sorted(self.places.items())), tuple(self.fields.values()), locks, readers, writer, refs)


class Watching:
    """Wraps a strategy; after each run, `last` has the states of the world at its choices and at its end."""

    name = "watching"
    records = True

    def __init__(self, inner: Strategy) -> None:
        self.inner = inner
        self.world: World | None = None
        self.machine: Machine | None = None
        self.at_choices: list[tuple[int, Hashable]] = []

    def new_run(self) -> bool:
        return self.inner.new_run()

    def begin_run(self, machine: Machine) -> None:
        self.machine = machine
        self.at_choices = []
        self.inner.begin_run(machine)

    def choose(self, options: int, carry_on: bool, is_value: bool) -> int:
        if not is_value:
            assert self.machine is not None
            assert self.world is not None
            self.at_choices.append((len(self.machine.trace), self.world.state()))
        return self.inner.choose(options, carry_on, is_value)

    def end_run(self, result: RunResult) -> None:
        assert self.world is not None
        self.at_choices.append((len(result.trace), self.world.state()))
        self.inner.end_run(result)


def spec_of(
    program: Program, watching: Watching | None = None, *, declared: bool = False, alike: Sequence[str] = ()
) -> RunSpec:
    """Return what runs a program; `declared` declares its state, `alike` names interchangeable tasks."""

    async def small(host: Host) -> None:
        world = World(host, program, declared=declared)
        if watching is not None:
            watching.world = world
        host.machine.interchangeable(*alike)
        async with host.together() as tasks:
            for n in range(len(program)):
                tasks.start(world.work, n, name=f"t{n}")

    return RunSpec(name="small", scenario=small, steps_max=1000)


def runs_of(spec: RunSpec, strategy: Strategy) -> Iterator[RunResult]:
    """Execute all runs of a strategy, one after the other."""
    while strategy.new_run():
        yield run_once(spec, strategy)


def every_order() -> Bounded:
    """Return a strategy that executes every order, without any reduction."""
    return Bounded(1000)
