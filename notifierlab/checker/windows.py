"""Rules about windows: from a start callback to its end, nothing new is mapped.

What one MMU sees of a window, and what may be mapped in its range:

    CbEntered(start)   old and new translations are still there
    CbLeft(start)      none left, and from here on none new     (mapped-inside-window)
    ptes change
    CbEntered(end)     from here on again, but not by an answer
                       that is older than the change            (stale-lookup)

Windows overlap and nest, so each is followed by its own name.
"""

from collections.abc import Hashable

from notifierlab import events as ev
from notifierlab.checker.rules import CRITICAL, hexed, HIGH, Judge, LOW, Rule
from notifierlab.checker.state import Mmu, Running, Translation
from notifierlab.checker.world import mmap_sem


class MappedInsideWindow(Judge):
    """Nothing is mapped inside an open window.

    Verified: no shadow or TLB entry is made over an address between the return of a start
    callback and the entry of its end callback; and one made while the start callback ran
    is gone when that returns.
    Not verified: entries older than the start callback that it leaves behind; those are
    `reverse-map-hole` and `freed-while-reachable`.
    """

    rule = Rule("mapped-inside-window", "windows", CRITICAL, "Nothing is mapped at an address inside a window.", 3)

    def begin(self) -> None:
        # By MMU: translations made while one of its start callbacks was running.
        self._during: dict[str, list[Translation]] = {}

    def memory(self) -> Hashable:
        mmus = self.world.mmus
        return tuple(
            (name, tuple((entry.cpu, entry.va) for entry in made if stands(mmus[name], entry)))
            for name, made in sorted(self._during.items())
        )

    def on_spte_set(self, event: ev.SpteSet) -> None:
        mmu = self.world.mmus[event.mmu]
        if mmu.open:
            self._judge(event, mmu, mmu.sptes[event.va])

    def on_tlb_filled(self, event: ev.TlbFilled) -> None:
        mmu = self.world.mmus[event.mmu]
        if mmu.open:
            self._judge(event, mmu, mmu.tlbs[event.cpu][event.va])

    def _judge(self, event: ev.SpteSet | ev.TlbFilled, mmu: Mmu, entry: Translation) -> None:
        delivered = mmu.covering(event.va)
        if delivered is not None:
            self._found(event, event.mmu, event.va, delivered.win)
        elif mmu.running and event.lookup:
            # A TLB entry made from a shadow entry has no look-up: flushing it is the flush rules' business.
            self._during.setdefault(event.mmu, []).append(entry)

    def on_cb_left(self, event: ev.CbLeft) -> None:
        if event.callback != "start" or event.mmu not in self._during:
            return
        mmu = self.world.mmus[event.mmu]
        made = self._during[event.mmu]
        for entry in made:
            if event.start <= entry.va < event.end and stands(mmu, entry):
                self._found(event, event.mmu, entry.va, event.win)
        if not any(running.callback == "start" for running in running_in(mmu)):
            del self._during[event.mmu]

    def _found(self, event: ev.Event, mmu: str, va: int, win: str) -> None:
        self.broken(event, f"{mmu} maps {va:#x} inside the open window {win}", mmu, hexed(va))


class StaleLookup(Judge):
    """No answer of the host is used after an invalidation made it stale.

    Verified: a translation made from a look-up of a page P at an address: if a pte change
    took P away from there since the look-up was begun, no page callback over the address
    has returned, and no end callback over it was entered, since that change. An answer
    that still stood when it was given counts as begun then. A translation made while a
    page callback runs must be gone when that returns.
    Not verified: maps after an invalidation that changed nothing at the address. That is
    luck, not harm, and GRU relies on it: it reads its counter only after its question. Maps
    inside an open window are `mapped-inside-window`; TLB entries that come from a shadow
    entry have no look-up of their own; a look-up that is thousands old is forgotten.
    """

    rule = Rule("stale-lookup", "windows", CRITICAL, "No look-up is used that an invalidation has made stale.", 4)

    def on_spte_set(self, event: ev.SpteSet) -> None:
        if event.lookup:
            self._judge(event)

    def on_tlb_filled(self, event: ev.TlbFilled) -> None:
        if event.lookup:
            self._judge(event)

    def _judge(self, event: ev.SpteSet | ev.TlbFilled) -> None:
        world = self.world
        lookup = world.lookup(event.lookup)
        mmu = world.mmus[event.mmu]
        if lookup is None or mmu.seen == lookup.seen:
            return
        change = world.mms[lookup.mm].change_since(lookup, event.va, event.pfn, write=event.write)
        if change is not None and mmu.invalidated(event.va, lookup, change.tick):
            self._found(event, event.mmu, event.va, event.pfn)

    def before_cb_left(self, event: ev.CbLeft) -> None:
        if event.callback != "page":
            return
        mmu = self.world.mmus[event.mmu]
        running = innermost(mmu, event.task)
        if running is None:
            return
        # Where there is a shadow table, TLB entries that outlive it are for the flush rules.
        spte = mmu.sptes.get(event.start)
        # The page that stands in the pte by now is the new one, set before change_pte's turn.
        fresh = self.world.mms[event.mm].ptes.get(event.start)
        for entry in [spte] if mmu.shadowed else mmu.tlb_entries(event.start):
            if entry is not None and entry.tick >= running.tick and entry.pfn != fresh:
                self._found(event, event.mmu, entry.va, entry.pfn)

    def _found(self, event: ev.Event, mmu: str, va: int, pfn: int) -> None:
        message = f"{mmu} maps page {pfn} at {va:#x} by a look-up that an invalidation has made stale"
        self.broken(event, message, mmu, hexed(va))


