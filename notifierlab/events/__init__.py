"""What can happen: the closed set of events, and the words they use.

An event is a small, flat fact in the past tense, made by the one owner of that fact.
The rooms that own facts emit them (`machine` its locks and tasks, `mm` its pages and
windows, `shadow` what a device believes); the scheduler stamps each with the step and
the task, and hands it on. Rules look at events and at nothing else, so whatever a rule
needs stands here: a log is complete by construction.

Addresses (`Va`) are bytes, ranges are half-open, pages are 4096 bytes. Names identify
everything that is not a page frame (`mm0`, `kvm0`, `mm0.mmap_sem`); a page frame is its
number. An empty name means "none".

The alphabet follows the protocol of Linux v2.6.27 (mm/mmu_notifier.c, mm/memory.c,
mm/rmap.c, mm/mmap.c) and what two secondary MMUs do with it.
"""

from typing import Final

from notifierlab.events.base import (
    ADDRESS_MAX as ADDRESS_MAX,
    DRIVER_RANKS as DRIVER_RANKS,
    Event as Event,
    FORMAT_VERSION as FORMAT_VERSION,
    LOCK_CLASSES as LOCK_CLASSES,
    LockClass as LockClass,
    NO_PAGE as NO_PAGE,
    PAGE_SIZE as PAGE_SIZE,
    Va as Va,
    Violation as Violation,
)
from notifierlab.events.host import (
    AnonVmaAttached as AnonVmaAttached,
    CpuAccessed as CpuAccessed,
    CpuTlbFlushed as CpuTlbFlushed,
    DirtyTested as DirtyTested,
    ExitBegun as ExitBegun,
    ExitDone as ExitDone,
    MmCountChanged as MmCountChanged,
    MmCreated as MmCreated,
    MmForked as MmForked,
    MmFreed as MmFreed,
    MmUsersChanged as MmUsersChanged,
    PageAllocated as PageAllocated,
    PageDirtied as PageDirtied,
    PageFreed as PageFreed,
    PageGot as PageGot,
    PageNotifyDone as PageNotifyDone,
    PagePut as PagePut,
    PteCleared as PteCleared,
    PteDowngraded as PteDowngraded,
    PteSet as PteSet,
    PteUpgraded as PteUpgraded,
    VmaChanged as VmaChanged,
    VmaLinked as VmaLinked,
    VmaUnlinked as VmaUnlinked,
    WindowClosed as WindowClosed,
    WindowOpened as WindowOpened,
)
from notifierlab.events.machine import (
    AtomicRead as AtomicRead,
    AtomicWritten as AtomicWritten,
    BugHit as BugHit,
    ChoiceMade as ChoiceMade,
    Deadlocked as Deadlocked,
    FieldRead as FieldRead,
    FieldWritten as FieldWritten,
    Interrupted as Interrupted,
    LockAcquired as LockAcquired,
    LockDowngraded as LockDowngraded,
    LockReleased as LockReleased,
    MightSleep as MightSleep,
    PreemptDisabled as PreemptDisabled,
    PreemptEnabled as PreemptEnabled,
    QueueWaited as QueueWaited,
    QueueWoken as QueueWoken,
    RcuReadEntered as RcuReadEntered,
    RcuReadLeft as RcuReadLeft,
    RcuSyncBegun as RcuSyncBegun,
    RcuSyncDone as RcuSyncDone,
    StepsExhausted as StepsExhausted,
    TaskEnded as TaskEnded,
    TaskJoined as TaskJoined,
    TaskRaised as TaskRaised,
    TaskReturned as TaskReturned,
    TaskStarted as TaskStarted,
    Waiting as Waiting,
)
from notifierlab.events.notifier import (
    CbEntered as CbEntered,
    CbLeft as CbLeft,
    DriverFreed as DriverFreed,
    HeadRead as HeadRead,
    NotifierAdded as NotifierAdded,
    NotifierRemoved as NotifierRemoved,
    RegisterBegun as RegisterBegun,
    RegisterDone as RegisterDone,
    TagCleared as TagCleared,
    TagSet as TagSet,
    TakeAllBegun as TakeAllBegun,
    TakeAllDone as TakeAllDone,
    TakeAllDropped as TakeAllDropped,
    TakeAllInterrupted as TakeAllInterrupted,
    UnregisterBegun as UnregisterBegun,
    UnregisterDone as UnregisterDone,
    WalkBegun as WalkBegun,
    WalkEnded as WalkEnded,
)
from notifierlab.events.shadow import (
    DataChecked as DataChecked,
    DropinIgnored as DropinIgnored,
    FaultRetried as FaultRetried,
    LookupBegun as LookupBegun,
    LookupDone as LookupDone,
    SecAccessed as SecAccessed,
    SpteCleared as SpteCleared,
    SpteDowngraded as SpteDowngraded,
    SpteSet as SpteSet,
    TlbDropped as TlbDropped,
    TlbFilled as TlbFilled,
    TlbFlushBegun as TlbFlushBegun,
    TlbFlushDone as TlbFlushDone,
)

EVENTS: Final[tuple[type[Event], ...]] = tuple(Event.__subclasses__())
"""Every event type, family by family."""
