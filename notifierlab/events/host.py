"""Facts of the host: page frames and the primary mm."""

from notifierlab.events.base import Event, Va


class PageAllocated(Event, frozen=True):
    """A frame left the freelist with one reference. `gen` counts its lives from 1."""

    pfn: int
    gen: int
    holder: str


class PageFreed(Event, frozen=True):
    """The last reference went: the frame is on the freelist of the stamped task's CPU."""

    pfn: int
    gen: int


class PageGot(Event, frozen=True):
    """A reference was taken by `holder` (an mm, `cache`, `swap-cache`, `isolate`, or a
    secondary MMU's name); `refs` is the count after it."""

    pfn: int
    refs: int
    holder: str


class PagePut(Event, frozen=True):
    """A reference was dropped by `holder`; `refs` is the count after it."""

    pfn: int
    refs: int
    holder: str


class PageDirtied(Event, frozen=True):
    """The page's dirty flag was set by `by`."""

    pfn: int
    by: str


class DirtyTested(Event, frozen=True):
    """The host decided by the page's dirty flag (reclaim, writeback); `where` says which
    test. `cleared` tells whether the flag was taken away by it."""

    pfn: int
    dirty: bool
    cleared: bool
    where: str


class MmCreated(Event, frozen=True):
    """An mm came to be with `mm_users` and `mm_count` at one."""

    mm: str


class MmForked(Event, frozen=True):
    """`child` is a copy of `parent`. `notifiers` tells whether the child has a notifier
    structure (it must not)."""

    parent: str
    child: str
    notifiers: bool


class MmUsersChanged(Event, frozen=True):
    """`mm_users` after the change."""

    mm: str
    users: int


class MmCountChanged(Event, frozen=True):
    """`mm_count` after the change."""

    mm: str
    count: int


class ExitBegun(Event, frozen=True):
    """exit_mmap was entered (mm_users is 0)."""

    mm: str


class ExitDone(Event, frozen=True):
    """exit_mmap returned: no vma, no pte is left."""

    mm: str


class MmFreed(Event, frozen=True):
    """The last mm_count went; `notifiers_left` is the length of its notifier list."""

    mm: str
    notifiers_left: int


class VmaLinked(Event, frozen=True):
    """The vma joined the mm's list. `mapping` and `anon_vma` name what it maps."""

    mm: str
    vma: str
    start: Va
    end: Va
    mapping: str
    anon_vma: str


class VmaChanged(Event, frozen=True):
    """vma_adjust moved the vma's borders."""

    mm: str
    vma: str
    start: Va
    end: Va


class VmaUnlinked(Event, frozen=True):
    """The vma left the mm's list (its rmap links may still stand)."""

    mm: str
    vma: str


class AnonVmaAttached(Event, frozen=True):
    """anon_vma_prepare or fork gave the vma its anon_vma."""

    mm: str
    vma: str
    anon_vma: str


class PteSet(Event, frozen=True):
    """A present pte now stands at `va`."""

    mm: str
    va: Va
    pfn: int
    write: bool


class PteCleared(Event, frozen=True):
    """A present pte went. `win` is the window under which it was done; `notify` is
    `window`, `page` (invalidate_page must follow under the same pte lock) or `none`.
    `ptl` names the pte lock that is held."""

    mm: str
    va: Va
    pfn: int
    win: str
    notify: str
    ptl: str


class PteDowngraded(Event, frozen=True):
    """A present pte lost its write permission; fields as in `PteCleared`."""

    mm: str
    va: Va
    pfn: int
    win: str
    notify: str
    ptl: str


class PteUpgraded(Event, frozen=True):
    """A present pte gained write permission (same page)."""

    mm: str
    va: Va
    pfn: int


class PageNotifyDone(Event, frozen=True):
    """The page-wise notification for a change at `va` is over, listeners or not."""

    mm: str
    va: Va


class CpuTlbFlushed(Event, frozen=True):
    """The host CPUs' TLBs hold nothing stale of `[start, end)` of `mm`."""

    mm: str
    start: Va
    end: Va


class CpuAccessed(Event, frozen=True):
    """A process touched its memory through the primary page table."""

    mm: str
    va: Va
    pfn: int
    write: bool


class WindowOpened(Event, frozen=True):
    """The host is about to call invalidate_range_start, listeners or not. `site` is the
    call site (K R1-R11)."""

    win: str
    mm: str
    start: Va
    end: Va
    site: str


class WindowClosed(Event, frozen=True):
    """The host is done with invalidate_range_end."""

    win: str
    mm: str
    start: Va
    end: Va