class ChangedBeforeStart(Judge):
    """A window's start callbacks are over before its first pte changes.

    Verified: at each pte change that is done under a window, every MMU that was on the
    list when the window opened, and still is, has returned from its start callback and
    has not been called with the end.
    Not verified: MMUs that joined meanwhile (`registered-mid-window`).
    """

    rule = Rule("changed-before-start", "windows", CRITICAL, "Every start returns before the window's first change.", 5)

    def on_pte_cleared(self, event: ev.PteCleared) -> None:
        if event.notify == "window":
            self._judge(event)

    def on_pte_downgraded(self, event: ev.PteDowngraded) -> None:
        if event.notify == "window":
            self._judge(event)

    def _judge(self, event: ev.PteCleared | ev.PteDowngraded) -> None:
        mm = self.world.mms[event.mm]
        if not mm.listed:
            return
        window = mm.windows.get(event.win)
        for mmu in mm.listed if window is None else window.listed:
            delivered = mmu.open.get(event.win)
            if (delivered is None or delivered.left < 0) and mmu.listed and not mmu.released:
                what = f"under window {event.win}" if event.win else "without a window"
                message = (
                    f"the pte of {event.mm} at {event.va:#x} changed {what}, of which {mmu.name} has heard no start"
                )
                self.broken(event, message, event.mm, mmu.name, event.win)


class UnpairedEnd(Judge):
    """No MMU hears the end of a window whose start it did not hear.

    Verified: each end callback names a window whose start callback the MMU returned from,
    with the same range, and names it once; no start comes twice.
    """

    rule = Rule("unpaired-end", "windows", CRITICAL, "An end is delivered only after its start, once.", 6)

    def before_cb_entered(self, event: ev.CbEntered) -> None:
        if event.callback == "end":
            delivered = self.world.mmus[event.mmu].open.get(event.win)
            if delivered is None or delivered.left < 0:
                problem = "whose start it never heard"
            elif (delivered.start, delivered.end) != (event.start, event.end):
                problem = "with another range than its start"
            else:
                return
            self.broken(event, f"{event.mmu} hears the end of window {event.win}, {problem}", event.mmu, event.win)
        elif event.callback == "start" and event.win in self.world.mmus[event.mmu].open:
            message = f"{event.mmu} hears the start of window {event.win} a second time"
            self.broken(event, message, event.mmu, event.win)


class StartNeverEnded(Judge):
    """Each MMU that heard a start hears the end, unless it leaves the list in between.

    Verified: when the host is done with a window, no listed MMU still waits for its end;
    and a window is over before its opener drops a lock of the mm that it held when it
    opened it, before its task ends, and before the run does.
    Not verified: an MMU that left the list inside the window. It hears no end, which is
    legal (K 1.3).
    """

    rule = Rule("start-never-ended", "windows", HIGH, "A start is followed by its end while the MMU is listed.", 7)

    def on_window_closed(self, event: ev.WindowClosed) -> None:
        self._judge(event, event.mm, event.win)

    def before_lock_released(self, event: ev.LockReleased) -> None:
        if event.cls != "i_mmap_lock" and event.cls != "mmap_sem":
            return
        task = self.world.tasks[event.task]
        if not task.windows:
            return
        held = task.held.get(event.lock)
        for win, (mm, number) in task.windows.items():
            if held is not None and held.number <= number and self._opens_windows(held.lock, mm):
                self._judge(event, mm, win)

    def before_task_ended(self, event: ev.TaskEnded) -> None:
        for win, (mm, _) in self.world.tasks[event.task].windows.items():
            self._judge(event, mm, win)

    def at_end(self, last: ev.Event) -> None:
        for mm in self.world.mms.values():
            for win in mm.windows:
                self._judge(last, mm.name, win)

    def _opens_windows(self, lock: str, mm: str) -> bool:
        return lock == mmap_sem(mm) or lock in self.world.mms[mm].rmap_locks

    def _judge(self, event: ev.Event, mm: str, win: str) -> None:
        for mmu in self.world.mms[mm].listed:
            if win in mmu.open:
                message = f"window {win} is over and {mmu.name}, which heard its start, heard no end"
                self.broken(event, message, mmu.name, win)


