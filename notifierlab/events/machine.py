"""Facts of the machine: tasks, choices, locks, shared fields, and how a run ends."""

import msgspec

from notifierlab.events.base import Event


class TaskStarted(Event, frozen=True):
    """`name` may run from now on; `context` is `process` or `interrupt`."""

    name: str
    context: str


class TaskEnded(Event, frozen=True):
    """The stamped task is done. Everything it did is visible to whoever joins it."""


class TaskJoined(Event, frozen=True):
    """The stamped task waited until `name` had ended."""

    name: str


class TaskReturned(Event, frozen=True):
    """The stamped task came back from waiting outside the machine (trio carrier only)."""


class TaskRaised(Event, frozen=True):
    """Code of a driver, guest or scenario raised; the run ends here."""

    error: str
    where: str


class ChoiceMade(Event, frozen=True):
    """A `host.choose`: `index` of the taken value, 0 being the calm one."""

    name: str
    value: str
    index: int


class Waiting(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """One task of a deadlock: what it waits for, and which tasks hold that."""

    task: str
    waits_for: str
    held_by: tuple[str, ...]


class Deadlocked(Event, frozen=True):
    """Tasks are left and none may run; the run ends here."""

    waiting: tuple[Waiting, ...]


class StepsExhausted(Event, frozen=True):
    """The step bound was reached with tasks left; the run ends here."""

    steps_max: int
    waiting: tuple[Waiting, ...]


class Interrupted(Event, frozen=True):
    """Somebody stopped the run from outside (Ctrl-C, cancellation)."""


class BugHit(Event, frozen=True):
    """A BUG_ON of the kernel (or a driver's own) was true; the run goes on."""

    where: str
    what: str
    about: str


class LockAcquired(Event, frozen=True):
    """`mode` is `write` or `read`; `how` is `wait`, `try`, or `nest` (annotated as
    nested under an outer lock of the same class)."""

    lock: str
    cls: str
    mode: str
    how: str


class LockReleased(Event, frozen=True):
    """The stamped task gave `lock` back."""

    lock: str
    cls: str
    mode: str


class LockDowngraded(Event, frozen=True):
    """A write hold of an rwsem became a read hold."""

    lock: str
    cls: str


class MightSleep(Event, frozen=True):
    """The stamped task entered a primitive that may sleep (`what` names it)."""

    what: str


class PreemptDisabled(Event, frozen=True):
    """The stamped task may not sleep until it enables preemption again; these nest."""


class PreemptEnabled(Event, frozen=True):
    """The inverse of `PreemptDisabled`."""


class RcuReadEntered(Event, frozen=True):
    """An RCU read section began; sections nest."""


class RcuReadLeft(Event, frozen=True):
    """An RCU read section ended."""


class RcuSyncBegun(Event, frozen=True):
    """synchronize_rcu was entered."""


class RcuSyncDone(Event, frozen=True):
    """Every read section that was open at the matching `RcuSyncBegun` has ended."""


class QueueWaited(Event, frozen=True):
    """The stamped task left the wait queue because its condition held."""

    queue: str


class QueueWoken(Event, frozen=True):
    """All waiters of the queue were woken."""

    queue: str


class FieldRead(Event, frozen=True):
    """A plain shared field was read: no switch, no ordering."""

    owner: str
    field: str


class FieldWritten(Event, frozen=True):
    """A plain shared field was written; `value` is its new value as text."""

    owner: str
    field: str
    value: str


class AtomicRead(Event, frozen=True):
    """An atomic shared field was read; it orders like acquire."""

    owner: str
    field: str
    value: str


class AtomicWritten(Event, frozen=True):
    """An atomic shared field was changed; it orders like acquire and release."""

    owner: str
    field: str
    value: str
