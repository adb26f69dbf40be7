"""Page faults, and the two ways in which others look a page up.

    handle_mm_fault   mmap_sem (read)
      none, anonymous       allocate; ptl: pte, rmap
      none, file            page lock, size looked at again; copy if private and written
      swapped               page from the swap cache; page lock; ptl: pte, rmap, slot freed
      present, read-only    do_wp_page: reuse, or copy and switch the pte (K 3.2, P6)

Whatever a fault read without the pte lock it compares again with the lock held; if the
pte is another by then, it gives up, and the access faults again.

Only do_wp_page takes a present pte away, and says so by invalidate_page before the old
page's references go, all under the pte lock. New ptes are not announced: nobody can have
a translation of what was not there. (Unless a look-up answered without a pte: see the
switch `zero_page_read_lookup`.)

Model: allocation never fails, page_mkwrite is absent, swap is never full.
"""

from typing import Final, NamedTuple

from notifierlab.events import PAGE_SIZE, Va
from notifierlab.machine.locks import SpinLock
from notifierlab.mm.filemap import filemap_fault
from notifierlab.mm.notifier import mmu_notifier_change_pte, mmu_notifier_invalidate_page
from notifierlab.mm.page import Page
from notifierlab.mm.pagetable import Pte
from notifierlab.mm.rmap import (
    anon_vma_prepare,
    page_add_anon_rmap,
    page_add_file_rmap,
    page_add_new_anon_rmap,
    page_remove_rmap,
    ptep_clear_flush,
    ptep_clear_flush_notify,
)
from notifierlab.mm.swap import read_swap_cache_async, swap_free
from notifierlab.mm.vma import HostServices, MmStruct, Vma
from notifierlab.mm.vma_ops import vma_at

VM_FAULT_MINOR: Final = 0
"""handle_mm_fault: done, or lost a race; look again."""
VM_FAULT_SIGBUS: Final = 2
"""handle_mm_fault: there is no such page (behind the end of the file)."""
VM_FAULT_WRITE: Final = 8
"""handle_mm_fault: the copy-on-write that a write needs has been done."""

_COW: Final = "cow"
"""Holder of the reference by which do_wp_page keeps the old page while it copies."""


class _Value(NamedTuple):
    """A pte as it was when somebody looked; pte_same compares two."""

    page: Page | None
    write: bool
    dirty: bool
    young: bool
    swap: int | None


def _value(pte: Pte | None) -> _Value | None:
    return None if pte is None else _Value(pte.page, pte.write, pte.dirty, pte.young, pte.swap)


# --- faults -------------------------------------------------------------------------


async def handle_mm_fault(mm: MmStruct, vma: Vma, va: Va, write: bool) -> int:
    """Make the page at `va` present, and writable if `write`; returns a VM_FAULT value.

    The caller holds mmap_sem at least for read, found `va` in `vma`, and `vma` permits
    the access.
    """
    va = Va(va & -PAGE_SIZE)
    table = mm.page_table
    pte = await table.read(va)
    if pte is None:
        if vma.file is not None:
            return await _do_file_fault(mm, vma, va, write)
        return await _do_anonymous_page(mm, vma, va, write)
    seen = _value(pte)
    if pte.page is None:
        return await _do_swap_page(mm, vma, va, write, seen)
    ptl = table.ptl(va)
    await ptl.acquire()
    if _value(table.peek(va)) == seen:
        if write and not pte.write:
            return await do_wp_page(mm, vma, va, ptl)
        # Somebody else made it so; only the accessed bits are left to set.
        table.touch(va, write)
    await ptl.release()
    return VM_FAULT_MINOR


async def _do_anonymous_page(mm: MmStruct, vma: Vma, va: Va, write: bool) -> int:
    host, table = mm.host, mm.page_table
    ptl = table.ptl(va)
    if not write and not host.profile.zero_page_read_lookup:
        # As from 2.6.32 on. 2.6.24 to 2.6.31 allocate a page even to read from.
        await ptl.acquire()
        if table.peek(va) is None:
            await table.set(va, host.memory.zero_page, False)
        await ptl.release()
        return VM_FAULT_MINOR
    if vma.anon_vma is None:
        await anon_vma_prepare(vma)
    page = await host.memory.alloc(mm.name)
    await ptl.acquire()
    if table.peek(va) is None:
        page_add_new_anon_rmap(page, vma, va)
        await table.set(va, page, vma.writable, True)
    else:
        await host.memory.put(page, mm.name)
    await ptl.release()
    return VM_FAULT_MINOR


