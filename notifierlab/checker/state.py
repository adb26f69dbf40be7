"""What the checker knows at one moment: records of frames, mms and secondary MMUs.

The records are plain; `world.py` folds events into them, the judges of the rule rooms
read them. Names are the kernel's. Time inside the checker is the *tick*: a counter that
moves at the few events whose order against a translation matters, so "mapped before the
callback was entered" is one comparison of two numbers.

Whatever exists once per page is a `Struct` without a garbage collector header: a guest of
a gigabyte has a quarter of a million of each.
"""

from typing import Final

from msgspec import Struct

from notifierlab.events import PAGE_SIZE

HISTORY_MAX: Final = 8192
"""How many invalidations of an MMU, and pte changes of an mm, are remembered."""

LOOKUPS_MAX: Final = 4096
"""How many look-ups are remembered at least."""


class Translation(Struct, gc=False, eq=False):
    """One translation of a secondary MMU: a shadow entry, or with `cpu` a TLB entry.

    `touched` is 0 after ageing, 1 when only mapped since, 2 when the device used it.
    """

    mmu: str
    cpu: str
    va: int
    pfn: int
    gen: int
    write: bool
    tick: int
    touched: int = 1

    def where(self) -> str:
        """Who holds it and at which address, for a message."""
        holder = f"a TLB entry of {self.mmu} (processor {self.cpu})" if self.cpu else f"a shadow entry of {self.mmu}"
        return f"{holder} at {self.va:#x}"


class Delivered(Struct, gc=False, eq=False):
    """A window as one MMU heard of it. `left` and `ended` are the steps at which its start
    and end callbacks returned (-1: not yet)."""

    win: str
    start: int
    end: int
    tick: int
    left: int = -1
    ended: int = -1


class Promise(Struct, gc=False, eq=False):
    """What one listed MMU is owed for one changed pte.

    Either a delivered `window` covers it, or `told` becomes the step at which a page
    callback returned. `idle` is set when the MMU had already been released: nothing is owed.
    """

    mmu: str
    mm: str
    va: int
    pfn: int
    task: str
    ptl: str
    window: Delivered | None = None
    told: int = -1
    idle: bool = False


class Removal(Struct, gc=False, eq=False):
    """The last removal of a pte of a page from one mm; `other` is that of another mm."""

    mm: str
    va: int
    step: int
    promises: tuple[Promise, ...]
    other: "Removal | None" = None


class Frame(Struct, gc=False, eq=False):
    """A page frame in its present life. `reach` is what translates to it: one, or a list."""

    gen: int
    free: bool = False
    reach: Translation | list[Translation] | None = None
    removal: Removal | None = None

    def reached_by(self) -> list[Translation]:
        """Every translation to this life of the frame."""
        reach = self.reach
        if reach is None:
            return []
        some = reach if isinstance(reach, list) else [reach]
        return [translation for translation in some if translation.gen == self.gen]


class Vma(Struct, gc=False, eq=False):
    """A vma by the locks one must hold to exclude its rmap walkers."""

    mapping: str
    anon_vma: str


class Lookup(Struct, gc=False, eq=False):
    """A question of a secondary MMU to the host, and from when on its answer may be stale:
    how many invalidations the MMU had seen by then, and how many pte changes the mm."""

    mm: str
    mmu: str
    write: bool
    seen: int
    changes: int


class Change(Struct, gc=False, eq=False):
    """A present pte went, or (`downgrade`) lost its write permission, at `tick`."""

    va: int
    pfn: int
    downgrade: bool
    tick: int


class Invalidation(Struct, gc=False, eq=False):
    """A page callback that returned, or an end callback that was entered (at `tick`)."""

    start: int
    end: int
    tick: int


class Running(Struct, gc=False, eq=False):
    """A callback of an MMU that a task is inside."""

    callback: str
    start: int
    end: int
    tick: int


class Window(Struct, eq=False):
    """A window of the host, and who was on the list when it opened."""

    win: str
    start: int
    end: int
    listed: "tuple[Mmu, ...]"


