"""mprotect: take or give write permission on a range (K 3.1, R8).

    mmap_sem (write)
      vma split or merged
      start
        ptl: rewrite the protection of each pte
        flush of the CPU TLBs
      end

Nothing is announced where the protection stays as it is. Write permission is given back
lazily: a private page's pte stays read-only until a write meets it in do_wp_page.
"""

import errno

from notifierlab.events import PAGE_SIZE, Va
from notifierlab.mm.notifier import mmu_notifier_invalidate_range_end, mmu_notifier_invalidate_range_start
from notifierlab.mm.pagetable import PMD_SIZE
from notifierlab.mm.vma import MmStruct, Vma
from notifierlab.mm.vma_ops import Kind, split_vma, vma_at, vma_merge


async def do_mprotect(mm: MmStruct, start: Va, end: Va, writable: bool) -> int:
    """Set the write permission of `[start, end)`; -ENOMEM where nothing is mapped.

    The caller holds mmap_sem for write. What lies before a hole is changed all the same.
    """
    at = start
    while at < end:
        vma = vma_at(mm, at)
        if vma is None:
            return -errno.ENOMEM
        upto = Va(min(vma.end, end))
        vma = await _mprotect_fixup(vma, at, upto, writable)
        at = Va(max(upto, vma.end))
    return 0


async def _mprotect_fixup(vma: Vma, start: Va, end: Va, writable: bool) -> Vma:
    """Change one vma's part; returns the vma in which it lies afterwards."""
    mm = vma.mm
    if vma.writable == writable:
        return vma
    kind = Kind(vma.file, vma.linear_page_index(start), vma.shared, writable, vma.anon_vma)
    merged = await vma_merge(mm, start, end, kind)
    if merged is not None:
        vma = merged
    else:
        if start != vma.start:
            await split_vma(vma, start, new_below=True)
        if end != vma.end:
            await split_vma(vma, end, new_below=False)
    vma.writable = writable
    window = await mmu_notifier_invalidate_range_start(mm, start, end, "R8")
    await _change_protection(vma, start, end, window.win)
    await mmu_notifier_invalidate_range_end(mm, window)
    return vma


async def _change_protection(vma: Vma, start: Va, end: Va, win: str) -> None:
    table = vma.mm.page_table
    at = start
    while at < end:
        upto = Va(min(end, (at & -PMD_SIZE) + PMD_SIZE))
        if table.has_table(at):
            await _change_pte_range(vma, at, upto, win)
        at = upto
    await vma.mm.flush_cpu_tlb(start, end)


async def _change_pte_range(vma: Vma, start: Va, end: Va, win: str) -> None:
    table = vma.mm.page_table
    async with table.ptl(start):
        for va in range(start, end, PAGE_SIZE):
            pte = table.peek(Va(va))
            if pte is None or pte.page is None:
                continue
            if pte.write and not vma.writable:
                await table.downgrade(Va(va), win, "window")
            elif vma.writable and vma.shared and pte.dirty and not pte.write:
                # Dirty already, so the file system need not hear of the next write.
                await table.upgrade(Va(va))
