"""A network card with on-demand paging: queues that access memory by themselves, and a worker.

A queue pair works through its requests without any thread of the process. What it does
not find in its TLB the card reads from the translation table in host memory; what is not
there either is a page fault, which an interrupt puts on the work queue. The worker looks
the page up, for only it may sleep, and resumes the queue pair.

    queue pair                       worker                        invalidation
    miss: put work on the queue      take the work                 take the table lock
    wait to be resumed               sample seq                      count the window
                                     look the page up                drop entries, flush
                                     take the table lock             the queue pairs
                                       install or give up          drop the lock
                                     drop the lock, resume

    mmap_sem (read)      the look-up
    table_lock           entries, count, sequence

The queue pairs outlive the process. The worker counts as a user of its memory while it
looks a page up and installs it, so `release` comes before or after that, never amid; when
there is no user left, faults fail. The worker is stopped before the card unregisters.
"""

from typing import ClassVar, NamedTuple

from notifierlab import (
    Abilities,
    Atomic,
    Content,
    events,
    Mm,
    MmStruct,
    MmuNotifier,
    PAGE_SIZE,
    Range,
    shadow,
    ShadowTable,
    shared,
    SharedState,
    SpinLock,
    Tlb,
    Va,
    WaitQueue,
)


class Work(NamedTuple):
    """A page fault that waits for the worker: which queue pair missed what."""

    context: int
    va: Va
    write: bool


class QueuePair(SharedState):
    """One queue of the card: it accesses memory until it misses, and waits then."""

    faulting: Atomic[bool] = shared(False, atomic=True)
    failed: Atomic[bool] = shared(False, atomic=True)

    def __init__(self, card: "Odp", name: str) -> None:
        super().__init__(card.machine, name)
        self.tlb = Tlb(card.machine, card.name, name)


