"""Page frames: references, map counts, content, and the freelists.

This is the only room that frees. A page is free when its last reference goes, and the
next allocation of the same CPU gets it back at once (freelists are last in, first out),
so a secondary MMU that still reaches it soon meets somebody else's data.

    reference   who may use the frame: a pte of an mm (holder: the mm's name), the page
                cache (`cache`), the swap cache (`swap-cache`), reclaim (`isolate`), or
                whoever looked the page up
    mapcount    how many ptes of all mms show it; `mm/rmap.py` changes it
    content     a token that moves with the data: through COW, swap and page cache

Model: every task is a CPU of its own with its own freelist and frames, so two tasks'
allocations never disturb each other.
Model: a frame is handed out cleared, and no allocation fails.
"""

from typing import ClassVar, Final, NamedTuple

from notifierlab.events import PageAllocated, PageDirtied, PageFreed, PageGot, PagePut
from notifierlab.machine.access import Mode
from notifierlab.machine.locks import BitLock
from notifierlab.machine.sched import Machine
from notifierlab.machine.watched import bare, put_bare, watch, Watched

FRAMES_PER_CPU_SHIFT: Final = 20
"""Frame numbers of a CPU begin at its task's index shifted by this."""


class Content(NamedTuple):
    """What stands in a page: who wrote it, the writer's own count, and a value."""

    writer: str
    n: int
    value: int

    def __str__(self) -> str:
        return f"{self.value} by {self.writer}#{self.n}"


ZERO: Final = Content("zero", 0, 0)
"""The content of a page that nobody wrote."""


class PageOwner:
    """What `page.mapping` points to: a file's address space, or an anon_vma (`anon`)."""

    __slots__ = ()
    anon: ClassVar[bool] = False
    name: str


class Page(Watched):
    """struct page. The object stays for ever; `gen` counts its lives."""

    WATCHED = (
        "content",
        "dirty",
        "gen",
        "index",
        "isolated",
        "mapcount",
        "mapping",
        "referenced",
        "refs",
        "swap_slot",
    )
    # SetPageReferenced: whoever sets it does not ask.
    MARKS = ("referenced",)
    __slots__ = (
        "_lock",
        "content",
        "dirty",
        "gen",
        "index",
        "isolated",
        "mapcount",
        "mapping",
        "pfn",
        "referenced",
        "refs",
        "swap_slot",
    )

    def __init__(self, pfn: int) -> None:
        self.pfn = pfn
        self.gen = 0
        self.refs = 0
        self.mapcount = 0
        self.dirty = False
        self.referenced = False
        self.content = ZERO
        self.mapping: PageOwner | None = None
        # For a file page its offset in the file, for an anonymous one its linear index.
        self.index = 0
        # The swap slot while the page is in the swap cache.
        self.swap_slot: int | None = None
        # Off the LRU, in the hands of reclaim.
        self.isolated = False
        self._lock: BitLock | None = None

    @property
    def anon(self) -> bool:
        """PageAnon: `mapping` is an anon_vma (it stays so until the page is freed)."""
        return self.mapping is not None and self.mapping.anon

    def lock_of(self, machine: Machine) -> BitLock:
        """The page lock, made when it is first needed."""
        if self._lock is None:
            self._lock = BitLock(machine, f"page{self.pfn}.lock", "page_lock")
        return self._lock

    def __repr__(self) -> str:
        return f"<page {self.pfn} gen {self.gen} refs {self.refs} mapcount {self.mapcount}>"


