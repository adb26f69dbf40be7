"""Taking ranges out of a page table: unmap_vmas and its callers (K 3.1, R1-R4).

One window for the whole range; inside it, block by block:

    tlb_gather_mmu                               preemption off
      ptl: clear pte, keep dirty and young, drop rmap, queue page
    tlb_finish_mmu                               CPU TLB flush, pages freed
    after each block: look whether somebody waits

    munmap     mmap_sem for write     the rest is finished after the end
    madvise    mmap_sem for read      as munmap
    truncate   i_mmap_lock, no sem    when somebody waits for the lock: finish, end,
                                      drop the lock, start again where it stopped
    exit       nothing: no users      the notifiers were released long before

Pages are freed in the window and after it; what holds is that each was taken out of the
page table while the window was open.
"""

from typing import Final, NamedTuple

from notifierlab.events import ADDRESS_MAX, PAGE_SIZE, Va
from notifierlab.mm.anon_vma import anon_vma_unlink
from notifierlab.mm.callbacks import Range
from notifierlab.mm.gather import MmuGather, tlb_gather_mmu
from notifierlab.mm.notifier import deliver_range_start, mmu_notifier_invalidate_range_end, open_window
from notifierlab.mm.page import Page
from notifierlab.mm.pagetable import PMD_SIZE, Pte
from notifierlab.mm.rmap import page_remove_rmap
from notifierlab.mm.swap import free_swap_and_cache
from notifierlab.mm.vma import AddressSpace, MmStruct, Vma


class ZapDetails(NamedTuple):
    """struct zap_details: how a truncate unmaps. Swap entries stay.

    `check_mapping`, when set, spares pages that are not of this file: a private mapping
    keeps its own copies. `file` is the file whose i_mmap_lock the caller holds.
    """

    file: AddressSpace
    check_mapping: AddressSpace | None
    first_index: int
    last_index: int
    truncate_count: int


class _Zap:
    """One run of unmap_vmas: what its parts share."""

    __slots__ = ("details", "mm", "notify", "tlb", "win", "work")

    def __init__(self, mm: MmStruct, tlb: MmuGather, details: ZapDetails | None) -> None:
        self.mm = mm
        self.tlb = tlb
        self.details = details
        self.work = _block(mm)
        self.win = ""
        self.notify = "window"


def _block(mm: MmStruct) -> int:
    # A present pte costs as much work as a page has bytes, an empty one costs one.
    return mm.host.profile.zap_block_pages * PAGE_SIZE


class Unmapped(NamedTuple):
    """How far unmap_vmas came, and the gather that its caller must finish (None: done)."""

    end: Va
    tlb: MmuGather | None


async def unmap_vmas(
    tlb: MmuGather,
    vmas: list[Vma],
    start: Va,
    end: Va,
    site: str,
    details: ZapDetails | None = None,
) -> Unmapped:
    """Unmap `[start, end)`, holes included, from the vmas of one mm, in one window.

    Locks: see the table on top. With `details` it may stop early for a waiter of the
    i_mmap_lock; then the gather was finished and the end sent, for the whole range.
    """
    zap = _Zap(tlb.mm, tlb, details)
    window = await _open_window(zap, vmas, start, end, site)
    stopped = await _unmap_each(zap, vmas, start, end)
    done = end if stopped is None else stopped
    lost = stopped is not None and zap.mm.host.mutated("end-lost-on-lock-break")
    if window is not None and not lost:
        await mmu_notifier_invalidate_range_end(zap.mm, window)
    if stopped is not None and zap.mm.host.profile.free_after_end:
        await zap.tlb.finish()
    return Unmapped(done, None if stopped is not None else zap.tlb)


async def _open_window(zap: _Zap, vmas: list[Vma], start: Va, end: Va, site: str) -> Range | None:
    """Send the start; or, as a mutant, do it wrong."""
    mm = zap.mm
    if mm.host.mutated("unmap-without-window"):
        zap.notify = "none"
        return None
    window = await open_window(mm, start, end, site)
    zap.win = window.win
    if mm.host.mutated("zap-before-start"):
        await _zap_one(zap, vmas, start, end)
    await deliver_range_start(mm, window)
    if mm.host.mutated("end-before-zap"):
        await mmu_notifier_invalidate_range_end(mm, window)
        return None
    return window


