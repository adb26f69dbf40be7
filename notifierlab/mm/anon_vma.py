"""anon_vma: how an anonymous page finds the vmas in which it can stand.

Parent and child of a fork, and vmas that were split, share one anon_vma; its list says
which. The list may be read only under the anon_vma's lock, because mm_take_all_locks
keeps its tag in the low bit of head.next.

    anon_vma_prepare      a vma gets its anon_vma at its first anonymous page
    anon_vma_link         fork: the child's vma joins the parent's anon_vma
    anon_vma_unlink       exit and munmap; the last vma to leave frees the anon_vma
    page_lock_anon_vma    from a page to its locked anon_vma
"""

from typing import cast

from notifierlab.events import AnonVmaAttached, PAGE_SIZE
from notifierlab.mm.page import Page
from notifierlab.mm.vma import AnonVma, Vma


async def anon_vma_prepare(vma: Vma) -> None:
    """Give the vma an anon_vma before its first anonymous page.

    The caller holds mmap_sem, for read suffices: hence the page_table_lock against
    another thread's fault. A neighbour's anon_vma is shared where the two could merge.

    Era: a fresh anon_vma is linked without its lock (with it from 2.6.28 on); nobody
    can know it yet.
    """
    host = vma.mm.host
    host.machine.might_sleep("anon_vma_prepare")
    already = vma.anon_vma
    if already is not None:
        return
    anon_vma = _find_mergeable_anon_vma(vma)
    fresh = anon_vma is None
    if anon_vma is None:
        anon_vma = AnonVma(host, host.machine.fresh("anon_vma"))
    else:
        await anon_vma.lock.acquire()
    async with vma.mm.page_table_lock:
        if vma.anon_vma is None:
            vma.anon_vma = anon_vma
            anon_vma.add_tail(vma)
            host.machine.emit(AnonVmaAttached, vma.mm.name, vma.name, anon_vma.name)
        elif fresh:
            anon_vma.freed = True
    if not fresh:
        await anon_vma.lock.release()


def _find_mergeable_anon_vma(vma: Vma) -> AnonVma | None:
    vmas = vma.mm.vmas
    place = vmas.index(vma)
    after = vmas[place + 1] if place + 1 < len(vmas) else None
    if after is not None and after.anon_vma is not None and _mergeable(vma, after):
        return after.anon_vma
    before = vmas[place - 1] if place > 0 else None
    if before is not None and before.anon_vma is not None and _mergeable(before, vma):
        return before.anon_vma
    return None


def _mergeable(first: Vma, second: Vma) -> bool:
    # Protections may differ: that is what a split by mprotect leaves behind.
    return (
        first.end == second.start
        and first.file is second.file
        and first.shared == second.shared
        and first.pgoff + (first.end - first.start) // PAGE_SIZE == second.pgoff
    )


async def anon_vma_link(vma: Vma) -> None:
    """Put a vma that was given its anon_vma (by fork) on that one's list."""
    if vma.anon_vma is not None:
        async with vma.anon_vma.lock:
            anon_vma_link_locked(vma)


def anon_vma_link_locked(vma: Vma) -> None:
    """__anon_vma_link: the caller holds the lock (`anon_vma_lock`)."""
    if vma.anon_vma is not None:
        vma.anon_vma.add_tail(vma)


async def anon_vma_unlink(vma: Vma) -> None:
    """Take the vma off its anon_vma's list; an anon_vma with an empty list is freed."""
    anon_vma = vma.anon_vma
    if anon_vma is None:
        return
    async with anon_vma.lock:
        anon_vma.remove(vma)
        empty = anon_vma.is_empty()
    if empty:
        anon_vma.freed = True


def __anon_vma_merge(vma: Vma, next: Vma) -> None:
    """Take `next`, which merges into `vma`, off their anon_vma's list, with the lock held."""
    if vma.anon_vma is not next.anon_vma:
        vma.mm.host.machine.bug("__anon_vma_merge", "the two vmas have different anon_vmas", next.name)
    if next.anon_vma is not None:
        next.anon_vma.remove(next)


async def anon_vma_lock(vma: Vma) -> None:
    """Lock the vma's anon_vma, if it has one."""
    if vma.anon_vma is not None:
        await vma.anon_vma.lock.acquire()


async def anon_vma_unlock(vma: Vma) -> None:
    """The inverse of `anon_vma_lock`."""
    if vma.anon_vma is not None:
        await vma.anon_vma.lock.release()


async def page_lock_anon_vma(page: Page) -> AnonVma | None:
    """Lock the anon_vma of a page, if it has one and is mapped.

    Without a lock on anything the anon_vma may be freed under our eyes; RCU keeps its
    memory an anon_vma, and a freed one has an empty list. `page_unlock_anon_vma` leaves
    the RCU section.
    """
    mapping = page.mapping
    if mapping is None or not mapping.anon:
        return None
    anon_vma = cast(AnonVma, mapping)
    anon_vma.host.rcu.read_enter()
    if page.mapcount == 0:
        anon_vma.host.rcu.read_exit()
        return None
    if anon_vma.host.mutated("rmap-head-read-unlocked"):
        anon_vma.vmas()
    await anon_vma.lock.acquire()
    return anon_vma


async def page_unlock_anon_vma(anon_vma: AnonVma) -> None:
    """The inverse of `page_lock_anon_vma`."""
    await anon_vma.lock.release()
    anon_vma.host.rcu.read_exit()
