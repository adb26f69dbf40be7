"""What tasks hold and in which context they run: records, and the events that change them."""

from typing import Final

from msgspec import Struct

from notifierlab import events as ev
from notifierlab.events import LOCK_CLASSES

UNRANKED: Final = -1
"""The rank of a lock class that is not in the kernel's order."""

RANKS: Final[dict[str, int]] = {name: cls.rank for name, cls in LOCK_CLASSES.items()}
SPINNING: Final[dict[str, bool]] = {name: not cls.sleeps for name, cls in LOCK_CLASSES.items()}


class Held(Struct, gc=False, eq=False):
    """One lock held by one task; `number` is the how-many-th acquisition of that task."""

    lock: str
    cls: str
    mode: str
    rank: int
    number: int
    count: int = 1


class Walk(Struct, gc=False, eq=False):
    """A walk of a notifier list by one task; `last` is the list number last called."""

    mm: str
    callback: str
    last: int = -1


class Task:
    """What a task holds and in which context it runs."""

    __slots__ = (
        "callbacks",
        "classes",
        "held",
        "interrupt",
        "name",
        "number",
        "preempt",
        "rcu",
        "spins",
        "took_all",
        "top",
        "unranked",
        "unsettled",
        "walks",
        "windows",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.interrupt = False
        self.held: dict[str, Held] = {}
        self.classes: dict[str, int] = {}
        self.number = 0
        self.top = UNRANKED
        self.spins = 0
        self.unranked = 0
        self.rcu = 0
        self.preempt = 0
        self.callbacks: list[str] = []
        self.walks: list[Walk] = []
        self.took_all = ""
        # Windows that it opened, with the number of its last acquisition at that time.
        self.windows: dict[str, tuple[str, int]] = {}
        # Pte changes that other tasks may not see yet: by pte lock, (mm, va).
        self.unsettled: dict[str, list[tuple[str, int]]] = {}

    def atomic_because(self) -> str:
        """Why this task may not sleep; empty when it may."""
        if self.interrupt:
            return "interrupt context"
        if self.callbacks:
            return f"a callback of {self.callbacks[-1]}"
        if self.spins:
            return "spinlock " + next(held.lock for held in self.held.values() if SPINNING.get(held.cls, False))
        if self.rcu:
            return "an RCU read section"
        return "preemption is off" if self.preempt else ""

    def holds_class(self, cls: str) -> bool:
        """Whether it holds some lock of the class."""
        return cls in self.classes


class Tasks(dict[str, Task]):
    """Tasks by name; one that is first heard of comes to be."""

    def __missing__(self, name: str) -> Task:
        self[name] = task = Task(name)
        return task


class TaskWorld:
    """The part of the world that is tasks."""

    def begin(self) -> None:
        """Knows nothing: a run begins."""
        self.tasks = Tasks()

    def on_task_started(self, event: ev.TaskStarted) -> None:
        self.tasks[event.name].interrupt = event.context == "interrupt"

    def on_lock_acquired(self, event: ev.LockAcquired) -> None:
        task = self.tasks[event.task]
        held = task.held.get(event.lock)
        if held is not None:
            held.count += 1
            return
        cls = event.cls
        rank = RANKS.get(cls, UNRANKED)
        task.number = number = task.number + 1
        task.held[event.lock] = Held(event.lock, cls, event.mode, rank, number)
        task.classes[cls] = task.classes.get(cls, 0) + 1
        if rank > task.top:
            task.top = rank
        elif rank == UNRANKED:
            task.unranked += 1
            return
        if SPINNING[cls]:
            task.spins += 1

    def on_lock_released(self, event: ev.LockReleased) -> None:
        task = self.tasks[event.task]
        held = task.held.get(event.lock)
        if held is None:
            return
        if held.count > 1:
            held.count -= 1
            return
        del task.held[event.lock]
        cls = held.cls
        if held.rank == UNRANKED:
            task.unranked -= 1
        elif SPINNING[cls]:
            task.spins -= 1
        left = task.classes[cls] - 1
        if left:
            task.classes[cls] = left
        else:
            del task.classes[cls]
            if held.rank == task.top:
                top = UNRANKED
                for other in task.held.values():
                    if other.rank > top:
                        top = other.rank
                task.top = top
        if task.unsettled:
            for mm, va in task.unsettled.pop(event.lock, ()):
                self.settle(mm, va)

    def on_lock_downgraded(self, event: ev.LockDowngraded) -> None:
        held = self.tasks[event.task].held.get(event.lock)
        if held is not None:
            held.mode = "read"

    def on_preempt_disabled(self, event: ev.PreemptDisabled) -> None:
        self.tasks[event.task].preempt += 1

    def on_preempt_enabled(self, event: ev.PreemptEnabled) -> None:
        task = self.tasks[event.task]
        task.preempt = max(task.preempt - 1, 0)

    def on_rcu_read_entered(self, event: ev.RcuReadEntered) -> None:
        self.tasks[event.task].rcu += 1

    def on_rcu_read_left(self, event: ev.RcuReadLeft) -> None:
        task = self.tasks[event.task]
        task.rcu = max(task.rcu - 1, 0)

    def settle(self, mm: str, va: int) -> None:
        """A pte that was changed under a lock is visible to all."""