async def _zap_one(zap: _Zap, vmas: list[Vma], start: Va, end: Va) -> None:
    zap.work = 1
    for vma in vmas:
        at, upto = Va(max(vma.start, start)), Va(min(vma.end, end))
        if at < upto:
            await _unmap_page_range(zap, vma, at, upto)
        if zap.work <= 0:
            break
    zap.work = _block(zap.mm)


async def _unmap_each(zap: _Zap, vmas: list[Vma], start: Va, end: Va) -> Va | None:
    """Work through the vmas; return where a lock-break stopped it, else None."""
    for vma in vmas:
        at, upto = Va(max(vma.start, start)), Va(min(vma.end, end))
        while at < upto:
            at = await _unmap_page_range(zap, vma, at, upto)
            if zap.work > 0:
                break
            if await _end_of_block(zap):
                return at
            zap.work = _block(zap.mm)
    return None


async def _end_of_block(zap: _Zap) -> bool:
    """Free what the block gathered; return whether to stop for a waiter of the lock."""
    host = zap.mm.host
    if host.profile.free_after_end:
        # Nothing is freed before the end, so the gather goes on.
        return zap.details is not None and host.choose("lock-break", False, True)
    await zap.tlb.finish()
    if zap.details is not None:
        if host.choose("lock-break", False, True):
            return True
    else:
        # cond_resched; every step may reschedule, so it needs none of its own.
        host.machine.might_sleep("cond_resched")
    zap.tlb = tlb_gather_mmu(zap.mm)
    return False


async def _unmap_page_range(zap: _Zap, vma: Vma, start: Va, end: Va) -> Va:
    """Walk the page tables of `[start, end)`; return where the block's work was done."""
    table = zap.mm.page_table
    at = start
    while at < end and zap.work > 0:
        upto = Va(min(end, (at & -PMD_SIZE) + PMD_SIZE))
        if table.has_table(at):
            at = await _zap_pte_range(zap, vma, at, upto)
        else:
            zap.work -= 1
            at = upto
    return at


async def _zap_pte_range(zap: _Zap, vma: Vma, start: Va, end: Va) -> Va:
    """Zap the ptes of one page-table page, under its lock."""
    table = zap.mm.page_table
    ptl = table.ptl(start)
    await ptl.acquire()
    at = start
    while at < end and zap.work > 0:
        pte = table.peek(at)
        if pte is None:
            zap.work -= 1
        else:
            zap.work -= PAGE_SIZE
            if pte.page is not None:
                await _zap_present(zap, vma, at, pte.page)
            elif zap.details is None:
                await free_swap_and_cache(zap.mm.host, await table.clear_swap(at))
        at = Va(at + PAGE_SIZE)
    await ptl.release()
    return at


async def _zap_present(zap: _Zap, vma: Vma, va: Va, page: Page) -> None:
    details = zap.details
    memory = zap.mm.host.memory
    normal = page is not memory.zero_page
    if details is not None and normal and details.check_mapping not in (None, page.mapping):
        return
    pte = await zap.mm.page_table.clear(va, zap.win, zap.notify)
    zap.tlb.remove_tlb_entry()
    if not normal:
        return
    if not page.anon:
        _keep_bits(zap, pte, page)
    page_remove_rmap(page, vma)
    await zap.tlb.remove_page(page)


def _keep_bits(zap: _Zap, pte: Pte, page: Page) -> None:
    if pte.dirty:
        zap.mm.host.memory.set_page_dirty(page, "zap_pte_range")
    if pte.young:
        page.referenced = True


# --- who unmaps ---------------------------------------------------------------------


async def unmap_region(mm: MmStruct, vmas: list[Vma], start: Va, end: Va) -> None:
    """Munmap's part: unmap vmas that left the mm's list already (R1).

    The caller holds mmap_sem for write.
    """
    done = await unmap_vmas(tlb_gather_mmu(mm), vmas, start, end, "R1")
    await free_pgtables(vmas)
    await _finish(done)


