"""From a page to the ptes that show it: the services of include/linux/rmap.h.

The lock order of mm/rmap.c, outermost first; `events.LOCK_CLASSES` holds the ranks:

    i_mutex                     while truncating
      mmap_sem
        page lock
          i_mmap_lock           a file's vmas
            anon_vma lock       an anonymous page's vmas; its list head only under it
              page_table_lock, pte lock
                swap_lock, tree_lock

An anonymous page finds its vmas through its anon_vma, a file page through the file's
`i_mmap`; in each vma the page's index says at which address it can stand. Whether it
does stand there, only the pte tells, under its lock.

Page-wise notification happens here: a pte is cleared, the CPU TLB flushed, and the
secondary MMUs told, all under one pte lock, before the pte's reference is dropped
(K 3.2, P1, P2, P4, P5).

Model: no VM_LOCKED, no migration entries, no swap token; map counts change together
with the pte they count.
"""

from typing import cast, Final

from notifierlab.events import PAGE_SIZE, Va
from notifierlab.machine.locks import SpinLock
from notifierlab.mm.anon_vma import (
    __anon_vma_merge,
    anon_vma_link,
    anon_vma_link_locked,
    anon_vma_lock,
    anon_vma_prepare,
    anon_vma_unlink,
    anon_vma_unlock,
    page_lock_anon_vma,
    page_unlock_anon_vma,
)
from notifierlab.mm.notifier import mmu_notifier_clear_flush_young, mmu_notifier_invalidate_page
from notifierlab.mm.page import Page
from notifierlab.mm.pagetable import Pte
from notifierlab.mm.swap import swap_duplicate
from notifierlab.mm.vma import AddressSpace, AnonVma, MmStruct, Vma

__all__ = [
    "SWAP_AGAIN",
    "SWAP_FAIL",
    "SWAP_SUCCESS",
    "__anon_vma_merge",
    "anon_vma_link",
    "anon_vma_link_locked",
    "anon_vma_lock",
    "anon_vma_prepare",
    "anon_vma_unlink",
    "anon_vma_unlock",
    "page_add_anon_rmap",
    "page_add_file_rmap",
    "page_add_new_anon_rmap",
    "page_address_in_vma",
    "page_check_address",
    "page_dup_rmap",
    "page_lock_anon_vma",
    "page_mkclean",
    "page_referenced",
    "page_remove_rmap",
    "page_unlock_anon_vma",
    "ptep_clear_flush",
    "ptep_clear_flush_notify",
    "ptep_clear_flush_young_notify",
    "try_to_unmap",
]

SWAP_SUCCESS: Final = 0
"""try_to_unmap: no pte shows the page any more."""
SWAP_AGAIN: Final = 1
"""try_to_unmap: a pte was missed; try again later."""
SWAP_FAIL: Final = 2
"""try_to_unmap: the page is in use; keep it."""


# --- how many ptes: mapcount --------------------------------------------------------


def page_add_anon_rmap(page: Page, vma: Vma, va: Va) -> None:
    """A pte shows an anonymous page (again); the caller holds the pte lock."""
    page.mapcount += 1
    if page.mapcount == 1:
        _page_set_anon_rmap(page, vma, va)
    else:
        _page_check_anon_rmap(page, vma, va)


def page_add_new_anon_rmap(page: Page, vma: Vma, va: Va) -> None:
    """The first pte ever shows a new anonymous page."""
    if not vma.contains(va):
        vma.mm.host.machine.bug("page_add_new_anon_rmap", f"{va:#x} is outside of the vma", vma.name)
    page.mapcount = 1
    _page_set_anon_rmap(page, vma, va)


def page_add_file_rmap(page: Page) -> None:
    """A pte shows a page of the page cache."""
    page.mapcount += 1


def page_dup_rmap(page: Page, vma: Vma, va: Va) -> None:
    """Fork copies a pte. Its debug check: the page must be mapped, and here."""
    if page.mapcount == 0:
        vma.mm.host.machine.bug("page_dup_rmap", "the page is not mapped", f"pfn {page.pfn}")
    if page.anon:
        _page_check_anon_rmap(page, vma, va)
    page.mapcount += 1


def page_remove_rmap(page: Page, vma: Vma) -> None:
    """A pte that showed the page is gone.

    An anonymous page keeps its anon_vma until it is freed: resetting it here could undo
    a racing `page_add_anon_rmap`.
    """
    page.mapcount -= 1
    if page.mapcount < 0:
        vma.mm.host.machine.bug("page_remove_rmap", "mapcount below zero", f"pfn {page.pfn}")


def _page_set_anon_rmap(page: Page, vma: Vma, va: Va) -> None:
    if vma.anon_vma is None:
        vma.mm.host.machine.bug("__page_set_anon_rmap", "the vma has no anon_vma", vma.name)
    page.mapping = vma.anon_vma
    page.index = vma.linear_page_index(va)


