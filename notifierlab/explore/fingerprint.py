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

So two runs come to the same state just if they differ in nothing but the order of
independent steps, as in `dpor`; rules that judge the past lose nothing either, since
whatever ordered two steps, a lock too, was observed. More is merged where a scenario
declares what an object `holds` and where a task is `at` (`machine/declaring.py`); then it
answers for it.

By value, much more is merged: an object is what it shows, a lock who holds it, a task what
is left when it has forgotten how it came to where it is, and what rules remember is a part of the state by
itself (`checker/memory.py`), as is who has something new to try. Then nothing is left of
who came after whom, but where it shows. What goes by that must be seen to in another way (`guards.py`).

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

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from typing import Final

from notifierlab.machine.access import Access, Mode, NOT_SEEN, Step
from notifierlab.machine.declaring import Forgotten, Note, UNKNOWN
from notifierlab.machine.locks import SECTION
from notifierlab.machine.plain import ABSENT
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
_UNSEEN: Final = (*NOT_SEEN, SECTION)
"""By value: a grace period waits for the sections that it saw open when it began, not for those that were over."""
_NOTHING: Final = ((), ABSENT)
"""What an object shows of which there is nothing to know."""


class Numbers:
    """Gives each thing a number; equal things get the same."""

    def __init__(self) -> None:
        self._known: dict[Hashable, int] = {}

    def of(self, thing: Hashable) -> int:
        """Return the number of `thing`."""
        return self._known.setdefault(thing, len(self._known))


