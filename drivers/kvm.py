"""A KVM-like secondary MMU: the shadow page table of one guest (K 5).

It pins no page (as since 2.6.32). What keeps it honest is one rule: a translation is
installed only under mmu_lock, and only if no invalidation was open or came to its end
since before the page was looked up. `mmu_notifier_count` tells the first,
`mmu_notifier_seq` the second; either alone misses orders.

    slots_lock                  memslots, against the fault path
      mmap_sem (read)           the look-up; dropped before mmu_lock
      mmu_lock                  sptes, reverse map, count; seq is written under it
        requests_lock           one flusher at a time

Model: the table is keyed by the host's virtual address, so that one address runs through
the whole log; a memslot says which guest page that is.
Model: one spte a page, no large ones, no shadow pages to recycle.
"""

from typing import ClassVar, NamedTuple, Self

from drivers.kvm_vcpu import VCpu
from notifierlab import (
    Abilities,
    Atomic,
    Content,
    events,
    Mm,
    MmStruct,
    MmuNotifier,
    Page,
    PAGE_SIZE,
    Range,
    RwSem,
    shadow,
    ShadowTable,
    shared,
    SharedState,
    SpinLock,
    Va,
)


class MemSlot(NamedTuple):
    """Guest pages from `base_gfn` on stand at `[start, end)` of the host's process."""

    base_gfn: int
    start: Va
    end: Va
    log_dirty: bool = True

    def gfn_of(self, va: Va) -> int:
        """Which guest page stands at `va`."""
        return self.base_gfn + (va - self.start) // PAGE_SIZE


class DirtyBitmap:
    """Which guest pages could be written since the log was last asked.

    A shared field of `vm` like the others, under mmu_lock; but one that grows in place,
    since a guest may have a million pages.
    """

    is_lab_object: ClassVar[bool] = True

    def __init__(self, vm: SharedState) -> None:
        self._vm = vm
        self._gfns: dict[int, None] = {}

    def set(self, gfn: int) -> None:
        """The guest may write the page from now on."""
        self._tell("INSERT", f"gfn {gfn}")
        self._gfns[gfn] = None
        self._show()

    def take(self) -> tuple[int, ...]:
        """Return what is set, in order, and clear it."""
        self._tell("WRITE", "")
        gfns = tuple(sorted(self._gfns))
        self._gfns.clear()
        self._show()
        return gfns

    def _show(self) -> None:
        self._vm.machine.shows(f"{self._vm.name}.dirty_bitmap", tuple(sorted(self._gfns)))

    def _tell(self, mode: str, value: str) -> None:
        machine = self._vm.machine
        machine.touch(f"{self._vm.name}.dirty_bitmap", machine.mode[mode])
        machine.emit(events.FieldWritten, self._vm.name, "dirty_bitmap", value)


