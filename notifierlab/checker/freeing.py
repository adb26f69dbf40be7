"""Rules about pages: none is freed under a device, none changes behind its back.

The order that must hold for a page P at address a, and a secondary MMU D:

    host                                    D
    start(a) delivered           or         ...
    pte of a cleared
                                 or         page(a) returned, pte lock still held
    CPU TLB flushed
                                            nothing of D translates to P
    P on the freelist

Nothing here asks that a window be *closed* before the free: Linux never promised that
(K 3.3). `free-before-end` does, for those who ask for it with `strict`.
"""

from collections.abc import Callable, Hashable
from typing import TypeAlias

from notifierlab import events as ev
from notifierlab.checker.rules import CRITICAL, hexed, HIGH, Judge, LOW, Rule, WORST
from notifierlab.checker.state import Promise, Removal, Translation
from notifierlab.checker.world import World, ZERO_PFN
from notifierlab.events import PAGE_SIZE

Due: TypeAlias = Callable[[Promise], bool]


class FreedWhileReachable(Judge):
    """No page reaches the freelist while a device translates to it.

    Verified: at each free, that no shadow entry and no TLB entry of any MMU, registered
    or not, holds a translation to this life of the frame.
    Not verified: drop-ins that are queued and accesses that are running, since there are
    no events for them; the first becomes a TLB entry, the second is `stale-access`.
    """

    rule = Rule(
        "freed-while-reachable", "freeing", WORST, "No page reaches the freelist while a device translates to it.", 1
    )

    def before_page_freed(self, event: ev.PageFreed) -> None:
        frame = self.world.frames.get(event.pfn)
        if frame is None or frame.reach is None:
            return
        for translation in frame.reached_by():
            message = f"page {event.pfn} reached the freelist while {translation.where()} maps it"
            self.broken(event, message, f"pfn {event.pfn}", translation.mmu)


class FreedUnannounced(Judge):
    """Whoever is on the notifier list hears of each pte change in time.

    Verified: when a present pte is cleared or loses its write permission, each listed MMU
    has a window open over the address, its start callback returned; or a page callback
    (or change_pte) over the address returns before the pte lock is released, and before
    the changing task drops the page's reference.
    Not verified: an MMU that was released, or that left the list, before the moment of
    judgement: it is owed its release and nothing else (`release-gap` speaks there). MMUs
    that registered after the change are the business of `registered-mid-window`.
    """

    rule = Rule(
        "freed-unannounced", "freeing", CRITICAL, "Each pte change is announced to every MMU on the list in time.", 2
    )

    def before_lock_released(self, event: ev.LockReleased) -> None:
        if self.world.owed:
            self._settle(event, lambda promise: promise.ptl == event.lock and promise.task == event.task)

    def before_page_put(self, event: ev.PagePut) -> None:
        if self.world.owed:
            self._settle(
                event,
                lambda promise: promise.pfn == event.pfn and promise.task == event.task and promise.mm == event.holder,
            )

    def before_page_freed(self, event: ev.PageFreed) -> None:
        if self.world.owed:
            self._settle(event, lambda promise: promise.pfn == event.pfn)

    def before_task_ended(self, event: ev.TaskEnded) -> None:
        if self.world.owed:
            self._settle(event, lambda promise: promise.task == event.task)

    def _settle(self, event: ev.Event, due: Due) -> None:
        world = self.world
        late = [promise for promise in world.owed if due(promise)]
        if not late:
            return
        world.owed = [promise for promise in world.owed if promise not in late]
        for promise in late:
            mmu = world.mmus[promise.mmu]
            if promise.window is None and mmu.listed and not mmu.released:
                message = f"the pte of {promise.mm} at {promise.va:#x} changed and {promise.mmu} was not told in time"
                self.broken(event, message, promise.mm, hexed(promise.va), promise.mmu)


