"""fork: the child gets the parent's vmas, anon_vmas and ptes, but not its notifiers.

    parent's mmap_sem (write)
      child's mmap_sem (write, nested)
        for each vma:
          anon_vma->lock         the child's vma joins the parent's anon_vma
          i_mmap_lock            and the file's i_mmap: rmap finds it from here on
          start                  on the parent, for private mappings only (K 3.1, R7)
            child's ptl, parent's ptl: write-protect, copy, count
          end
      flush of the parent's CPU TLBs, once, after every end

A secondary MMU of the parent may have write permission to pages that two mms share now:
hence the window. Whoever looks up anew needs mmap_sem, and finds read-only ptes.

Model: no VM_DONTCOPY; a fork does not fail half way.
"""

from notifierlab.events import PAGE_SIZE, Va
from notifierlab.mm.notifier import mmu_notifier_invalidate_range_end, mmu_notifier_invalidate_range_start
from notifierlab.mm.pagetable import PMD_SIZE, Pte
from notifierlab.mm.rmap import anon_vma_link, page_dup_rmap
from notifierlab.mm.swap import swap_duplicate
from notifierlab.mm.vma import MmStruct, Vma
from notifierlab.mm.vma_ops import copy_vma, insert_vma


async def dup_mmap(parent: MmStruct, child: MmStruct) -> None:
    """Copy the memory of `parent` into the new and empty `child`; may sleep."""
    await parent.mmap_sem.acquire_write()
    await child.mmap_sem.acquire_write(nest=True)
    for vma in parent.vmas:
        new = copy_vma(vma, child)
        await anon_vma_link(new)
        if new.file is not None:
            async with new.file.i_mmap_lock:
                new.truncate_count = vma.truncate_count
                new.file.i_mmap_insert(new)
        insert_vma(child, new)
        await copy_page_range(child, parent, vma)
    await child.mmap_sem.release_write()
    await parent.flush_cpu_tlb()
    await parent.mmap_sem.release_write()


async def copy_page_range(child: MmStruct, parent: MmStruct, vma: Vma) -> None:
    """Copy the ptes of the parent's `vma`. Those that a fault can make anew are left out."""
    if vma.anon_vma is None:
        return
    if vma.shared or parent.host.mutated("fork-without-window"):
        await _copy_ptes(child, parent, vma, "")
        return
    window = await mmu_notifier_invalidate_range_start(parent, vma.start, vma.end, "R7")
    await _copy_ptes(child, parent, vma, window.win)
    await mmu_notifier_invalidate_range_end(parent, window)


async def _copy_ptes(child: MmStruct, parent: MmStruct, vma: Vma, win: str) -> None:
    at = vma.start
    while at < vma.end:
        upto = Va(min(vma.end, (at & -PMD_SIZE) + PMD_SIZE))
        if parent.page_table.has_table(at):
            await _copy_pte_range(child, parent, vma, at, upto, win)
        at = upto


async def _copy_pte_range(child: MmStruct, parent: MmStruct, vma: Vma, start: Va, end: Va, win: str) -> None:
    ours, theirs = parent.page_table.ptl(start), child.page_table.ptl(start)
    await theirs.acquire()
    await ours.acquire(nest=True)
    for va in range(start, end, PAGE_SIZE):
        pte = parent.page_table.peek(Va(va))
        if pte is not None:
            await _copy_one_pte(child, parent, vma, Va(va), pte, win)
    await ours.release()
    await theirs.release()


async def _copy_one_pte(child: MmStruct, parent: MmStruct, vma: Vma, va: Va, pte: Pte, win: str) -> None:
    host, page = parent.host, pte.page
    if page is None:
        assert pte.swap is not None
        await swap_duplicate(host, pte.swap)
        await child.page_table.set_swap(va, pte.swap)
        return
    if pte.write and not vma.shared:
        await parent.page_table.downgrade(va, win, "window" if win else "none")
    if page is not host.memory.zero_page:
        await host.memory.get(page, child.name)
        page_dup_rmap(page, vma, va)
    # A shared page's dirtiness stays with the parent's pte.
    new = await child.page_table.set(va, page, pte.write, pte.dirty and not vma.shared)
    new.young = False