def _page_check_anon_rmap(page: Page, vma: Vma, va: Va) -> None:
    if page.mapping is not vma.anon_vma:
        vma.mm.host.machine.bug("__page_check_anon_rmap", "the page belongs to another anon_vma", f"pfn {page.pfn}")
    if page.index != vma.linear_page_index(va):
        vma.mm.host.machine.bug("__page_check_anon_rmap", f"the page stands elsewhere than {va:#x}", f"pfn {page.pfn}")


# --- where: the pte -----------------------------------------------------------------


def page_address_in_vma(page: Page, vma: Vma) -> Va | None:
    """At which address of the vma the page can stand; None if in none (-EFAULT)."""
    if page.mapping is None:
        return None
    if page.mapping is not (vma.anon_vma if page.anon else vma.file):
        return None
    return vma.address_of(page.index)


async def page_check_address(page: Page, mm: MmStruct, va: Va, sync: bool = False) -> SpinLock | None:
    """If the pte at `va` shows the page, return its pte lock, held.

    Args:
        page: the page.
        mm: whose page table.
        va: where it should stand.
        sync: look under the lock even when a first look without it finds nothing, so
            that a pte which a fault is about to change is not missed.
    """
    table = mm.page_table
    if not table.has_table(va):
        return None
    pte = await table.read(va)
    if not sync and (pte is None or pte.page is None):
        return None
    ptl = table.ptl(va)
    await ptl.acquire()
    pte = table.peek(va)
    if pte is not None and pte.page is page:
        return ptl
    await ptl.release()
    return None


async def ptep_clear_flush_notify(mm: MmStruct, va: Va) -> Pte:
    """Clear a present pte, flush it from the CPU TLBs, tell the secondary MMUs.

    In this order, under the pte lock: whoever looks the address up anew comes after,
    and a driver that registers before the test for notifiers is told.
    """
    if mm.host.mutated("notify-page-before-clear"):
        await mmu_notifier_invalidate_page(mm, va)
        return await ptep_clear_flush(mm, va, "page")
    pte = await ptep_clear_flush(mm, va, "page")
    await mmu_notifier_invalidate_page(mm, va)
    return pte


async def ptep_clear_flush(mm: MmStruct, va: Va, notify: str) -> Pte:
    """Clear a present pte and flush it from the CPU TLBs; `notify` as in PteCleared."""
    pte = await mm.page_table.clear(va, "", notify)
    await mm.flush_cpu_tlb(va, Va(va + PAGE_SIZE))
    return pte


async def ptep_clear_flush_young_notify(mm: MmStruct, va: Va) -> bool:
    """Forget that the page was used, on the CPUs and on every secondary MMU; was it?"""
    young = await mm.page_table.test_and_clear_young(va)
    if young:
        await mm.flush_cpu_tlb(va, Va(va + PAGE_SIZE))
    # Every driver is asked, whatever the CPUs say: each must clear its own.
    return await mmu_notifier_clear_flush_young(mm, va) or young


# --- was it used: page_referenced ---------------------------------------------------


async def page_referenced(page: Page, is_locked: bool) -> int:
    """Count the ptes (and the flag) that say the page was used, and clear them all (P5)."""
    referenced = 0
    if page.referenced:
        page.referenced = False
        referenced += 1
    if page.mapcount and page.mapping is not None:
        if page.anon:
            referenced += await _page_referenced_anon(page)
        elif is_locked:
            referenced += await _page_referenced_file(page)
        else:
            referenced += await _page_referenced_unlocked(page)
    return referenced


async def _page_referenced_anon(page: Page) -> int:
    referenced = 0
    anon_vma = await page_lock_anon_vma(page)
    if anon_vma is None:
        return 0
    left = page.mapcount
    for vma in anon_vma.vmas():
        found, used = await _page_referenced_one(page, vma)
        referenced += used
        left -= found
        if left == 0:
            break
    await page_unlock_anon_vma(anon_vma)
    return referenced


async def _page_referenced_file(page: Page) -> int:
    mapping = cast(AddressSpace, page.mapping)
    referenced = 0
    async with mapping.i_mmap_lock:
        left = page.mapcount
        for vma in mapping.i_mmap(page.index, page.index):
            found, used = await _page_referenced_one(page, vma)
            referenced += used
            left -= found
            if left == 0:
                break
    return referenced


async def _page_referenced_unlocked(page: Page) -> int:
    # A file page's mapping may vanish unless the page is locked.
    machine = cast(AddressSpace, page.mapping).host.machine
    if not await page.lock_of(machine).try_acquire():
        return 1
    referenced = await _page_referenced_file(page) if page.mapping is not None else 0
    await page.lock_of(machine).release()
    return referenced