class Memory:
    """All frames of the machine and the freelists. Gets, puts, allocates and frees."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.zero_page = watch(Page(0), machine, "page0")
        self.zero_page.gen = 1
        self.zero_page.refs = 1  # The kernel's own; it never goes.
        self._freelists: dict[int, list[Page]] = {}
        self._frames_made: dict[int, int] = {}
        self._contents_made: dict[int, int] = {}

    async def alloc(self, holder: str) -> Page:
        """Take a frame with one reference held by `holder`; may sleep."""
        machine = self.machine
        machine.might_sleep("alloc_page")
        await machine.step()
        freelist = self._freelists.get(machine.current.index)
        page = freelist.pop() if freelist else self._new_frame()
        self._show_freelist()
        page.gen += 1
        page.refs = 1
        page.content = ZERO
        machine.emit(PageAllocated, page.pfn, page.gen, holder)
        return page

    async def get(self, page: Page, holder: str) -> None:
        """get_page: one more reference. The caller knows that the page is not free."""
        await self.machine.step()
        before = self._refs(page)
        if before <= 0:
            self.machine.bug("get_page", "reference taken on a free page", f"pfn {page.pfn}")
        if self.machine.recording:
            self.machine.touch(_refs_of(page), Mode.ADD if before > 0 else Mode.WRITE)
        self._set_refs(page, before + 1)
        self.machine.emit(PageGot, page.pfn, before + 1, holder)

    async def get_unless_zero(self, page: Page, holder: str) -> bool:
        """get_page_unless_zero: for callers who found the page without a reference."""
        await self.machine.step()
        before = self._refs(page)
        if self.machine.recording:
            self.machine.touch_get_unless_zero(_refs_of(page), before)
        if before:
            self._set_refs(page, before + 1)
            self.machine.emit(PageGot, page.pfn, before + 1, holder)
        return bool(before)

    async def put(self, page: Page, holder: str) -> bool:
        """put_page: drop a reference; the last one frees the page (true)."""
        await self.machine.step()
        left = self._refs(page) - 1
        if left < 0:
            self.machine.touch(_refs_of(page), Mode.WRITE)
            self.machine.bug("put_page", "reference dropped on a free page", f"pfn {page.pfn}")
            return False
        # Whoever takes one knows that the page is held, so that may come before or after.
        if self.machine.recording:
            self.machine.touch_put(_refs_of(page), left)
        self._set_refs(page, left)
        self.machine.emit(PagePut, page.pfn, left, holder)
        if left == 0:
            self._free(page)
        return left == 0

    async def freeze_refs(self, page: Page, refs: int) -> bool:
        """page_freeze_refs: if exactly `refs` are held, make the page look free.

        While frozen nobody can take a reference; `unfreeze_refs` or `free_frozen` must
        follow.
        """
        await self.machine.step()
        if page.refs != refs:
            return False
        page.refs = 0
        self.machine.touch_last(_refs_of(page))
        return True

    def unfreeze_refs(self, page: Page, refs: int) -> None:
        """page_unfreeze_refs: the inverse of `freeze_refs`."""
        assert page.refs == 0
        page.refs = refs
        self.machine.touch_last(_refs_of(page))

    async def free_frozen(self, page: Page, *holders: str) -> None:
        """Free a frozen page: the references of `holders` are dropped in one go."""
        await self.machine.step()
        assert page.refs == 0
        for left in range(len(holders) - 1, -1, -1):
            self.machine.emit(PagePut, page.pfn, left, holders[-1 - left])
        self._free(page)

    def set_page_dirty(self, page: Page, by: str) -> None:
        """set_page_dirty: the page differs from what its file or swap slot holds."""
        page.dirty = True
        self.machine.emit(PageDirtied, page.pfn, by)

    def new_content(self, value: int) -> Content:
        """A token for what the running task writes now."""
        task = self.machine.current
        count = self._contents_made.get(task.index, 0) + 1
        self._contents_made[task.index] = count
        self.machine.shows(f"contents of {task.index}", count)
        return Content(task.name, count, value)

    def _refs(self, page: Page) -> int:
        return bare(page, "refs") if self.machine.recording else page.refs

    def _set_refs(self, page: Page, refs: int) -> None:
        if self.machine.recording:
            put_bare(page, "refs", refs)
        else:
            page.refs = refs

    def _show_freelist(self) -> None:
        """What the current task's CPU has: no other task looks there, but it outlives what this one remembers."""
        cpu = self.machine.current.index
        if self.machine.recording:
            freelist = tuple(page.pfn for page in self._freelists.get(cpu, ()))
            self.machine.shows(f"cpu {cpu}", (self._frames_made.get(cpu, 0), freelist))

    def _new_frame(self) -> Page:
        cpu = self.machine.current.index
        # Frame 0 is the zero page, so counting begins at one.
        n = self._frames_made.get(cpu, 0) + 1
        self._frames_made[cpu] = n
        pfn = (cpu << FRAMES_PER_CPU_SHIFT) + n
        return watch(Page(pfn), self.machine, f"page{pfn}")

    def _free(self, page: Page) -> None:
        # free_pages_check: a free page that a pte still shows is a "bad page state".
        if page.mapcount != 0:
            self.machine.bug("free_pages_check", "page freed while mapped by a pte", f"pfn {page.pfn}")
            page.mapcount = 0
        page.mapping = None
        page.swap_slot = None
        page.dirty = page.referenced = page.isolated = False
        self._freelists.setdefault(self.machine.current.index, []).append(page)
        self._show_freelist()
        self.machine.emit(PageFreed, page.pfn, page.gen)


def _refs_of(page: Page) -> str:
    return f"page{page.pfn}.refs"
