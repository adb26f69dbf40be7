"""How an mm ends: mmput, exit_mmap; the struct itself goes with mmdrop (`notifier.py`).

    mm_users    who uses the memory: the process, and whoever did get_task_mm
    mm_count    who keeps the struct: all users together count one, a registration one

The order of exit_mmap (K 1.6), without mmap_sem, for nobody has the mm any more:

    1. release: every driver drops what it has, and leaves the list
    2. unmap everything: the range hooks are called, and nobody listens
    3. free_pgtables: until here truncate and reclaim still find the vmas by rmap
    4. finish the gather: CPU TLB flush, the last pages are freed
    5. the vmas go
"""

from notifierlab.events import ExitBegun, ExitDone, MmUsersChanged
from notifierlab.machine.access import Mode
from notifierlab.machine.watched import bare, put_bare
from notifierlab.mm.registration import mmdrop, mmu_notifier_release
from notifierlab.mm.unmap import unmap_all
from notifierlab.mm.vma import MmStruct
from notifierlab.mm.vma_ops import remove_vma


async def mmget(mm: MmStruct) -> None:
    """One more user of the memory; the caller is one, or knows one."""
    await mm.host.machine.step()
    users = bare(mm, "mm_users")
    if users <= 0:
        mm.host.machine.bug("mmget", f"{mm.name} has no users any more", mm.name)
    mm.host.machine.touch(_users_of(mm), Mode.ADD if users > 0 else Mode.WRITE)
    _set_users(mm, users + 1)


async def mmget_not_zero(mm: MmStruct) -> bool:
    """get_task_mm: become a user, unless the mm is dying already."""
    await mm.host.machine.step()
    users = bare(mm, "mm_users")
    mm.host.machine.touch_get_unless_zero(_users_of(mm), users)
    if users > 0:
        _set_users(mm, users + 1)
    return bool(users > 0)


async def mmput(mm: MmStruct) -> None:
    """One user less; the last one takes the memory down. May sleep."""
    mm.host.machine.might_sleep("mmput")
    await mm.host.machine.step()
    left = bare(mm, "mm_users") - 1
    mm.host.machine.touch_put(_users_of(mm), left)
    _set_users(mm, left)
    if left == 0:
        await exit_mmap(mm)
        await mmdrop(mm)


def _set_users(mm: MmStruct, users: int) -> None:
    put_bare(mm, "mm_users", users)
    mm.host.machine.emit(MmUsersChanged, mm.name, users)


def _users_of(mm: MmStruct) -> str:
    return f"{mm.name}.mm_users"


async def exit_mmap(mm: MmStruct) -> None:
    """Take the whole memory of the mm down."""
    machine = mm.host.machine
    machine.emit(ExitBegun, mm.name)
    late = mm.host.mutated("release-after-unmap")
    if not late:
        await mmu_notifier_release(mm)
    # Era: before 2.6.29 an mm without vmas went on from here, and fell over the first.
    if mm.vmas:
        await unmap_all(mm)
    if late:
        await mmu_notifier_release(mm)
    while mm.vmas:
        remove_vma(mm, mm.vmas[0])
    machine.emit(ExitDone, mm.name)
