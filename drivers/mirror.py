"""A device that mirrors the translations of a process in one table of its own.

The least that a secondary MMU can be: no page references, no processors' TLBs, no
accessed bits. It keeps the rule of every such driver by a count and a sequence:

    fault                                  invalidation
    sample seq                             take the lock
    look the page up (may sleep)             count the window, drop translations
    take the lock                          drop the lock
      install, unless a window is open     ... the host changes ptes ...
      or seq has moved                     take the lock
    drop the lock                            move seq, uncount the window

A window that is open now is seen in the count; one that came and went since the look-up
in the sequence.
"""

from typing import ClassVar

from notifierlab import (
    Abilities,
    Content,
    Mm,
    MmStruct,
    MmuNotifier,
    PAGE_SIZE,
    Range,
    shadow,
    shared,
    SharedState,
    SpinLock,
    Tlb,
    Va,
)


class Mirror(SharedState, MmuNotifier):
    """The mirror of one process."""

    abilities: ClassVar[Abilities] = Abilities()
    counter = "windows_open"

    # Both under the lock.
    windows_open: int = shared(0)
    seq: int = shared(0)

    def __init__(self, mm: Mm) -> None:
        super().__init__(mm.host.machine, f"mirror.{mm.name}")
        self.mm = mm
        self.lock = SpinLock(self.machine, f"{self.name}.lock", "mirror_lock")
        # The device walks this table itself and caches nothing, so dropping is flushing.
        self.table = Tlb(self.machine, self.name, f"{self.name}.dev")

    # --- what its user calls --------------------------------------------------------

    async def open(self) -> int:
        """Register with the process; nothing is mirrored before that."""
        return await self.mm.register(self)

    async def close(self) -> None:
        """Leave the list. Whoever comes first, this or the process's exit, makes `release` be called."""
        await self.mm.unregister(self)

    async def access(self, va: Va, *, write: bool, value: int, context: int = 0) -> Content | None:
        """Access `va`, faulting until the table has it or there is no memory."""
        while True:
            content = await self.table.use(va, write=write, value=value)
            if content is not None:
                return content
            if not await self.fault(va, write=write):
                return None

    # --- what the host calls --------------------------------------------------------

    async def invalidate_range_start(self, mm: MmStruct, range: Range) -> None:
        async with self.lock:
            self.windows_open += 1
            self.drop(range.start, range.end)

    async def invalidate_range_end(self, mm: MmStruct, range: Range) -> None:
        async with self.lock:
            self.seq += 1
            self.windows_open -= 1

    async def invalidate_page(self, mm: MmStruct, address: Va) -> None:
        async with self.lock:
            self.seq += 1
            self.drop(address, Va(address + PAGE_SIZE))

    async def release(self, mm: MmStruct) -> None:
        # A look-up after this finds no memory: the process has no user any more.
        async with self.lock:
            self.table.drop_all()

    # --- faults ---------------------------------------------------------------------

    async def fault(self, va: Va, *, write: bool) -> bool:
        """Mirror the translation of `va`, or let the access try again; false if there is no memory."""
        async with self.mm.mmap_sem.read():
            seq, lookup = await self.look_up(va, write=write)
        if lookup.page is None:
            return False
        async with self.lock:
            installed = not self.must_retry(seq)
            if installed:
                self.table.put(va, lookup.page, write=write, lookup=lookup.id)
        await self.mm.host.memory.put(lookup.page, self.name)
        if not installed:
            await self.machine.relax()
        return True

    async def look_up(self, va: Va, *, write: bool) -> tuple[int, shadow.Lookup]:
        """Ask the host for the page; return with it what seq was before."""
        # Sampled after the look-up, it would hide an invalidation that came in between.
        async with self.lock:
            seq = self.seq
        return seq, await shadow.look_up(self.name, self.mm, va, write=write)

    def must_retry(self, seq: int) -> bool:
        """Whether a window is open, or ended since `seq` was sampled. The caller holds the lock."""
        return self.windows_open > 0 or self.seq != seq

    def drop(self, start: Va, end: Va) -> None:
        """Forget `[start, end)`. The caller holds the lock."""
        self.table.drop_range(start, end)
