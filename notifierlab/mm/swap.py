"""The swap device and its cache: where an anonymous page's content waits.

A slot's count is the number of swap ptes that name it, plus one while the swap cache
holds a page of it. The cache itself holds one reference on that page (`swap-cache`).

Model: the device is as large as is needed, reads and writes end at once, and slot
numbers are per CPU (as frames are), so independent allocations stay independent.
"""

from typing import Final

from notifierlab.machine.watched import watch
from notifierlab.mm.page import Page
from notifierlab.mm.vma import HostServices, SwapSlot

SWAP_CACHE: Final = "swap-cache"
"""Holder of the reference that the swap cache has on a page."""

_SLOTS_PER_CPU_SHIFT: Final = 20
_FREER: Final = "swap-free"


async def get_swap_page(host: HostServices) -> int:
    """Take a free slot; its one user is the cache."""
    swap = host.swap
    async with swap.swap_lock:
        cpu = host.machine.current.index
        n = swap.slots_made.get(cpu, 0) + 1
        swap.slots_made[cpu] = n
        host.machine.shows(f"slots of {cpu}", n)
        slot = (cpu << _SLOTS_PER_CPU_SHIFT) + n
        entry = swap.slots[slot] = watch(SwapSlot(), host.machine, f"slot{slot}")
        entry.count = 1
    return slot


async def swap_duplicate(host: HostServices, slot: int) -> None:
    """One more swap pte names the slot."""
    async with host.swap.swap_lock:
        host.swap.slots[slot].count += 1


async def swap_free(host: HostServices, slot: int) -> None:
    """One user of the slot less; the last one frees it."""
    async with host.swap.swap_lock:
        swap_entry_free(host, slot)


def swap_entry_free(host: HostServices, slot: int) -> int:
    """`swap_free` for a caller who holds the swap_lock. Return how many users are left."""
    slots = host.swap.slots
    if slot not in slots:
        host.machine.bug("swap_free", "unused swap slot freed", f"slot {slot}")
        return 0
    slots[slot].count -= 1
    left = slots[slot].count
    if left == 0:
        del slots[slot]
    return left


async def add_to_swap_cache(host: HostServices, page: Page, slot: int) -> None:
    """Put a locked page in the cache, under its slot."""
    assert page.lock_of(host.machine).held_by_current()
    swap = host.swap
    await host.memory.get(page, SWAP_CACHE)
    async with swap.tree_lock:
        swap.slots[slot].page = page
        page.swap_slot = slot


async def add_to_swap(host: HostServices, page: Page) -> None:
    """Give a locked anonymous page a slot; it is dirty, for the slot is empty yet."""
    slot = await get_swap_page(host)
    await add_to_swap_cache(host, page, slot)
    host.memory.set_page_dirty(page, "add_to_swap")


async def lookup_swap_cache(host: HostServices, slot: int, holder: str) -> Page | None:
    """Find the slot's page in the cache and take a reference for `holder`."""
    while True:
        await host.machine.step()
        entry = host.swap.slots.get(slot)
        page = None if entry is None else entry.page
        if entry is None or page is None:
            return None
        if await host.memory.get_unless_zero(page, holder):
            if entry.page is page:
                return page
            await host.memory.put(page, holder)
        else:
            # Frozen by remove_mapping: it is leaving the cache, or it will be thawed.
            await _thawed_or_gone(host, page, entry)


async def _thawed_or_gone(host: HostServices, page: Page, entry: SwapSlot) -> None:
    await host.machine.step(lambda: page.refs > 0 or entry.page is not page, f"page {page.pfn} to be thawed")


async def read_swap_cache_async(host: HostServices, slot: int, holder: str) -> Page | None:
    """Find the slot's page in the cache, or read it from the device into a new one.

    The page comes with a reference held by `holder`; None when the slot was freed
    meanwhile.
    """
    page = await lookup_swap_cache(host, slot, holder)
    if page is not None:
        return page
    new = await host.memory.alloc(holder)
    await new.lock_of(host.machine).acquire()
    if await _enter_cache(host, slot, new):
        new.content = host.swap.slots[slot].content
        await new.lock_of(host.machine).release()
        return new
    # Somebody else was faster, or nobody needs the slot any more.
    await new.lock_of(host.machine).release()
    await host.memory.put(new, holder)
    return await lookup_swap_cache(host, slot, holder)


async def _enter_cache(host: HostServices, slot: int, page: Page) -> bool:
    swap = host.swap
    async with swap.swap_lock:
        entry = swap.slots.get(slot)
        if entry is None or entry.page is not None:
            return False
        entry.count += 1
        await host.memory.get(page, SWAP_CACHE)
        async with swap.tree_lock:
            entry.page = page
            page.swap_slot = slot
    return True


def delete_from_swap_cache_locked(host: HostServices, page: Page) -> int:
    """__delete_from_swap_cache: the caller holds the tree_lock and keeps the references."""
    slot = page.swap_slot
    assert slot is not None
    assert host.swap.tree_lock.held_by_current()
    host.swap.slots[slot].page = None
    page.swap_slot = None
    return slot


async def remove_exclusive_swap_page(host: HostServices, page: Page) -> bool:
    """Take a locked page out of the cache if nobody but caller and cache has it.

    The content lives in the page alone from then on, hence it is dirty.
    """
    if page.swap_slot is None or page.refs != 2:
        return False
    swap = host.swap
    slot = None
    async with swap.swap_lock:
        # Under the swap_lock no new swap pte can name the slot.
        if swap.slots[page.swap_slot].count == 1:
            async with swap.tree_lock:
                if page.refs == 2:
                    slot = delete_from_swap_cache_locked(host, page)
                    host.memory.set_page_dirty(page, "remove_exclusive_swap_page")
    if slot is None:
        return False
    await swap_free(host, slot)
    await host.memory.put(page, SWAP_CACHE)
    return True


async def free_swap_cache(host: HostServices, page: Page) -> None:
    """Before a pte's reference is dropped: give the slot up if the page was its last user."""
    if page.swap_slot is not None and await page.lock_of(host.machine).try_acquire():
        await remove_exclusive_swap_page(host, page)
        await page.lock_of(host.machine).release()


async def free_swap_and_cache(host: HostServices, slot: int) -> None:
    """A swap pte went: drop its claim on the slot, and a cached page nobody else needs."""
    page = None
    async with host.swap.swap_lock:
        if swap_entry_free(host, slot) == 1:
            # One user is left, maybe the cache.
            page = await lookup_swap_cache(host, slot, _FREER)
    if page is None:
        return
    if await page.lock_of(host.machine).try_acquire():
        await remove_exclusive_swap_page(host, page)
        await page.lock_of(host.machine).release()
    await host.memory.put(page, _FREER)
