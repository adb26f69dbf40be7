"""What a pending step is about to touch, as far as earlier steps tell.

A step is known when it has run, and a strategy that looks ahead must judge it before. So
it is taken to touch what was touched the last time that the same task was there: at the
same step of its own, after a step that touched the same. Where that never was, the lock
that the task is about to take is all that is known; where it takes none, nothing is.

A wrong guess costs a strategy some of its aim, never an order: whatever it guessed, every
order can still be drawn.
"""

from collections.abc import Callable, Sequence
from typing import Final

from notifierlab.machine.access import Access, conflicts, Mode, Step
from notifierlab.machine.sched import Machine
from notifierlab.machine.task import Task

_ALONE: Final = 0.5
_LOCKS: Final = 0.25

Place = tuple[str, int, tuple[Access, ...]]
"""Where a task is: its name, how many steps it took, what the last one touched."""


class Foresight:
    """Remembers over all runs of a search what was touched where."""

    def __init__(self) -> None:
        self._touched: dict[Place, tuple[Access, ...]] = {}
        self._places: dict[str, Place] = {}
        self._trace: Sequence[Step] = ()
        self._read = 0

    def begin(self, machine: Machine) -> None:
        """Look at a run that begins, after what the last one did when there was nothing left to choose."""
        self.new_steps()
        self._places = {}
        self._trace = machine.trace
        self._read = 0

    def new_steps(self) -> Sequence[Step]:
        """Return the steps taken since the last call, and learn from them."""
        steps = self._trace[self._read :]
        self._read += len(steps)
        for step in steps:
            place = self._places.get(step.task) or (step.task, 0, ())
            self._touched[place] = step.accesses
            self._places[step.task] = (step.task, place[1] + 1, step.accesses)
        return steps

    def of(self, task: Task) -> tuple[Access, ...]:
        """Return what the pending step of `task` is expected to touch."""
        known = self._touched.get(self._places.get(task.name) or (task.name, 0, ()), ())
        if task.wants is not None and all(access.object != task.wants.object for access in known):
            return (task.wants,)
        if known:
            return known
        if task.until is not None and task.waits_for:
            return (Access(task.waits_for, Mode.ACQUIRE),)
        return ()


def dependent(a: Sequence[Access], b: Sequence[Access]) -> bool:
    """Tell whether steps that touch `a` and `b` conflict in some object."""
    return any(x.object == y.object and conflicts(x.mode, y.mode) for x in a for y in b)


GIVING: Final = (Mode.RELEASE, Mode.RELEASE_READ)
"""What can only follow the take of a lock: its place in an order is not free."""

_OF_TASKS: Final = (Mode.FIRST, Mode.AFTER)
_LOCKING: Final = (Mode.ACQUIRE, Mode.ACQUIRE_READ, Mode.PASS, Mode.PASS_READ, Mode.TRY, Mode.TEST, *GIVING)


class Rivals:
    """Which objects tasks conflict over, and how often each task comes to them.

    Learned from runs; of each task the longest run counts.
    """

    def __init__(self) -> None:
        self._longest: dict[str, tuple[tuple[Access, ...], ...]] = {}
        self._modes: dict[str, dict[str, tuple[Mode, ...]]] = {}
        self._data: list[str] = []
        self._locks: list[str] = []

    def learn(self, trace: Sequence[Step]) -> None:
        """Learn from a run."""
        by_task: dict[str, list[tuple[Access, ...]]] = {}
        for step in trace:
            by_task.setdefault(step.task, []).append(step.accesses)
            for access in step.accesses:
                users = self._modes.setdefault(access.object, {})
                modes = users.get(step.task, ())
                if access.mode not in modes:
                    users[step.task] = (*modes, access.mode)
                    self._note(access.object)
        for task, steps in by_task.items():
            if len(steps) > len(self._longest.get(task, ())):
                self._longest[task] = tuple(steps)

    def draw(self, draw: Callable[[], float]) -> tuple[str, ...]:
        """Draw an object that tasks conflict over, every other time with one that goes with it.

        One time in four it is a lock, or always where there is nothing else.
        """
        objects = self._data or self._locks
        if not objects:
            return ()
        if self._locks and draw() < _LOCKS:
            # What a lock guards may be more than what is recorded.
            objects = self._locks
        first = objects[int(draw() * len(objects))]
        partners = [other for other in objects if other != first and self._go_together(first, other)]
        if not partners or draw() < _ALONE:
            return (first,)
        return first, partners[int(draw() * len(partners))]

    def counts(self, chosen: Sequence[str]) -> dict[str, int]:
        """Return how many steps of each task touch what is chosen."""
        return {
            task: sum(any(a.object in chosen and a.mode not in GIVING for a in step) for step in steps)
            for task, steps in self._longest.items()
        }

    def _note(self, name: str) -> None:
        """List an object once two tasks conflict over it."""
        modes = self._modes[name]
        if any(mode in _OF_TASKS for each in modes.values() for mode in each):
            return
        is_lock = any(mode in _LOCKING for each in modes.values() for mode in each)
        listed = self._locks if is_lock else self._data
        if name not in listed and self._rivals(name):
            listed.append(name)

    def _rivals(self, name: str) -> list[tuple[str, str]]:
        """Return the pairs of tasks that conflict over an object."""
        users = list(self._modes[name].items())
        return [
            (one, other)
            for n, (one, modes) in enumerate(users)
            for other, others in users[n + 1 :]
            if any(conflicts(a, b) for a in modes for b in others)
        ]

    def _go_together(self, one: str, other: str) -> bool:
        pairs = {frozenset(pair) for pair in self._rivals(one)}
        return any(frozenset(pair) in pairs for pair in self._rivals(other))
