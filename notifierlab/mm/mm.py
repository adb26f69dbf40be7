"""What a process asks of its memory: mmap, munmap, mprotect, madvise, fork, exit, and to
read and write it.

    mmap_sem for write    mmap, munmap, mprotect, fork: the list of vmas changes
    mmap_sem for read     page faults, madvise(DONTNEED): only ptes do
    no lock               a read or a write that finds its translation

Model: one address space layout: the lowest hole above `MMAP_BASE` that is large enough.
Model: a CPU's own TLB is not kept apart from the page table.
"""

from collections.abc import Sequence
from typing import cast, Final, NamedTuple

from notifierlab.events import CpuAccessed, MmCreated, MmForked, PAGE_SIZE, Va
from notifierlab.machine.sched import LabError, Machine
from notifierlab.machine.watched import watch
from notifierlab.mm import exit as mm_exit
from notifierlab.mm.callbacks import MmuNotifier
from notifierlab.mm.fault import handle_mm_fault, VM_FAULT_SIGBUS
from notifierlab.mm.fork import dup_mmap
from notifierlab.mm.mprotect import do_mprotect
from notifierlab.mm.notifier import mmu_notifier_invalidate_range_end, mmu_notifier_invalidate_range_start
from notifierlab.mm.page import Content, Page
from notifierlab.mm.pagetable import Pte
from notifierlab.mm.registration import (
    find_notifier,
    mmdrop,
    mmgrab,
    mmu_notifier_register,
    mmu_notifier_unregister,
    N,
    register_locked,
)
from notifierlab.mm.unmap import unmap_region, zap_page_range
from notifierlab.mm.vma import AddressSpace, HostServices, MmStruct, Vma
from notifierlab.mm.vma_ops import find_vma, Kind, remove_vma, split_vma, vma_at, vma_link, vma_merge, vmas_between

MMAP_BASE: Final = Va(0x10000)
"""The lowest address that mmap gives out by itself."""


class Area(NamedTuple):
    """What mmap gave: `[start, end)`. Its vma may be larger, or be split later."""

    start: Va
    end: Va

    @property
    def pages(self) -> Sequence[Va]:
        """The address of each page."""
        return cast(Sequence[Va], range(self.start, self.end, PAGE_SIZE))


