"""Spinlock, mutex, rwsem, bit lock, wait queue, RCU.

Each is an owner and a condition: whoever wants it takes a step until it is free. A task
may lose the baton *before* a take and *after* a drop, so that everything between two
locks of a kernel path can be seen by others, and nothing that a lock protects can.

A lock names its class; the ranks of the classes stand in `events.LOCK_CLASSES`, and the
rules `lock-order` and `sleep-in-atomic` judge them from the events alone. Releasing a
lock that somebody else holds is done, as a kernel does it: the rules find out.
"""

from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Final

from notifierlab.events import (
    LOCK_CLASSES,
    LockAcquired,
    LockDowngraded,
    LockReleased,
    QueueWaited,
    QueueWoken,
    RcuReadEntered,
    RcuReadLeft,
    RcuSyncBegun,
    RcuSyncDone,
)
from notifierlab.machine.access import ACCESSES, Mode
from notifierlab.machine.sched import Machine
from notifierlab.machine.task import END_OF, Task

_FREE: Final = ()
"""What a lock shows besides who holds it: nothing."""


class SpinLock:
    """A lock that one task holds at a time; it may not sleep while it does.

    `cls` is the lock's class (`mmu_lock`, ...). As a context manager it is taken by
    waiting.
    """

    __slots__ = ("cls", "holder", "machine", "name")
    sleeps: bool = False
    """Whether to wait for it is to sleep."""

    def __init__(self, machine: Machine, name: str, cls: str) -> None:
        self.machine = machine
        self.name = name
        self.cls = cls
        self.holder: Task | None = None

    async def acquire(self, *, nest: bool = False) -> None:
        """Wait until the lock is free and take it; `nest` says that another lock of the
        class may be held, under an outer lock that makes their order free."""
        machine = self.machine
        if self.sleeps:
            machine.might_sleep(self.name)
        if machine.recording:
            machine.want(self.name, Mode.ACQUIRE)
        await machine.step(self._is_free, self.name, self._holders)
        self.holder = machine.current
        if machine.recording:
            machine.touch(self.name, Mode.ACQUIRE)
        machine.emit(LockAcquired, self.name, self.cls, "write", "nest" if nest else "wait")

    async def try_acquire(self) -> bool:
        """Take the lock if it is free; return whether it was."""
        await self.machine.step()
        if self.holder is not None:
            self.machine.touch(self.name, Mode.TEST)
            return False
        self.holder = self.machine.current
        self.machine.touch(self.name, Mode.TRY)
        self.machine.emit(LockAcquired, self.name, self.cls, "write", "try")
        return True

    async def release(self) -> None:
        """Give the lock back."""
        self.drop()
        await self.machine.step()

    def drop(self) -> None:
        """Give the lock back without letting others run (for a caller that does)."""
        machine = self.machine
        if self.holder is None and not machine.stopped:
            machine.bug("spin_unlock", f"{self.name} is released and nobody holds it", self.name)
        self.holder = None
        if machine.recording:
            machine.touch(self.name, Mode.RELEASE)
            machine.shows(self.name, _FREE)
        machine.emit(LockReleased, self.name, self.cls, "write")

    async def wait_free(self) -> None:
        """Wait until nobody holds the lock, and do not take it (wait_on_page_locked)."""
        machine = self.machine
        machine.want(self.name, Mode.PASS)
        await machine.step(self._is_free, self.name, self._holders)
        machine.touch(self.name, Mode.PASS)

    def is_free(self) -> bool:
        """Tell whether nobody holds the lock."""
        self.machine.touch(self.name, Mode.TEST)
        return self.holder is None

    def _is_free(self) -> bool:
        return self.holder is None

    def held_by_current(self) -> bool:
        """Tell whether the running task holds the lock."""
        return self.holder is self.machine.current

    def __aenter__(self) -> Coroutine[Any, Any, None]:
        # The coroutine itself: whoever is resumed inside has one frame less to pass through.
        return self.acquire()

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Coroutine[Any, Any, None]:
        return self.release()

    def _holders(self) -> tuple[str, ...]:
        return () if self.holder is None else (self.holder.name,)


class Mutex(SpinLock):
    """A lock whose holder, and whoever waits for it, may sleep."""

    __slots__ = ()
    sleeps = True


class BitLock(SpinLock):
    """A bit used as a lock: the page lock sleeps, the handle locks of a GRU spin."""

    __slots__ = ("sleeps",)

    def __init__(self, machine: Machine, name: str, cls: str) -> None:
        super().__init__(machine, name, cls)
        known = LOCK_CLASSES.get(cls)
        self.sleeps = known is not None and known.sleeps


