"""The page cache of a file: finding, reading in, writing back, removing.

A page is in the cache under the file's tree_lock, and the cache holds one reference on
it (`cache`). Whoever has it locked knows that it stays in the cache; a truncate therefore
keeps it locked from looking whether it is mapped until it is removed, and a fault that
waited for the lock looks again whether the page is still the file's.

Model: reading and writing a file end at once, and a file's blocks never run out.
"""

from collections.abc import Callable
from typing import Final

from notifierlab.events import DirtyTested
from notifierlab.mm.page import Page
from notifierlab.mm.rmap import page_mkclean
from notifierlab.mm.vma import AddressSpace

CACHE: Final = "cache"
"""Holder of the reference that the page cache has on a page."""


async def find_get_page(file: AddressSpace, index: int, holder: str) -> Page | None:
    """Find a page in the cache, without a lock, and take a reference for `holder`."""
    machine = file.host.machine
    while True:
        await machine.step()
        page = file.pages.get(index)
        if page is None:
            return None
        if not await file.host.memory.get_unless_zero(page, holder):
            # remove_mapping froze it: it goes, or it is thawed soon.
            await machine.step(_thawed_or_gone(file, index, page), f"page {page.pfn} to be thawed")
        elif file.pages.get(index) is page:
            return page
        else:
            await file.host.memory.put(page, holder)


def _thawed_or_gone(file: AddressSpace, index: int, page: Page) -> Callable[[], bool]:
    return lambda: page.refs > 0 or file.pages.get(index) is not page


async def find_lock_page(file: AddressSpace, index: int, holder: str) -> Page | None:
    """Find a page, take a reference for `holder`, and lock it while it is still the file's."""
    while True:
        page = await find_get_page(file, index, holder)
        if page is None:
            return None
        lock = page.lock_of(file.host.machine)
        await lock.acquire()
        if page.mapping is file:
            return page
        await lock.release()
        await file.host.memory.put(page, holder)


async def add_to_page_cache(file: AddressSpace, page: Page, index: int) -> bool:
    """Put a locked page into the cache; false if another one stands there already."""
    await file.host.memory.get(page, CACHE)
    async with file.tree_lock:
        added = index not in file.pages
        if added:
            file.pages[index] = page
            page.mapping = file
            page.index = index
    if not added:
        await file.host.memory.put(page, CACHE)
    return added


def remove_from_page_cache_locked(file: AddressSpace, page: Page) -> None:
    """__remove_from_page_cache: the caller holds the tree_lock and keeps the reference."""
    assert file.tree_lock.held_by_current()
    if page.mapcount:
        file.host.machine.bug("__remove_from_page_cache", "the page is still mapped", f"pfn {page.pfn}")
    del file.pages[page.index]
    page.mapping = None


async def filemap_fault(file: AddressSpace, index: int, holder: str) -> Page | None:
    """Return the file's page, locked, with a reference for `holder`; None past its end.

    The size is looked at again under the page lock: a truncate lowers it first, and
    then needs the lock of each page it removes.
    """
    if index >= file.size:
        return None
    while True:
        page = await find_lock_page(file, index, holder)
        if page is not None:
            break
        await _page_cache_read(file, index, holder)
    if index < file.size:
        return page
    await page.lock_of(file.host.machine).release()
    await file.host.memory.put(page, holder)
    return None


async def _page_cache_read(file: AddressSpace, index: int, holder: str) -> None:
    """Read the page into the cache, unless somebody else just did."""
    page = await file.host.memory.alloc(holder)
    lock = page.lock_of(file.host.machine)
    await lock.acquire()
    if await add_to_page_cache(file, page, index):
        page.content = file.on_disk(index)
    await lock.release()
    await file.host.memory.put(page, holder)


async def clear_page_dirty_for_io(file: AddressSpace, page: Page, where: str) -> bool:
    """Before a locked page is written: gather dirtiness from all ptes, take the flag (P4).

    page_mkclean tells the secondary MMUs, and a driver that moves their dirty bits into
    the page while it is told comes before the flag is taken.
    """
    if await page_mkclean(page):
        file.host.memory.set_page_dirty(page, "page_mkclean")
    await file.host.machine.step()
    dirty, page.dirty = page.dirty, False
    file.host.machine.emit(DirtyTested, page.pfn, dirty, dirty, where)
    return dirty


async def writepage(file: AddressSpace, page: Page) -> None:
    """Write a locked page of the cache to the file's disk."""
    await file.host.machine.step()
    file.disk[page.index] = page.content


async def write_one_page(file: AddressSpace, index: int, holder: str = "writeback") -> bool:
    """Write the page back if it is in the cache and dirty; return whether it was."""
    page = await find_lock_page(file, index, holder)
    if page is None:
        return False
    dirty = await clear_page_dirty_for_io(file, page, "writeback")
    if dirty:
        await writepage(file, page)
    await page.lock_of(file.host.machine).release()
    await file.host.memory.put(page, holder)
    return dirty