async def _do_file_fault(mm: MmStruct, vma: Vma, va: Va, write: bool) -> int:
    """__do_fault: the page stays locked until the pte stands, so truncate cannot miss it."""
    host, table = mm.host, mm.page_table
    assert vma.file is not None
    cached = await filemap_fault(vma.file, vma.linear_page_index(va), mm.name)
    if cached is None:
        return VM_FAULT_SIGBUS
    page = cached
    if write and not vma.shared:
        await anon_vma_prepare(vma)
        page = await host.memory.alloc(mm.name)
        page.content = cached.content
    ptl = table.ptl(va)
    await ptl.acquire()
    mapped = table.peek(va) is None
    if mapped:
        await table.set(va, page, write and vma.writable, write)
        if page is cached:
            page_add_file_rmap(page)
            if write:
                await host.memory.get(page, mm.name)
        else:
            page_add_new_anon_rmap(page, vma, va)
    elif page is not cached:
        await host.memory.put(page, mm.name)
    await ptl.release()
    await cached.lock_of(host.machine).release()
    if mapped and page is cached:
        # The pte has the reference that the look-up took.
        if write:
            host.memory.set_page_dirty(page, mm.name)
            await host.memory.put(page, mm.name)
    else:
        await host.memory.put(cached, mm.name)
    return VM_FAULT_MINOR


async def _do_swap_page(mm: MmStruct, vma: Vma, va: Va, write: bool, seen: _Value | None) -> int:
    host, table = mm.host, mm.page_table
    assert seen is not None
    assert seen.swap is not None
    page = await read_swap_cache_async(host, seen.swap, mm.name)
    if page is None:
        # The slot was freed, so the pte is another by now.
        return VM_FAULT_MINOR
    lock = page.lock_of(host.machine)
    await lock.acquire()
    ptl = table.ptl(va)
    await ptl.acquire()
    if _value(table.peek(va)) != seen:
        await ptl.release()
        await lock.release()
        await host.memory.put(page, mm.name)
        return VM_FAULT_MINOR
    alone = write and await _can_share_swap_page(host, page)
    await table.set(va, page, alone and vma.writable, alone)
    page_add_anon_rmap(page, vma, va)
    await swap_free(host, seen.swap)
    await lock.release()
    if write and not alone:
        return await do_wp_page(mm, vma, va, ptl)
    await ptl.release()
    return VM_FAULT_MINOR


# --- copy on write ------------------------------------------------------------------


async def do_wp_page(mm: MmStruct, vma: Vma, va: Va, ptl: SpinLock) -> int:
    """A write met a read-only pte. The caller took `ptl`; it is dropped here.

    A page that nobody else shows, and a page of a shared mapping, is made writable where
    it stands. Any other is copied.
    """
    host, table = mm.host, mm.page_table
    pte = table.peek(va)
    assert pte is not None
    assert pte.page is not None
    if vma.shared:
        await _reuse_shared(mm, va, pte.page, ptl)
        return VM_FAULT_WRITE
    if pte.page.anon and await _is_ours_alone(host, pte.page):
        await table.upgrade(va)
        await ptl.release()
        return VM_FAULT_WRITE
    return await _copy_page(mm, vma, va, ptl, pte)


async def _reuse_shared(mm: MmStruct, va: Va, page: Page, ptl: SpinLock) -> None:
    host = mm.host
    await host.memory.get(page, mm.name)
    await mm.page_table.upgrade(va)
    await ptl.release()
    # Writeback holds the page lock from cleaning the ptes to clearing the page's dirty
    # flag: whoever set a dirty pte in between must set the flag after that.
    host.machine.might_sleep("wait_on_page_locked")
    await page.lock_of(host.machine).wait_free()
    host.memory.set_page_dirty(page, mm.name)
    await host.memory.put(page, mm.name)


async def _is_ours_alone(host: HostServices, page: Page) -> bool:
    lock = page.lock_of(host.machine)
    if not await lock.try_acquire():
        return False
    alone = await _can_share_swap_page(host, page)
    await lock.release()
    return alone


async def _can_share_swap_page(host: HostServices, page: Page) -> bool:
    """can_share_swap_page: at most one pte, present or swapped, refers to the locked page."""
    users = page.mapcount
    if users <= 1 and page.swap_slot is not None:
        async with host.swap.swap_lock:
            # One user of the slot is the cache itself.
            users += host.swap.slots[page.swap_slot].count - 1
    return users <= 1


async def _copy_page(mm: MmStruct, vma: Vma, va: Va, ptl: SpinLock, pte: Pte) -> int:
    memory = mm.host.memory
    seen = _value(pte)
    old = pte.page
    assert old is not None
    if old is not memory.zero_page:
        await memory.get(old, _COW)
    await ptl.release()
    await anon_vma_prepare(vma)
    new = await memory.alloc(mm.name)
    new.content = old.content
    await ptl.acquire()
    switched = _value(mm.page_table.peek(va)) == seen
    if switched:
        await _switch_pte(mm, vma, va, old, new)
    else:
        await memory.put(new, mm.name)
        await _put_normal(mm, old, _COW)
    await ptl.release()
    return VM_FAULT_WRITE if switched else VM_FAULT_MINOR