class RwSem:
    """A sleeping lock with one writer or many readers.

    Model: readers pass a waiting writer (the kernel queues them); so more orders are
    seen, and a writer may wait for ever only if readers never stop.
    """

    __slots__ = ("cls", "machine", "name", "readers", "writer")

    def __init__(self, machine: Machine, name: str, cls: str) -> None:
        self.machine = machine
        self.name = name
        self.cls = cls
        self.writer: Task | None = None
        self.readers: dict[Task, int] = {}

    async def acquire_read(self, *, nest: bool = False) -> None:
        """down_read: wait until nobody writes; may sleep."""
        machine = self.machine
        machine.might_sleep(self.name)
        if machine.recording:
            machine.want(self.name, Mode.ACQUIRE_READ)
        await machine.step(self._no_writer, self.name, self._holders)
        if machine.recording:
            machine.touch(self.name, Mode.ACQUIRE_READ)
        self._enter("nest" if nest else "wait")

    async def try_read(self) -> bool:
        """down_read_trylock."""
        await self.machine.step()
        if self.writer is not None:
            self.machine.touch(self.name, Mode.TEST)
            return False
        self.machine.touch(self.name, Mode.TRY)
        self.machine.touch(self.name, Mode.ACQUIRE_READ)
        self._enter("try")
        return True

    async def release_read(self) -> None:
        """up_read."""
        self._leave()
        await self.machine.step()

    async def acquire_write(self, *, nest: bool = False) -> None:
        """down_write: wait until nobody has it; may sleep."""
        machine = self.machine
        machine.might_sleep(self.name)
        if machine.recording:
            machine.want(self.name, Mode.ACQUIRE)
        await machine.step(self._is_free, self.name, self._holders)
        self.writer = machine.current
        if machine.recording:
            machine.touch(self.name, Mode.ACQUIRE)
        machine.emit(LockAcquired, self.name, self.cls, "write", "nest" if nest else "wait")

    async def try_write(self) -> bool:
        """down_write_trylock."""
        await self.machine.step()
        if not self.is_free():
            return False
        self.writer = self.machine.current
        self.machine.touch(self.name, Mode.TRY)
        self.machine.emit(LockAcquired, self.name, self.cls, "write", "try")
        return True

    async def release_write(self) -> None:
        """up_write."""
        machine = self.machine
        if self.writer is None and not machine.stopped:
            machine.bug("up_write", f"{self.name} is released and nobody writes", self.name)
        self.writer = None
        if machine.recording:
            machine.touch(self.name, Mode.RELEASE)
            machine.shows(self.name, _FREE)
        machine.emit(LockReleased, self.name, self.cls, "write")
        await machine.step()

    async def downgrade(self) -> None:
        """downgrade_write: from writer to reader, without letting another writer in."""
        self.writer = None
        self.machine.touch(self.name, Mode.DOWNGRADE)
        self.machine.shows(self.name, _FREE)
        me = self.machine.current
        self.readers[me] = self.readers.get(me, 0) + 1
        self.machine.emit(LockDowngraded, self.name, self.cls)
        await self.machine.step()

    def is_free(self) -> bool:
        """Tell whether there is neither writer nor reader."""
        self.machine.touch(self.name, Mode.TEST)
        return self._is_free()

    def may_be_read(self) -> bool:
        """Tell whether there is no writer."""
        self.machine.touch(self.name, Mode.TEST)
        return self.writer is None

    def _is_free(self) -> bool:
        return self.writer is None and not self.readers

    def held_for_write(self) -> bool:
        """Tell whether the running task is the writer."""
        return self.writer is self.machine.current

    def held_for_read(self) -> bool:
        """Tell whether the running task is among the readers."""
        return self.machine.current in self.readers

    def read(self) -> AbstractAsyncContextManager[None]:
        """Hold it as a reader for the length of an `async with`."""
        return _Held(self.acquire_read, self.release_read)

    def write(self) -> AbstractAsyncContextManager[None]:
        """Hold it as the writer for the length of an `async with`."""
        return _Held(self.acquire_write, self.release_write)

    def _no_writer(self) -> bool:
        return self.writer is None

    def _enter(self, how: str) -> None:
        me = self.machine.current
        self.readers[me] = self.readers.get(me, 0) + 1
        self.machine.emit(LockAcquired, self.name, self.cls, "read", how)

    def _leave(self) -> None:
        machine = self.machine
        me = machine.current
        if me not in self.readers and not machine.stopped:
            machine.bug("up_read", f"{self.name} is released by {me.name}, which does not read", self.name)
        left = self.readers.get(me, 1) - 1
        if left:
            self.readers[me] = left
        else:
            self.readers.pop(me, None)
        if machine.recording:
            machine.touch(self.name, Mode.RELEASE_READ)
            machine.shows(self.name, _FREE)
        machine.emit(LockReleased, self.name, self.cls, "read")

    def _holders(self) -> tuple[str, ...]:
        if self.writer is not None:
            return (self.writer.name,)
        return tuple(task.name for task in self.readers)