class FreedBeforeCpuFlush(Judge):
    """With more than one CPU, a page is freed only after the CPUs' TLBs forgot it.

    Verified: for each clear of a pte of the page, a CPU TLB flush covering the address
    came before the free.
    Not verified: with the switch `smp` off, where the one CPU may free first ("fast mode").
    """

    rule = Rule(
        "freed-before-cpu-flush",
        "freeing",
        CRITICAL,
        "A page is freed after the CPU TLB flush of its ptes.",
        30,
    )

    def begin(self) -> None:
        self._unflushed: dict[str, dict[int, list[int]]] = {}
        # How many unflushed clears each page has.
        self._waiting: dict[int, int] = {}

    def memory(self) -> Hashable:
        unflushed = [
            (mm, va, tuple(sorted(pages))) for mm, cleared in self._unflushed.items() for va, pages in cleared.items()
        ]
        return tuple(sorted(unflushed)), tuple(sorted(self._waiting.items()))

    def applies(self) -> bool:
        return bool(self.switches.get("smp", True))

    def on_pte_cleared(self, event: ev.PteCleared) -> None:
        if event.pfn == ZERO_PFN:
            return
        cleared = self._unflushed.get(event.mm)
        if cleared is None:
            cleared = self._unflushed[event.mm] = {}
        pages = cleared.get(event.va)
        if pages is None:
            cleared[event.va] = [event.pfn]
        else:
            pages.append(event.pfn)
        self._waiting[event.pfn] = self._waiting.get(event.pfn, 0) + 1

    def on_cpu_tlb_flushed(self, event: ev.CpuTlbFlushed) -> None:
        cleared = self._unflushed.get(event.mm)
        if not cleared:
            return
        start, end = event.start, event.end
        if (end - start) // PAGE_SIZE <= len(cleared):
            flushed = [va for va in range(start - start % PAGE_SIZE, end, PAGE_SIZE) if va in cleared]
        else:
            flushed = [va for va in cleared if start <= va < end]
        for va in flushed:
            for pfn in cleared.pop(va):
                left = self._waiting.get(pfn, 0) - 1
                if left > 0:
                    self._waiting[pfn] = left
                else:
                    self._waiting.pop(pfn, None)

    def before_page_freed(self, event: ev.PageFreed) -> None:
        if self._waiting.pop(event.pfn, 0):
            message = f"page {event.pfn} was freed before the CPU TLBs were flushed of its cleared pte"
            self.broken(event, message, f"pfn {event.pfn}")


class StaleAccess(Judge):
    """No device uses a frame that is free, or that has another life than when it was mapped.

    Verified: at each access through a TLB entry, that the frame is allocated and in the
    generation in which the entry was filled.
    Not verified: accesses through an entry that the log never showed.
    """

    rule = Rule("stale-access", "freeing", CRITICAL, "No device uses a page after it was freed.", 1)

    def on_sec_accessed(self, event: ev.SecAccessed) -> None:
        frame = self.world.frames.get(event.pfn)
        if frame is None or event.pfn == ZERO_PFN:
            return
        if frame.free:
            message = f"{event.mmu} used page {event.pfn} at {event.va:#x} while it is on the freelist"
        else:
            entry = cached(self.world, event)
            if entry is None or entry.gen == frame.gen or entry.gen == 0:
                return
            message = (
                f"{event.mmu} used page {event.pfn} at {event.va:#x} by a translation from life "
                f"{entry.gen} of the frame; it is in life {frame.gen}"
            )
        self.broken(event, message, f"pfn {event.pfn}", event.mmu)


class WrongData(Judge):
    """What a device finds at an address is what the process has there.

    Verified: at each access, that the primary pte of the address, if present, shows the
    same page; and whatever a guest says it found against what must be there.
    Not verified: accesses while a window of the mm is open over the address, or between a
    pte change and the release of its pte lock: there the two may differ. An address
    without a present pte: nothing to compare with.
    """

    rule = Rule(
        "wrong-data", "freeing", CRITICAL, "Outside windows, the device sees the page that the process sees.", 25
    )

    def on_sec_accessed(self, event: ev.SecAccessed) -> None:
        mm = self.world.mms[self.world.mmus[event.mmu].mm]
        pfn = mm.ptes.get(event.va)
        if pfn is None or pfn == event.pfn or mm.disturbed(event.va):
            return
        message = f"{event.mmu} used page {event.pfn} at {event.va:#x}, where {mm.name} has page {pfn}"
        self.broken(event, message, event.mmu, hexed(event.va))

    def on_data_checked(self, event: ev.DataChecked) -> None:
        if event.expected != event.got:
            message = f"{event.mmu} read {event.got} at {event.va:#x}, where {event.expected} must be"
            self.broken(event, message, event.mmu, hexed(event.va), "data")


