"""What the host tells secondary MMUs: windows, page-wise messages, and the walks that carry them.

Walkers take no lock of this room: they are inside an RCU read section, and they hold
mmap_sem or an rmap lock of the mm, or the mm has no users left. That is why registration
(`mm/registration.py`) needs every one of those locks.

The last to register is called first, for starts and ends alike (K 1).
"""

from notifierlab.events import (
    CbEntered,
    CbLeft,
    PAGE_SIZE,
    PageNotifyDone,
    Va,
    WalkBegun,
    WalkEnded,
    WindowClosed,
    WindowOpened,
)
from notifierlab.mm.callbacks import MmuNotifier, MmuNotifierMm, Range
from notifierlab.mm.page import Page
from notifierlab.mm.vma import MmStruct


async def mmu_notifier_invalidate_range_start(mm: MmStruct, start: Va, end: Va, site: str) -> Range:
    """Open a window on `[start, end)` before its first pte changes, and tell everybody.

    `site` is the call site's number in K 3.1. The answer goes to the matching end.
    """
    window = await open_window(mm, start, end, site)
    await deliver_range_start(mm, window)
    return window


async def open_window(mm: MmStruct, start: Va, end: Va, site: str) -> Range:
    """The first half of `mmu_notifier_invalidate_range_start`: nobody has been told yet."""
    machine = mm.host.machine
    await machine.step()
    window = Range(start, end, machine.fresh("win"))
    machine.emit(WindowOpened, window.win, mm.name, start, end, site)
    return window


async def deliver_range_start(mm: MmStruct, window: Range) -> None:
    """The second half: whoever is on the list now is told."""
    if mm.mmu_notifier_mm is not None:
        await _walk(mm, mm.mmu_notifier_mm, "start", window)


async def mmu_notifier_invalidate_range_end(mm: MmStruct, range: Range) -> None:
    """Close the window: everybody on the list is told, whoever was on it at the start."""
    machine = mm.host.machine
    await machine.step()
    if mm.mmu_notifier_mm is not None:
        await _walk(mm, mm.mmu_notifier_mm, "end", range)
        if mm.host.mutated("end-told-twice"):
            await _walk(mm, mm.mmu_notifier_mm, "end", range)
    machine.emit(WindowClosed, range.win, mm.name, range.start, range.end)


async def mmu_notifier_invalidate_page(mm: MmStruct, address: Va) -> None:
    """Tell that the pte at `address` went; the caller still holds its pte lock."""
    machine = mm.host.machine
    await machine.step()
    if mm.mmu_notifier_mm is not None:
        await _walk(mm, mm.mmu_notifier_mm, "page", _one_page(address))
    machine.emit(PageNotifyDone, mm.name, address)


async def mmu_notifier_change_pte(mm: MmStruct, address: Va, page: Page, write: bool) -> None:
    """Tell that the pte at `address` shows `page` now; the caller holds its pte lock."""
    machine = mm.host.machine
    await machine.step()
    if mm.mmu_notifier_mm is not None:
        await _walk(mm, mm.mmu_notifier_mm, "change_pte", _one_page(address), page=page, write=write)
    machine.emit(PageNotifyDone, mm.name, address)


async def mmu_notifier_clear_flush_young(mm: MmStruct, address: Va) -> bool:
    """Ask whether any device used the page at `address` since it was last asked."""
    await mm.host.machine.step()
    if mm.mmu_notifier_mm is None:
        return False
    return await _walk(mm, mm.mmu_notifier_mm, "young", _one_page(address))


def _one_page(address: Va) -> Range:
    return Range(address, Va(address + PAGE_SIZE), "")


async def _walk(
    mm: MmStruct,
    listeners: MmuNotifierMm,
    callback: str,
    range: Range,
    *,
    page: Page | None = None,
    write: bool = False,
) -> bool:
    machine = mm.host.machine
    rcu = mm.host.rcu
    begun = machine.mark()
    rcu.read_enter()
    # The pointer was one look, the list behind it is another.
    await machine.step()
    machine.emit(WalkBegun, mm.name, callback, listeners.seen_complete())
    young = False
    for node in listeners.walk():
        mn = node.mn
        if callback == "young":
            young |= await _call_young(mm, mn, range)
        elif callback == "change_pte" and _overrides_change_pte(mn):
            assert page is not None
            await _call_change_pte(mm, mn, range, page, write)
        else:
            await call(mm, mn, "page" if callback == "change_pte" else callback, range)
    machine.emit(WalkEnded, mm.name, callback)
    rcu.read_exit()
    machine.forget(begun, young)
    return young


async def call(mm: MmStruct, mn: MmuNotifier, callback: str, range: Range) -> None:
    machine = mm.host.machine
    start, end, win = range
    await machine.step()
    machine.emit(CbEntered, mm.name, mn.name, callback, start, end, win)
    if callback == "start":
        await mn.invalidate_range_start(mm, range)
    elif callback == "end":
        await mn.invalidate_range_end(mm, range)
    elif callback == "page":
        await mn.invalidate_page(mm, start)
    else:
        await mn.release(mm)
    machine.emit(CbLeft, mm.name, mn.name, callback, start, end, win, 0)
    await machine.step()


async def _call_young(mm: MmStruct, mn: MmuNotifier, range: Range) -> bool:
    if type(mn).clear_flush_young is MmuNotifier.clear_flush_young:
        # A callback that is absent is not called: it says nothing about the page.
        return False
    machine = mm.host.machine
    await machine.step()
    machine.emit(CbEntered, mm.name, mn.name, "young", range.start, range.end, "")
    young = await mn.clear_flush_young(mm, range.start)
    machine.emit(CbLeft, mm.name, mn.name, "young", range.start, range.end, "", int(young))
    await machine.step()
    return young


async def _call_change_pte(mm: MmStruct, mn: MmuNotifier, range: Range, page: Page, write: bool) -> None:
    machine = mm.host.machine
    await machine.step()
    machine.emit(CbEntered, mm.name, mn.name, "change_pte", range.start, range.end, "")
    await mn.change_pte(mm, range.start, page, write)
    machine.emit(CbLeft, mm.name, mn.name, "change_pte", range.start, range.end, "", 0)
    await machine.step()


def _overrides_change_pte(mn: MmuNotifier) -> bool:
    return type(mn).change_pte is not MmuNotifier.change_pte
