"""Rules about a driver's own code: it synchronises what it shares, and does not raise.

Order is what synchronisation makes (happens-before), kept as vector clocks:

    lock released       -> taken later: a write hold by any, a read hold by writers only
    task started        -> its first step;   its last step -> whoever joins it
    queue woken         -> whoever leaves it later
    atomic written      -> whoever reads or writes it later
    RCU section left    -> the synchronize_rcu that waited for it
    synchronize_rcu     -> sections entered after it began

A release costs no copy: a clock's map is shared by reference and replaced, not changed,
when its owner learns something new. And what a task releases is the same until it learns
something or accesses a field: most locks are taken and dropped without either.
"""

from typing import Final, TypeAlias

from msgspec import Struct

from notifierlab import events as ev
from notifierlab.checker.rules import HIGH, Judge, Rule

Stamp: TypeAlias = tuple[str, int, dict[str, int]]
"""What was known at a release: who released, at its own time, knowing what of others."""


class Clock:
    """A task's own time, and the time of each other task up to which it knows all.

    `stamp` is what it released last, if that is still all there is to know of it.
    """

    __slots__ = ("seen", "stamp", "task", "time")

    def __init__(self, task: str) -> None:
        self.task = task
        self.time = 1
        self.seen: dict[str, int] = {}
        self.stamp: Stamp | None = None

    def release(self) -> Stamp:
        """What whoever acquires this learns."""
        stamp = self.stamp
        if stamp is None:
            stamp = self.stamp = (self.task, self.time, self.seen)
        return stamp

    def acquire(self, stamp: Stamp) -> None:
        """Learn what the releaser knew."""
        task, time, known = stamp
        if task == self.task or self.seen.get(task, 0) >= time:
            return
        seen = dict(self.seen)
        for other, until in known.items():
            if until > seen.get(other, 0):
                seen[other] = until
        seen[task] = time
        seen.pop(self.task, None)
        self.now()
        self.seen = seen

    def now(self) -> int:
        """The time of what happens now: later than all that was released."""
        if self.stamp is not None:
            self.stamp = None
            self.time += 1
        return self.time

    def knows(self, task: str, time: int) -> bool:
        """Whether what `task` did at `time` is ordered before now."""
        return task == self.task or self.seen.get(task, 0) >= time


class Clocks(dict[str, Clock]):
    """Clocks by task; one that is first heard of begins."""

    def __missing__(self, task: str) -> Clock:
        self[task] = clock = Clock(task)
        return clock


class Section(Struct, eq=False):
    """A synchronize_rcu under way: which tasks' sections it waits for, and what it learnt."""

    waits: dict[str, None]
    stamps: list[Stamp]


class Access(Struct, gc=False, eq=False):
    """One access to a field: by whom, at its own time, and at which step."""

    task: str
    time: int
    step: int


class Shared(Struct, eq=False):
    """A plain field: its last write, and the reads that no write is ordered after yet."""

    written: Access | None = None
    read: dict[str, Access] = {}


