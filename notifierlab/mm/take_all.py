"""mm_take_all_locks: hold everything under which a pte of the mm can be changed.

    mmap_sem (write, taken by the caller)
      mm_all_locks_mutex         one such caller in the whole system
        i_mmap_lock              of every file that the mm maps, each once
          anon_vma->lock         of every anon_vma of the mm, each once

Two vmas may share a file or an anon_vma, and a spinlock does not nest: so each lock that
was taken is tagged, and a tagged one is skipped. The tags live in existing words:

    AS_MM_ALL_LOCKS     a bit of the mapping's flags: set before taking, cleared after
                        releasing; nobody else asks for it
    bit 0 of head.next  of the anon_vma: set after taking, cleared before releasing, since
                        everybody follows that pointer, under the lock

First all files, then all anon_vmas: vma_adjust and vma_link take one lock of each class
in that order. The founding commit took them vma by vma, anon_vma first, and a relative
mm that shares both could deadlock against it (K 2.6).

Model: the preempt count is unbounded here; the kernel's would overflow at some 250 locks.
"""

import errno

from notifierlab.events import TagCleared, TagSet, TakeAllBegun, TakeAllDone, TakeAllDropped, TakeAllInterrupted
from notifierlab.mm.vma import AddressSpace, AnonVma, MmStruct


async def mm_take_all_locks(mm: MmStruct) -> int:
    """Take every lock of the mm; return 0, or -EINTR with nothing held.

    The caller holds mmap_sem for write. May sleep (for the mutex) and looks for a signal
    before each vma of each pass.
    """
    host = mm.host
    host.machine.emit(TakeAllBegun, mm.name)
    if host.mutated("no-take-all-locks"):
        host.machine.emit(TakeAllDone, mm.name)
        return 0
    await _check_mmap_sem(mm, "mm_take_all_locks")
    if not host.mutated("no-mutex"):
        await host.mm_all_locks_mutex.acquire()
    if host.profile.single_pass_take_all:
        interrupted = await _take_by_vma(mm)
    else:
        interrupted = await _take_mappings(mm) or await _take_anon_vmas(mm)
    if interrupted:
        await _drop(mm, unwinding=True)
        host.machine.emit(TakeAllInterrupted, mm.name)
        return -errno.EINTR
    host.machine.emit(TakeAllDone, mm.name)
    return 0


async def mm_drop_all_locks(mm: MmStruct) -> None:
    """Drop what mm_take_all_locks took; not in the reverse order, which spinlocks permit."""
    host = mm.host
    if not host.mutated("no-take-all-locks"):
        await _check_mmap_sem(mm, "mm_drop_all_locks")
        if host.mm_all_locks_mutex.is_free() and not host.mutated("no-mutex"):
            host.machine.bug("mm_drop_all_locks", "mm_all_locks_mutex is not held", mm.name)
        await _drop(mm, unwinding=False)
    host.machine.emit(TakeAllDropped, mm.name)


async def _check_mmap_sem(mm: MmStruct, where: str) -> None:
    # The test of the kernel itself: whoever holds it for write keeps all readers out.
    if await mm.mmap_sem.try_read():
        mm.host.machine.bug(where, f"{mm.mmap_sem.name} is not held for write", mm.name)
        await mm.mmap_sem.release_read()


def _signal_pending(mm: MmStruct) -> bool:
    return mm.host.choose("signal-pending", False, True)


async def _take_mappings(mm: MmStruct) -> bool:
    """The first pass; returns whether a signal ended it."""
    skipped = mm.host.mutated("no-i-mmap-phase")
    for vma in mm.vmas:
        if _signal_pending(mm):
            return True
        if vma.file is not None and not skipped:
            await _take_mapping(mm, vma.file)
    return False


async def _take_anon_vmas(mm: MmStruct) -> bool:
    """The second pass; returns whether a signal ended it."""
    skipped = mm.host.mutated("no-anon-vma-phase")
    for vma in mm.vmas:
        if _signal_pending(mm):
            return True
        if vma.anon_vma is not None and not skipped:
            await _take_anon_vma(mm, vma.anon_vma)
    return False


async def _take_by_vma(mm: MmStruct) -> bool:
    """The single pass of 7906d00cd1, the wrong way round."""
    for vma in mm.vmas:
        if _signal_pending(mm):
            return True
        if vma.anon_vma is not None:
            await _take_anon_vma(mm, vma.anon_vma)
        if vma.file is not None:
            await _take_mapping(mm, vma.file)
    return False


async def _take_mapping(mm: MmStruct, mapping: AddressSpace) -> None:
    if mapping.all_locks and not mm.host.mutated("no-tag-test"):
        return
    if mapping.all_locks:
        mm.host.machine.bug("mm_take_all_locks", f"{mapping.name} is tagged already", mapping.name)
    # Nobody but the holder of the mutex looks at the bit, so it may stand early.
    mapping.all_locks = True
    mm.host.machine.emit(TagSet, mapping.name, mapping.i_mmap_lock.name)
    await mapping.i_mmap_lock.acquire(nest=True)


async def _take_anon_vma(mm: MmStruct, anon_vma: AnonVma) -> None:
    # The look at the bit is without the lock: only the holder of the mutex ever sets it.
    if anon_vma.tagged and not mm.host.mutated("no-tag-test"):
        return
    await anon_vma.lock.acquire(nest=True)
    if anon_vma.tagged:
        mm.host.machine.bug("mm_take_all_locks", f"{anon_vma.name} is tagged already", anon_vma.name)
    anon_vma.tagged = True
    mm.host.machine.emit(TagSet, anon_vma.name, anon_vma.lock.name)


async def _drop(mm: MmStruct, *, unwinding: bool) -> None:
    host = mm.host
    keep_tags = unwinding and host.mutated("unwind-forgets-tags")
    keep_locks = unwinding and host.mutated("unwind-forgets-locks")
    for vma in mm.vmas:
        if vma.anon_vma is not None and vma.anon_vma.tagged:
            await _drop_anon_vma(mm, vma.anon_vma, keep_tag=keep_tags, keep_lock=keep_locks)
        if vma.file is not None and vma.file.all_locks:
            await _drop_mapping(mm, vma.file, keep_tag=keep_tags, keep_lock=keep_locks)
    if not host.mutated("no-mutex"):
        await host.mm_all_locks_mutex.release()


async def _drop_anon_vma(mm: MmStruct, anon_vma: AnonVma, *, keep_tag: bool, keep_lock: bool) -> None:
    if not keep_tag:
        anon_vma.tagged = False
        mm.host.machine.emit(TagCleared, anon_vma.name, anon_vma.lock.name)
    # A tag means "this lock is ours": whose it is in fact is not asked. Only a tag that
    # was left behind must not make us drop the lock twice.
    if not keep_lock and (not keep_tag or anon_vma.lock.held_by_current()):
        await anon_vma.lock.release()


async def _drop_mapping(mm: MmStruct, mapping: AddressSpace, *, keep_tag: bool, keep_lock: bool) -> None:
    if not keep_lock and (not keep_tag or mapping.i_mmap_lock.held_by_current()):
        await mapping.i_mmap_lock.release()
    if not keep_tag:
        if not mapping.all_locks:
            mm.host.machine.bug("mm_drop_all_locks", f"{mapping.name} lost its tag", mapping.name)
        mapping.all_locks = False
        mm.host.machine.emit(TagCleared, mapping.name, mapping.i_mmap_lock.name)