async def _switch_pte(mm: MmStruct, vma: Vma, va: Va, old: Page, new: Page) -> None:
    """Replace the old page by the new one, under the pte lock, and drop the old one.

    1. The pte is cleared and the CPUs flushed: no CPU writes to the old page any more.
    2. The secondary MMUs drop the old page.
    3. The new pte stands. (2.6.32: before 2, which then may point them at it.)
    4. The old page loses its rmap, then its references: it may be free now.
    """
    host, table = mm.host, mm.page_table
    if host.profile.change_pte:
        await ptep_clear_flush(mm, va, "page")
        page_add_new_anon_rmap(new, vma, va)
        await table.set(va, new, vma.writable, True)
        await mmu_notifier_change_pte(mm, va, new, vma.writable)
    else:
        if host.mutated("cow-without-notify"):
            await ptep_clear_flush(mm, va, "none")
        elif host.mutated("cow-notifies-last"):
            await ptep_clear_flush(mm, va, "page")
        else:
            await ptep_clear_flush_notify(mm, va)
        await table.set(va, new, vma.writable, True)
        page_add_new_anon_rmap(new, vma, va)
    if old is not host.memory.zero_page:
        page_remove_rmap(old, vma)
    await _put_normal(mm, old, mm.name)
    await _put_normal(mm, old, _COW)
    if host.mutated("cow-notifies-last"):
        await mmu_notifier_invalidate_page(mm, va)


async def _put_normal(mm: MmStruct, page: Page, holder: str) -> None:
    # The zero page's ptes are not counted.
    if page is not mm.host.memory.zero_page:
        await mm.host.memory.put(page, holder)


# --- looking a page up --------------------------------------------------------------


async def get_user_page(mm: MmStruct, va: Va, *, write: bool, by: str) -> Page | None:
    """get_user_pages for one page: fault it in as needed, take a reference for `by`.

    The caller holds mmap_sem for read; may sleep. None stands for -EFAULT. With `write`
    the pte is writable and dirty at the moment of the answer.

    Model: no `force`: what the process may not write, the device may not either.
    """
    vma = vma_at(mm, va)
    if vma is None or (write and not vma.writable):
        return None
    va = Va(va & -PAGE_SIZE)
    machine = mm.host.machine
    begun = machine.mark()
    while True:
        machine.forget(begun, write)
        page = await _follow_page(mm, vma, va, write=write, by=by)
        if page is not None:
            machine.forget(begun, page)
            return page
        machine.might_sleep("handle_mm_fault")
        fault = await handle_mm_fault(mm, vma, va, write)
        if fault == VM_FAULT_SIGBUS:
            machine.forget(begun, None)
            return None
        if fault == VM_FAULT_WRITE:
            # The copy is made; if it is write-protected again before we look, so be it.
            write = False


async def _follow_page(mm: MmStruct, vma: Vma, va: Va, *, write: bool, by: str) -> Page | None:
    """follow_page with FOLL_GET and FOLL_TOUCH: the page, if the pte permits, referenced."""
    host, table = mm.host, mm.page_table
    async with table.ptl(va):
        pte = table.peek(va)
        if pte is None and not write and _use_zero_page(mm, vma):
            page = host.memory.zero_page
        elif pte is None or pte.page is None or (write and not pte.write):
            return None
        else:
            page = pte.page
        await host.memory.get(page, by)
        if page is not host.memory.zero_page:
            page.referenced = True
            if write and pte is not None and not (pte.dirty or page.dirty):
                host.memory.set_page_dirty(page, by)
    return page


def _use_zero_page(mm: MmStruct, vma: Vma) -> bool:
    # The answer comes without a pte, so nobody will be told when one appears (K 3.4).
    return mm.host.profile.zero_page_read_lookup and vma.file is None


async def follow_page_atomic(mm: MmStruct, va: Va, *, write: bool) -> Page | None:
    """A look at the pte for interrupt context: no lock, no reference, no fault (K 6.5).

    To write, the pte must be writable and dirty already.

    Model: interrupts are off meanwhile; that keeps page-table pages from being freed,
    which they are not here anyway.
    """
    pte = await mm.page_table.read(Va(va & -PAGE_SIZE))
    if pte is None or pte.page is None:
        return None
    if write and not (pte.write and pte.dirty):
        return None
    return pte.page
