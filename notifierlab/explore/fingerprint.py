"""The state a run is in, as a value: equal values, equal futures.

Tasks are deterministic, so where one stands and what it will do next is a function of
what it has *observed*: the values it met in the objects it touched and the choices of
values it got, step after step. What an object holds is a function of who changed it, in
which state, and in which order where the order matters. So the state is built from what
the steps touched (`machine.trace`), and from nothing else: no frames, no code, nothing
that differs between versions of Python.

    task     its past: (past before, what was touched and what stood there, choices)
    object   its past: (value before, the past of the task that changed it)
             adds and inserts: a multiset of them, for their order is seen by nobody
    lock     who had it before, as an object; who holds it, kept with the task that does

Two runs come to the same state just if they differ in nothing but the order of
independent steps, as in `dpor`; so rules that judge the past (`data-race`) lose nothing
either, since whatever ordered two steps, a lock too, was observed. More is merged where a
scenario declares what an object `holds` and where a task is `at` (`machine/declaring.py`);
then it answers for it.

What a step observes of an object is what the object held before the step: what the step
itself did to it before looking follows from that.
    ADD INSERT WAKE RELEASE_READ   nothing: they change places among themselves
    ACQUIRE_READ                   who wrote under the lock before, not who read
    TEST                           the object, and who holds the lock
    the others                     the object (a change may depend on what it changes)

Interchangeable tasks are kept as a multiset of pasts without names. No object knows
them by name either: a change is known by the past of its author. If two of them have the
same past, neither has changed anything in an order that can be seen (the second would
have seen the first's change), so it does not matter which of them is which.

All these are numbered as they appear and equal numbers mean equal things, exactly: no
two states are taken for one by the accident of a hash.
"""

from collections.abc import Hashable, Sequence
from typing import Final

from notifierlab.machine.access import Mode, Step
from notifierlab.machine.declaring import Note
from notifierlab.machine.sched import Machine
from notifierlab.machine.task import END_OF, START_OF

State = tuple[Hashable, ...]
"""The state of a run, for comparison with those of other runs of one `Numbers`."""

_OBSERVES: Final = frozenset(
    (Mode.READ, Mode.WRITE, Mode.AWAIT, Mode.ENQUEUE, Mode.ACQUIRE, Mode.TRY, Mode.TEST, Mode.DOWNGRADE, Mode.RELEASE)
)
_REPLACES: Final = frozenset((Mode.WRITE, Mode.RELEASE, Mode.DOWNGRADE))
_TOGETHER: Final = {Mode.ADD: "add", Mode.INSERT: "insert", Mode.WAKE: "wake", Mode.RELEASE_READ: "read"}
_TAKES: Final = {Mode.ACQUIRE: "write", Mode.ACQUIRE_READ: "read", Mode.TRY: "try"}
_ONCE: Final = frozenset((Mode.FIRST, Mode.AFTER))


class Numbers:
    """Gives each thing a number; equal things get the same."""

    def __init__(self) -> None:
        self._known: dict[Hashable, int] = {}

    def of(self, thing: Hashable) -> int:
        """Return the number of `thing`."""
        return self._known.setdefault(thing, len(self._known))


