"""The lives of page frames, and what secondary MMUs believed of them meanwhile.

A frame has one life from its allocation to its free, and may have many. For each life it
is kept when its last pte went, what announced that, when it was freed, and every use of it
through a translation that was older than the free. Such a translation is *stale*: the
device's bar in a picture then lasts longer than the host's.
"""

from collections.abc import Iterator

import msgspec

from notifierlab import events as e
from notifierlab.events import NO_PAGE
from notifierlab.report.doings import PLACED_CALLBACKS
from notifierlab.report.spans import NEVER, Span, SpanKind, Spans


class Life(msgspec.Struct, kw_only=True):
    """One life of a frame, as places in the run; `gen` counts them from 1.

    `announced` is where the window opened under which the last pte went, or the callback
    that told of this page alone. `uses` are device accesses after the free.
    """

    pfn: int
    gen: int
    allocated: int
    unmapped: int = NEVER
    announced: int = NEVER
    freed: int = NEVER
    uses: list[int] = msgspec.field(default_factory=list)


class _Entry(msgspec.Struct, gc=False):
    """One translation of a device, of an MMU's shadow table or of one processor's TLB."""

    mmu: str
    pfn: int
    span: Span
    life: Life | None


class _Window(msgspec.Struct, gc=False):
    """An open window: where it opened, the pages in it at first or later, and who heard of it."""

    event: e.WindowOpened
    place: int
    pages: dict[int, None]
    heard: dict[str, None]