class Mm(MmStruct):
    """The memory of a process, with the calls that the process can make.

    It begins with one user, who made it and must `exit`.
    """

    def __init__(self, host: HostServices, name: str) -> None:
        super().__init__(host, name)
        # Below it there is no hole that mmap has not seen (free_area_cache).
        self._free_area_cache = MMAP_BASE
        watch(self, host.machine, name)
        host.machine.emit(MmCreated, name)

    @property
    def machine(self) -> Machine:
        """The machine whose tasks use this memory."""
        return self.host.machine

    # --- mappings -------------------------------------------------------------------

    async def mmap(
        self,
        pages: int,
        *,
        file: AddressSpace | None = None,
        pgoff: int = 0,
        shared: bool = False,
        writable: bool = True,
        at: Va | None = None,
    ) -> Area:
        """Map `pages` pages of `file` from page `pgoff` on, or of fresh memory.

        `at` is MAP_FIXED: what stands there goes. Shared fresh memory is a file of its
        own, without a name that anybody could open.
        """
        _check_pages(pages, at)
        async with self.mmap_sem.write():
            start = self._get_unmapped_area(pages) if at is None else at
            area = Area(start, Va(start + pages * PAGE_SIZE))
            if at is not None and vmas_between(self, area.start, area.end):
                await self._do_munmap(area.start, area.end)
            if file is None and shared:
                file = AddressSpace(self.host, self.machine.fresh("shmem"), pages)
            kind = Kind(file, pgoff if file is not None else start // PAGE_SIZE, shared, writable, None)
            if await vma_merge(self, area.start, area.end, kind) is None:
                await vma_link(self, self._new_vma(area, kind))
        return area

    def _new_vma(self, area: Area, kind: Kind) -> Vma:
        name = self.machine.fresh("vma")
        file, pgoff, shared, writable, _ = kind
        return Vma(name, self, area.start, area.end, pgoff=pgoff, file=file, shared=shared, writable=writable)

    def _get_unmapped_area(self, pages: int) -> Va:
        length = pages * PAGE_SIZE
        start = self._free_area_cache
        vma = find_vma(self, start)
        while vma is not None and vma.start < start + length:
            start = vma.end
            vma = find_vma(self, start)
        self._free_area_cache = Va(start + length)
        return start

    async def munmap(self, start: Va, end: Va) -> None:
        """Unmap `[start, end)`; holes in it do not matter."""
        _check_range(start, end)
        async with self.mmap_sem.write():
            await self._do_munmap(start, end)

    async def _do_munmap(self, start: Va, end: Va) -> None:
        for va in (start, end):
            vma = vma_at(self, va)
            if vma is not None and vma.start < va:
                await split_vma(vma, va, new_below=va == end)
        vmas = vmas_between(self, start, end)
        if not vmas:
            return
        # Nobody finds them through the mm any more; rmap does, until free_pgtables.
        for vma in vmas:
            remove_vma(self, vma)
        self._free_area_cache = min(self._free_area_cache, max(start, MMAP_BASE))
        await unmap_region(self, vmas, start, end)

    async def mprotect(self, start: Va, end: Va, *, writable: bool) -> int:
        """Set the write permission of `[start, end)`; returns 0 or -ENOMEM (a hole)."""
        _check_range(start, end)
        async with self.mmap_sem.write():
            return await do_mprotect(self, start, end, writable)

    async def madvise_dontneed(self, start: Va, end: Va) -> None:
        """Give the pages of `[start, end)` back; the mapping stays (K 3.1, R2)."""
        _check_range(start, end)
        unlocked = self.host.mutated("madvise-without-mmap-sem")
        if not unlocked:
            await self.mmap_sem.acquire_read()
        for vma in vmas_between(self, start, end):
            await zap_page_range(vma, Va(max(vma.start, start)), Va(min(vma.end, end)))
        if not unlocked:
            await self.mmap_sem.release_read()

    # --- the process itself ---------------------------------------------------------

    async def fork(self, name: str = "") -> "Mm":
        """Return a child with a copy of this memory, and no notifier (K 3.1, R7)."""
        child = Mm(self.host, name or self.machine.fresh("mm"))
        child._free_area_cache = self._free_area_cache
        if self.host.mutated("fork-inherits-notifiers"):
            child.mmu_notifier_mm = self.mmu_notifier_mm
        self.machine.emit(MmForked, self.name, child.name, child.mmu_notifier_mm is not None)
        await dup_mmap(self, child)
        return child

    async def exit(self) -> None:
        """The process that made the mm is done with it."""
        await mm_exit.mmput(self)

    async def mmget(self) -> None:
        """One more user of the memory."""
        await mm_exit.mmget(self)

    async def mmget_not_zero(self) -> bool:
        """One more user, unless there is none left (get_task_mm)."""
        return await mm_exit.mmget_not_zero(self)

    async def mmput(self) -> None:
        """One user less; the last one takes the memory down."""
        await mm_exit.mmput(self)

    async def mmgrab(self) -> None:
        """Keep the struct, not the memory."""
        await mmgrab(self)

    async def mmdrop(self) -> None:
        """The inverse of `mmgrab`."""
        await mmdrop(self)

    async def register(self, mn: MmuNotifier) -> int:
        """mmu_notifier_register: 0, -EINTR or -ENOMEM."""
        return await mmu_notifier_register(self, mn)

    async def register_locked(self, mn: MmuNotifier) -> int:
        """__mmu_notifier_register, for a caller that holds mmap_sem for write."""
        return await register_locked(self, mn)

    async def unregister(self, mn: MmuNotifier) -> None:
        """mmu_notifier_unregister."""
        await mmu_notifier_unregister(self, mn)

    async def find_notifier(self, kind: type[N]) -> N | None:
        """The notifier of that type that is registered, if one is."""
        return await find_notifier(self, kind)

    async def zap_vma_ptes(self, start: Va, end: Va) -> None:
        """Unmap a stretch of device memory: there is a window, and no page (K 3.1, R5).

        The caller should hold mmap_sem.

        Model: the mapping of the device itself is not kept, so there is nothing to clear.
        """
        window = await mmu_notifier_invalidate_range_start(self, start, end, "R5")
        await mmu_notifier_invalidate_range_end(self, window)

    def find_vma(self, va: Va) -> Vma | None:
        """The vma in which `va` lies, or None; the caller holds mmap_sem."""
        return vma_at(self, va)

    # --- its memory -----------------------------------------------------------------

    async def read(self, va: Va) -> Content | None:
        """The process reads at `va`; None is SIGSEGV or SIGBUS."""
        page = await self._access(va, write=False)
        return None if page is None else page.content

    async def write(self, va: Va, value: int = 0) -> Content | None:
        """The process writes `value` at `va`; returns what stands there now, or None."""
        page = await self._access(va, write=True)
        if page is None:
            return None
        page.content = self.host.memory.new_content(value)
        return page.content

    async def _access(self, va: Va, *, write: bool) -> Page | None:
        """Returns the page, in the very step in which the CPU found its translation."""
        va = Va(va & -PAGE_SIZE)
        while True:
            pte = await self.page_table.read(va)
            if _permits(pte, write=write):
                assert pte is not None
                assert pte.page is not None
                self.page_table.touch(va, write)
                self.machine.emit(CpuAccessed, self.name, va, pte.page.pfn, write)
                return pte.page
            if not await self._fault(va, write=write):
                return None

    async def _fault(self, va: Va, *, write: bool) -> bool:
        """do_page_fault: returns whether to try again."""
        unlocked = self.host.mutated("fault-without-mmap-sem")
        if not unlocked:
            await self.mmap_sem.acquire_read()
        vma = vma_at(self, va)
        served = False
        if vma is not None and (vma.writable or not write):
            served = await handle_mm_fault(self, vma, va, write) != VM_FAULT_SIGBUS
        if not unlocked:
            await self.mmap_sem.release_read()
        return served


def _permits(pte: Pte | None, *, write: bool) -> bool:
    return pte is not None and pte.page is not None and (pte.write or not write)


def _check_pages(pages: int, at: Va | None) -> None:
    if pages <= 0:
        raise LabError(f"mmap of {pages} pages; ask for at least one")
    if at is not None and at % PAGE_SIZE:
        raise LabError(f"mmap at {at:#x}, which is no page's address; use a multiple of {PAGE_SIZE:#x}")


def _check_range(start: Va, end: Va) -> None:
    if start % PAGE_SIZE or end % PAGE_SIZE or start >= end:
        raise LabError(f"[{start:#x}, {end:#x}) is no range of pages; give two multiples of {PAGE_SIZE:#x}")
