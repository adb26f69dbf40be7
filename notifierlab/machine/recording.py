"""What each step of a run touched, for searches that want to know.

Off by default, and then it costs a look at one attribute. Switched on, the machine looks
at the conditions of all tasks itself, so that what a condition reads is known as its
task's, and never as a touch of the step that happened to end there.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, ClassVar, Final, TypeAlias

from notifierlab.events import Event
from notifierlab.machine.access import Access, ACCESSES, CONFLICTS, Mode, NOT_SEEN, passing, Step, TRY
from notifierlab.machine.declaring import Declaring
from notifierlab.machine.judged import Judged
from notifierlab.machine.task import Task

_SEES: Final = (Mode.READ, Mode.WRITE, Mode.TEST, Mode.TRY, Mode.AWAIT)
_SHOWS: Final = CONFLICTS[Mode.READ] | CONFLICTS[Mode.TEST] | CONFLICTS[Mode.AWAIT]
"""The modes, as bits, that change what somebody had looked at."""
_LOOKS: Final = (Mode.READ, Mode.TEST)
_GUARDS: Final = (Mode.ACQUIRE, Mode.ACQUIRE_READ, Mode.PASS, Mode.AWAIT, Mode.AFTER)

_STEPS_KEPT: Final = 8192

Memory: TypeAlias = Callable[[Mapping[str, Sequence[str]]], Hashable]

NAME: Final = attrgetter("name")
"""The name of a task."""


class Spin:
    """A try of a task: what it looked at since the try began, and whether somebody changed that.

    A try that sees what the last one saw ends as the last one did. So a search takes it up
    again only when something changed that it had looked at by then. It is `fresh` if the try itself
    met such a change, by looking once more: then the next one need not wait for anything.
    """

    __slots__ = ("_looked", "_met", "_read", "_stale", "_stirrers", "_wake_up", "fresh", "over", "task", "wake")

    def __init__(self, name: str, task: str, begun: int) -> None:
        self.task = task
        self.fresh = False
        self.over = False
        self.wake = ACCESSES[name, Mode.WAKE]
        self._wake_up = ACCESSES[name, Mode.AWAIT]
        self._met = ACCESSES[f"{name}, met", Mode.AWAIT]
        # By object, the modes, as bits, that conflict with how it was looked at, and with how it was changed since.
        self._looked: dict[str, int] = {}
        self._stale: dict[str, int] = {}
        # Who changed something, once at least: that they did it again makes no difference to whoever waits for it.
        self._stirrers: dict[str, None] = {}
        self._read = begun

    def read(self, trace: Sequence[Step], begun: Mapping[int, tuple[Access, ...]]) -> None:
        """Go on in the run."""
        for at in range(self._read, len(trace)):
            step = trace[at]
            if step.task != self.task:
                if self.wake in step.accesses:
                    self._stirrers[step.task] = None
                if not self.over:
                    self._take(step.accesses)
            elif not self.over:
                self._look(begun.get(at, step.accesses))
        self._read = len(trace)

    def _take(self, touched: tuple[Access, ...]) -> None:
        for name, mode in _changed(touched):
            if self._looked.get(name, 0) >> mode & 1:
                self._stale[name] = self._stale.get(name, 0) | CONFLICTS[mode]

    def _look(self, touched: tuple[Access, ...]) -> None:
        for name, mode in _looked_at(touched):
            if self._stale.get(name, 0) >> mode & 1:
                self.fresh = True
            self._looked[name] = self._looked.get(name, 0) | CONFLICTS[mode]

    @property
    def stirred(self) -> bool:
        """Whether the next try may see something new."""
        return self.fresh or bool(self._stirrers)

    @property
    def awaits(self) -> Access:
        """What the next try waits for: one who changes what this one saw, or nobody."""
        return self._met if self.fresh else self._wake_up

    def was_stirred_by(self, task: str) -> bool:
        """Tell whether another task changed what was looked at."""
        return task in self._stirrers

    def saw(self, changed: tuple[Access, ...]) -> bool:
        """Tell whether any of that was looked at."""
        looked = self._looked
        for name, mode in changed:  # noqa: SIM110 - for every step of a run
            if looked.get(name, 0) >> mode & 1:
                return True
        return False


# Most steps touch what many others did.
@lru_cache(maxsize=_STEPS_KEPT)
def _looked_at(touched: tuple[Access, ...]) -> tuple[Access, ...]:
    """Return at what a step looked, and how."""
    return tuple(each for each in touched if each.mode in _SEES and not each.object.startswith(NOT_SEEN))


@lru_cache(maxsize=_STEPS_KEPT)
def _changed(touched: tuple[Access, ...]) -> tuple[Access, ...]:
    """Return what a step changed for whoever had looked at it, and how."""
    return tuple(each for each in touched if _SHOWS >> each.mode & 1)


class Recording(Declaring):
    """The part of a machine that records touches.

    A run that `records` is not `recording` in steps that an earlier one had (`repeating.py`).
    `trace` has the steps that ended, `happened` the events; `blocked` what the steps would touch
    that are left in a deadlock; `ready` is who may run at the choice being made, and `awake` those
    of them with something new to try (see `Spin`).
    `declared` is claimed by a scenario all of whose touches are recorded, and lost with
    a condition that is not. `mode` has the modes, for scenarios that touch things of
    their own. `wide` are the tasks a condition of which was seen to read more than one object.
    """

    mode: ClassVar = Mode
    choices: list[int]
    options: list[int]
    tasks: list[Task]
    current: Task

    def __init__(self) -> None:
        super().__init__()
        self.records = False
        self.recording = False
        self.declared = False
        self.trace: list[Step] = []
        self.happened: list[Event] = []
        # By step, what its task wanted to touch first in its next one.
        self.wanted: list[Access | None] = []
        # What begins to tell of itself when the machine is recording.
        self.quiet: list[Any] = []
        self.blocked: tuple[Step, ...] = ()
        self.ready: list[Task] = []
        self.awake: list[Task] = []
        self.wide: dict[str, None] = {}
        # All tries, and by task the one that it is in the middle of.
        self._tries: list[Spin] = []
        self._trying: dict[str, Spin] = {}
        # By task, the tries of others that it stirred by no step yet, out of so many of all.
        self._unstirred: dict[str, tuple[list[Spin], int]] = {}
        # Of each step in which a try began, by number, what was touched behind that.
        self.begun: dict[int, tuple[Access, ...]] = {}
        self._touched_before_try = -1
        self.values_taken = 0
        self._into: list[Access] = []
        self._scheduled = -1
        self._guarded = False
        self._judged: Judged | None = None
        # What rules remember by now, given the look-ups that tasks may still use; whoever judges gives it.
        self.memory: Memory | None = None

    def record(self, *, strict: bool = False) -> None:
        """Record from now on, with what rules read and keep; `strict` rules among them."""
        self.records = self.recording = True
        self._judged = Judged(self.touch, strict=strict)

    @property
    def judges(self) -> bool:
        """Whether it records what rules read, and objects of the bench say what they show."""
        return self._judged is not None

    def declare_all(self) -> None:
        """Claim that tasks record all that they share, what rules read among it (see `judged.py`)."""
        self.declared = True
        self._judged = None

    def judge(self, event: Event) -> None:
        """Record an event of the current step, and what it is to the rules."""
        self.happened.append(event)
        if self._judged is not None:
            self._judged.take(event)
            if self.noting:
                self._note_event(event)

    def learn(self, events: Sequence[Event]) -> None:
        """Learn from events that were recorded in an earlier run what later ones need."""
        judged = self._judged
        if judged is not None:
            for event in events:
                judged.take(event, hears=False)

    def touch(self, name: str, mode: Mode) -> None:
        """Record that the current step, or the condition being looked at, touches `name`."""
        if self.recording:
            self._into.append(ACCESSES[name, mode])

    def touch_put(self, count: str, left: int) -> None:
        """Record that one of the references counted by `count` was dropped, so that `left` are left."""
        self.touch(count, Mode.ADD if left > 0 else Mode.WRITE)
        # Who puts before whom matters for the sake of the last one alone.
        self._touch_last(count, Mode.PUT if left > 1 else Mode.PUT_LEAVES_ONE if left == 1 else Mode.WRITE)

    def touch_get_unless_zero(self, count: str, before: int) -> None:
        """Record that somebody took a reference, if there was one, who did not know whether there was.

        So a put, which might be the last one, must not change places with it.
        """
        self.touch(count, Mode.ADD if before > 0 else Mode.READ)
        self._touch_last(count, Mode.READ)

    def touch_last(self, count: str) -> None:
        """Record that the count of references was made zero, or was no longer, by neither put nor get."""
        self._touch_last(count, Mode.WRITE)

    def _touch_last(self, count: str, mode: Mode) -> None:
        """Who puts the last one: that is in the count."""
        if self.recording:
            name = f"{count}.last"
            self.touch(name, mode)
            self.shows(name, ())

    def want(self, name: str, mode: Mode) -> None:
        """Say what the next step of the current task touches first: a lock it waits for."""
        if self.recording:
            self.current.wants = ACCESSES[name, mode]

    def _look_recorded(self) -> list[Task]:
        """Return who may run, and note what their conditions read."""
        ready = []
        asleep = []
        for task in self.tasks:
            until = task.until
            if until is None:
                ready.append(task)
                continue
            if task.awaits:
                task.awaits = []
            self._into = into = task.awaits
            if until():
                ready.append(task)
            if len(into) > 1 and into[0].mode is not Mode.AFTER and len({name for name, _ in into}) > 1:
                self.wide[task.name] = None
            if task.spins and not self._is_stirred(task):
                asleep.append(task)
        self.ready = self.awake = ready
        if asleep:
            self.awake = [task for task in ready if task not in asleep] or ready
        return ready.copy()

    def begin_try(self) -> None:
        """Say that what the current task looks at from now on, it looks at for a try."""
        me = self.current
        me.counts[TRY] = n = me.counts.get(TRY, 0) + 1
        last = self._trying.get(me.name)
        if last is not None:
            last.read(self.trace, self.begun)
            last.over = True
        if self.recording:
            self._touched_before_try = len(self._into)
        # Each try is an object of its own. One that is over is stirred all the same: whether
        # a step came before the next try began, its order alone does not say.
        self._trying[me.name] = spin = Spin(f"{TRY}{me.name}, {n}", me.name, len(self.trace))
        self._tries.append(spin)

    def _is_stirred(self, task: Task) -> bool:
        """Tell whether something changed that a task looked at in its try; one that we know nothing of may go on."""
        last = self._trying.get(task.name)
        if last is None:
            task.awaits = [ACCESSES[f"{TRY}{task.name}", Mode.AWAIT]]
            return True
        last.read(self.trace, self.begun)
        task.awaits = [last.awaits]
        return last.stirred

    def _stirring(self, touched: tuple[Access, ...]) -> tuple[Access, ...]:
        """Return what a step touched, and whose tries it stirs by that: of each task, the first step that does."""
        me = self.current.name
        for spin in self._trying.values():
            spin.read(self.trace, self.begun)
        unstirred, known = self._unstirred.get(me, ([], 0))
        for spin in self._tries[known:]:
            spin.read(self.trace, self.begun)
            if spin.task != me and not spin.was_stirred_by(me):
                unstirred.append(spin)
        stirred: list[Spin] = []
        changed = _changed(touched)
        if changed and unstirred:
            stirred = [spin for spin in unstirred if spin.saw(changed)]
            if stirred:
                unstirred = [spin for spin in unstirred if spin not in stirred]
                tasks = list(self._trying)
                stirred.sort(key=lambda spin: tasks.index(spin.task))
        self._unstirred[me] = unstirred, len(self._tries)
        return (*touched, *(spin.wake for spin in stirred))

    def option_of(self, task: Task, *, carry_on: bool) -> int:
        """Return which option of the choice being made stands for `task`, one of `ready`."""
        index = self.ready.index(task)
        if not carry_on:
            return index
        me = self.ready.index(self.current)
        return 0 if index == me else index + (index < me)

    def _close_step(self) -> None:
        into = self._into
        if self._guarded and not (into and into[0].mode in _GUARDS):
            self.declared = False
        taken = self.values_taken
        self.wanted.append(self.current.wants)
        touched = passing(into)
        if self._forgot:
            self._close_forgets()
        if self._touched_before_try >= 0:
            self.begun[len(self.trace)] = passing(into[self._touched_before_try :])
            self._touched_before_try = -1
        self.trace.append(
            Step(
                self.current.name,
                self._stirring(touched) if self._tries else touched,
                self._scheduled,
                tuple(self.choices[-taken:]) if taken else (),
                tuple(self.options[-taken:]) if taken else (),
                tuple(map(NAME, self.awake)),
            )
        )

    def _open_step(self, chosen: Task, scheduled: int) -> None:
        self._scheduled = scheduled
        self.values_taken = 0
        self._guarded = chosen.until is not None
        if self._guarded:
            self._into = _awaited(chosen.awaits) if chosen.awaits else []
        else:
            self._into = [] if chosen.wants is None else [chosen.wants]
        chosen.wants = None
        chosen.spins = False

    def _note_blocked(self) -> None:
        self.blocked = tuple(
            Step(task.name, tuple(dict.fromkeys(_awaited(task.awaits) + ([task.wants] if task.wants else []))))
            for task in self.tasks
            if task.until is not None
        )


def _awaited(touched: list[Access]) -> list[Access]:
    """Return what a condition touched, as the touches of a condition."""
    return [ACCESSES[each.object, Mode.AWAIT] if each.mode in _LOOKS else each for each in touched]
