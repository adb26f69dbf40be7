"""What rules read, and what they keep, when an event comes.

Rules judge a run by its events, and their verdict may hang on the order of two events of
different tasks where nothing else does: a page is freed, a device maps it. So each event is
a touch of what rules know, in the step that emits it; else a search would take those two
for one order, and a rule broken in the other would never be heard of. What an event touches
whatever came before stands in `rule_objects.py`, what depends on that here.

What a rule keeps of one task alone (locks, contexts, its own windows) is no touch. An
INSERT adds to or takes from a set; those change places among themselves.

Where a rule asks further only if something is amiss (the device uses another page than the
pte shows), what it would ask then is touched only then.

Not declared, for the verdict is the same whichever comes first: the count after a
reference was taken or dropped (`PageGot`, `PagePut`, `MmUsersChanged` above zero); which
of several edges closes a cycle of lock classes; when a look-up was begun (what it finds
counts from when it is found), and how often a device tried again between two callbacks (a
search lets nobody try again who saw nothing new).
"""

from collections.abc import Callable
from typing import Any, Final

from notifierlab import events as ev
from notifierlab.machine.access import Mode, RULES
from notifierlab.machine.rule_objects import ALWAYS

_R, _W, _I, _A = Mode.READ, Mode.WRITE, Mode.INSERT, Mode.ADD
_FEW_PAGES: Final = 16
_PAGE_WISE: Final = ("page", "change_pte")


class _Change:
    """A pte change of a task, until its lock is dropped: who must be told of what by then."""

    __slots__ = ("mm", "pfn", "ptl", "va")

    def __init__(self, event: "ev.PteCleared | ev.PteDowngraded") -> None:
        self.mm = event.mm
        self.va = event.va
        self.pfn = event.pfn
        self.ptl = event.ptl