class Odp(SharedState, MmuNotifier):
    """The memory region of one process on one card."""

    abilities: ClassVar[Abilities] = Abilities(contexts=2, outlives_process=True)
    counter = "windows_open"

    # Under table_lock.
    windows_open: int = shared(0)
    seq: int = shared(0)
    # Between the interrupts and the worker.
    work: Atomic[tuple[Work, ...]] = shared((), atomic=True)
    stopping: Atomic[bool] = shared(False, atomic=True)

    def __init__(self, mm: Mm) -> None:
        super().__init__(mm.host.machine, f"odp.{mm.name}")
        self.mm = mm
        self.table_lock = SpinLock(self.machine, f"{self.name}.table_lock", "odp_table_lock")
        self.table = ShadowTable(self.machine, self.name)
        self.to_do = WaitQueue(self.machine, f"{self.name}.to_do")
        self.resumed = WaitQueue(self.machine, f"{self.name}.resumed")
        self.stopped = WaitQueue(self.machine, f"{self.name}.stopped")
        self.queue_pairs = tuple(QueuePair(self, f"{self.name}.qp{n}") for n in range(self.abilities.contexts))

    # --- life -----------------------------------------------------------------------

    async def open(self) -> int:
        """Register the memory region and start the worker; 0, or the errno of the registration."""
        result = await self.mm.register(self)
        if result == 0:
            self.machine.start(self.worker, name=f"{self.name}.worker")
        return result

    async def close(self) -> None:
        """Stop the worker, then leave the list: nothing is installed after that."""
        await self.stop_worker()
        await self.mm.unregister(self)

    async def stop_worker(self) -> None:
        """Return when the worker has ended."""
        await self.stopping.set(True)
        await self.to_do.wake_all()
        await self.stopped.wait(lambda: not self.stopping.peek())

    # --- what the card does ---------------------------------------------------------

    async def access(self, va: Va, *, write: bool, value: int, context: int = 0) -> Content | None:
        """A work request of a queue pair: it is tried until it is through, or fails."""
        queue_pair = self.queue_pairs[context]
        while True:
            if not queue_pair.tlb.has(va, write=write):
                await queue_pair.tlb.walk(self.table, va, write=write)
            content = await queue_pair.tlb.use(va, write=write, value=value)
            if content is not None:
                return content
            await self.page_fault(queue_pair, Work(context, va, write))
            if await queue_pair.failed.exchange(False):
                return None

    async def page_fault(self, queue_pair: QueuePair, work: Work) -> None:
        """The interrupt of a miss: it gives the worker something to do; the queue pair waits."""
        await queue_pair.faulting.set(True)
        await self.work.change(lambda waiting: (*waiting, work))
        await self.to_do.wake_all()
        await self.resumed.wait(lambda: not queue_pair.faulting.peek())

    # --- the worker -----------------------------------------------------------------

    async def worker(self) -> None:
        """Resolve page faults until the card is closed."""
        while True:
            await self.to_do.wait(lambda: bool(self.work.peek()) or self.stopping.peek())
            waiting = await self.work.exchange(())
            if not waiting and self.stopping.peek():
                break
            for work in waiting:
                await self.resolve(work)
        await self.stopping.set(False)
        await self.stopped.wake_all()

    async def resolve(self, work: Work) -> None:
        """Make the translation that a queue pair misses, and resume it; if there is no memory it fails."""
        queue_pair = self.queue_pairs[work.context]
        if not await self.map_page(work.va, write=work.write):
            await queue_pair.failed.set(True)
        await queue_pair.faulting.set(False)
        await self.resumed.wake_all()

    async def map_page(self, va: Va, *, write: bool) -> bool:
        """Look `va` up and install it, however often it takes; false if there is no memory."""
        # The process may be past its end; its memory stays only while it has a user.
        if not await self.mm.mmget_not_zero():
            return False
        try:
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
        finally:
            await self.mm.mmput()

    async def look_up(self, va: Va, *, write: bool) -> tuple[int, shadow.Lookup]:
        """Ask the host for the page; return with it what seq was before."""
        async with self.table_lock:
            seq = self.seq
        return seq, await shadow.look_up(self.name, self.mm, va, write=write)

    async def install(self, lookup: shadow.Lookup, seq: int, *, write: bool) -> bool:
        """Make the entry, unless what was looked up may be stale by now."""
        assert lookup.page is not None
        async with self.table_lock:
            if self.must_retry(seq):
                return False
            await self.table.set(lookup.va, lookup.page, write=write, lookup=lookup.id)
            return True

    def must_retry(self, seq: int) -> bool:
        """Whether a window is open, or one ended since `seq` was sampled. The caller holds table_lock."""
        return self.windows_open > 0 or self.seq != seq

    # --- what the host calls --------------------------------------------------------

    async def invalidate_range_start(self, mm: MmStruct, range: Range) -> None:
        async with self.table_lock:
            self.windows_open += 1
            await self.zap(range.start, range.end)

    async def invalidate_range_end(self, mm: MmStruct, range: Range) -> None:
        async with self.table_lock:
            self.seq += 1
            self.windows_open -= 1

    async def invalidate_page(self, mm: MmStruct, address: Va) -> None:
        async with self.table_lock:
            self.seq += 1
            await self.zap(address, Va(address + PAGE_SIZE))

    async def clear_flush_young(self, mm: MmStruct, address: Va) -> bool:
        async with self.table_lock:
            spte = self.table.rmap.get(address)
            if spte is None or not spte.accessed:
                return False
            spte.accessed = False
            # The card sets the bit when it walks the table: what is cached must go.
            await self.flush(address, Va(address + PAGE_SIZE))
            return True

    async def release(self, mm: MmStruct) -> None:
        async with self.table_lock:
            await self.zap(Va(0), events.ADDRESS_MAX)

    # --- entries; the caller holds table_lock ---------------------------------------

    async def zap(self, start: Va, end: Va) -> None:
        """Drop `[start, end)` and flush what the queue pairs have cached of it."""
        gone = self.table.mapped(start, end)
        for va in gone:
            spte = await self.table.clear(va)
            if spte is not None and spte.write:
                self.mm.host.memory.set_page_dirty(spte.page, self.name)
        if gone:
            await self.flush(start, end)

    async def flush(self, start: Va, end: Va) -> None:
        """Return when no queue pair has a translation of `[start, end)`."""
        flush = await shadow.tlb_flush_begun(self.machine, self.name, start, end)
        for queue_pair in self.queue_pairs:
            await self.machine.step()
            queue_pair.tlb.drop_range(start, end)
        await shadow.tlb_flush_done(self.machine, self.name, flush, start, end)