async def _page_referenced_one(page: Page, vma: Vma) -> tuple[int, int]:
    """Return whether the page stands in the vma, and whether it was used there."""
    va = vma.address_of(page.index)
    if va is None:
        return 0, 0
    ptl = await page_check_address(page, vma.mm, va)
    if ptl is None:
        return 0, 0
    used = await ptep_clear_flush_young_notify(vma.mm, va)
    await ptl.release()
    return 1, int(used)


# --- away with it: try_to_unmap -----------------------------------------------------


async def try_to_unmap(page: Page) -> int:
    """Take a locked page out of every page table (P1, P2).

    An anonymous page must be in the swap cache already: its ptes become swap entries.
    Return `SWAP_SUCCESS`, `SWAP_AGAIN` or `SWAP_FAIL`.
    """
    _check_locked(page, "try_to_unmap")
    if page.anon:
        result = await _try_to_unmap_anon(page)
    else:
        result = await _try_to_unmap_file(page)
    return result if page.mapcount else SWAP_SUCCESS


def _check_locked(page: Page, where: str) -> None:
    """BUG_ON(!PageLocked(page))."""
    machine = cast("AddressSpace | AnonVma", page.mapping).host.machine
    if page.lock_of(machine).is_free():
        machine.bug(where, "the page is not locked", f"pfn {page.pfn}")


async def _try_to_unmap_anon(page: Page) -> int:
    result = SWAP_AGAIN
    anon_vma = await page_lock_anon_vma(page)
    if anon_vma is None:
        return result
    for vma in anon_vma.vmas():
        result = await _try_to_unmap_one(page, vma)
        if result == SWAP_FAIL or page.mapcount == 0:
            break
    await page_unlock_anon_vma(anon_vma)
    return result


async def _try_to_unmap_file(page: Page) -> int:
    result = SWAP_AGAIN
    mapping = cast(AddressSpace, page.mapping)
    async with mapping.i_mmap_lock:
        for vma in mapping.i_mmap(page.index, page.index):
            result = await _try_to_unmap_one(page, vma)
            if result == SWAP_FAIL or page.mapcount == 0:
                break
    return result


async def _try_to_unmap_one(page: Page, vma: Vma) -> int:
    mm = vma.mm
    va = vma.address_of(page.index)
    if va is None:
        return SWAP_AGAIN
    ptl = await page_check_address(page, mm, va)
    if ptl is None:
        return SWAP_AGAIN
    if await ptep_clear_flush_young_notify(mm, va):
        # Used since page_referenced looked: it is not worth taking.
        await ptl.release()
        return SWAP_FAIL
    late = mm.host.mutated("notify-page-after-unlock")
    if late:
        pte = await ptep_clear_flush(mm, va, "page")
    elif mm.host.mutated("reclaim-skips-notify"):
        pte = await ptep_clear_flush(mm, va, "none")
    else:
        pte = await ptep_clear_flush_notify(mm, va)
    await _unmap_cleared(page, vma, va, pte)
    await ptl.release()
    if late:
        await mmu_notifier_invalidate_page(mm, va)
    return SWAP_AGAIN


async def _unmap_cleared(page: Page, vma: Vma, va: Va, pte: Pte) -> None:
    """What follows the notification, still under the pte lock."""
    host = vma.mm.host
    if pte.dirty:
        host.memory.set_page_dirty(page, "try_to_unmap")
    if page.anon and page.swap_slot is not None:
        await swap_duplicate(host, page.swap_slot)
        await vma.mm.page_table.set_swap(va, page.swap_slot)
    page_remove_rmap(page, vma)
    await host.memory.put(page, vma.mm.name)


# --- write it down: page_mkclean ----------------------------------------------------


async def page_mkclean(page: Page) -> int:
    """Before writeback of a locked file page: make its shared ptes clean and read-only.

    Return how many ptes were cleaned; the next write through any of them faults, so the
    file system hears of it (P4).
    """
    if page.mapcount == 0 or page.mapping is None or page.anon:
        return 0
    _check_locked(page, "page_mkclean")
    mapping = cast(AddressSpace, page.mapping)
    cleaned = 0
    async with mapping.i_mmap_lock:
        for vma in mapping.i_mmap(page.index, page.index):
            if vma.shared:
                cleaned += await _page_mkclean_one(page, vma)
    return cleaned


async def _page_mkclean_one(page: Page, vma: Vma) -> int:
    mm = vma.mm
    va = vma.address_of(page.index)
    if va is None:
        return 0
    ptl = await page_check_address(page, mm, va, sync=True)
    if ptl is None:
        return 0
    pte = mm.page_table.peek(va)
    assert pte is not None
    cleaned = pte.dirty or pte.write
    if cleaned:
        old = await ptep_clear_flush_notify(mm, va)
        new = await mm.page_table.set(va, page, write=False)
        new.young = old.young
    await ptl.release()
    return int(cleaned)