class _Held(AbstractAsyncContextManager[None]):
    """Takes on entry, drops on the way out."""

    __slots__ = ("_drop", "_take")

    def __init__(
        self, take: Callable[[], Coroutine[Any, Any, None]], drop: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        self._take = take
        self._drop = drop

    def __aenter__(self) -> Coroutine[Any, Any, None]:
        return self._take()

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Coroutine[Any, Any, None]:
        return self._drop()


class WaitQueue:
    """wait_event and wake_up_all: a waiter looks again only when it was woken.

    A driver that changes the condition and forgets to wake leaves its waiters asleep,
    as in the kernel; the machine then reports a deadlock.
    """

    __slots__ = ("machine", "name", "wakes")

    def __init__(self, machine: Machine, name: str) -> None:
        self.machine = machine
        self.name = name
        self.wakes = 0

    async def wait(self, until: Callable[[], bool]) -> None:
        """Sleep until `until()` holds; it is looked at first, and after each wake-up."""
        self.machine.might_sleep(self.name)
        while True:
            seen = self.wakes
            # From here on a wake-up counts: the condition is looked at in the next step.
            self.machine.touch(self.name, Mode.ENQUEUE)
            await self.machine.step()
            if until() or self.machine.stopped:
                break
            await self.machine.step(self._woken_since(seen), f"a wake-up of {self.name}")
        # Whoever woke it before is before it.
        self.machine.touch(self.name, Mode.READ)
        self.machine.emit(QueueWaited, self.name)

    def _woken_since(self, seen: int) -> Callable[[], bool]:
        def woken() -> bool:
            self.machine.touch(self.name, Mode.AWAIT)
            return self.wakes != seen

        return woken

    async def wake_all(self) -> None:
        """Let every waiter look at its condition again."""
        self.wakes += 1
        self.machine.touch(self.name, Mode.WAKE)
        self.machine.shows(self.name, self.wakes)
        self.machine.emit(QueueWoken, self.name)
        await self.machine.step()


RCU: Final = "rcu"
"""All read sections as one object: which of them began before a grace period did."""

GRACE_BEGINS: Final = ACCESSES[RCU, Mode.READ]
SECTION_BEGINS: Final = ACCESSES[RCU, Mode.INSERT]

SECTION: Final = "rcu section "
"""How the names of single read sections begin, which end once."""


class Rcu:
    """Read sections and grace periods.

    Model: grace periods are exact: one ends when the last section that was open at its
    begin ends, not later.

    A grace period touches which sections have begun, and then the end of each of those. Whether
    one ended just before the grace period began or just after, nobody can tell.
    """

    __slots__ = ("_begun", "machine")

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        # Of each task the last section that it began.
        self._begun: dict[Task, int] = {}

    def read_enter(self) -> None:
        """rcu_read_lock: never waits; sections nest."""
        task = self.machine.current
        task.rcu_depth += 1
        if task.rcu_depth == 1:
            self._begun[task] = task.rcu_section = task.rcu_section + 1
            self.machine.touch(*SECTION_BEGINS)
            if self.machine.recording:
                self._show()
        self.machine.emit(RcuReadEntered)

    def read_exit(self) -> None:
        """rcu_read_unlock."""
        task = self.machine.current
        task.rcu_depth -= 1
        if not task.rcu_depth and self.machine.recording:
            self.machine.touch(_section_of(task, task.rcu_section), Mode.FIRST)
            self._show()
        self.machine.emit(RcuReadLeft)

    def _show(self) -> None:
        """Which sections are open: a grace period waits for those."""
        open_now = [(task.name, section) for task, section in self._begun.items() if _is_open(task, section)]
        self.machine.shows(RCU, tuple(sorted(open_now)))

    async def synchronize(self) -> None:
        """synchronize_rcu: wait until every section now open has ended; sleeps."""
        machine = self.machine
        machine.might_sleep("synchronize_rcu")
        await machine.step()
        machine.touch(*GRACE_BEGINS)
        machine.emit(RcuSyncBegun)
        begun = sorted(self._begun.items(), key=lambda each: each[0].name)

        def still_open() -> tuple[str, ...]:
            return tuple(task.name for task, section in begun if _is_open(task, section))

        def over() -> bool:
            for task, section in begun if machine.recording else ():
                # Who ended in the midst of a section is out of it.
                left = task.done and task.rcu_depth and task.rcu_section == section
                machine.touch(f"{END_OF}{task.name}" if left else _section_of(task, section), Mode.AFTER)
            return not still_open()

        await machine.step(over if begun else None, "an RCU grace period", still_open)
        machine.emit(RcuSyncDone)


def _section_of(task: Task, section: int) -> str:
    return f"{SECTION}{section} of {task.name}"


def _is_open(task: Task, section: int) -> bool:
    return task.rcu_depth > 0 and task.rcu_section == section and not task.done