class Mm:
    """A primary address space and the notifier list on it."""

    __slots__ = (
        "changes",
        "changing",
        "count",
        "exit_freed",
        "forgotten",
        "freed",
        "listed",
        "name",
        "ptes",
        "readonly",
        "registrations",
        "rmap_locks",
        "taking",
        "unsettled",
        "users",
        "vmas",
        "walking",
        "windows",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.users = 1
        self.count = 1
        self.freed = False
        self.exit_freed = False
        self.ptes: dict[int, int] = {}
        # The tick at which a pte last became read-only; writable ptes are not here.
        self.readonly: dict[int, int] = {}
        # Changed under a pte lock that is still held.
        self.unsettled: dict[int, None] = {}
        self.changes: list[Change] = []
        self.forgotten = 0
        self.vmas: dict[str, Vma] = {}
        # Every rmap lock a vma of this mm was ever reached by.
        self.rmap_locks: dict[str, None] = {}
        self.windows: dict[str, Window] = {}
        # In list order: the newest first.
        self.listed: tuple[Mmu, ...] = ()
        # Added and not yet unregistered, listed or not.
        self.registrations: dict[str, Mmu] = {}
        self.walking: dict[str, int] = {}
        # Page-wise changes whose notification is not over: (task, va).
        self.changing: dict[tuple[str, int], None] = {}
        # Tasks between the begin of mm_take_all_locks and mm_drop_all_locks.
        self.taking: dict[str, None] = {}

    @property
    def changed(self) -> int:
        """How many pte changes it has seen in all."""
        return self.forgotten + len(self.changes)

    def change_since(self, lookup: Lookup, va: int, pfn: int, *, write: bool) -> Change | None:
        """The first change since the look-up that took `pfn` away from `va`, or what `write` needs."""
        first = max(lookup.changes - self.forgotten, 0)
        for index in range(first, len(self.changes)):
            one = self.changes[index]
            if one.va == va and one.pfn == pfn and (write or not one.downgrade):
                return one
        return None

    def remember(self, change: Change) -> None:
        """Adds a change, forgetting the oldest half when there are too many."""
        self.changes.append(change)
        if len(self.changes) > HISTORY_MAX:
            half = HISTORY_MAX // 2
            del self.changes[:half]
            self.forgotten += half

    def disturbed(self, va: int) -> bool:
        """Whether the host is in the middle of changing the translation of `va`."""
        if va in self.unsettled:
            return True
        return any(window.start <= va < window.end for window in self.windows.values())


class Mmu:
    """A secondary MMU: its registration, the windows it heard of, its translations."""

    __slots__ = (
        "added",
        "admitted",
        "counter",
        "ending",
        "flushes",
        "forgotten",
        "freed",
        "invalidations",
        "listed",
        "mm",
        "name",
        "open",
        "pinned",
        "released",
        "releases",
        "removed",
        "running",
        "shadowed",
        "sptes",
        "tlbs",
        "unregistered",
        "unregistering",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.mm = ""
        self.counter = ""
        self.pinned = False
        # Whether it has a shadow table at all, and not TLBs alone.
        self.shadowed = False
        self.sptes: dict[int, Translation] = {}
        self.tlbs: dict[str, dict[int, Translation]] = {}
        self.flushes: dict[str, int] = {}
        self.invalidations: list[Invalidation] = []
        self.forgotten = 0
        self.running: dict[str, list[Running]] = {}
        self.begin_registration()

    def begin_registration(self) -> None:
        """A new registration starts with nothing heard and nothing promised."""
        self.added = 0
        self.admitted = False
        self.listed = False
        self.removed = False
        self.released = False
        self.releases = 0
        self.unregistering = False
        self.unregistered = False
        self.freed = False
        self.open: dict[str, Delivered] = {}
        self.ending: dict[str, Delivered] = {}

    def covering(self, va: int, win: str = "") -> Delivered | None:
        """A window over `va` whose start this MMU has digested and whose end it has not
        heard: `win` itself if it is one."""
        named = self.open.get(win)
        if named is not None and named.left >= 0 and named.start <= va < named.end:
            return named
        for delivered in self.open.values():
            if delivered.left >= 0 and delivered.start <= va < delivered.end:
                return delivered
        return None

    @property
    def seen(self) -> int:
        """How many invalidations it has seen in all."""
        return self.forgotten + len(self.invalidations)

    def invalidated(self, va: int, lookup: Lookup, tick: int) -> bool:
        """Whether `va` was invalidated since the look-up, by something later than `tick`."""
        first = max(lookup.seen - self.forgotten, 0)
        for index in range(first, len(self.invalidations)):
            one = self.invalidations[index]
            if one.tick > tick and one.start <= va < one.end:
                return True
        return False

    def remember(self, invalidation: Invalidation) -> None:
        """Adds an invalidation, forgetting the oldest half when there are too many."""
        self.invalidations.append(invalidation)
        if len(self.invalidations) > HISTORY_MAX:
            half = HISTORY_MAX // 2
            del self.invalidations[:half]
            self.forgotten += half

    def tlb_entries(self, va: int) -> list[Translation]:
        """The TLB entries of every processor for `va`."""
        return [tlb[va] for tlb in self.tlbs.values() if va in tlb]

    def has_translations(self) -> bool:
        """Whether it can reach any page at all."""
        return bool(self.sptes) or any(self.tlbs.values())

    def translations(self) -> list[Translation]:
        """Everything it can reach, shadow entries first."""
        return [*self.sptes.values(), *(entry for tlb in self.tlbs.values() for entry in tlb.values())]


def within(table: dict[int, Translation], start: int, end: int) -> list[Translation]:
    """The entries of `table` in `[start, end)`: by page or by entry, whichever are fewer."""
    first = start - start % PAGE_SIZE
    if (end - first) // PAGE_SIZE <= len(table):
        return [table[va] for va in range(first, end, PAGE_SIZE) if va in table]
    return [entry for va, entry in table.items() if start <= va < end]


class Mms(dict[str, Mm]):
    """Primary mms by name; one that is first heard of comes to be."""

    def __missing__(self, name: str) -> Mm:
        self[name] = mm = Mm(name)
        return mm


class Mmus(dict[str, Mmu]):
    """Secondary MMUs by name; one that is first heard of comes to be."""

    def __missing__(self, name: str) -> Mmu:
        self[name] = mmu = Mmu(name)
        return mmu