class WindowCount(Judge):
    """An MMU that counts open windows counts right.

    Verified: the shared field that a driver named when it registered is never negative,
    and when a start or end callback returns it equals the number of windows whose start
    was delivered and whose end was not. A boolean counts as 0 or 1.
    Not verified: while another start or end callback of the same MMU runs, and for a
    driver that named no field, or whose field is no number.
    """

    rule = Rule("window-count", "windows", CRITICAL, "A driver's count of open windows is what was delivered.", 8)

    def begin(self) -> None:
        self._count: dict[str, int] = {}
        # Which field of which MMU counts.
        self._counters: dict[str, str] = {}

    def memory(self) -> Hashable:
        return tuple(sorted(self._count.items())), tuple(sorted(self._counters.items()))

    def on_field_written(self, event: ev.FieldWritten | ev.AtomicWritten) -> None:
        if self._counters.get(event.owner) != event.field:
            return
        try:
            count = int(_TRUTH.get(event.value, event.value))
        except ValueError:
            return
        self._count[event.owner] = count
        if count < 0:
            self.broken(event, f"{event.owner}.{event.field} fell to {count}", event.owner)

    on_atomic_written = on_field_written

    def on_register_begun(self, event: ev.RegisterBegun) -> None:
        self._count.setdefault(event.mmu, 0)
        self._counters[event.mmu] = event.counter

    def on_cb_left(self, event: ev.CbLeft) -> None:
        if event.callback != "start" and event.callback != "end":
            return
        mmu = self.world.mmus[event.mmu]
        if not mmu.counter or any(running.callback in ("start", "end") for running in running_in(mmu)):
            return
        count = self._count.get(event.mmu, 0)
        if count != len(mmu.open):
            message = f"{event.mmu}.{mmu.counter} is {count} with {len(mmu.open)} windows open for it"
            self.broken(event, message, event.mmu)


class RegisteredMidWindow(Judge):
    """Nobody joins the list in the middle of anything that the list should hear of.

    Verified: when an MMU is added, no window of the mm is open, no other task walks the
    list, and no other task is between a page-wise pte change and the end of its
    notification.
    """

    rule = Rule("registered-mid-window", "windows", CRITICAL, "Registration excludes windows, walks and changes.", 9)

    def on_notifier_added(self, event: ev.NotifierAdded) -> None:
        mm = self.world.mms[event.mm]
        amid = [f"window {win} is open" for win in mm.windows]
        amid += [f"{task} walks the list" for task in mm.walking if task != event.task]
        amid += [f"{task} changes the pte at {va:#x}" for task, va in mm.changing if task != event.task]
        if amid:
            message = f"{event.mmu} was added to the list of {event.mm} while {', '.join(amid)}"
            self.broken(event, message, event.mmu, event.mm)


class CallbackOrder(Judge):
    """A walk calls the MMUs in list order: the last to register first.

    Verified: within one walk, each MMU called registered before the one called before it.
    Not verified: that adding one MMU changes nothing for another, which takes two runs.
    The order of release, where each MMU is taken off the list before the next is looked at.
    """

    rule = Rule("callback-order", "windows", LOW, "A walk calls the newest registration first.", 35)

    def on_cb_entered(self, event: ev.CbEntered) -> None:
        walks = self.world.tasks[event.task].walks
        if not walks or event.callback == "release" or walks[-1].mm != event.mm:
            return
        walk = walks[-1]
        added = self.world.mmus[event.mmu].added
        if walk.last >= 0 and added >= walk.last:
            message = f"{event.mmu} was called after an MMU of {event.mm} that registered before it"
            self.broken(event, message, event.mmu, event.mm)
        walk.last = added


_TRUTH = {"True": "1", "False": "0"}


def running_in(mmu: Mmu) -> list[Running]:
    """Every callback of the MMU that some task is inside."""
    return [running for stack in mmu.running.values() for running in stack]


def innermost(mmu: Mmu, task: str) -> Running | None:
    """The callback of the MMU that `task` is inside."""
    stack = mmu.running.get(task)
    return stack[-1] if stack else None


def stands(mmu: Mmu, entry: Translation) -> bool:
    """Whether the MMU still has that very translation."""
    table = mmu.tlbs.get(entry.cpu, {}) if entry.cpu else mmu.sptes
    return table.get(entry.va) is entry


JUDGES: tuple[type[Judge], ...] = (
    MappedInsideWindow,
    StaleLookup,
    ChangedBeforeStart,
    UnpairedEnd,
    StartNeverEnded,
    WindowCount,
    RegisteredMidWindow,
    CallbackOrder,
)