class Portrait:
    """The state after each step of a run, brought forward by `take`. `gone` are the tasks that have ended."""

    __slots__ = (
        "_alike",
        "_datas",
        "_held",
        "_numbers",
        "_objects",
        "_pasts",
        "_tasks",
        "_together",
        "gone",
        "notes_taken",
        "taken",
    )

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self._pasts: dict[str, int] = {}
        self._objects: dict[str, int] = {}
        # Of an object: the changes since its number was made whose order nobody sees.
        self._together: dict[str, tuple[str, tuple[int, ...]]] = {}
        self._held: dict[str, tuple[tuple[str, str], ...]] = {}
        # What the state is made of, kept up to date where a step changes it: for each object
        # the number of all there is to know of it, for each task that of its past and its locks.
        self._datas: dict[str, int] = {}
        self._tasks: dict[str, int] = {}
        self._alike: dict[str, str] = {}
        self.gone: tuple[str, ...] = ()
        self.taken = 0
        self.notes_taken = 0

    def copy(self) -> "Portrait":
        """Return one that can go on by itself."""
        other = Portrait(self._numbers)
        other._pasts = self._pasts.copy()
        other._objects = self._objects.copy()
        other._together = self._together.copy()
        other._held = self._held.copy()
        other._datas = self._datas.copy()
        other._tasks = self._tasks.copy()
        other._alike = self._alike
        other.gone = self.gone
        other.taken = self.taken
        other.notes_taken = self.notes_taken
        return other

    def take(self, machine: Machine, step: Step | None = None) -> Step:
        """Go on by one step that `machine` has recorded, or by `step` in its place; return it."""
        step = machine.trace[self.taken] if step is None else step
        self._alike = machine.alike
        declared = self._declared(machine.notes)
        past = self._observe(step)
        self._change(step, past, declared)
        self.taken += 1
        return step

    def task(self, name: str) -> int:
        """Return the state of a task, without its name if it is interchangeable."""
        number = self._tasks.get(name)
        return self._numbers.of((self._past(name), self._held.get(name, ()))) if number is None else number

    def held(self, name: str) -> tuple[tuple[str, str], ...]:
        """Return the locks a task has, and how: "read", "write", or "try" for an attempt that succeeded."""
        return self._held.get(name, ())

    def state(self) -> State:
        """Return the state of all."""
        # The number of an object has its name in it, so names need not stand here again.
        return tuple(sorted(self._tasks.values())), tuple(sorted(self._datas.values()))

    # --- a step ---------------------------------------------------------------------

    def _declared(self, notes: Sequence[Note]) -> list[Note]:
        """Return what was declared in the step to be taken."""
        first = self.notes_taken
        while self.notes_taken < len(notes) and notes[self.notes_taken].step <= self.taken:
            self.notes_taken += 1
        return list(notes[first : self.notes_taken])

    def _observe(self, step: Step) -> int:
        """Add to a task's past what it met; return that past."""
        seen = []
        for name, mode in step.accesses:
            if mode in _OBSERVES:
                seen.append((name, int(mode), self._data(name)))
                if mode is Mode.TEST:
                    seen.append((name, int(mode), self._numbers.of(self._holders(name, step.task))))
            elif mode is Mode.ACQUIRE_READ:
                # Readers do not see each other come and go.
                seen.append((name, int(mode), self._objects.get(name, -1)))
            elif mode in _ONCE:
                seen.append((_own(name, step.task), int(mode), -1))
            elif mode is Mode.PUT_LEAVES_ONE:
                # How many are left whoever drops one does not learn, unless he is the last.
                seen.append((name, int(Mode.PUT), -1))
            else:
                seen.append((name, int(mode), -1))
        past = self._numbers.of((self._past(step.task), tuple(seen), step.values))
        self._pasts[step.task] = past
        return past

    def _change(self, step: Step, past: int, declared: Sequence[Note]) -> None:
        """Make of the objects what the step made of them."""
        for name, mode in step.accesses:
            if mode in _REPLACES:
                self._put(name, self._numbers.of(("write", name, self._data(name), past)))
            elif mode in _TOGETHER:
                self._add(name, _TOGETHER[mode], past)
            if mode in _TAKES:
                self._hold(step.task, name, _TAKES[mode])
            elif mode is Mode.RELEASE or mode is Mode.RELEASE_READ:
                self._release(step.task, name, read=mode is Mode.RELEASE_READ)
            elif mode is Mode.DOWNGRADE:
                self._release(step.task, name, read=False)
                self._hold(step.task, name, "read")
            elif mode is Mode.FIRST and name.startswith(START_OF):
                child = name.removeprefix(START_OF)
                self._pasts[child] = self._numbers.of(("task", self._alike.get(child, child), past))
                self._refresh(child)
                self.gone = tuple([name for name in self.gone if name != child])
            elif mode is Mode.FIRST and name.startswith(END_OF):
                self.gone = tuple(sorted((*self.gone, step.task)))
        for note in declared:
            if note.kind == "holds":
                self._put(note.name, self._numbers.of(("holds", note.name, note.value)))
            else:
                who = self._alike.get(note.name, note.name)
                self._pasts[note.name] = self._numbers.of(("at", who, note.value))
                self._refresh(note.name)
        self._refresh(step.task)

    def _past(self, name: str) -> int:
        past = self._pasts.get(name)
        return self._numbers.of(("task", name)) if past is None else past

    def _refresh(self, task: str) -> None:
        self._tasks[task] = self._numbers.of((self._past(task), self._held.get(task, ())))

    # --- objects --------------------------------------------------------------------

    def _data(self, name: str) -> int:
        return self._datas.get(name, -1)

    def _put(self, name: str, number: int) -> None:
        """Let `number` be all there is to know of an object."""
        self._objects[name] = self._datas[name] = number
        self._together.pop(name, None)

    def _add(self, name: str, kind: str, past: int) -> None:
        before, changes = self._together.get(name, (kind, ()))
        if before != kind:
            self._objects[name] = self._data(name)
            changes = ()
        self._objects.setdefault(name, -1)
        together = self._together[name] = kind, tuple(sorted((*changes, past)))
        self._datas[name] = self._numbers.of((name, self._objects[name], together))

    # --- locks ----------------------------------------------------------------------

    def _hold(self, task: str, lock: str, how: str) -> None:
        self._held[task] = tuple(sorted((*self._held.get(task, ()), (lock, how))))

    def _release(self, task: str, lock: str, *, read: bool) -> None:
        """Let go of a lock; whoever drops one that is not theirs drops it for its holder."""
        wanted = ("read", "try") if read else ("write", "try")
        if self._let_go(task, lock, wanted) or read:
            return
        for other in self._held:
            self._let_go(other, lock, wanted)

    def _let_go(self, task: str, lock: str, wanted: tuple[str, ...]) -> bool:
        held = self._held.get(task, ())
        for how in wanted:
            if (lock, how) in held:
                at = held.index((lock, how))
                self._held[task] = held[:at] + held[at + 1 :]
                self._refresh(task)
                return True
        return False

    def _holders(self, lock: str, me: str) -> Hashable:
        mine = tuple(hold for hold in self._held.get(me, ()) if hold[0] == lock)
        others = sorted(
            tuple(hold for hold in held if hold[0] == lock) for task, held in self._held.items() if task != me
        )
        return mine, tuple(holds for holds in others if holds)


def _own(name: str, task: str) -> str:
    """Return the name of a start or end, without the task's name where that is its own."""
    return name.removesuffix(f" of {task}")
