"""On-demand paging with exactly one thing wrong, as people write it."""

from drivers.odp import Odp, Work
from notifierlab import MmStruct, PAGE_SIZE, shadow, Va


class OdpSamplesLate(Odp):
    """Samples the sequence after the look-up."""

    async def look_up(self, va: Va, *, write: bool) -> tuple[int, shadow.Lookup]:
        lookup = await shadow.look_up(self.name, self.mm, va, write=write)
        async with self.table_lock:
            return self.seq, lookup


class OdpMapsWithoutUser(Odp):
    """Looks pages up for a process that may be past its end."""

    async def map_page(self, va: Va, *, write: bool) -> bool:
        while True:
            async with self.mm.mmap_sem.read():
                seq, lookup = await self.look_up(va, write=write)
            if lookup.page is None:
                return False
            installed = await self.install(lookup, seq, write=write)
            await self.mm.host.memory.put(lookup.page, self.name)
            if installed:
                return True
            await self.machine.relax()


class OdpLeavesWorkerRunning(Odp):
    """Unregisters and does not wait for its worker."""

    async def stop_worker(self) -> None:
        await self.stopping.set(True)
        await self.to_do.wake_all()


class OdpForgetsToResume(Odp):
    """Fails a fault that finds no memory, and leaves its queue pair waiting."""

    async def resolve(self, work: Work) -> None:
        if await self.map_page(work.va, write=work.write):
            await self.queue_pairs[work.context].faulting.set(False)
            await self.resumed.wake_all()


class OdpFlushesOneQueue(Odp):
    """Flushes the queue pair that it was written for, before there were two."""

    async def flush(self, start: Va, end: Va) -> None:
        flush = await shadow.tlb_flush_begun(self.machine, self.name, start, end)
        await self.machine.step()
        self.queue_pairs[0].tlb.drop_range(start, end)
        await shadow.tlb_flush_done(self.machine, self.name, flush, start, end)


class OdpFlushesAfterUnlock(Odp):
    """Flushes when the table lock is free again, and somebody else may have found nothing to flush."""

    async def invalidate_page(self, mm: MmStruct, address: Va) -> None:
        async with self.table_lock:
            self.seq += 1
            gone = self.table.mapped(address, Va(address + PAGE_SIZE))
            for va in gone:
                await self.table.clear(va)
        await self.flush(address, Va(address + PAGE_SIZE))


class OdpYoungWithoutFlush(Odp):
    """Clears the accessed bit, and leaves the translation where its next use sets none."""

    async def clear_flush_young(self, mm: MmStruct, address: Va) -> bool:
        async with self.table_lock:
            spte = self.table.rmap.get(address)
            young = spte is not None and spte.accessed
            if spte is not None:
                spte.accessed = False
            return young


class OdpWaitsForWorker(Odp):
    """Waits in a callback until the worker has done what there is to do."""

    async def release(self, mm: MmStruct) -> None:
        await self.resumed.wait(lambda: not self.work.peek())
        await super().release(mm)


class OdpInstallsWithoutTest(Odp):
    """Trusts the page that it looked up."""

    def must_retry(self, seq: int) -> bool:
        return False
