"""The world as far as events tell it: every event changes it in one place, here.

Judges come before or after the world sees an event (`before_...`, `on_...`), so that each
rule finds the state it speaks of. Nothing here judges, and nothing here refuses: a log
may have been cut or altered, and then the world is what the rest of the log says.
"""

from typing import Final

from notifierlab import events as ev
from notifierlab.checker.state import (
    Change,
    Delivered,
    Frame,
    Invalidation,
    Lookup,
    LOOKUPS_MAX,
    Mms,
    Mmu,
    Mmus,
    Promise,
    Removal,
    Running,
    Translation,
    Vma,
    Window,
)
from notifierlab.checker.tasks import TaskWorld, Walk

ZERO_PFN: Final = 0
"""The zero page: shared by everybody, never freed, so nobody's reach to it is kept."""

PAGE_CALLBACKS: Final = ("page", "change_pte")


class World(TaskWorld):
    """State folded from events; see `state.py` for the records."""

    def __init__(self, *, removals: bool) -> None:
        self.removals = removals
        self.begin()

    def begin(self) -> None:
        super().begin()
        self.tick = 0
        self.registrations = 0
        self.mms = Mms()
        self.mmus = Mmus()
        self.frames: dict[int, Frame] = {}
        self.owed: list[Promise] = []
        self.lookups: dict[str, Lookup] = {}
        self.lookups_old: dict[str, Lookup] = {}
        # The tag of a mapping or anon_vma: who set it.
        self.tags: dict[str, str] = {}
        self.exiting: dict[str, str] = {}

    # --- frames ---

    def on_page_allocated(self, event: ev.PageAllocated) -> None:
        old = self.frames.get(event.pfn)
        self.frames[event.pfn] = Frame(event.gen, False, None if old is None else old.reach)

    def on_page_freed(self, event: ev.PageFreed) -> None:
        frame = self.frames.get(event.pfn)
        if frame is None:
            self.frames[event.pfn] = Frame(event.gen, True)
            return
        frame.free = True
        frame.removal = None
        if self.owed:
            self.owed = [promise for promise in self.owed if promise.pfn != event.pfn]

    # --- the primary mm ---

    def settle(self, mm: str, va: int) -> None:
        """A pte that was changed under a lock is visible to all."""
        self.mms[mm].unsettled.pop(va, None)

    def on_mm_users_changed(self, event: ev.MmUsersChanged) -> None:
        self.mms[event.mm].users = event.users

    def on_mm_count_changed(self, event: ev.MmCountChanged) -> None:
        self.mms[event.mm].count = event.count

    def on_exit_begun(self, event: ev.ExitBegun) -> None:
        self.exiting[event.task] = event.mm

    def on_exit_done(self, event: ev.ExitDone) -> None:
        self.exiting.pop(event.task, None)

    def on_vma_linked(self, event: ev.VmaLinked) -> None:
        mm = self.mms[event.mm]
        mm.vmas[event.vma] = Vma(event.mapping, event.anon_vma)
        if event.mapping:
            mm.rmap_locks[mapping_lock(event.mapping)] = None
        if event.anon_vma:
            mm.rmap_locks[anon_vma_lock(event.anon_vma)] = None

    def on_vma_unlinked(self, event: ev.VmaUnlinked) -> None:
        self.mms[event.mm].vmas.pop(event.vma, None)

    def on_anon_vma_attached(self, event: ev.AnonVmaAttached) -> None:
        mm = self.mms[event.mm]
        if event.anon_vma:
            mm.rmap_locks[anon_vma_lock(event.anon_vma)] = None
        vma = mm.vmas.get(event.vma)
        if vma is not None:
            vma.anon_vma = event.anon_vma

    def on_pte_set(self, event: ev.PteSet) -> None:
        mm = self.mms[event.mm]
        va = event.va
        mm.ptes[va] = event.pfn
        if not event.write:
            self.tick = mm.readonly[va] = self.tick + 1
        elif mm.readonly:
            mm.readonly.pop(va, None)

    def on_pte_upgraded(self, event: ev.PteUpgraded) -> None:
        self.mms[event.mm].readonly.pop(event.va, None)

    def on_pte_downgraded(self, event: ev.PteDowngraded) -> None:
        self.tick = self.mms[event.mm].readonly[event.va] = self.tick + 1
        self._changed(event)

    def on_pte_cleared(self, event: ev.PteCleared) -> None:
        mm = self.mms[event.mm]
        mm.ptes.pop(event.va, None)
        if mm.readonly:
            mm.readonly.pop(event.va, None)
        self._changed(event)
        if self.removals and mm.listed:
            self._removed(event)

    def _changed(self, event: ev.PteCleared | ev.PteDowngraded) -> None:
        """Notes who is still owed a message for this change, and what is not visible yet."""
        mm = self.mms[event.mm]
        va = event.va
        if mm.listed:
            self.tick = tick = self.tick + 1
            mm.remember(Change(va, event.pfn, type(event) is ev.PteDowngraded, tick))
            for mmu in mm.listed:
                if not mmu.released:
                    window = mmu.covering(va, event.win)
                    if window is None or (self.removals and event.notify == "page"):
                        self.owed.append(Promise(mmu.name, event.mm, va, event.pfn, event.task, event.ptl, window))
        if event.notify == "window":
            return
        if event.notify == "page":
            mm.changing[event.task, va] = None
        task = self.tasks[event.task]
        if event.ptl in task.held:
            task.unsettled.setdefault(event.ptl, []).append((event.mm, va))
            mm.unsettled[va] = None

    def _removed(self, event: ev.PteCleared) -> None:
        """Keeps, per page and mm, what each listed MMU was promised at the last removal."""
        frame = self.frames.get(event.pfn)
        if frame is None:
            return
        promises = tuple([self._promise(mmu, event) for mmu in self.mms[event.mm].listed])
        frame.removal = Removal(event.mm, event.va, event.step, promises, without(frame.removal, event.mm))

    def _promise(self, mmu: Mmu, event: ev.PteCleared) -> Promise:
        for promise in self.owed:
            if promise.mmu == mmu.name and promise.va == event.va and promise.mm == event.mm:
                return promise
        window = mmu.covering(event.va, event.win)
        return Promise(mmu.name, event.mm, event.va, event.pfn, event.task, event.ptl, window, -1, mmu.released)

    def on_page_notify_done(self, event: ev.PageNotifyDone) -> None:
        self.mms[event.mm].changing.pop((event.task, event.va), None)

    def on_window_opened(self, event: ev.WindowOpened) -> None:
        mm = self.mms[event.mm]
        mm.windows[event.win] = Window(event.win, event.start, event.end, mm.listed)
        task = self.tasks[event.task]
        task.windows[event.win] = (event.mm, task.number)

    def on_window_closed(self, event: ev.WindowClosed) -> None:
        self.mms[event.mm].windows.pop(event.win, None)
        self.tasks[event.task].windows.pop(event.win, None)

    # --- the notifier core ---

    def on_register_begun(self, event: ev.RegisterBegun) -> None:
        mmu = self.mmus[event.mmu]
        mmu.begin_registration()
        mmu.mm, mmu.counter, mmu.pinned = event.mm, event.counter, event.pinned

    def on_notifier_added(self, event: ev.NotifierAdded) -> None:
        mm, mmu = self.mms[event.mm], self.mmus[event.mmu]
        self.registrations += 1
        mmu.added = self.registrations
        mmu.listed = True
        mmu.mm = event.mm
        mm.listed = (mmu, *(other for other in mm.listed if other is not mmu))
        mm.registrations[event.mmu] = mmu

    def on_register_done(self, event: ev.RegisterDone) -> None:
        self.mmus[event.mmu].admitted = event.result == 0

    def on_notifier_removed(self, event: ev.NotifierRemoved) -> None:
        mm, mmu = self.mms[event.mm], self.mmus[event.mmu]
        mm.listed = tuple(other for other in mm.listed if other is not mmu)
        for window in mm.windows.values():
            window.listed = tuple(other for other in window.listed if other is not mmu)
        mmu.listed = False
        mmu.removed = True

    def on_unregister_begun(self, event: ev.UnregisterBegun) -> None:
        self.mmus[event.mmu].unregistering = True

    def on_unregister_done(self, event: ev.UnregisterDone) -> None:
        self.mmus[event.mmu].unregistered = True
        self.mms[event.mm].registrations.pop(event.mmu, None)

    def on_driver_freed(self, event: ev.DriverFreed) -> None:
        self.mmus[event.mmu].freed = True

    def on_walk_begun(self, event: ev.WalkBegun) -> None:
        self.tasks[event.task].walks.append(Walk(event.mm, event.callback))
        walking = self.mms[event.mm].walking
        walking[event.task] = walking.get(event.task, 0) + 1

    def on_walk_ended(self, event: ev.WalkEnded) -> None:
        walks = self.tasks[event.task].walks
        if walks:
            walks.pop()
        walking = self.mms[event.mm].walking
        left = walking.pop(event.task, 0) - 1
        if left > 0:
            walking[event.task] = left

    def on_cb_entered(self, event: ev.CbEntered) -> None:
        mmu = self.mmus[event.mmu]
        callback = event.callback
        self.tick = tick = self.tick + 1
        self.tasks[event.task].callbacks.append(event.mmu)
        running = Running(callback, event.start, event.end, tick)
        mmu.running.setdefault(event.task, []).append(running)
        if callback == "start":
            mmu.open[event.win] = Delivered(event.win, event.start, event.end, tick)
        elif callback == "end":
            mmu.remember(Invalidation(event.start, event.end, tick))
            delivered = mmu.open.pop(event.win, None)
            if delivered is not None:
                mmu.ending[event.win] = delivered
        elif callback == "release":
            mmu.releases += 1

    def on_cb_left(self, event: ev.CbLeft) -> None:
        mmu = self.mmus[event.mmu]
        callbacks = self.tasks[event.task].callbacks
        if callbacks:
            callbacks.pop()
        stack = mmu.running.get(event.task)
        running = stack.pop() if stack else None
        if stack is not None and not stack:
            del mmu.running[event.task]
        callback = event.callback
        if callback == "start":
            delivered = mmu.open.get(event.win)
            if delivered is not None:
                delivered.left = event.step
        elif callback == "end":
            delivered = mmu.ending.pop(event.win, None)
            if delivered is not None:
                delivered.ended = event.step
        elif callback in PAGE_CALLBACKS:
            tick = self.tick if running is None else running.tick
            mmu.remember(Invalidation(event.start, event.end, tick))
            if self.owed:
                self._told(event)
        elif callback == "release":
            mmu.released = True

    def _told(self, event: ev.CbLeft) -> None:
        """A page callback keeps the promises for its address."""
        for promise in self.owed:
            if promise.mmu == event.mmu and promise.mm == event.mm and event.start <= promise.va < event.end:
                promise.told = event.step
        self.owed = [promise for promise in self.owed if promise.told < 0]

    def on_take_all_begun(self, event: ev.TakeAllBegun) -> None:
        self.mms[event.mm].taking[event.task] = None

    def on_take_all_done(self, event: ev.TakeAllDone) -> None:
        self.tasks[event.task].took_all = event.mm

    def on_take_all_dropped(self, event: ev.TakeAllDropped | ev.TakeAllInterrupted) -> None:
        self.tasks[event.task].took_all = ""
        self.mms[event.mm].taking.pop(event.task, None)

    on_take_all_interrupted = on_take_all_dropped

    def on_tag_set(self, event: ev.TagSet) -> None:
        self.tags[event.owner] = event.task

    def on_tag_cleared(self, event: ev.TagCleared) -> None:
        self.tags.pop(event.owner, None)

    # --- the secondary MMU ---

    def on_lookup_begun(self, event: ev.LookupBegun) -> None:
        mmu = self.mmus[event.mmu]
        mmu.mm = mmu.mm or event.mm
        if len(self.lookups) >= LOOKUPS_MAX:
            self.lookups_old, self.lookups = self.lookups, {}
        self.lookups[event.lookup] = Lookup(event.mm, event.mmu, event.write, mmu.seen, self.mms[event.mm].changed)

    def on_lookup_done(self, event: ev.LookupDone) -> None:
        """An answer that still stands when it is given is as good as if asked just now."""
        lookup = self.lookup(event.lookup)
        if lookup is None:
            return
        mm = self.mms[lookup.mm]
        if mm.ptes.get(event.va) == event.pfn and not (lookup.write and event.va in mm.readonly):
            lookup.seen = self.mmus[event.mmu].seen
            lookup.changes = mm.changed

    def lookup(self, name: str) -> Lookup | None:
        """The look-up of that name, unless it is unknown or forgotten."""
        return self.lookups.get(name) or self.lookups_old.get(name)

    def on_spte_set(self, event: ev.SpteSet) -> None:
        mmu = self.mmus[event.mmu]
        mmu.shadowed = True
        sptes = mmu.sptes
        old = sptes.get(event.va)
        if old is not None:
            self._unreach(old)
        sptes[event.va] = self._reach(event, "")

    def on_spte_cleared(self, event: ev.SpteCleared) -> None:
        old = self.mmus[event.mmu].sptes.pop(event.va, None)
        if old is not None:
            self._unreach(old)

    def on_spte_downgraded(self, event: ev.SpteDowngraded) -> None:
        old = self.mmus[event.mmu].sptes.get(event.va)
        if old is not None:
            old.write = False

    def on_tlb_filled(self, event: ev.TlbFilled) -> None:
        mmu = self.mmus[event.mmu]
        tlb = mmu.tlbs.get(event.cpu)
        if tlb is None:
            tlb = mmu.tlbs[event.cpu] = {}
        old = tlb.get(event.va)
        if old is not None:
            self._unreach(old)
        tlb[event.va] = self._reach(event, event.cpu)

    def on_tlb_dropped(self, event: ev.TlbDropped) -> None:
        tlb = self.mmus[event.mmu].tlbs.get(event.cpu)
        old = None if tlb is None else tlb.pop(event.va, None)
        if old is not None:
            self._unreach(old)

    def on_tlb_flush_begun(self, event: ev.TlbFlushBegun) -> None:
        self.tick = self.mmus[event.mmu].flushes[event.flush] = self.tick + 1

    def on_tlb_flush_done(self, event: ev.TlbFlushDone) -> None:
        self.mmus[event.mmu].flushes.pop(event.flush, None)

    def _reach(self, event: ev.SpteSet | ev.TlbFilled, cpu: str) -> Translation:
        pfn = event.pfn
        frame = self.frames.get(pfn)
        if frame is None:
            frame = self.frames[pfn] = Frame(0)
        new = Translation(event.mmu, cpu, event.va, pfn, frame.gen, event.write, self.tick)
        if pfn != ZERO_PFN:
            reach = frame.reach
            if reach is None:
                frame.reach = new
            elif isinstance(reach, list):
                reach.append(new)
            else:
                frame.reach = [reach, new]
        return new

    def _unreach(self, old: Translation) -> None:
        frame = self.frames.get(old.pfn)
        if frame is None or old.pfn == ZERO_PFN:
            return
        reach = frame.reach
        if reach is old:
            frame.reach = None
        elif isinstance(reach, list) and old in reach:
            reach.remove(old)
            if len(reach) == 1:
                frame.reach = reach[0]


def mapping_lock(mapping: str) -> str:
    """The name of a file mapping's `i_mmap_lock`."""
    return f"{mapping}.i_mmap_lock"


def anon_vma_lock(anon_vma: str) -> str:
    """The name of an anon_vma's lock."""
    return f"{anon_vma}.lock"


def mmap_sem(mm: str) -> str:
    """The name of an mm's `mmap_sem`."""
    return f"{mm}.mmap_sem"


def without(removal: Removal | None, mm: str) -> Removal | None:
    """The chain of removals without that of `mm`."""
    others = []
    while removal is not None:
        if removal.mm != mm:
            others.append(removal)
        removal = removal.other
    chain = None
    for other in reversed(others):
        other.other = chain
        chain = other
    return chain
