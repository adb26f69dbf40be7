"""How a notifier joins an mm, leaves it, and is released when the mm goes.

    mmap_sem (write)
      mm_all_locks_mutex, every i_mmap_lock, every anon_vma lock   (mm/take_all.py)
        mmu_notifier_mm->lock        writers of the list only

With all the locks of the mm held no walk can run and no window can be open, so plain
insertion is safe. Unregistering needs none of them: it unlinks, and waits by RCU for
the walkers that still see the node (K 1.4 to 1.6).
"""

import errno
from typing import TypeVar

from notifierlab.events import (
    ADDRESS_MAX,
    MmCountChanged,
    MmFreed,
    NotifierAdded,
    NotifierRemoved,
    RegisterBegun,
    RegisterDone,
    UnregisterBegun,
    UnregisterDone,
    Va,
)
from notifierlab.machine.watched import watch
from notifierlab.mm.callbacks import MmuNotifier, MmuNotifierMm, Node, Range
from notifierlab.mm.notifier import call
from notifierlab.mm.take_all import mm_drop_all_locks, mm_take_all_locks
from notifierlab.mm.vma import MmStruct

N = TypeVar("N", bound=MmuNotifier)


async def mmu_notifier_register(mm: MmStruct, mn: MmuNotifier) -> int:
    """Put `mn` on the mm's list; return 0, -ENOMEM or -EINTR.

    The caller holds no lock of the mm, and the mm has users. After a failure the driver
    is not registered: it must neither look pages up nor unregister.
    """
    return await _do_register(mm, mn, take_mmap_sem=True)


async def register_locked(mm: MmStruct, mn: MmuNotifier) -> int:
    """__mmu_notifier_register: the same for a caller that holds mmap_sem for write."""
    return await _do_register(mm, mn, take_mmap_sem=False)


async def _do_register(mm: MmStruct, mn: MmuNotifier, *, take_mmap_sem: bool) -> int:
    machine = mm.host.machine
    begun = machine.mark()
    machine.emit(RegisterBegun, mm.name, mn.name, mn.counter, mn.pinned)
    _check_users(mm)
    result = -errno.ENOMEM
    machine.might_sleep("kmalloc")
    if not mm.host.choose("enomem", False, True):
        if take_mmap_sem:
            await _take_mmap_sem(mm)
        result = await mm_take_all_locks(mm)
        if result == 0:
            await _insert(mm, mn)
            await mm_drop_all_locks(mm)
            if mm.host.mutated("initialises-after-drop"):
                await machine.step()
                _initialise(mm, mn)
        if take_mmap_sem:
            await _drop_mmap_sem(mm)
        _check_users(mm)
    machine.emit(RegisterDone, mm.name, mn.name, result)
    machine.forget(begun, result)
    return result


async def _take_mmap_sem(mm: MmStruct) -> None:
    if mm.host.mutated("mmap-sem-for-read"):
        await mm.mmap_sem.acquire_read()
    else:
        await mm.mmap_sem.acquire_write()


async def _drop_mmap_sem(mm: MmStruct) -> None:
    if mm.host.mutated("mmap-sem-for-read"):
        await mm.mmap_sem.release_read()
    else:
        await mm.mmap_sem.release_write()


async def _insert(mm: MmStruct, mn: MmuNotifier) -> None:
    machine = mm.host.machine
    listeners = mm.mmu_notifier_mm
    if listeners is None:
        # Model: initialisation and the store that publishes it are plain stores, which
        # others may see in any order; here always in the worst one, pointer first.
        # Model: allocated only now, when it is seen to be needed; the kernel gives back what is not.
        listeners = mm.mmu_notifier_mm = MmuNotifierMm(mm)
        await machine.step()
        listeners.ready = True
    if not mm.host.mutated("register-skips-mm-count"):
        await mmgrab(mm)
    node = listeners.nodes[mn] = watch(Node(mn), machine, f"{mm.name}.node({mn.name})")
    await listeners.lock.acquire()
    if mm.host.mutated("tail-insertion"):
        listeners.add_tail(node)
        machine.emit(NotifierAdded, mm.name, mn.name)
    else:
        # Model: as above, the list head shows the node before the node's own link.
        rest, listeners.first = listeners.first, node
        machine.emit(NotifierAdded, mm.name, mn.name)
        await machine.step()
        node.next = rest
        if not mm.host.mutated("initialises-after-drop"):
            _initialise(mm, mn)
    await listeners.lock.release()


def _initialise(mm: MmStruct, mn: MmuNotifier) -> None:
    assert mm.mmu_notifier_mm is not None
    node = mm.mmu_notifier_mm.nodes[mn]
    node.hashed = node.ready = True


def _check_users(mm: MmStruct) -> None:
    if mm.mm_users <= 0:
        mm.host.machine.bug("mmu_notifier_register", f"{mm.name} has no users", mm.name)


async def find_notifier(mm: MmStruct, kind: type[N]) -> N | None:
    """The first notifier on the list of that type, or None (how a GRU finds its own)."""
    machine = mm.host.machine
    await machine.step()
    listeners = mm.mmu_notifier_mm
    if listeners is None:
        return None
    mm.host.rcu.read_enter()
    found = next((node.mn for node in listeners.walk() if isinstance(node.mn, kind)), None)
    mm.host.rcu.read_exit()
    return found


# --- leaving ------------------------------------------------------------------------