class DataRace(Judge):
    """Two accesses to a plain shared field, one a write, are ordered by synchronisation.

    Verified: each read against the last write, each write against the last write and
    against every task's last read since. A race is found where it can happen, whether or
    not this run's order did harm.
    Not verified: further races of a field after its first; order that a device or the
    world outside of the machine provides.
    """

    rule = Rule("data-race", "driver", HIGH, "Accesses to a plain shared field are ordered by synchronisation.")

    def begin(self) -> None:
        self._clocks = Clocks()
        # The last release of each lock after a write hold, and those after read holds since.
        self._written: dict[str, Stamp] = {}
        self._read: dict[str, dict[str, Stamp]] = {}
        self._ended: dict[str, Stamp] = {}
        self._queues: dict[str, dict[str, Stamp]] = {}
        self._atomics: dict[tuple[str, str], Stamp] = {}
        self._syncs: dict[str, Section] = {}
        self._synced: dict[str, Stamp] = {}
        self._left: dict[str, Stamp] = {}
        # How deep each task is in RCU read sections.
        self._sections: dict[str, int] = {}
        self._fields: dict[tuple[str, str], Shared] = {}

    # --- what orders ---

    def on_lock_acquired(self, event: ev.LockAcquired) -> None:
        written = self._written.get(event.lock)
        # Most locks are taken by the task that released them last: nothing to learn.
        if written is not None and written[0] != event.task:
            self._clocks[event.task].acquire(written)
        read = self._read
        if read and event.mode == "write" and event.lock in read:
            clock = self._clocks[event.task]
            for stamp in read[event.lock].values():
                clock.acquire(stamp)

    def on_lock_released(self, event: ev.LockReleased) -> None:
        clock = self._clocks[event.task]
        stamp = clock.stamp or clock.release()
        if event.mode == "write":
            self._written[event.lock] = stamp
            if self._read:
                self._read.pop(event.lock, None)
        else:
            self._read.setdefault(event.lock, {})[event.task] = stamp

    def on_lock_downgraded(self, event: ev.LockDowngraded) -> None:
        self._written[event.lock] = self._clocks[event.task].release()

    def on_task_started(self, event: ev.TaskStarted) -> None:
        self._clocks[event.name].acquire(self._clocks[event.task].release())

    def on_task_ended(self, event: ev.TaskEnded) -> None:
        self._ended[event.task] = self._clocks[event.task].release()

    def on_task_joined(self, event: ev.TaskJoined) -> None:
        stamp = self._ended.get(event.name)
        if stamp is not None:
            self._clocks[event.task].acquire(stamp)

    def on_queue_woken(self, event: ev.QueueWoken) -> None:
        self._queues.setdefault(event.queue, {})[event.task] = self._clocks[event.task].release()

    def on_queue_waited(self, event: ev.QueueWaited) -> None:
        clock = self._clocks[event.task]
        for stamp in self._queues.get(event.queue, {}).values():
            clock.acquire(stamp)

    def on_atomic_read(self, event: ev.AtomicRead) -> None:
        stamp = self._atomics.get((event.owner, event.field))
        if stamp is not None and stamp[0] != event.task:
            self._clocks[event.task].acquire(stamp)

    def on_atomic_written(self, event: ev.AtomicWritten) -> None:
        atomic = (event.owner, event.field)
        clock = self._clocks[event.task]
        stamp = self._atomics.get(atomic)
        if stamp is not None and stamp[0] != event.task:
            clock.acquire(stamp)
        self._atomics[atomic] = clock.stamp or clock.release()

    def on_rcu_read_entered(self, event: ev.RcuReadEntered) -> None:
        self._sections[event.task] = self._sections.get(event.task, 0) + 1
        if self._synced:
            clock = self._clocks[event.task]
            for stamp in self._synced.values():
                clock.acquire(stamp)

    def on_rcu_read_left(self, event: ev.RcuReadLeft) -> None:
        depth = self._sections.pop(event.task, 0) - 1
        if depth > 0:
            self._sections[event.task] = depth
            return
        self._left[event.task] = stamp = self._clocks[event.task].release()
        for section in self._syncs.values():
            if event.task in section.waits:
                del section.waits[event.task]
                section.stamps.append(stamp)

    def on_rcu_sync_begun(self, event: ev.RcuSyncBegun) -> None:
        self._syncs[event.task] = Section(dict.fromkeys(self._sections), list(self._left.values()))
        self._synced[event.task] = self._clocks[event.task].release()

    def on_rcu_sync_done(self, event: ev.RcuSyncDone) -> None:
        section = self._syncs.pop(event.task, None)
        if section is not None:
            clock = self._clocks[event.task]
            for stamp in section.stamps:
                clock.acquire(stamp)

    # --- what must be ordered ---

    def on_field_read(self, event: ev.FieldRead) -> None:
        clock = self._clocks[event.task]
        shared = self._fields.get((event.owner, event.field))
        if shared is None:
            shared = self._fields[event.owner, event.field] = Shared()
        written = shared.written
        if written is not None and not clock.knows(written.task, written.time):
            self._found(event, "reads", written, "wrote")
        read, now = shared.read.get(event.task), clock.now()
        if read is None or read.time != now:
            shared.read[event.task] = Access(event.task, now, event.step)

    def on_field_written(self, event: ev.FieldWritten) -> None:
        clock = self._clocks[event.task]
        shared = self._fields.get((event.owner, event.field))
        if shared is None:
            shared = self._fields[event.owner, event.field] = Shared()
        written = shared.written
        if written is not None and not clock.knows(written.task, written.time):
            self._found(event, "writes", written, "wrote")
        if shared.read:
            for read in shared.read.values():
                if not clock.knows(read.task, read.time):
                    self._found(event, "writes", read, "read")
            shared.read = {}
        shared.written = Access(event.task, clock.now(), event.step)

    def _found(self, event: ev.FieldRead | ev.FieldWritten, does: str, other: Access, did: str) -> None:
        name = f"{event.owner}.{event.field}"
        message = f"{event.task} {does} {name}, which {other.task} {did} at step {other.step}; nothing orders the two"
        self.broken(event, message, name)


class DriverRaised(Judge):
    """Code of a driver, guest or scenario does not raise.

    Verified: the machine's own report; the run ends there.
    """

    rule = Rule("driver-raised", "driver", HIGH, "No code of a driver, guest or scenario raises.")

    def on_task_raised(self, event: ev.TaskRaised) -> None:
        self.broken(event, f"{event.task} raised {event.error} in {event.where}", event.task)


FIELD_USES: Final = frozenset([ev.FieldRead, ev.FieldWritten])
"""The events that `data-race` speaks of; all others it hears tell what orders those."""

JUDGES: tuple[type[Judge], ...] = (DataRace, DriverRaised)