class Judged:
    """Turns the events of one run into touches; `strict` as for the checker."""

    def __init__(self, touch: Callable[[str, Mode], None], *, strict: bool) -> None:
        self._hear = touch
        self._strict = strict
        # By MMU: its mm, and the field in which it counts windows.
        self._mm_of: dict[str, str] = {}
        self._counter: dict[str, str] = {}
        # By task.
        self._changes: dict[str, list[_Change]] = {}
        self._windows: dict[str, dict[str, str]] = {}
        self._exiting: dict[str, str] = {}
        self._drivers_locks: dict[str, list[str]] = {}
        # Shadow entries cleared under locks of the driver: (MMU, address), and those locks.
        self._cleared: dict[str, list[tuple[str, int, tuple[str, ...]]]] = {}
        # What translates to which frame: by (MMU, processor, address).
        self._maps: dict[tuple[str, str, int], int] = {}
        self._reach: dict[int, list[str]] = {}
        # Cleared ptes by mm and address: the frames.
        self._unflushed: dict[str, dict[int, dict[int, None]]] = {}
        # In which windows a frame lost a pte.
        self._removed_in: dict[int, list[str]] = {}
        # By mm and address: the frame that stands there, and which of them may not be written.
        self._ptes: dict[tuple[str, int], int] = {}
        self._readonly: dict[tuple[str, int], None] = {}
        # By MMU: the tasks inside a start or end callback.
        self._inside: dict[str, list[str]] = {}
        # By window: the MMUs that have heard its start, and no end.
        self._waits: dict[str, dict[str, None]] = {}

    def take(self, event: ev.Event, *, hears: bool = True) -> None:
        """Touch what the event touches; if nobody `hears` it, only learn what later ones need."""
        kind = type(event)
        if hears:
            for word, field, mode in ALWAYS.get(kind, ()):
                self._touch(f"{word}{getattr(event, field)}" if field else word, mode)
        special = _SPECIAL.get(kind)
        if special is not None:
            special(self, event)

    def _touch(self, name: str, mode: Mode) -> None:
        self._hear(RULES + name, mode)

    # --- frames and ptes ------------------------------------------------------------

    def _on_page_got(self, event: "ev.PageGot | ev.PagePut") -> None:
        if event.holder in self._mm_of:
            self._touch(f"pins {event.holder}", _A)

    def _on_page_put(self, event: ev.PagePut) -> None:
        self._on_page_got(event)
        for change in self._changes.get(event.task, ()):
            if change.pfn == event.pfn and change.mm == event.holder:
                self._settle(change)

    def _on_page_freed(self, event: ev.PageFreed) -> None:
        for changes in self._changes.values():
            for change in changes:
                if change.pfn == event.pfn:
                    self._settle(change)
        for mmu in self._reach.get(event.pfn, ()):
            self._touch(f"gone {mmu}", _R)
        exiting = self._exiting.get(event.task)
        if exiting is not None:
            self._touch(f"released {exiting}", _R)
        for win in self._removed_in.pop(event.pfn, ()):
            self._touch(f"ended {win}", _R)

    def _settle(self, change: _Change) -> None:
        """Whoever is on the list must have been told of the change by now."""
        self._touch(f"told {change.va}", _R)
        self._touch(f"list {change.mm}", _R)

    def _on_pte_set(self, event: ev.PteSet) -> None:
        self._ptes[event.mm, event.va] = event.pfn
        if event.write:
            self._readonly.pop((event.mm, event.va), None)
        else:
            self._touch(f"readonly {event.va}", _W)
            self._readonly[event.mm, event.va] = None

    def _on_pte_upgraded(self, event: ev.PteUpgraded) -> None:
        self._readonly.pop((event.mm, event.va), None)

    def _on_pte_cleared(self, event: ev.PteCleared) -> None:
        self._pte_changes(event)
        self._ptes.pop((event.mm, event.va), None)
        self._readonly.pop((event.mm, event.va), None)
        self._unflushed.setdefault(event.mm, {}).setdefault(event.va, {})[event.pfn] = None
        if self._strict and event.win:
            self._removed_in.setdefault(event.pfn, []).append(event.win)

    def _on_pte_downgraded(self, event: ev.PteDowngraded) -> None:
        self._pte_changes(event)
        self._readonly[event.mm, event.va] = None

    def _pte_changes(self, event: "ev.PteCleared | ev.PteDowngraded") -> None:
        if event.notify == "page":
            self._touch(f"changing {event.mm}", _I)
        self._changes.setdefault(event.task, []).append(_Change(event))

    def _on_cpu_tlb_flushed(self, event: ev.CpuTlbFlushed) -> None:
        cleared = self._unflushed.get(event.mm, {})
        for va in [va for va in cleared if event.start <= va < event.end]:
            # A flush that comes second does nothing, nor one after the free; but the order is not ours to know.
            for pfn in cleared[va]:
                self._touch(f"waiting {pfn}", _I)

    def _on_dirty_tested(self, event: ev.DirtyTested) -> None:
        self._touch(f"dirty {event.pfn}", _W if event.cleared else _R)
        self._touch(f"reach {event.pfn}", _R)

    # --- locks, windows, the mm -----------------------------------------------------

    def _on_lock_acquired(self, event: ev.LockAcquired) -> None:
        if _is_drivers(event.cls):
            self._drivers_locks.setdefault(event.task, []).append(event.lock)

    def _on_lock_released(self, event: ev.LockReleased) -> None:
        task = event.task
        if _is_drivers(event.cls):
            mine = self._drivers_locks.get(task, [])
            if event.lock in mine:
                mine.remove(event.lock)
            self._must_be_flushed(task, event.lock)
        elif event.cls in ("i_mmap_lock", "mmap_sem"):
            for win, mm in self._windows.get(task, {}).items():
                self._must_have_ended(win, mm)
        else:
            self._visible(task, event.lock)

    def _visible(self, task: str, ptl: str) -> None:
        """The lock under which ptes were changed is dropped."""
        changes = self._changes.get(task)
        if not changes:
            return
        for change in changes:
            if change.ptl == ptl:
                self._settle(change)
                self._touch(f"settled {change.va}", _W)
        self._changes[task] = [change for change in changes if change.ptl != ptl]

    def _on_task_ended(self, event: ev.TaskEnded) -> None:
        for change in self._changes.pop(event.task, ()):
            self._settle(change)
        for win, mm in self._windows.pop(event.task, {}).items():
            self._must_have_ended(win, mm)

    def _on_window_opened(self, event: ev.WindowOpened) -> None:
        self._windows.setdefault(event.task, {})[event.win] = event.mm

    def _on_window_closed(self, event: ev.WindowClosed) -> None:
        self._must_have_ended(event.win, event.mm)
        self._windows.get(event.task, {}).pop(event.win, None)

    def _must_have_ended(self, win: str, mm: str) -> None:
        """A window is over. Who left the list and still waits for its end need not hear of it; who waits and is
        on the list must: so whether he left it before matters where somebody waits."""
        self._touch(f"added {mm}", _R)
        if self._waits.get(win):
            self._touch(f"list {mm}", _R)

    def _on_mm_users_changed(self, event: ev.MmUsersChanged) -> None:
        if event.users <= 0:
            self._touch(f"pin {event.mm}", _W)
            self._touch(f"users {event.mm}", _W)

    def _on_exit_begun(self, event: ev.ExitBegun) -> None:
        self._exiting[event.task] = event.mm

    # --- the notifier core ----------------------------------------------------------

    def _on_register_begun(self, event: ev.RegisterBegun) -> None:
        self._mm_of[event.mmu] = event.mm
        self._counter[event.mmu] = event.counter

    def _on_register_done(self, event: ev.RegisterDone) -> None:
        if event.result:
            self._touch("tags", _R)
            self._touch(f"list {event.mm}", _R)

    def _on_walk_begun(self, event: ev.WalkBegun) -> None:
        self._touch(f"walking {event.mm}", _I)
        if event.callback != "release":
            self._touch(f"users {event.mm}", _R)
            self._touch(f"vmas {event.mm}", _R)

    def _on_cb_entered(self, event: ev.CbEntered) -> None:
        mmu = event.mmu
        if event.callback in ("start", "end"):
            self._touch(f"count {mmu}", _I)
            self._inside.setdefault(mmu, []).append(event.task)
        if event.callback == "start":
            self._waits.setdefault(event.win, {})[mmu] = None
        elif event.callback == "end":
            self._waits.get(event.win, {}).pop(mmu, None)
        if event.callback == "young":
            self._asks(event)
        else:
            self._hears(event)

    def _on_cb_left(self, event: ev.CbLeft) -> None:
        mmu, callback = event.mmu, event.callback
        if callback in ("start", "end"):
            self._touch(f"count {mmu}", _W)
            inside = self._inside.get(mmu, [])
            if event.task in inside:
                inside.remove(event.task)
            if self._counter.get(mmu) and not inside:
                self._hear(f"{mmu}.{self._counter[mmu]}", _R)
        if callback == "young":
            self._asks(event)
        elif callback == "release":
            for word in ("heard ", "gone "):
                self._touch(word + mmu, _W)
            self._touch(f"released {event.mm}", _W)
            self._touch(f"open {event.mm}", _I)
        else:
            self._hears(event)
        if callback in ("start", "page", "release"):
            self._touch(f"sptes {mmu}", _R)
            self._touch(f"tlbs {mmu}", _R)
        if callback in _PAGE_WISE:
            self._touch(f"told {event.start}", _I)
            self._touch(f"pte {event.start}", _R)
        if callback == "end" and self._strict:
            self._touch(f"ended {event.win}", _W)
        self._must_be_flushed(event.task, "")

    def _hears(self, event: "ev.CbEntered | ev.CbLeft") -> None:
        """A start, end or page callback begins or returns: what may be mapped, and what is owed, changes."""
        self._touch(f"open {event.mm}", _I)
        if event.end - event.start <= _FEW_PAGES * ev.PAGE_SIZE:
            for va in range(event.start, event.end, ev.PAGE_SIZE):
                self._touch(f"heard {event.mmu} {va}", _I)
        else:
            self._touch(f"heard {event.mmu}", _I)

    def _asks(self, event: "ev.CbEntered | ev.CbLeft") -> None:
        """clear_flush_young begins or ends: meanwhile uses count otherwise."""
        self._touch(f"touched {event.mmu} {event.start}", _W)
        self._touch("asked", _W)

    # --- the secondary MMU ----------------------------------------------------------

    def _maps_by(self, event: "ev.SpteSet | ev.TlbFilled") -> None:
        """A translation is made; if by a look-up, what changed since then counts."""
        self._touch(f"heard {event.mmu} {event.va}", _R)
        if event.lookup:
            self._touch(f"pte {event.va}", _R)

    def _on_spte_set(self, event: ev.SpteSet) -> None:
        self._maps_by(event)
        self._touch(f"spte {event.mmu} {event.va}", _W)
        self._maps_to(event.mmu, "", event.va, event.pfn)

    def _on_spte_cleared(self, event: ev.SpteCleared) -> None:
        self._touch(f"spte {event.mmu} {event.va}", _W)
        self._touch(f"tlb {event.mmu} {event.va}", _R)
        self._maps_to(event.mmu, "", event.va, None)
        locks = tuple(self._drivers_locks.get(event.task, ()))
        self._cleared.setdefault(event.task, []).append((event.mmu, event.va, locks))

    def _on_spte_downgraded(self, event: ev.SpteDowngraded) -> None:
        self._touch(f"spte {event.mmu} {event.va}", _W)

    def _on_tlb_filled(self, event: ev.TlbFilled) -> None:
        self._maps_by(event)
        self._tlb_changes(event)
        self._maps_to(event.mmu, event.cpu, event.va, event.pfn)
        self._used(event.mmu, event.va)

    def _on_tlb_dropped(self, event: ev.TlbDropped) -> None:
        self._tlb_changes(event)
        self._maps_to(event.mmu, event.cpu, event.va, None)

    def _tlb_changes(self, event: "ev.TlbFilled | ev.TlbDropped") -> None:
        self._touch(f"tlb {event.mmu} {event.cpu} {event.va}", _W)
        self._touch(f"tlb {event.mmu} {event.va}", _I)

    def _on_sec_accessed(self, event: ev.SecAccessed) -> None:
        self._touch(f"tlb {event.mmu} {event.cpu} {event.va}", _R)
        mm = self._mm_of.get(event.mmu, "")
        standing = self._ptes.get((mm, event.va), event.pfn)
        if standing != event.pfn or (event.write and (mm, event.va) in self._readonly):
            # Unless the host is in the middle of changing it, that is wrong.
            self._touch(f"windows {mm}", _R)
            self._touch(f"settled {event.va}", _R)
        if event.write:
            self._touch(f"dirty {event.pfn}", _W)
        self._used(event.mmu, event.va)

    def _used(self, mmu: str, va: int) -> None:
        """The device's use counts when it is asked whether it used the page."""
        self._touch(f"spte {mmu} {va}", _R)
        if (mmu, "", va) in self._maps:
            self._touch(f"touched {mmu} {va}", _I)
            self._touch("asked", _R)

    def _maps_to(self, mmu: str, cpu: str, va: int, pfn: int | None) -> None:
        """A translation appears or goes."""
        old = self._maps.pop((mmu, cpu, va), None)
        if old is not None:
            self._touch(f"reach {old}", _I)
            self._reach[old].remove(mmu)
        if pfn is not None:
            self._maps[mmu, cpu, va] = pfn
            self._touch(f"reach {pfn}", _I)
            self._reach.setdefault(pfn, []).append(mmu)

    def _must_be_flushed(self, task: str, lock: str) -> None:
        """Of what was cleared under a lock that is dropped (all: a callback returns), no TLB has anything left."""
        cleared = self._cleared.get(task)
        if not cleared:
            return
        for mmu, va, locks in cleared:
            if not lock or lock in locks:
                self._touch(f"tlb {mmu} {va}", _R)
        self._cleared[task] = [one for one in cleared if lock and lock not in one[2]]

    def _on_field_read(self, event: "ev.FieldRead | ev.FieldWritten | ev.AtomicRead | ev.AtomicWritten") -> None:
        if event.owner in self._mm_of:
            self._touch(f"alive {event.owner}", _R)

    _on_field_written = _on_field_read
    _on_atomic_read = _on_field_read
    _on_atomic_written = _on_field_read


def _is_drivers(cls: str) -> bool:
    """Whether locks of the class belong to a driver."""
    known = ev.LOCK_CLASSES.get(cls)
    return known is None or known.rank in ev.DRIVER_RANKS


_SPECIAL: Final[dict[type[ev.Event], Callable[[Judged, Any], None]]] = {
    getattr(ev, name.removeprefix("_on_").title().replace("_", "")): handler
    for name, handler in vars(Judged).items()
    if name.startswith("_on_")
}
