"""Reclaim: taking a page that nobody used lately, to give the frame to somebody else.

The order of shrink_page_list, on which dirty and accessed bits depend (K 3.5):

    isolate                        a reference, off the LRU
    page_referenced                asks and clears the accessed bits, Y
    add_to_swap                    an anonymous page gets a slot; it is dirty
    try_to_unmap                   Y again for each pte, then clear, flush, P
    dirty test, pageout            what was written must reach the slot or the file
    remove_mapping                 freeze: exactly two references, reclaim's and the
                                   cache's; dirty again? then the page is lost to nobody
    free                           after every rmap lock was dropped

Whoever found the page in between holds a reference, and the freeze fails.

Model: I/O ends at once; the LRU lists are not modelled, the caller says which page.
"""

from typing import cast, Final

from notifierlab.events import DirtyTested
from notifierlab.machine.locks import BitLock
from notifierlab.mm.filemap import CACHE, clear_page_dirty_for_io, remove_from_page_cache_locked, writepage
from notifierlab.mm.page import Page
from notifierlab.mm.rmap import page_referenced, SWAP_SUCCESS, try_to_unmap
from notifierlab.mm.swap import (
    add_to_swap,
    delete_from_swap_cache_locked,
    remove_exclusive_swap_page,
    SWAP_CACHE,
    swap_free,
)
from notifierlab.mm.vma import AddressSpace, HostServices

ISOLATE: Final = "isolate"
"""Holder of the reference of whoever took a page off the LRU."""


async def shrink_page(host: HostServices, page: Page) -> bool:
    """Try to reclaim one page; return whether it was freed."""
    if not await isolate_lru_page(host, page):
        return False
    freed = False
    lock = page.lock_of(host.machine)
    if await lock.try_acquire():
        frozen = await _shrink_locked(host, page, lock)
        if frozen is not None:
            await host.memory.free_frozen(page, frozen, ISOLATE)
            freed = True
    if not freed:
        await putback_lru_page(host, page)
    return freed


async def isolate_lru_page(host: HostServices, page: Page) -> bool:
    """Take a page off the LRU with a reference; false if it is free or taken already."""
    if not await host.memory.get_unless_zero(page, ISOLATE):
        return False
    if not page.isolated:
        page.isolated = True
        return True
    await host.memory.put(page, ISOLATE)
    return False


async def putback_lru_page(host: HostServices, page: Page) -> None:
    """The inverse of `isolate_lru_page`; it may be the last reference."""
    page.isolated = False
    await host.memory.put(page, ISOLATE)


async def _shrink_locked(host: HostServices, page: Page, lock: BitLock) -> str | None:
    """Reclaim a locked page and unlock it; return whose reference was frozen with ours.

    None says that the page must be put back.
    """
    holder = None
    # A page without mapping was truncated, or never mapped: its owner will free it.
    if page.mapping is not None:
        referenced = await page_referenced(page, is_locked=True)
        in_use = referenced and _mapping_in_use(page)
        if not in_use and await _unmap(host, page) and await _clean(host, page, lock, bool(referenced)):
            holder = await remove_mapping(host, page)
    if lock.held_by_current():
        await lock.release()
    return holder


async def _unmap(host: HostServices, page: Page) -> bool:
    """Take the page out of every page table; an anonymous one needs a swap slot first."""
    if page.anon and page.swap_slot is None:
        await add_to_swap(host, page)
    if page.mapcount:
        return await try_to_unmap(page) == SWAP_SUCCESS
    return True


def _mapping_in_use(page: Page) -> bool:
    # page_mapping_inuse: mapped, or in the swap cache, or the file is mapped somewhere.
    if page.mapcount or page.swap_slot is not None:
        return True
    return not page.anon and any(cast(AddressSpace, page.mapping).i_mmap())


async def _clean(host: HostServices, page: Page, lock: BitLock, referenced: bool) -> bool:
    """The dirty test, and pageout of what is dirty; true when the page is clean, locked."""
    await host.machine.step()
    host.machine.emit(DirtyTested, page.pfn, page.dirty, False, "shrink_page_list")
    if not page.dirty:
        return True
    if referenced or not _is_freeable(page):
        return False
    await _pageout(host, page)
    # The write ends with the page unlocked, and whoever waits may have it first.
    await lock.release()
    return await lock.try_acquire() and not page.dirty


def _is_freeable(page: Page) -> bool:
    # is_page_cache_freeable: nobody but reclaim and the cache has it.
    return page.refs == 2


async def _pageout(host: HostServices, page: Page) -> None:
    """Write the page where it belongs, after its dirty flag was taken away."""
    if not page.anon:
        file = cast(AddressSpace, page.mapping)
        if await clear_page_dirty_for_io(file, page, "pageout"):
            await writepage(file, page)
        return
    await host.machine.step()
    dirty, page.dirty = page.dirty, False
    host.machine.emit(DirtyTested, page.pfn, dirty, dirty, "pageout")
    # swap_writepage: no swap entry left means that nobody wants the content.
    if page.swap_slot is not None and not await remove_exclusive_swap_page(host, page):
        host.swap.slots[page.swap_slot].content = page.content


async def remove_mapping(host: HostServices, page: Page) -> str | None:
    """__remove_mapping: take a locked, clean, unmapped page out of its cache, frozen.

    Return the holder of the cache's reference, to be freed with the caller's; None if
    somebody else has the page, or wrote it.
    """
    if page.anon:
        return await _remove_from_swap_cache(host, page)
    return await _remove_from_file(host, cast("AddressSpace | None", page.mapping), page)


async def _remove_from_swap_cache(host: HostServices, page: Page) -> str | None:
    if page.swap_slot is None:
        return None
    slot = None
    async with host.swap.tree_lock:
        if await _freeze_clean(host, page):
            slot = delete_from_swap_cache_locked(host, page)
    if slot is None:
        return None
    await swap_free(host, slot)
    return SWAP_CACHE


async def _remove_from_file(host: HostServices, file: AddressSpace | None, page: Page) -> str | None:
    if file is None:
        return None
    async with file.tree_lock:
        frozen = await _freeze_clean(host, page)
        if frozen:
            remove_from_page_cache_locked(file, page)
    return CACHE if frozen else None


async def _freeze_clean(host: HostServices, page: Page) -> bool:
    if not await host.memory.freeze_refs(page, 2):
        return False
    await host.machine.step()
    host.machine.emit(DirtyTested, page.pfn, page.dirty, False, "remove_mapping")
    if page.dirty:
        # Somebody who is gone by now wrote it before he went.
        host.memory.unfreeze_refs(page, 2)
        return False
    return True