class LostDirty(Judge):
    """What a device wrote is known to the host when it asks whether the page is dirty.

    Verified: at each dirty test that answers "clean", that no device wrote to the page
    since it was last marked or taken for writing, unless that device can still reach it:
    then its dirtiness is yet to come.
    Not verified: pages whose dirty flag the log does not show being set; content that is
    freed without anybody asking.
    """

    rule = Rule("lost-dirty", "freeing", HIGH, "A page that a device wrote to is dirty when the host tests it.", 23)

    def begin(self) -> None:
        self._dirty: dict[int, None] = {}
        self._written: dict[int, str] = {}

    def memory(self) -> Hashable:
        return tuple(sorted(self._dirty)), tuple(sorted(self._written.items()))

    def on_sec_accessed(self, event: ev.SecAccessed) -> None:
        if event.write and event.pfn not in self._dirty:
            self._written[event.pfn] = event.mmu

    def on_page_dirtied(self, event: ev.PageDirtied) -> None:
        self._dirty[event.pfn] = None
        self._written.pop(event.pfn, None)

    def on_page_freed(self, event: ev.PageFreed) -> None:
        self._dirty.pop(event.pfn, None)
        self._written.pop(event.pfn, None)

    def on_dirty_tested(self, event: ev.DirtyTested) -> None:
        if event.dirty:
            if event.cleared:
                self._dirty.pop(event.pfn, None)
            return
        writer = self._written.get(event.pfn)
        frame = self.world.frames.get(event.pfn)
        if writer is None or frame is None or any(entry.mmu == writer for entry in frame.reached_by()):
            return
        message = f"{event.where} found page {event.pfn} clean, but {writer} wrote to it"
        self.broken(event, message, f"pfn {event.pfn}", writer)


class WriteWithoutPermission(Judge):
    """No device writes through a translation that is older than the loss of the permission.

    Verified: at each write, that the pte of the same page has not become read-only (by a
    downgrade, or by being set anew) since the device's translation was made.
    Not verified: as for `wrong-data`, inside windows and under the pte lock. Translations
    that a look-up made writable where the pte is not (forced writes): the pte never was.
    """

    rule = Rule(
        "write-without-permission", "freeing", CRITICAL, "No device writes once the pte has lost its permission.", 24
    )

    def on_sec_accessed(self, event: ev.SecAccessed) -> None:
        if not event.write:
            return
        mmu = self.world.mmus[event.mmu]
        mm = self.world.mms[mmu.mm]
        since = mm.readonly.get(event.va)
        if since is None or mm.ptes.get(event.va) != event.pfn:
            return
        made = [entry.tick for entry in (cached(self.world, event), mmu.sptes.get(event.va)) if entry is not None]
        if not made or min(made) >= since or mm.disturbed(event.va):
            return
        message = f"{event.mmu} wrote at {event.va:#x} after the pte of {mm.name} had become read-only"
        self.broken(event, message, event.mmu, hexed(event.va))


class FreeBeforeEnd(Judge):
    """The stronger sentence: a page is freed after its window's end was delivered.

    Verified: for each freed page and each MMU that was listed when its pte last went from
    an mm, the end callback of the covering window returned before the free, or a page
    callback did.
    Not verified: pages that were never mapped there, and MMUs that were released before
    the free. Linux does not keep this sentence; hosts with `free-after-end` do.
    """

    rule = Rule(
        "free-before-end",
        "freeing",
        LOW,
        "A page is freed only after the end of the window it was unmapped in.",
        None,
        strict=True,
    )

    def before_page_freed(self, event: ev.PageFreed) -> None:
        frame = self.world.frames.get(event.pfn)
        removal = None if frame is None else frame.removal
        while removal is not None:
            for promise in removal.promises:
                self._judge(event, removal, promise)
            removal = removal.other

    def _judge(self, event: ev.PageFreed, removal: Removal, promise: Promise) -> None:
        if promise.told >= 0 or promise.idle or self.world.mmus[promise.mmu].released:
            return
        if promise.window is not None and promise.window.ended >= 0:
            return
        message = f"page {event.pfn} was freed before {promise.mmu} heard the end of its unmapping at {removal.va:#x}"
        self.broken(event, message, f"pfn {event.pfn}", promise.mmu)


def cached(world: World, event: ev.SecAccessed) -> Translation | None:
    """The TLB entry through which the device accesses."""
    tlb = world.mmus[event.mmu].tlbs.get(event.cpu)
    return None if tlb is None else tlb.get(event.va)


JUDGES: tuple[type[Judge], ...] = (
    FreedWhileReachable,
    FreedUnannounced,
    FreedBeforeCpuFlush,
    StaleAccess,
    WrongData,
    LostDirty,
    WriteWithoutPermission,
    FreeBeforeEnd,
)
