"""What tasks do that lasts, and who is told: operations, locks, windows, registrations."""

from typing import Final

from notifierlab import events as e
from notifierlab.report.spans import NEVER, Span, Spans
from notifierlab.report.words import address_range


class Doings:
    """Tasks: how long each lives, what it is in the middle of, which locks it holds."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans
        self._depth: dict[str, int] = {}

    def on_task_started(self, place: int, event: e.TaskStarted) -> None:
        self._spans.begin(("task", event.name), "task", self._spans.lane("task", event.name), event.name, place)

    def on_task_ended(self, place: int, event: e.TaskEnded) -> None:
        self._spans.end(("task", event.task), place)

    # --- locks ----------------------------------------------------------------------

    def on_lock_acquired(self, place: int, event: e.LockAcquired) -> None:
        label = f"{event.lock} (read)" if event.mode == "read" else event.lock
        self._spans.begin(("lock", event.task, event.lock), "lock", self._lane(event.task), label, place)

    def on_lock_released(self, place: int, event: e.LockReleased) -> None:
        self._spans.end(("lock", event.task, event.lock), place)

    def on_lock_downgraded(self, place: int, event: e.LockDowngraded) -> None:
        key = ("lock", event.task, event.lock)
        if self._spans.end(key, place) is not None:
            self._spans.begin(key, "lock", self._lane(event.task), f"{event.lock} (read)", place)

    # --- operations -----------------------------------------------------------------

    def _begin(self, place: int, event: e.Event, name: str, label: str) -> None:
        depth = self._depth.get(event.task, 0)
        self._depth[event.task] = depth + 1
        self._spans.begin((name, event.task), "op", self._lane(event.task), label, place, row=depth)

    def _end(self, place: int, event: e.Event, name: str) -> None:
        if self._spans.end((name, event.task), place) is not None:
            self._depth[event.task] -= 1

    def _lane(self, task: str) -> int:
        return self._spans.lane("task", task)

    def on_register_begun(self, place: int, event: e.RegisterBegun) -> None:
        self._begin(place, event, "register", f"registers {event.mmu}")

    def on_register_done(self, place: int, event: e.RegisterDone) -> None:
        self._end(place, event, "register")

    def on_unregister_begun(self, place: int, event: e.UnregisterBegun) -> None:
        self._begin(place, event, "unregister", f"unregisters {event.mmu}")

    def on_unregister_done(self, place: int, event: e.UnregisterDone) -> None:
        self._end(place, event, "unregister")

    def on_take_all_begun(self, place: int, event: e.TakeAllBegun) -> None:
        self._begin(place, event, "take-all", f"takes all locks of {event.mm}")

    def on_take_all_done(self, place: int, event: e.TakeAllDone) -> None:
        self._end(place, event, "take-all")
        self._begin(place, event, "all-locks", f"claims all locks of {event.mm}")

    def on_take_all_interrupted(self, place: int, event: e.TakeAllInterrupted) -> None:
        self._end(place, event, "take-all")

    def on_take_all_dropped(self, place: int, event: e.TakeAllDropped) -> None:
        self._end(place, event, "all-locks")

    def on_cb_entered(self, place: int, event: e.CbEntered) -> None:
        self._begin(place, event, f"cb {event.mmu} {event.callback}", f"{event.callback} of {event.mmu}")

    def on_cb_left(self, place: int, event: e.CbLeft) -> None:
        self._end(place, event, f"cb {event.mmu} {event.callback}")

    def on_lookup_begun(self, place: int, event: e.LookupBegun) -> None:
        self._begin(place, event, f"lookup {event.lookup}", f"{event.mmu} looks {event.va:#x} up")

    def on_lookup_done(self, place: int, event: e.LookupDone) -> None:
        self._end(place, event, f"lookup {event.lookup}")

    def on_tlb_flush_begun(self, place: int, event: e.TlbFlushBegun) -> None:
        self._begin(place, event, f"flush {event.flush}", f"flushes {event.mmu}")

    def on_tlb_flush_done(self, place: int, event: e.TlbFlushDone) -> None:
        self._end(place, event, f"flush {event.flush}")

    def on_rcu_sync_begun(self, place: int, event: e.RcuSyncBegun) -> None:
        self._begin(place, event, "rcu-sync", "waits for RCU readers")

    def on_rcu_sync_done(self, place: int, event: e.RcuSyncDone) -> None:
        self._end(place, event, "rcu-sync")

    def on_exit_begun(self, place: int, event: e.ExitBegun) -> None:
        self._begin(place, event, f"exit {event.mm}", f"exit of {event.mm}")

    def on_exit_done(self, place: int, event: e.ExitDone) -> None:
        self._end(place, event, f"exit {event.mm}")


PLACED_CALLBACKS: Final = ("page", "change_pte")
"""Callbacks that announce one page, without a window."""


class Telling:
    """Windows, who is on the list while one is open, and who hears of it."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans
        # Listeners of each mm, and the windows of each that are open.
        self._lists: dict[str, dict[str, None]] = {}
        self._open: dict[str, dict[str, e.WindowOpened]] = {}
        # By MMU and window: on the list, and not yet told.
        self._owed: dict[tuple[str, str], int] = {}

    def on_window_opened(self, place: int, event: e.WindowOpened) -> None:
        label = f"window {address_range(event.start, event.end)}"
        lane = self._spans.lane("task", event.task)
        self._spans.begin(("window", event.win), "window", lane, label, place)
        self._open.setdefault(event.mm, {})[event.win] = event
        for mmu in self._lists.get(event.mm, ()):
            self._owed[mmu, event.win] = place

    def on_window_closed(self, place: int, event: e.WindowClosed) -> None:
        self._spans.end(("window", event.win), place)
        self._open.get(event.mm, {}).pop(event.win, None)
        for mmu in self._lists.get(event.mm, ()):
            self._settle(mmu, event.win, event.start, event.end, place)

    def on_notifier_added(self, place: int, event: e.NotifierAdded) -> None:
        lane = self._spans.lane("mmu", event.mmu)
        self._spans.begin(("list", event.mmu), "registered", lane, f"on the list of {event.mm}", place)
        self._lists.setdefault(event.mm, {})[event.mmu] = None
        for win in self._open.get(event.mm, {}):
            self._owed[event.mmu, win] = place

    def on_notifier_removed(self, place: int, event: e.NotifierRemoved) -> None:
        self._spans.end(("list", event.mmu), place)
        for win, window in self._open.get(event.mm, {}).items():
            self._settle(event.mmu, win, window.start, window.end, place)
        self._lists.get(event.mm, {}).pop(event.mmu, None)

    def on_cb_entered(self, place: int, event: e.CbEntered) -> None:
        if event.callback == "start" and event.win:
            self._owed.pop((event.mmu, event.win), None)
            lane = self._spans.lane("mmu", event.mmu)
            label = f"knows of window {address_range(event.start, event.end)}"
            self._spans.begin(("heard", event.mmu, event.win), "heard", lane, label, place)

    def on_cb_left(self, place: int, event: e.CbLeft) -> None:
        if event.callback == "end" and event.win:
            self._spans.end(("heard", event.mmu, event.win), place)

    def at_end(self) -> None:
        """Settles what was still owed when the log ended."""
        for mm, windows in self._open.items():
            for win, window in windows.items():
                for mmu in self._lists.get(mm, ()):
                    self._settle(mmu, win, window.start, window.end, NEVER)

    def _settle(self, mmu: str, win: str, start: int, end: int, place: int) -> None:
        begin = self._owed.pop((mmu, win), None)
        if begin is not None:
            lane = self._spans.lane("mmu", mmu)
            label = f"not told of window {address_range(start, end)}"
            self._spans.all.append(Span(kind="unheard", lane=lane, label=label, begin=begin, end=place))