class Lives:
    """Follows frames, ptes, windows and translations; says of each event which frames it is about."""

    def __init__(self, spans: Spans) -> None:
        self.lives: list[Life] = []
        # The frames that devices reached, and those that stood at each address.
        self.reached: dict[int, None] = {}
        self.stood: dict[int, dict[int, None]] = {}
        self._spans = spans
        self._life: dict[int, Life] = {}
        self._ended: dict[int, Life] = {}
        self._mapped: dict[int, int] = {}
        # What each mm maps, and what it mapped last at each address.
        self._ptes: dict[str, dict[int, int]] = {}
        self._last: dict[tuple[str, int], int] = {}
        self._windows: dict[str, _Window] = {}
        self._mm_of: dict[str, str] = {}
        self._listening: dict[str, dict[str, None]] = {}
        self._entries: dict[tuple[str, str, int], _Entry] = {}
        self._entries_of: dict[int, dict[tuple[str, str, int], _Entry]] = {}

    # --- frames ---------------------------------------------------------------------

    def on_page_allocated(self, place: int, event: e.PageAllocated) -> None:
        life = Life(pfn=event.pfn, gen=event.gen, allocated=place)
        self.lives.append(life)
        self._life[event.pfn] = life
        self._mapped[event.pfn] = 0
        self._host(place, event.pfn, "held", "allocated" if event.gen == 1 else "reused")

    def on_page_freed(self, place: int, event: e.PageFreed) -> None:
        life = self._life.pop(event.pfn, None)
        if life is not None:
            life.freed = place
            self._ended[event.pfn] = life
        for entry in self._entries_of.get(event.pfn, {}).values():
            if entry.span.stale == NEVER:
                entry.span.stale = place
            reach = self._spans.current(("reach", event.pfn, entry.mmu))
            if reach is not None and reach.stale == NEVER:
                reach.stale = place
        self._host(place, event.pfn, "free", "free")

    def _host(self, place: int, pfn: int, kind: SpanKind, label: str) -> None:
        self._spans.switch(("host", pfn), kind, self._spans.lane("page", str(pfn)), label, place)

    # --- ptes -----------------------------------------------------------------------

    def on_pte_set(self, place: int, event: e.PteSet) -> None:
        if event.pfn < 0:
            return
        self.stood.setdefault(event.va, {})[event.pfn] = None
        ptes = self._ptes.setdefault(event.mm, {})
        if event.va not in ptes:
            self._mapped[event.pfn] = self._mapped.get(event.pfn, 0) + 1
        ptes[event.va] = self._last[event.mm, event.va] = event.pfn
        self._host(place, event.pfn, "mapped", "mapped")
        for win, window in self._windows.items():
            if window.event.mm == event.mm and window.event.start <= event.va < window.event.end:
                self._announce(win, window, event.pfn, place)

    def on_pte_cleared(self, place: int, event: e.PteCleared) -> None:
        if event.pfn < 0:
            return
        self._ptes.get(event.mm, {}).pop(event.va, None)
        self._last[event.mm, event.va] = event.pfn
        self._mapped[event.pfn] = max(self._mapped.get(event.pfn, 0) - 1, 0)
        life = self._life.get(event.pfn)
        window = self._windows.get(event.win)
        if life is not None:
            life.unmapped = place
            life.announced = NEVER if window is None else window.place
        if not self._mapped[event.pfn]:
            self._host(place, event.pfn, "unmapped", "unmapped")

    # --- announcements --------------------------------------------------------------

    def on_window_opened(self, place: int, event: e.WindowOpened) -> None:
        window = self._windows[event.win] = _Window(event, place, {}, {})
        for pfn in self._pages_in(event.mm, event.start, event.end):
            self._announce(event.win, window, pfn, place)

    def _announce(self, win: str, window: _Window, pfn: int, place: int) -> None:
        if pfn not in window.pages:
            window.pages[pfn] = None
            lane = self._spans.lane("page", str(pfn))
            self._spans.begin(("announced", win, pfn), "announced", lane, f"window {win}", place)

    def on_window_closed(self, place: int, event: e.WindowClosed) -> None:
        window = self._windows.pop(event.win, None)
        if window is not None:
            self._settle(event.win, window)
            for pfn in window.pages:
                self._spans.end(("announced", event.win, pfn), place)

    def _settle(self, win: str, window: _Window) -> None:
        """Says of a window that is over whether a listener was not told of it."""
        if all(mmu in window.heard for mmu in self._listening.get(window.event.mm, ())):
            return
        for pfn in window.pages:
            span = self._spans.current(("announced", win, pfn))
            if span is not None:
                span.kind = "unannounced"

    def at_end(self) -> None:
        """Settles the windows that were still open when the log ended."""
        for win, window in self._windows.items():
            self._settle(win, window)

    def on_cb_entered(self, place: int, event: e.CbEntered) -> None:
        if event.callback == "start" and event.win in self._windows:
            self._windows[event.win].heard[event.mmu] = None
        elif event.callback in PLACED_CALLBACKS:
            pfn = self._last.get((event.mm, event.start), NO_PAGE)
            life = self._life.get(pfn)
            if life is not None:
                life.announced = place
                lane = self._spans.lane("page", str(pfn))
                self._spans.begin(("announced", event.mmu, pfn), "announced", lane, f"{event.callback} callback", place)

    def on_cb_left(self, place: int, event: e.CbLeft) -> None:
        if event.callback in PLACED_CALLBACKS:
            pfn = self._last.get((event.mm, event.start), NO_PAGE)
            self._spans.end(("announced", event.mmu, pfn), place)

    # --- translations ---------------------------------------------------------------

    def on_notifier_added(self, _place: int, event: e.NotifierAdded) -> None:
        self._mm_of[event.mmu] = event.mm
        self._listening.setdefault(event.mm, {})[event.mmu] = None

    def on_notifier_removed(self, _place: int, event: e.NotifierRemoved) -> None:
        self._listening.get(event.mm, {}).pop(event.mmu, None)

    def on_lookup_begun(self, _place: int, event: e.LookupBegun) -> None:
        self._mm_of.setdefault(event.mmu, event.mm)

    def on_spte_set(self, place: int, event: e.SpteSet) -> None:
        self._translate(place, event, "", event.write)

    def on_tlb_filled(self, place: int, event: e.TlbFilled) -> None:
        self._translate(place, event, event.cpu, event.write)

    def on_spte_cleared(self, place: int, event: e.SpteCleared) -> None:
        self._forget(place, (event.mmu, "", event.va))

    def on_tlb_dropped(self, place: int, event: e.TlbDropped) -> None:
        self._forget(place, (event.mmu, event.cpu, event.va))

    def on_sec_accessed(self, place: int, event: e.SecAccessed) -> None:
        entry = self._entries.get((event.mmu, event.cpu, event.va)) or self._entries.get((event.mmu, "", event.va))
        if entry is not None and entry.life is not None and entry.span.stale != NEVER and entry.pfn == event.pfn:
            entry.life.uses.append(place)

    def _translate(self, place: int, event: e.SpteSet | e.TlbFilled, cpu: str, write: bool) -> None:
        key = (event.mmu, cpu, event.va)
        self._forget(place, key)
        lane = self._spans.lane("mmu", event.mmu)
        where = f"{cpu}: " if cpu else ""
        label = f"{where}{event.va:#x} to page {event.pfn}{'' if write else ', read-only'}"
        span = self._spans.begin(("entry", *key), "cached" if cpu else "entry", lane, label, place)
        span.page = event.pfn
        life = self._life.get(event.pfn)
        if life is None:
            life = self._ended.get(event.pfn)
        if life is not None and life.freed != NEVER:
            # The page is free already: it was looked up before, and comes too late. (A page
            # without a life, like the zero page, is never freed.)
            span.stale = place
        reach = ("reach", event.pfn, event.mmu)
        if self._spans.current(reach) is None:
            page = self._spans.lane("page", str(event.pfn))
            self._spans.begin(reach, "reached", page, event.mmu, place).stale = span.stale
        self.reached[event.pfn] = None
        self._entries[key] = entry = _Entry(event.mmu, event.pfn, span, life)
        self._entries_of.setdefault(event.pfn, {})[key] = entry

    def _forget(self, place: int, key: tuple[str, str, int]) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self._spans.end(("entry", *key), place)
        others = self._entries_of[entry.pfn]
        del others[key]
        if not any(other.mmu == entry.mmu for other in others.values()):
            self._spans.end(("reach", entry.pfn, entry.mmu), place)

    # --- what an event is about -----------------------------------------------------

    def pages_of(self, event: e.Event) -> tuple[int, ...]:
        """The frames that an event is about; ask before the event is taken in, and after a window opened."""
        pfn = getattr(event, "pfn", None)
        if pfn is not None:
            return (pfn,) if pfn != NO_PAGE else ()
        win = getattr(event, "win", "")
        if win and win in self._windows:
            return tuple(self._windows[win].pages)
        mm = getattr(event, "mm", "") or self._mm_of.get(getattr(event, "mmu", ""), "")
        va = getattr(event, "va", None)
        if va is not None:
            last = self._last.get((mm, va))
            return () if last is None else (last,)
        start = getattr(event, "start", None)
        if start is None or not mm:
            return ()
        end: int = getattr(event, "end", start + 1)
        last = self._last.get((mm, start)) if end - start <= e.PAGE_SIZE else None
        return (last,) if last is not None else tuple(dict.fromkeys(self._pages_in(mm, start, end)))

    def _pages_in(self, mm: str, start: int, end: int) -> Iterator[int]:
        return (pfn for va, pfn in self._ptes.get(mm, {}).items() if start <= va < end)
