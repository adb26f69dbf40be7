"""KVM with exactly one thing wrong."""

from drivers.kvm import KvmMmu
from drivers.kvm_vcpu import VCpu
from notifierlab import MmStruct, Page, PAGE_SIZE, Range, shadow, Va

# --- the fault path -----------------------------------------------------------------


class KvmSamplesSeqLate(KvmMmu):
    """Samples the sequence after the look-up, so that it hides what came in between."""

    async def look_up(self, va: Va) -> tuple[int, shadow.Lookup]:
        lookup = await shadow.look_up(self.name, self.mm, va, write=True)
        return await self.mmu_notifier_seq.get(), lookup


class KvmForgetsCount(KvmMmu):
    """Maps pages while a window is open."""

    async def must_retry(self, seq: int) -> bool:
        return await self.mmu_notifier_seq.get() != seq


class KvmForgetsSeq(KvmMmu):
    """Misses a window that opened and closed since the look-up."""

    async def must_retry(self, seq: int) -> bool:
        return self.mmu_notifier_count > 0


class KvmForgetsPut(KvmMmu):
    """Keeps the page's reference when it gives up."""

    async def give_up(self, lookup: shadow.Lookup, page: Page) -> None:
        return


class KvmAsksToRead(KvmMmu):
    """Looks up for reading what it maps for writing."""

    async def look_up(self, va: Va) -> tuple[int, shadow.Lookup]:
        seq = await self.mmu_notifier_seq.get()
        return seq, await shadow.look_up(self.name, self.mm, va, write=False)


class KvmLooksUpUnderMmuLock(KvmMmu):
    """Asks the host for the page with mmu_lock held, which callbacks need."""

    async def page_fault(self, va: Va) -> bool:
        async with self.mmu_lock, self.mm.mmap_sem.read():
            _, lookup = await self.look_up(va)
            if lookup.page is None:
                return False
            await self.sptes.set(va, lookup.page, write=True, lookup=lookup.id)
            await self.put_page(lookup.page)
            return True


class KvmRetriesForEver(KvmMmu):
    """Finds a reason to retry every time."""

    async def must_retry(self, seq: int) -> bool:
        return True


# --- the callbacks ------------------------------------------------------------------


class KvmBumpsSeqAfterUnlock(KvmMmu):
    """Bumps the sequence only when mmu_lock is free again."""

    async def invalidate_page(self, mm: MmStruct, address: Va) -> None:
        await self.mmu_lock.acquire()
        flush = await self.unmap(address, Va(address + PAGE_SIZE))
        await self.unlock(flush=flush)
        await self.mmu_notifier_seq.add(1)


class KvmBooleanCount(KvmMmu):
    """Remembers whether a window is open, not how many are."""

    def window_opens(self) -> None:
        self.mmu_notifier_count = 1

    def window_closes(self) -> int:
        self.mmu_notifier_count = 0
        return 0


class KvmLowersCountFirst(KvmMmu):
    """Lowers the count before it bumps the sequence, and without mmu_lock."""

    async def invalidate_range_end(self, mm: MmStruct, range: Range) -> None:
        self.window_closes()
        await self.mmu_notifier_seq.add(1)


class KvmUnlockedCount(KvmMmu):
    """Raises the count before it takes mmu_lock."""

    async def invalidate_range_start(self, mm: MmStruct, range: Range) -> None:
        self.window_opens()
        await self.mmu_lock.acquire()
        await self.unlock(flush=await self.unmap(range.start, range.end))


class KvmStartNeverClears(KvmMmu):
    """Lets no new entry in while a window is open, and leaves the old ones."""

    async def invalidate_range_start(self, mm: MmStruct, range: Range) -> None:
        async with self.mmu_lock:
            self.window_opens()


class KvmIgnoresInvalidatePage(KvmMmu):
    """Hears of ranges only."""

    async def invalidate_page(self, mm: MmStruct, address: Va) -> None:
        return


class KvmForgetsYoung(KvmMmu):
    """Says of every page that the guest never used it."""

    async def clear_flush_young(self, mm: MmStruct, address: Va) -> bool:
        return False


class KvmSleepsInCallback(KvmMmu):
    """Waits for the vCPUs' slots_lock in a callback, where nothing may sleep."""

    async def invalidate_range_start(self, mm: MmStruct, range: Range) -> None:
        async with self.slots_lock.read():
            await super().invalidate_range_start(mm, range)


class KvmUnlocksTwice(KvmMmu):
    """Drops mmu_lock a second time when a window closes."""

    async def invalidate_range_end(self, mm: MmStruct, range: Range) -> None:
        await super().invalidate_range_end(mm, range)
        await self.mmu_lock.release()


class KvmFollowsNull(KvmMmu):
    """Looks for the entry of a page that the guest never touched, and finds none."""

    async def invalidate_page(self, mm: MmStruct, address: Va) -> None:
        await self.sptes.downgrade(self.sptes.entries[address].va)
        await super().invalidate_page(mm, address)


# --- flushing -----------------------------------------------------------------------


class KvmNeverFlushes(KvmMmu):
    """Drops entries and leaves them in the TLBs."""

    async def flush_remote_tlbs(self) -> None:
        return


class KvmFlushesAfterUnlock(KvmMmu):
    """Flushes when mmu_lock is free again and somebody else may have found nothing to flush."""

    async def unlock(self, *, flush: bool) -> None:
        await self.mmu_lock.release()
        if flush:
            await self.flush_remote_tlbs()


class KvmFlushDoesNotWait(KvmMmu):
    """Sends the interrupt and goes on."""

    async def kick(self, vcpu: VCpu) -> None:
        return


class KvmSkipsOneVCpu(KvmMmu):
    """Forgets its first vCPU when it flushes."""

    async def make_all_vcpus_flush(self) -> None:
        for vcpu in self.vcpus[1:]:
            await vcpu.request_flush()
            await self.kick(vcpu)


class KvmInvlpgWithoutFlush(KvmMmu):
    """Drops an entry for one vCPU, and leaves it in the TLBs of the others."""

    async def invlpg(self, va: Va) -> None:
        async with self.mmu_lock:
            await self.unmap(va, Va(va + PAGE_SIZE))


# --- life ---------------------------------------------------------------------------


class KvmIgnoresRegisterError(KvmMmu):
    """Goes on when its registration failed."""

    async def create(self) -> int:
        await self.mm.register(self)
        await self.mm.mmgrab()
        await self.users_count.set(1)
        return 0


class KvmDestroysUnderVCpus(KvmMmu):
    """Is destroyed with its own descriptor, though a vCPU runs."""

    async def close(self) -> None:
        await self.destroy()


class KvmNeverReleases(KvmMmu):
    """Keeps everything it maps when the mm goes away."""

    async def release(self, mm: MmStruct) -> None:
        return


class KvmFreesBeforeUnregister(KvmMmu):
    """Gives its memory back while it is still on the list."""

    async def destroy(self) -> None:
        self.free()
        await super().destroy()


class KvmNeverUnregisters(KvmMmu):
    """Leaves its registration behind."""

    async def destroy(self) -> None:
        await self.zap_everything()
        await self.mm.mmdrop()
        self.free()


class KvmDeletesSlotOnly(KvmMmu):
    """Deletes a slot and keeps its entries, which no callback can find then."""

    async def delete_slot(self, start: Va) -> None:
        async with self.slots_lock.write(), self.mmu_lock:
            self.memslots = tuple(slot for slot in self.memslots if slot.start != start)