async def zap_page_range(vma: Vma, start: Va, end: Va, site: str = "R2", details: ZapDetails | None = None) -> Va:
    """Unmap a part of one vma; return how far it came (madvise, truncate)."""
    begun = vma.mm.host.machine.mark()
    done = await unmap_vmas(tlb_gather_mmu(vma.mm), [vma], start, end, site, details)
    await _finish(done)
    vma.mm.host.machine.forget(begun, done.end)
    return done.end


async def unmap_all(mm: MmStruct) -> None:
    """exit_mmap's part: unmap everything, for the last user is gone (R4)."""
    vmas = list(mm.vmas)
    if not vmas:
        # Era: v2.6.27 follows a NULL pointer here (fixed by dcd4a049b9).
        return
    done = await unmap_vmas(tlb_gather_mmu(mm), vmas, Va(0), ADDRESS_MAX, "R4")
    await free_pgtables(vmas)
    await _finish(done)


async def _finish(done: Unmapped) -> None:
    if done.tlb is not None:
        await done.tlb.finish()


async def free_pgtables(vmas: list[Vma]) -> None:
    """Hide the vmas from rmap and truncate: until here both still found them."""
    for vma in vmas:
        await anon_vma_unlink(vma)
        await unlink_file_vma(vma)


async def unlink_file_vma(vma: Vma) -> None:
    """Take the vma out of its file's `i_mmap`."""
    if vma.file is not None:
        async with vma.file.i_mmap_lock:
            vma.file.i_mmap_remove(vma)


# --- unmap_mapping_range ------------------------------------------------------------

_LAST_INDEX: Final = (ADDRESS_MAX // PAGE_SIZE) - 1


async def unmap_mapping_range(file: AddressSpace, first_index: int, pages: int | None, *, even_cows: bool) -> None:
    """Unmap a part of a file from every mm that maps it, under its i_mmap_lock (R3).

    Args:
        file: the file.
        first_index: the first page.
        pages: how many pages; None means to the end of the address space.
        even_cows: also unmap the private copies that stand in its place.
    """
    machine = file.host.machine
    begun = machine.mark()
    last = _LAST_INDEX if pages is None else first_index + pages - 1
    async with file.i_mmap_lock:
        file.truncate_count += 1
        details = ZapDetails(file, None if even_cows else file, first_index, last, file.truncate_count)
        counted = machine.mark()
        while not await _unmap_tree_once(details):
            machine.forget(counted)
    machine.forget(begun)


async def _unmap_tree_once(details: ZapDetails) -> bool:
    """Go over the vmas; false when the lock was dropped, so the list may have changed."""
    for vma in details.file.i_mmap(details.first_index, details.last_index):
        if vma.truncate_count == details.truncate_count:
            continue
        if not await _unmap_one_vma(vma, details):
            return False
    return True


async def _unmap_one_vma(vma: Vma, details: ZapDetails) -> bool:
    """unmap_mapping_range_vma: false when it broke off for the lock."""
    start, end = _part_of(vma, details)
    if vma.truncate_count < 0 and start < -vma.truncate_count:
        start = Va(-vma.truncate_count)
        if start >= end:
            _mark_done(vma, details)
            return True
    reached = await zap_page_range(vma, start, end, "R3", details)
    if reached >= end:
        _mark_done(vma, details)
        if not vma.mm.host.choose("lock-break", False, True):
            return True
    else:
        # Model: whoever waited for the lock in the middle of the vma still waits.
        vma.truncate_count = -reached
    await details.file.i_mmap_lock.release()
    vma.mm.host.machine.might_sleep("cond_resched")
    await details.file.i_mmap_lock.acquire()
    return False


def _part_of(vma: Vma, details: ZapDetails) -> tuple[Va, Va]:
    first = max(details.first_index, vma.pgoff)
    last = min(details.last_index, vma.pgoff + vma.pages - 1)
    start = vma.start + (first - vma.pgoff) * PAGE_SIZE
    return Va(start), Va(vma.start + (last - vma.pgoff + 1) * PAGE_SIZE)


def _mark_done(vma: Vma, details: ZapDetails) -> None:
    vma.truncate_count = details.truncate_count
