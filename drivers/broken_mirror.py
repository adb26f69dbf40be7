"""Mirrors with exactly one thing wrong, as people write them."""

from drivers.mirror import Mirror
from notifierlab import MmStruct, PAGE_SIZE, Range, shadow, Va


class MirrorSamplesLate(Mirror):
    """Samples the sequence when it has the page, so that it hides what came in between."""

    async def look_up(self, va: Va, *, write: bool) -> tuple[int, shadow.Lookup]:
        lookup = await shadow.look_up(self.name, self.mm, va, write=write)
        async with self.lock:
            return self.seq, lookup


class MirrorComparesOrder(Mirror):
    """Retries only for a sequence that is smaller than before, which it never is."""

    def must_retry(self, seq: int) -> bool:
        return self.windows_open > 0 or self.seq < seq


class MirrorTestsBeforeLock(Mirror):
    """Asks whether to retry, and takes the lock only then."""

    async def fault(self, va: Va, *, write: bool) -> bool:
        async with self.mm.mmap_sem.read():
            seq, lookup = await self.look_up(va, write=write)
        if lookup.page is None:
            return False
        async with self.lock:
            retry = self.must_retry(seq)
        if not retry:
            async with self.lock:
                self.table.put(va, lookup.page, write=write, lookup=lookup.id)
        await self.mm.host.memory.put(lookup.page, self.name)
        await self.machine.relax()
        return True


class MirrorForgetsWindow(Mirror):
    """Compares sequences only: a look-up may begin and end inside one window."""

    def must_retry(self, seq: int) -> bool:
        return self.seq != seq


class MirrorOnePageShort(Mirror):
    """Takes the end of a range for its last page."""

    def drop(self, start: Va, end: Va) -> None:
        super().drop(start, Va(end - PAGE_SIZE))


class MirrorHearsRangesOnly(Mirror):
    """Does not listen to invalidate_page: its author never saw reclaim."""

    async def invalidate_page(self, mm: MmStruct, address: Va) -> None:
        return


class MirrorKeepsWriteAccess(Mirror):
    """Looks every page up for reading, and maps it for writing too."""

    async def look_up(self, va: Va, *, write: bool) -> tuple[int, shadow.Lookup]:
        return await super().look_up(va, write=False)


class MirrorLeaksOnRetry(Mirror):
    """Gives up early when it must retry, and forgets the page's reference."""

    async def fault(self, va: Va, *, write: bool) -> bool:
        async with self.mm.mmap_sem.read():
            seq, lookup = await self.look_up(va, write=write)
        if lookup.page is None:
            return False
        async with self.lock:
            installed = not self.must_retry(seq)
            if installed:
                self.table.put(va, lookup.page, write=write, lookup=lookup.id)
        if installed:
            await self.mm.host.memory.put(lookup.page, self.name)
        else:
            await self.machine.relax()
        return True


class MirrorWithoutRelease(Mirror):
    """Leaves its table as it is when the process goes away."""

    async def release(self, mm: MmStruct) -> None:
        return


class MirrorIgnoresRegisterError(Mirror):
    """Says that all is well when its registration was interrupted."""

    async def open(self) -> int:
        await super().open()
        return 0


class MirrorNeverUnregisters(Mirror):
    """Empties its table when it is closed, and stays on the list."""

    async def close(self) -> None:
        async with self.lock:
            self.table.drop_all()


class MirrorCountsUnlocked(Mirror):
    """Counts windows without the lock."""

    async def invalidate_range_start(self, mm: MmStruct, range: Range) -> None:
        self.windows_open += 1
        async with self.lock:
            self.drop(range.start, range.end)