class Portrait:
    """The state after each step of a run, brought forward by `take`. `gone` are the tasks that have ended.

    `by_value` says whether it is one by value: that was asked for, and the run can give it. Then `uses` are the
    plain fields used in the last step, with whether they were written, and `strayed` says that a task
    used an answer of the host which it had claimed to forget.
    """

    __slots__ = (
        "_alike",
        "_asked",
        "_datas",
        "_held",
        "_marks",
        "_numbers",
        "_objects",
        "_pasts",
        "_tasks",
        "_together",
        "_values",
        "by_value",
        "gone",
        "notes_taken",
        "strayed",
        "taken",
        "uses",
    )

    def __init__(self, numbers: Numbers, *, values: bool = False) -> None:
        self._numbers = numbers
        self._values = values
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
        # By task its past at each mark, and the look-ups it began with the mark before each.
        self._marks: dict[str, tuple[tuple[int, int], ...]] = {}
        self._asked: dict[str, tuple[tuple[str, int], ...]] = {}
        self.by_value = False
        self.uses: tuple[tuple[str, bool], ...] = ()
        self.strayed = False
        self.gone: tuple[str, ...] = ()
        self.taken = 0
        self.notes_taken = 0

    def copy(self) -> "Portrait":
        """Return one that can go on by itself."""
        other = Portrait(self._numbers, values=self._values)
        other._pasts = self._pasts.copy()
        other._objects = self._objects.copy()
        other._together = self._together.copy()
        other._held = self._held.copy()
        other._datas = self._datas.copy()
        other._tasks = self._tasks.copy()
        other._alike = self._alike
        other._marks = self._marks.copy()
        other._asked = self._asked.copy()
        other.by_value = self.by_value
        other.strayed = self.strayed
        other.gone = self.gone
        other.taken = self.taken
        other.notes_taken = self.notes_taken
        return other

    def take(self, machine: Machine, step: Step | None = None) -> Step:
        """Go on by one step that `machine` has recorded, or by `step` in its place; return it."""
        step = machine.trace[self.taken] if step is None else step
        self._alike = machine.alike
        self.by_value = self._values and machine.judges and not machine.alike
        declared = self._declared(machine.notes)
        past = self._observe(step)
        if self.by_value:
            shown = {note.name: note.value for note in declared if note.kind == "shows"}
            # What shows something unknown is what was done to it.
            shown = {name: value for name, value in shown.items() if value is not UNKNOWN}
            self._change(step, past, shown)
            for name, value in shown.items():
                self._show(name, value)
            self._live(step.task, declared)
        else:
            self._change(step, past, {})
            self._believe(declared)
        self._refresh(step.task)
        self.taken += 1
        return step

    @property
    def live(self) -> int:
        """How many tasks have begun and not ended."""
        return len(self._pasts) - len(self.gone)

    @property
    def lookups(self) -> dict[str, tuple[str, ...]]:
        """By task the look-ups that it began and has not forgotten."""
        return {task: tuple([name for name, _ in asked]) for task, asked in self._asked.items() if asked}

    def task(self, name: str) -> int:
        """Return the state of a task, without its name if it is interchangeable."""
        number = self._tasks.get(name)
        return self._numbers.of((self._past(name), self._held.get(name, ()))) if number is None else number

    def held(self, name: str) -> tuple[tuple[str, str], ...]:
        """Return the locks a task has, and how: "read", "write", or "try" for an attempt that succeeded."""
        return self._held.get(name, ())

    def state(self, *rest: Hashable) -> State:
        """Return the state of all. By value, `rest` is what belongs to it and no step records."""
        # The number of an object has its name in it, so names need not stand here again.
        tasks, datas = tuple(sorted(self._tasks.values())), tuple(sorted(self._datas.values()))
        if not self.by_value:
            return tasks, datas
        of = self._numbers.of
        return of(tasks), of(datas), *map(of, rest)

    # --- a step ---------------------------------------------------------------------

    def _declared(self, notes: Sequence[Note]) -> list[Note]:
        """Return what was declared in the step to be taken."""
        first = self.notes_taken
        while self.notes_taken < len(notes) and notes[self.notes_taken].step <= self.taken:
            self.notes_taken += 1
        return list(notes[first : self.notes_taken])

    def _observe(self, step: Step) -> int:
        """Add to a task's past what it met; return that past."""
        seen = self._seen(step.task, step.accesses)
        past = self._pasts[step.task] = self._numbers.of((self._past(step.task), seen, step.values))
        return past

    def _seen(self, task: str, accesses: Sequence[Access]) -> tuple[Hashable, ...]:
        """Return what a task meets that touches so."""
        seen: list[Hashable] = []
        by_value = self.by_value
        for name, mode in accesses:
            if by_value and name.startswith(_UNSEEN):
                continue
            if mode in _OBSERVES:
                seen.append((name, int(mode), self._data(name)))
                if mode is Mode.TEST:
                    seen.append((name, int(mode), self._numbers.of(self._holders(name, task))))
            elif mode is Mode.ACQUIRE_READ:
                # Readers do not see each other come and go.
                seen.append((name, int(mode), self._objects.get(name, -1)))
            elif mode in _ONCE:
                # Whoever joins a task may know what that came to.
                seen.append((_own(name, task), int(mode), self._data(name)))
            elif mode is Mode.PUT_LEAVES_ONE:
                # How many are left whoever drops one does not learn, unless he is the last.
                seen.append((name, int(Mode.PUT), -1))
            else:
                seen.append((name, int(mode), -1))
        return tuple(seen)

    def _change(self, step: Step, past: int, shown: Mapping[str, Hashable]) -> None:
        """Make of the objects what the step made of them, but of those that have `shown` it themselves."""
        by_value = self.by_value
        for name, mode in step.accesses:
            if by_value and (name in shown or name.startswith(NOT_SEEN)):
                pass
            elif mode in _REPLACES:
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

    def _believe(self, declared: Sequence[Note]) -> None:
        """Take what a scenario says of objects and tasks."""
        for note in declared:
            if note.kind == "holds":
                self._put(note.name, self._numbers.of(("holds", note.name, note.value)))
            elif note.kind == "at":
                who = self._alike.get(note.name, note.name)
                self._pasts[note.name] = self._numbers.of(("at", who, note.value))
                self._refresh(note.name)

    def _show(self, name: str, value: Hashable) -> None:
        """Let an object be what it shows."""
        if value in _NOTHING:
            for known in (self._objects, self._datas, self._together):
                known.pop(name, None)
        else:
            self._put(name, self._numbers.of(("shows", name, value)))

    def _live(self, task: str, declared: Sequence[Note]) -> None:
        """Forget what a task forgets; keep what it may still use."""
        uses = []
        for note in declared:
            kind = note.kind
            if kind == "mark":
                assert isinstance(note.value, int)
                self._marks[task] = (*self._marks.get(task, ()), (note.value, self._pasts[task]))
            elif kind == "forget":
                assert isinstance(note.value, Forgotten)
                self._forget(task, note.value)
            elif kind == "asks":
                marks = self._marks.get(task)
                self._asked[task] = (*self._asked.get(task, ()), (note.name, marks[-1][0] if marks else 0))
            elif kind == "maps":
                self.strayed = self.strayed or not any(note.name in names for names in self.lookups.values())
            elif kind == "uses":
                uses.append((note.name, bool(note.value)))
        self.uses = tuple(uses)
        if task in self.gone:
            # What it came to is known to whoever joins it, and to nobody else.
            end = f"{END_OF}{task}"
            self._put(end, self._numbers.of((end, self._pasts[task])))
            self._pasts[task] = self._numbers.of(("ended", task))
            self._asked.pop(task, None)

    def _forget(self, task: str, forgotten: Forgotten) -> None:
        """Be as it was at the mark, but for what was kept, and what the step met behind that."""
        of = self._numbers.of
        marks = self._marks.get(task, ())
        before = dict(marks).get(forgotten.mark)
        if before is None:
            # What came before the mark was forgotten as well.
            return
        self._marks[task] = tuple([mark for mark in marks if mark[0] <= forgotten.mark])
        self._asked[task] = tuple([asked for asked in self._asked.get(task, ()) if asked[1] < forgotten.mark])
        past = of(("forgot", before, forgotten.kept))
        if forgotten.after or forgotten.values:
            past = of((past, self._seen(task, forgotten.after), forgotten.values))
        self._pasts[task] = past

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


def state_of(portrait: Portrait, machine: Machine, awake: Sequence[str] = ()) -> State:
    """Return the state in which a run is now; `awake` are the tasks that may go on and have something new to try.

    By value, what rules remember belongs to it. At an end, where nobody may go on, no answer will be used any more.
    """
    if not portrait.by_value:
        return portrait.state()
    assert machine.memory is not None
    return portrait.state(machine.memory(portrait.lookups if awake else {}), tuple(sorted(awake)))


def end_of(machine: Machine) -> str:
    """Return what is to be seen at the end of a run and what rules remember, in short: the same text in every process.

    What an object holds of which nobody says it, does not count.
    """
    seen = {note.name: note.value for note in machine.notes if note.kind in ("shows", "holds")}
    remembered = machine.memory({}) if machine.judges and machine.memory is not None else ()
    something = sorted([(name, value) for name, value in seen.items() if value not in _NOTHING])
    text = repr((machine.ended, something, remembered))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _own(name: str, task: str) -> str:
    """Return the name of a start or end, without the task's name where that is its own."""
    return name.removesuffix(f" of {task}")