class KvmMmu(SharedState, MmuNotifier):
    """One virtual machine: what the mm's notifier list knows of it."""

    abilities: ClassVar[Abilities] = Abilities(contexts=2)
    counter = "mmu_notifier_count"

    # Under mmu_lock; a reader may hold slots_lock instead for memslots.
    memslots: tuple[MemSlot, ...] = shared(())
    mmu_notifier_count: int = shared(0)
    # Written under mmu_lock, sampled without it.
    mmu_notifier_seq: Atomic[int] = shared(0, atomic=True)
    # File descriptors in use: the VM's own, and one for each vCPU that runs.
    users_count: Atomic[int] = shared(0, atomic=True)

    def __init__(self, mm: Mm, name: str = "kvm0", *, vcpus: int = 1) -> None:
        super().__init__(mm.host.machine, name)
        self.mm = mm
        self.profile = mm.host.profile
        self.pinned = self.profile.kvm_pinned_sptes
        self.slots_lock = RwSem(self.machine, f"{name}.slots_lock", "slots_lock")
        self.mmu_lock = SpinLock(self.machine, f"{name}.mmu_lock", "mmu_lock")
        self.requests_lock = SpinLock(self.machine, f"{name}.requests_lock", "requests_lock")
        self.sptes = ShadowTable(self.machine, name)
        self.dirty_bitmap = DirtyBitmap(self)
        self.vcpus = tuple(VCpu(self, f"{name}.vcpu{n}") for n in range(vcpus))

    # --- life (K 5.7) ---------------------------------------------------------------

    async def create(self) -> int:
        """KVM_CREATE_VM: return 0, or the errno of the registration; the VM is gone then."""
        result = await self.mm.register(self)
        if result:
            self.free()
            return result
        await self.mm.mmgrab()
        await self.users_count.set(1)
        return 0

    async def close(self) -> None:
        """Close the VM's descriptor. A vCPU that runs still holds its own."""
        await self.put()

    async def get(self) -> bool:
        """Use a descriptor, unless the last one was closed already."""
        return await self.users_count.inc_not_zero()

    async def put(self) -> None:
        """Stop using a descriptor; whoever is the last destroys the VM."""
        if await self.users_count.dec_and_test():
            await self.destroy()

    async def destroy(self) -> None:
        """Leave the list, drop what is left, and go."""
        await self.mm.unregister(self)
        # The release callback did this already, unless there is none.
        await self.zap_everything()
        await self.mm.mmdrop()
        self.free()

    def free(self) -> None:
        """Give the object back: nobody may call it any more."""
        self.machine.emit(events.DriverFreed, self.name)

    # --- what the conformance suite calls -------------------------------------------

    @classmethod
    def under_test(cls, mm: Mm, *, contexts: int, atomic: bool) -> Self:  # noqa: ARG003 - KVM has one way to look up
        """Make a VM with so many vCPUs."""
        return cls(mm, f"kvm.{mm.name}", vcpus=contexts)

    async def open(self) -> int:
        """Create the VM; its guest has all of the process's memory."""
        result = await self.create()
        if result == 0:
            await self.create_slot(0, Va(0), events.ADDRESS_MAX // PAGE_SIZE)
        return result

    async def access(self, va: Va, *, write: bool, value: int, context: int = 0) -> Content | None:
        """Let a vCPU load or store."""
        return await self.vcpus[context].access(va, write=write, value=value)

    # --- what the host calls (K 5.2) ------------------------------------------------

    async def invalidate_range_start(self, mm: MmStruct, range: Range) -> None:
        begun = self.machine.mark()
        await self.mmu_lock.acquire()
        self.window_opens()
        flush = await self.unmap(range.start, range.end)
        self.machine.forget(begun, flush)
        await self.unlock(flush=flush)

    async def invalidate_range_end(self, mm: MmStruct, range: Range) -> None:
        async with self.mmu_lock:
            # First the sequence: a fault that sees the count at zero must see it bumped.
            await self.mmu_notifier_seq.add(1)
            count = self.window_closes()
        if count < 0:
            self.machine.bug("kvm_mmu_notifier_invalidate_range_end", "mmu_notifier_count < 0", self.name)

    async def invalidate_page(self, mm: MmStruct, address: Va) -> None:
        await self.mmu_lock.acquire()
        await self.mmu_notifier_seq.add(1)
        flush = await self.unmap(address, Va(address + PAGE_SIZE))
        await self.unlock(flush=flush)

    async def change_pte(self, mm: MmStruct, address: Va, page: Page, write: bool) -> None:
        # Model: the entry is dropped, as KVM does for a writable pte; the guest faults.
        await self.invalidate_page(mm, address)

    async def clear_flush_young(self, mm: MmStruct, address: Va) -> bool:
        if self.profile.kvm_ept_ageing:
            return False
        await self.mmu_lock.acquire()
        young = self.test_and_clear_accessed(address)
        await self.unlock(flush=young)
        return young

    async def release(self, mm: MmStruct) -> None:
        if not self.profile.kvm_no_release:
            await self.zap_everything()

    # --- what a vCPU calls (K 5.3) --------------------------------------------------

    async def page_fault(self, va: Va) -> bool:
        """Map `va`, or give up for now and let the guest fault again; false: no memory."""
        begun = self.machine.mark()
        async with self.slots_lock.read():
            if self.slot_at(va) is None:
                return False
            async with self.mm.mmap_sem.read():
                seq, lookup = await self.look_up(va)
            if lookup.page is None:
                return False
            installed = await self.install(lookup, lookup.page, seq)
            self.machine.forget(begun, installed)
        if not installed:
            await self.machine.relax()
        return True

    async def invlpg(self, va: Va) -> None:
        """The guest drops a translation of its own, which other vCPUs may have cached.

        Without the flush the host would find no entry, and free the page (2.6.28 did so).
        """
        await self.mmu_lock.acquire()
        await self.unlock(flush=await self.unmap(va, Va(va + PAGE_SIZE)))

    async def look_up(self, va: Va) -> tuple[int, shadow.Lookup]:
        """Ask the host for the page; return with it what seq was before."""
        # Sampled after the look-up, it would hide an invalidation that came in between.
        seq = await self.mmu_notifier_seq.get()
        # For writing even if the guest reads: no entry can outlive a copy-on-write then.
        return seq, await shadow.look_up(self.name, self.mm, va, write=True)

    async def install(self, lookup: shadow.Lookup, page: Page, seq: int) -> bool:
        """Make the entry, unless the page may be on its way to the freelist."""
        async with self.mmu_lock:
            if await self.must_retry(seq):
                await self.give_up(lookup, page)
                return False
            has_pin = self.pinned and lookup.va in self.sptes.entries
            await self.sptes.set(lookup.va, page, write=True, lookup=lookup.id)
            self.mark_page_dirty(lookup.va)
            if has_pin or not self.pinned:
                await self.put_page(page)
            return True

    async def give_up(self, lookup: shadow.Lookup, page: Page) -> None:
        """Forget what was looked up: the guest will fault again."""
        self.machine.emit(events.FaultRetried, self.name, lookup.va)
        await self.put_page(page)

    async def must_retry(self, seq: int) -> bool:
        """Whether an invalidation is open, or ended since `seq` was sampled."""
        if self.mmu_notifier_count > 0:
            return True
        return await self.mmu_notifier_seq.get() != seq

    # --- memory slots ---------------------------------------------------------------

    async def create_slot(self, base_gfn: int, start: Va, pages: int, *, log_dirty: bool = True) -> None:
        """KVM_SET_USER_MEMORY_REGION: the guest gets memory; `log_dirty` keeps a dirty log of it."""
        slot = MemSlot(base_gfn, start, Va(start + pages * PAGE_SIZE), log_dirty)
        async with self.slots_lock.write(), self.mmu_lock:
            self.memslots = (*self.memslots, slot)

    async def delete_slot(self, start: Va) -> None:
        """The guest loses the memory that stands at `start`.

        Its entries go before the slot does: without the slot no callback finds them.
        """
        async with self.slots_lock.write():
            await self.mmu_lock.acquire()
            slot = self.slot_at(start)
            flush = slot is not None and await self.unmap(slot.start, slot.end)
            self.memslots = tuple(other for other in self.memslots if other != slot)
            await self.unlock(flush=flush)

    def slot_at(self, va: Va) -> MemSlot | None:
        """The slot that covers `va`."""
        return next((slot for slot in self.memslots if slot.start <= va < slot.end), None)

    # --- the dirty log (K 5.5) ------------------------------------------------------

    async def get_dirty_log(self) -> tuple[int, ...]:
        """KVM_GET_DIRTY_LOG: which guest pages could be written since it was last asked."""
        async with self.slots_lock.write():
            if self.profile.kvm_lockless_write_protect:
                await self.write_protect_without_lock()
            await self.mmu_lock.acquire()
            if not self.profile.kvm_lockless_write_protect:
                await self.write_protect()
            dirty = self.dirty_bitmap.take()
            await self.mmu_lock.release()
            # Entries were downgraded, none went: slots_lock alone keeps the log whole until
            # no TLB can write past it.
            await self.flush_remote_tlbs()
        return dirty

    async def write_protect(self) -> None:
        """Make the next write to every page fault. The caller holds mmu_lock."""
        for va in self.sptes.everything():
            self.mark_host_page_dirty(self.sptes.entries[va])
            await self.sptes.downgrade(va)

    async def write_protect_without_lock(self) -> None:
        """The same as 2.6.27 did it: read the entry, change it, write it back."""
        for va in self.sptes.everything():
            spte = self.sptes.entries.get(va)
            if spte is not None:
                self.mark_host_page_dirty(spte)
                await self.sptes.write_back(spte)

    def mark_page_dirty(self, va: Va) -> None:
        """Note in the log that the guest may write its page at `va` from now on."""
        slot = self.slot_at(va)
        if slot is not None and slot.log_dirty:
            self.dirty_bitmap.set(slot.gfn_of(va))

    # --- entries; the caller holds mmu_lock -----------------------------------------

    def window_opens(self) -> None:
        """Let no fault install anything until the window is closed."""
        self.mmu_notifier_count += 1

    def window_closes(self) -> int:
        """One window less; return how many are left."""
        count = self.mmu_notifier_count = self.mmu_notifier_count - 1
        return count

    async def unmap(self, start: Va, end: Va) -> bool:
        """Drop what the guest maps of `[start, end)`; tell whether TLBs must be flushed."""
        gone = [
            va for slot in self.memslots for va in self.sptes.mapped(Va(max(start, slot.start)), Va(min(end, slot.end)))
        ]
        for va in gone:
            await self.zap(va)
        return bool(gone)

    async def zap(self, va: Va) -> None:
        """Drop one entry, and tell the host's page what the guest did with it."""
        # Model: the entry goes before its page reference, which 2.6.27 did the other way
        # round; nobody can tell while the host has a reference of its own.
        spte = await self.sptes.clear(va)
        assert spte is not None, "entries come and go under mmu_lock"
        spte.page.referenced = spte.page.referenced or spte.accessed
        self.mark_host_page_dirty(spte)
        if self.pinned:
            await self.put_page(spte.page)

    async def zap_everything(self) -> None:
        """Drop every entry there is, in a slot or not."""
        await self.mmu_lock.acquire()
        everything = self.sptes.everything()
        for va in everything:
            await self.zap(va)
        await self.unlock(flush=bool(everything))

    def mark_host_page_dirty(self, spte: shadow.Spte) -> None:
        """The guest may have written the page; whether it did, nobody asks."""
        if spte.write:
            self.mm.host.memory.set_page_dirty(spte.page, self.name)

    async def put_page(self, page: Page) -> None:
        """Drop the reference that the look-up took."""
        await self.mm.host.memory.put(page, self.name)

    def test_and_clear_accessed(self, va: Va) -> bool:
        """Whether a vCPU walked the entry of `va` since this was last asked."""
        spte = self.sptes.rmap.get(va)
        if spte is None or not spte.accessed:
            return False
        spte.accessed = False
        return True

    # --- TLBs (K 5.6) ---------------------------------------------------------------

    async def unlock(self, *, flush: bool) -> None:
        """Drop mmu_lock, the TLBs flushed before: whoever gets it next may find no entry
        and conclude that no vCPU reaches the page (K 4.6)."""
        if self.profile.kvm_flush_after_unlock:
            await self.mmu_lock.release()
            if flush:
                await self.flush_remote_tlbs()
            return
        if flush:
            await self.flush_remote_tlbs()
        await self.mmu_lock.release()

    async def flush_remote_tlbs(self) -> None:
        """Return when no vCPU can use an entry that is in its TLB now."""
        flush = await shadow.tlb_flush_begun(self.machine, self.name, Va(0), events.ADDRESS_MAX)
        if self.profile.kvm_request_bit_skip:
            await self.make_all_vcpus_flush()
        else:
            # Whoever finds a request bit set must not go on before that vCPU was kicked.
            async with self.requests_lock:
                await self.make_all_vcpus_flush()
        await shadow.tlb_flush_done(self.machine, self.name, flush, Va(0), events.ADDRESS_MAX)

    async def make_all_vcpus_flush(self) -> None:
        """Set each vCPU's request bit and interrupt those that did not have it set."""
        kicked = [vcpu for vcpu in self.vcpus if not await vcpu.request_flush()]
        for vcpu in kicked:
            await self.kick(vcpu)

    async def kick(self, vcpu: VCpu) -> None:
        """Send the interrupt and wait for its acknowledgement."""
        await vcpu.kick()
