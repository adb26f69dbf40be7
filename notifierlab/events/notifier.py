"""Facts of the notifier core: registration, walks, callbacks, mm_take_all_locks."""

from notifierlab.events.base import Event, Va


class RegisterBegun(Event, frozen=True):
    """mmu_notifier_register was entered. `counter` names the driver's shared field that
    counts open windows (empty: none), `pinned` whether it keeps a reference per spte."""

    mm: str
    mmu: str
    counter: str
    pinned: bool


class NotifierAdded(Event, frozen=True):
    """The node is on the mm's list (at its head)."""

    mm: str
    mmu: str


class RegisterDone(Event, frozen=True):
    """Registration returned `result`: 0 or a negative errno."""

    mm: str
    mmu: str
    result: int


class NotifierRemoved(Event, frozen=True):
    """The node left the list; `by` is `unregister` or `exit`."""

    mm: str
    mmu: str
    by: str


class UnregisterBegun(Event, frozen=True):
    """mmu_notifier_unregister was entered."""

    mm: str
    mmu: str


class UnregisterDone(Event, frozen=True):
    """mmu_notifier_unregister returned; no callback may run any more."""

    mm: str
    mmu: str


class DriverFreed(Event, frozen=True):
    """The driver object was given back; whoever still calls it uses freed memory."""

    mmu: str


class WalkBegun(Event, frozen=True):
    """A walker looks at the mm's notifier list to make `callback`. `ready` is false when
    it saw the structure or a node before its initialisation was complete."""

    mm: str
    callback: str
    ready: bool


class WalkEnded(Event, frozen=True):
    """The walk is over."""

    mm: str
    callback: str


class CbEntered(Event, frozen=True):
    """A driver's callback was entered: `start`, `end`, `page`, `young`, `change_pte` or
    `release`. `[start, end)` is what it is about; `win` the window, if one."""

    mm: str
    mmu: str
    callback: str
    start: Va
    end: Va
    win: str


class CbLeft(Event, frozen=True):
    """The callback returned; `result` is what clear_flush_young answered, else 0."""

    mm: str
    mmu: str
    callback: str
    start: Va
    end: Va
    win: str
    result: int


class TakeAllBegun(Event, frozen=True):
    """mm_take_all_locks was entered (before T0)."""

    mm: str


class TakeAllDone(Event, frozen=True):
    """mm_take_all_locks returned 0: the caller claims to hold every lock of the mm."""

    mm: str


class TakeAllInterrupted(Event, frozen=True):
    """mm_take_all_locks saw a signal, dropped what it had and returns -EINTR."""

    mm: str


class TakeAllDropped(Event, frozen=True):
    """mm_drop_all_locks returned."""

    mm: str


class TagSet(Event, frozen=True):
    """AS_MM_ALL_LOCKS of a mapping, or the low bit of an anon_vma's head.next, was set.
    `owner` is the mapping or anon_vma, `lock` its lock."""

    owner: str
    lock: str


class TagCleared(Event, frozen=True):
    """The tag was taken away."""

    owner: str
    lock: str


class HeadRead(Event, frozen=True):
    """Somebody followed an anon_vma's head.next; `tagged` tells what the low bit was."""

    owner: str
    lock: str
    tagged: bool
