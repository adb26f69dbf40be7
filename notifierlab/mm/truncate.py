"""vmtruncate: a file becomes shorter under those who map it (K 3.1 R3, K 4.2).

    1. i_size is lowered              a new fault past it fails
    2. unmap_mapping_range            every pte past it goes, private copies too
    3. truncate_inode_pages           every page past it leaves the cache and is freed
    4. unmap_mapping_range again      private copies that faults made meanwhile

A fault that looked at the size before step 1 may still map a page after step 2. Step 3
therefore locks each page, unmaps it if it is mapped, and keeps it locked until it is out
of the cache: whoever waited for the lock then sees that it is no longer the file's.
"""

from typing import Final

from notifierlab.mm.filemap import CACHE, find_get_page, remove_from_page_cache_locked
from notifierlab.mm.page import Page
from notifierlab.mm.unmap import unmap_mapping_range
from notifierlab.mm.vma import AddressSpace

_TRUNCATE: Final = "truncate"


async def vmtruncate(file: AddressSpace, size: int) -> None:
    """Set the file's size to `size` pages, as ftruncate does under the inode's i_mutex."""
    async with file.i_mutex:
        await file.host.machine.step()
        longer = size > file.size
        file.size = size
        if not longer:
            await unmap_mapping_range(file, size, None, even_cows=True)
            await truncate_inode_pages(file, size)
            await unmap_mapping_range(file, size, None, even_cows=True)
            # The file system gives the blocks back.
            for index in [index for index in file.disk if index >= size]:
                del file.disk[index]


async def truncate_inode_pages(file: AddressSpace, first: int) -> None:
    """Remove every page of index `first` and above from the page cache.

    Model: page by page in order; the kernel first takes those whose lock is free.
    """
    machine = file.host.machine
    begun = machine.mark()
    while True:
        machine.forget(begun)
        indexes = sorted(index for index in file.pages if index >= first)
        if not indexes:
            return
        for index in indexes:
            looked = machine.mark()
            page = await find_get_page(file, index, _TRUNCATE)
            if page is not None:
                await _truncate_page(file, page)
            machine.forget(looked)


async def _truncate_page(file: AddressSpace, page: Page) -> None:
    lock = page.lock_of(file.host.machine)
    await lock.acquire()
    if page.mapping is file:
        if page.mapcount:
            await unmap_mapping_range(file, page.index, 1, even_cows=False)
        await _truncate_complete_page(file, page)
    await lock.release()
    await file.host.memory.put(page, _TRUNCATE)


async def _truncate_complete_page(file: AddressSpace, page: Page) -> None:
    # cancel_dirty_page: nobody will ask for this data again.
    page.dirty = False
    async with file.tree_lock:
        remove_from_page_cache_locked(file, page)
    await file.host.memory.put(page, CACHE)