async def mmu_notifier_unregister(mm: MmStruct, mn: MmuNotifier) -> None:
    """Take `mn` off the list. After it no callback runs; only then may `mn` be freed.

    Exactly one for each successful registration, before or after exit; may sleep, needs
    no lock of the mm.
    """
    machine = mm.host.machine
    machine.emit(UnregisterBegun, mm.name, mn.name)
    if mm.mm_count <= 0:
        machine.bug("mmu_notifier_unregister", f"{mm.name} has no mm_count left", mm.name)
    listeners = mm.mmu_notifier_mm
    node = None if listeners is None else listeners.nodes.get(mn)
    if listeners is None or node is None:
        # The kernel would follow a NULL pointer here.
        machine.bug("mmu_notifier_unregister", f"{mn.name} was never registered with {mm.name}", mn.name)
        return
    if mm.host.profile.unlink_before_release:
        await _unregister_unlinking_first(mm, listeners, node)
    else:
        await _unregister_releasing_first(mm, listeners, node)
    if not mm.host.mutated("unregister-without-synchronize"):
        # Whoever found the node before it was unlinked is still in its read section;
        # so is a release that exit makes.
        await mm.host.rcu.synchronize()
    machine.emit(UnregisterDone, mm.name, mn.name)
    await mmdrop(mm)


async def _unregister_unlinking_first(mm: MmStruct, listeners: MmuNotifierMm, node: Node) -> None:
    # The order of 2008 (K 1.5): between unlinking and release nobody tells the driver.
    await listeners.lock.acquire()
    if not _is_hashed(mm, node):
        await listeners.lock.release()
        return
    _unlink(mm, listeners, node, "unregister")
    node.poisoned = True
    mm.host.rcu.read_enter()
    await listeners.lock.release()
    await _release(mm, node)
    mm.host.rcu.read_exit()


async def _unregister_releasing_first(mm: MmStruct, listeners: MmuNotifierMm, node: Node) -> None:
    # The order of 2012: exit may do the same at the same time, so release can come twice.
    await mm.host.machine.step()
    if not _is_hashed(mm, node):
        return
    mm.host.rcu.read_enter()
    await _release(mm, node)
    mm.host.rcu.read_exit()
    await listeners.lock.acquire()
    if node.hashed:
        _unlink(mm, listeners, node, "unregister")
    await listeners.lock.release()


def _is_hashed(mm: MmStruct, node: Node) -> bool:
    if node.poisoned:
        mm.host.machine.bug("mmu_notifier_unregister", f"{node.mn.name} is unregistered twice", node.mn.name)
        return False
    return node.hashed


async def mmu_notifier_release(mm: MmStruct) -> None:
    """exit_mmap, before any page is freed: everybody drops what they have of the mm.

    mm_users is zero, so nobody joins any more; unregister may run at the same time, and
    whoever comes second waits for the other's release by the grace period.
    """
    machine = mm.host.machine
    await machine.step()
    listeners = mm.mmu_notifier_mm
    if listeners is None or mm.host.mutated("exit-skips-release"):
        return
    if mm.host.profile.unlink_before_release:
        await _release_unlinking_first(mm, listeners)
    else:
        await _release_calling_first(mm, listeners)
    await mm.host.rcu.synchronize()


async def _release_unlinking_first(mm: MmStruct, listeners: MmuNotifierMm) -> None:
    await listeners.lock.acquire()
    while listeners.first is not None:
        node = listeners.first
        _unlink(mm, listeners, node, "exit")
        mm.host.rcu.read_enter()
        await listeners.lock.release()
        await _release(mm, node)
        mm.host.rcu.read_exit()
        await listeners.lock.acquire()
    await listeners.lock.release()


async def _release_calling_first(mm: MmStruct, listeners: MmuNotifierMm) -> None:
    mm.host.rcu.read_enter()
    for node in listeners.walk():
        await _release(mm, node)
    mm.host.rcu.read_exit()
    await listeners.lock.acquire()
    while listeners.first is not None:
        _unlink(mm, listeners, listeners.first, "exit")
    await listeners.lock.release()


async def _release(mm: MmStruct, node: Node) -> None:
    await call(mm, node.mn, "release", Range(Va(0), ADDRESS_MAX, ""))


def _unlink(mm: MmStruct, listeners: MmuNotifierMm, node: Node, by: str) -> None:
    listeners.unlink(node)
    node.hashed = False
    mm.host.machine.emit(NotifierRemoved, mm.name, node.mn.name, by)


# --- the struct's own life ----------------------------------------------------------


async def mmgrab(mm: MmStruct) -> None:
    """One more reason to keep the mm_struct; its memory may go all the same."""
    await mm.host.machine.step()
    mm.mm_count += 1
    mm.host.machine.emit(MmCountChanged, mm.name, mm.mm_count)


async def mmdrop(mm: MmStruct) -> None:
    """One reason less; with the last one the mm_struct is freed (__mmdrop)."""
    await mm.host.machine.step()
    mm.mm_count -= 1
    mm.host.machine.emit(MmCountChanged, mm.name, mm.mm_count)
    if mm.mm_count == 0:
        mm.host.machine.emit(MmFreed, mm.name, mmu_notifier_mm_destroy(mm))


def mmu_notifier_mm_destroy(mm: MmStruct) -> int:
    """Free the list's structure; a BUG if anybody is still on it. Returns how many are."""
    left = 0 if mm.mmu_notifier_mm is None else len(mm.mmu_notifier_mm)
    if left:
        mm.host.machine.bug("mmu_notifier_mm_destroy", f"{mm.name} is freed with {left} notifiers on its list", mm.name)
    return left
