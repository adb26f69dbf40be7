"""An SGI GRU-like secondary MMU: TLBs that the host's processor fills, and no table (K 6).

It keeps no page reference, and no sequence number either. Two things keep it honest:

    ms_range_active     counts open windows; while there is one, nothing is dropped in
    the hardware        ignores a drop-in when an invalidate came since the miss was read

    drop-in                                 invalidate_range_start
    read the fault handle                   ms_range_active + 1
    ms_range_active must be zero            flush: drops what is in, voids what is on
    look the page up, drop it in            its way in

    mmap_sem                    look-ups, and registration (write)
      ts_ctxlock                a context: load, unload, drop-in by a user's call
        cch_lock                its hardware
          ms_asid_lock          the mm's ASID, and which contexts are loaded
            gs_asid_lock, tgh_lock     the chiplet's ASIDs; a purge

Model: one chiplet for each mm.
Model: no page is larger than the base page, which a purge would miss (K 6.4).
"""

from typing import ClassVar, Self

from drivers.gru_context import Dropin, GruContext
from drivers.gru_device import GruDevice
from drivers.gru_hardware import Cch, Chiplet
from notifierlab import (
    Abilities,
    Atomic,
    events,
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
    WaitQueue,
)


class GruMmu(SharedState, MmuNotifier):
    """gru_mm_struct: what all contexts of one mm share, on a chiplet of its own unless one is given."""

    abilities: ClassVar[Abilities] = Abilities(contexts=2, atomic_lookup=True, outlives_process=True)
    counter = "ms_range_active"

    ms_refcount: Atomic[int] = shared(1, atomic=True)
    ms_range_active: Atomic[int] = shared(0, atomic=True)
    ms_released: Atomic[bool] = shared(False, atomic=True)
    # Under ms_asid_lock.
    ms_asid: int = shared(0)
    ms_asid_gen: int = shared(0)
    contexts: tuple[GruContext, ...] = shared(())
    ms_loaded: tuple[GruContext, ...] = shared(())

    def __init__(self, mm: Mm, chiplet: Chiplet | None = None) -> None:
        chiplet = chiplet or Chiplet(mm.host)  # type: ignore[arg-type]  # it takes the host's machine alone
        name = f"{chiplet.name}.{mm.name}"
        super().__init__(mm.host.machine, name)
        self.mm = mm
        self.profile = mm.host.profile
        self.chiplet = chiplet
        self.ms_asid_lock = SpinLock(self.machine, f"{name}.ms_asid_lock", "ms_asid_lock")
        self.ms_wait_queue = WaitQueue(self.machine, f"{name}.ms_wait_queue")

    @classmethod
    def under_test(cls, mm: Mm, *, contexts: int, atomic: bool) -> GruDevice:
        """What the conformance suite drives: contexts of one mm on a chiplet of their own."""
        return GruDevice(cls, mm, contexts=contexts, interrupts=atomic)

    # --- life (K 6.6) ---------------------------------------------------------------

    @classmethod
    async def open(cls, mm: Mm, chiplet: Chiplet, *, interrupts: bool = True) -> GruContext | None:
        """Give a thread of `mm` a context; None if the mm's notifier cannot be registered.

        It is loaded when it is first used. Without `interrupts` its misses wait for the
        user to poll.
        """
        async with mm.mmap_sem.write():
            gms = await cls.find_or_register(mm, chiplet)
            return None if gms is None else await gms.add_context(interrupts=interrupts)

    @classmethod
    async def find_or_register(cls, mm: Mm, chiplet: Chiplet) -> Self | None:
        """Share the mm's registration, or make it. The caller holds mmap_sem for write."""
        gms = await mm.find_notifier(cls)
        if gms is not None:
            await gms.ms_refcount.add(1)
            return gms
        gms = cls(mm, chiplet)
        if await mm.register_locked(gms) and not gms.profile.gru_ignores_register_error:
            gms.free()
            return None
        return gms

    async def add_context(self, *, interrupts: bool) -> GruContext:
        """One more context of this mm, not loaded."""
        async with self.ms_asid_lock:
            context = GruContext(self, f"{self.name}.ctx{len(self.contexts)}", interrupts=interrupts)
            self.contexts = (*self.contexts, context)
        return context

    async def drop(self) -> None:
        """A context is gone; with the last one, so is this."""
        if await self.ms_refcount.add(-1):
            return
        if await self.must_unregister():
            await self.mm.unregister(self)
        self.free()

    async def must_unregister(self) -> bool:
        """Every registration is given back, whether exit was first or not."""
        return not (self.profile.gru_skips_unregister and await self.ms_released.get())

    def free(self) -> None:
        """Give the object back: nobody may call it any more."""
        self.machine.emit(events.DriverFreed, self.name)

    # --- what the host calls (K 6.3) ------------------------------------------------

    async def invalidate_range_start(self, mm: MmStruct, range: Range) -> None:
        # First the counter: a drop-in that the flush does not catch must see it.
        await self.ms_range_active.add(1)
        await self.flush_range(range.start, range.end)

    async def invalidate_range_end(self, mm: MmStruct, range: Range) -> None:
        await self.ms_range_active.add(-1)
        await self.wake_waiters()

    async def invalidate_page(self, mm: MmStruct, address: Va) -> None:
        await self.flush_range(address, Va(address + PAGE_SIZE))

    async def release(self, mm: MmStruct) -> None:
        if self.profile.gru_skips_unregister:
            await self.ms_released.set(True)
        if not self.profile.gru_release_without_flush:
            await self.retire_contexts()

    async def wake_waiters(self) -> None:
        """Let everybody who waits for the last window to end look again."""
        await self.ms_wait_queue.wake_all()

    # --- flushing (K 6.4) -----------------------------------------------------------

    async def flush_range(self, start: Va, end: Va) -> None:
        """Return when no context can use a translation in `[start, end)`."""
        async with self.ms_asid_lock:
            if self.runs_anywhere():
                await self.purge(self.ms_asid, start, end)
            elif self.ms_asid:
                # Nobody runs under the ASID: it is enough that nobody ever will again.
                self.retire_asid()

    async def purge(self, asid: int, start: Va, end: Va) -> None:
        """Have the hardware drop `[start, end)` of `asid`, and wait until it did."""
        flush = await shadow.tlb_flush_begun(self.machine, self.name, start, end)
        async with self.chiplet.tgh_lock:
            for context in self.contexts_to_purge():
                await self.chiplet.purge(context.cch, asid, start, end)
        await shadow.tlb_flush_done(self.machine, self.name, flush, start, end)

    def contexts_to_purge(self) -> tuple[GruContext, ...]:
        """Whose translations carry the ASID that is purged: everybody's."""
        return self.contexts

    def retire_asid(self) -> None:
        """Make the next load take a new ASID."""
        self.ms_asid = 0
        for context in self.contexts:
            context.cch.retire()

    async def retire_contexts(self) -> None:
        """Take every context its ASID while it runs: its next miss shows none."""
        async with self.ms_asid_lock:
            # First the ASID: a drop-in that the purge does not catch would find it gone.
            asid = self.ms_asid
            self.retire_asid()
            await self.purge(asid, Va(0), events.ADDRESS_MAX)

    # --- dropping in (K 6.5) --------------------------------------------------------

    async def user_dropin(self, context: GruContext, va: Va, *, write: bool) -> Dropin:
        """gru_user_dropin: the caller holds mmap_sem for read and the context's ts_ctxlock."""
        while True:
            # No window needs mmap_sem for write now, so each one ends without us.
            await self.ms_wait_queue.wait(lambda: self.ms_range_active.peek() == 0)
            result = await self.try_dropin(context, va, write=write, atomic=False)
            if result is not Dropin.RETRY:
                return result

    async def interrupt(self, context: GruContext, va: Va, *, write: bool) -> Dropin:
        """gru_intr: what cannot be done here is left to the user's call."""
        if not await self.mm.mmap_sem.try_read():
            return Dropin.ASLEEP
        result = await self.try_dropin(context, va, write=write, atomic=True)
        await self.mm.mmap_sem.release_read()
        return result

    async def try_dropin(self, context: GruContext, va: Va, *, write: bool, atomic: bool) -> Dropin:
        """Look the page of a miss up and give it to the context's TLB."""
        miss = await context.cch.read_tfh(va, write=write)
        if not miss.asid:
            return Dropin.NO_ASID
        # Read after the fault handle: a window that opens later voids the drop-in.
        if await self.range_is_active():
            return Dropin.RETRY
        lookup = await self.look_up_atomic(va, write=write)
        if lookup.page is None:
            if atomic:
                return Dropin.ASLEEP
            lookup = await self.look_up_sleeping(va, write=write)
        if lookup.page is None:
            return Dropin.FAULT
        await context.cch.drop_in(miss, lookup)
        return Dropin.DONE

    async def range_is_active(self) -> bool:
        """Whether any window of the mm is open."""
        return await self.ms_range_active.get() != 0

    async def look_up_atomic(self, va: Va, *, write: bool) -> shadow.Lookup:
        """A walk of the page table: to write, the pte must be writable and dirty already."""
        return await shadow.look_up_atomic(self.name, self.mm, va, write=write)

    async def look_up_sleeping(self, va: Va, *, write: bool) -> shadow.Lookup:
        """get_user_pages; its reference is given back at once, the page is not pinned."""
        lookup = await shadow.look_up(self.name, self.mm, va, write=write)
        if lookup.page is not None:
            await self.mm.host.memory.put(lookup.page, self.name)
        return lookup

    # --- contexts (K 6.7) -----------------------------------------------------------

    async def start_context(self, context: GruContext) -> None:
        """Load a context: it runs under the mm's ASID. The caller holds its cch_lock."""
        async with self.ms_asid_lock:
            if not self.ms_asid or await self.asid_is_old():
                self.retire_asid()
                self.ms_asid, self.ms_asid_gen = await self.chiplet.new_asid()
            self.ms_loaded = (*self.ms_loaded, context)
            self.chiplet.start(context.cch, self.ms_asid)

    async def asid_is_old(self) -> bool:
        """Whether others may have the mm's ASID by now: it is of another generation, and
        nobody runs under it."""
        return not self.runs_anywhere() and self.ms_asid_gen != await self.chiplet.read_generation()

    async def stop_context(self, context: GruContext) -> None:
        """Unload it: it keeps its translations as long as the mm keeps the ASID."""
        async with self.ms_asid_lock:
            self.ms_loaded = tuple(other for other in self.ms_loaded if other is not context)
            context.cch.stop()

    def runs_anywhere(self) -> bool:
        """Whether a context of this mm is loaded. The caller holds ms_asid_lock."""
        return bool(self.ms_loaded)

    async def steal_context(self, thief: GruContext) -> bool:
        """Unload a context of anybody, to make room for `thief`; false if none will do."""
        for turn in await self.chiplet.occupants.get():
            victim = turn.of
            assert isinstance(victim, GruContext)
            if await victim.ts_ctxlock.try_acquire():
                stolen = victim.is_loaded() and await victim.gms.lock_to_unload()
                if stolen:
                    await victim.unload()
                    victim.is_patient = True
                    await victim.gms.unlock_after_unload()
                await victim.ts_ctxlock.release()
                if stolen:
                    return True
        return False

    async def lock_to_unload(self) -> bool:
        """Unloading opens a window on this mm, so its mmap_sem must be held; by trylock,
        for the thief has locks that come later in the order."""
        return self.profile.gru_steals_without_locks or await self.mm.mmap_sem.try_read()

    async def unlock_after_unload(self) -> None:
        """The inverse of `lock_to_unload`."""
        if not self.profile.gru_steals_without_locks:
            await self.mm.mmap_sem.release_read()

    def new_tlb(self, cpu: str) -> Tlb:
        """The TLB of a context."""
        return Tlb(self.machine, self.name, cpu)

    def new_hardware(self, tlb: Tlb) -> Cch:
        """The hardware of a context."""
        return Cch(tlb)
