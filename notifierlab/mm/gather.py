"""mmu_gather: pages on their way from a cleared pte to the freelist.

A page may be freed only when no CPU has a stale translation to it. So an unmap gathers
the pages it took out of the page table, flushes the CPU TLBs once, then drops the ptes'
references (K 3.3):

    SMP          a batch is full (506 pages)   flush, free            inside the window,
                                                                      with the ptl held
                 a block is done               flush, free            inside the window
                 the rest                      flush, free            after the end
    one CPU      each page at once             free, flush later      inside the window

Preemption is off from `tlb_gather_mmu` to `tlb_finish_mmu`.

With the switch `free_after_end` a gather has no bound and is finished by its owner after
invalidate_range_end, so nothing is freed inside a window. No kernel of 2008 did that.
"""

from notifierlab.mm.page import Page
from notifierlab.mm.swap import free_swap_cache
from notifierlab.mm.vma import MmStruct


class MmuGather:
    """struct mmu_gather. Make it with `tlb_gather_mmu`."""

    __slots__ = ("_free_first", "_limit", "_need_flush", "_pages", "fast_mode", "mm")

    def __init__(self, mm: MmStruct) -> None:
        profile = mm.host.profile
        self.mm = mm
        # With one CPU a stale translation cannot be used before this task is through.
        self.fast_mode = not profile.smp and not profile.free_after_end
        self._limit = 0 if profile.free_after_end else profile.batch_pages
        self._need_flush = False
        self._pages: list[Page] = []
        self._free_first = mm.host.mutated("free-before-flush")

    def remove_tlb_entry(self) -> None:
        """tlb_remove_tlb_entry: a pte went, so the CPU TLBs must be flushed."""
        self._need_flush = True

    async def remove_page(self, page: Page) -> None:
        """tlb_remove_page: take over the pte's reference on `page`."""
        self._need_flush = True
        if self.fast_mode:
            await self._free(page)
            return
        self._pages.append(page)
        if len(self._pages) == self._limit:
            await self.flush_mmu()

    async def flush_mmu(self) -> None:
        """tlb_flush_mmu: flush the CPU TLBs, then free what was gathered."""
        if not self._need_flush:
            return
        self._need_flush = False
        if self._free_first:
            await self._free_pages()
        # Model: x86 flushes the whole mm here, whatever the range was.
        await self.mm.flush_cpu_tlb()
        await self._free_pages()

    async def finish(self) -> None:
        """tlb_finish_mmu: flush, free the rest, and let this CPU be preempted again."""
        await self.flush_mmu()
        self.mm.host.machine.preempt_enable()

    async def _free_pages(self) -> None:
        pages, self._pages = self._pages, []
        for page in pages:
            await self._free(page)

    async def _free(self, page: Page) -> None:
        if page.swap_slot is not None:
            await free_swap_cache(self.mm.host, page)
        await self.mm.host.memory.put(page, self.mm.name)


def tlb_gather_mmu(mm: MmStruct) -> MmuGather:
    """Begin to gather; preemption is off until `finish`."""
    mm.host.machine.preempt_disable()
    return MmuGather(mm)
