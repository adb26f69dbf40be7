"""The ledger: for each freed page, what each secondary MMU was told, and when.

A row stands for one life of a page frame, one mm from which a pte of it went, and one MMU
on that mm's list when the last such pte went. Its verdict is one of six:

    start and end before the free   a window covered the removal; the MMU had heard its end
    start before, end after         the same, but the page was freed before the end: legal
    by invalidate_page              a page callback (or change_pte) came after the removal
    pinned                          nobody told it, but its own reference kept the page
    never reachable                 it had been released: it had no way to the page left and
                                    was owed nothing
    NOT ANNOUNCED                   it was owed a message and got none

An MMU that translates to a page at the moment it is freed has a row even if it was on no
list: of that page it was not told. A page that no listed MMU could have reached, because
no pte of it ever went from an mm with a listener, has no row.
"""

from typing import Final

from msgspec import Struct

from notifierlab import events as ev
from notifierlab.checker.rules import hexed
from notifierlab.checker.state import Mmu, Promise
from notifierlab.checker.world import World

BOTH_BEFORE: Final = "start and end before the free"
END_AFTER: Final = "start before, end after"
BY_PAGE: Final = "by invalidate_page"
NEVER: Final = "never reachable"
PINNED: Final = "pinned"
NOT_ANNOUNCED: Final = "NOT ANNOUNCED"


class LedgerRow(Struct, frozen=True):
    """One freed page and one MMU. Steps are None where the thing did not happen.

    `mapped`: the MMU first mapped this life of the page. `unmapped`: its pte last went
    from the mm. `start`, `end`: the callbacks of the window returned; of a page callback,
    `end` alone.
    """

    pfn: int
    gen: int
    mm: str
    va: str
    mmu: str
    mapped: int | None
    unmapped: int | None
    start: int | None
    end: int | None
    freed: int
    verdict: str


class Entry(Struct, gc=False):
    """A row as it is known when the page is freed; the end of its window may come later."""

    pfn: int
    gen: int
    mmu: str
    mm: str
    va: int
    mapped: int | None
    unmapped: int | None
    promise: Promise | None
    freed: int
    verdict: str


class Ledger:
    """Keeps the rows; it listens like a judge and says nothing."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.begin()

    def begin(self) -> None:
        """Starts an empty ledger."""
        self._entries: list[Entry] = []
        # By MMU and page: in which life, and when first mapped.
        self._mapped: dict[str, dict[int, tuple[int, int]]] = {}

    def rows(self) -> list[LedgerRow]:
        """Every row so far, in the order in which the pages were freed."""
        return [_row(entry) for entry in self._entries]

    def on_spte_set(self, event: ev.SpteSet | ev.TlbFilled) -> None:
        mapped = self._mapped.get(event.mmu)
        if mapped is None:
            mapped = self._mapped[event.mmu] = {}
        frame = self._world.frames.get(event.pfn)
        gen = 0 if frame is None else frame.gen
        known = mapped.get(event.pfn)
        if known is None or known[0] != gen:
            mapped[event.pfn] = (gen, event.step)

    on_tlb_filled = on_spte_set

    def before_page_freed(self, event: ev.PageFreed) -> None:
        frame = self._world.frames.get(event.pfn)
        if frame is None:
            return
        reaching = {} if frame.reach is None else {entry.mmu: entry.va for entry in frame.reached_by()}
        removal = frame.removal
        untold = dict(reaching)
        while removal is not None:
            for promise in removal.promises:
                untold.pop(promise.mmu, None)
                self._enter(event, promise, removal.step, reaches=promise.mmu in reaching)
            removal = removal.other
        for name, va in untold.items():
            mapped = self._mapped_at(name, event)
            where = (name, self._world.mmus[name].mm, va)
            self._entries.append(Entry(event.pfn, event.gen, *where, mapped, None, None, event.step, NOT_ANNOUNCED))
        for pages in self._mapped.values():
            pages.pop(event.pfn, None)

    def _enter(self, event: ev.PageFreed, promise: Promise, unmapped: int, *, reaches: bool) -> None:
        mapped = self._mapped_at(promise.mmu, event)
        verdict = judge(self._world.mmus[promise.mmu], promise, mapped=mapped is not None, reaches=reaches)
        where = (promise.mmu, promise.mm, promise.va)
        self._entries.append(Entry(event.pfn, event.gen, *where, mapped, unmapped, promise, event.step, verdict))

    def _mapped_at(self, mmu: str, event: ev.PageFreed) -> int | None:
        known = self._mapped.get(mmu, {}).get(event.pfn)
        return known[1] if known is not None and known[0] == event.gen else None


def judge(mmu: Mmu, promise: Promise, *, mapped: bool, reaches: bool) -> str:
    """The verdict on one page and one MMU, at the moment of the free."""
    if promise.told >= 0:
        return BY_PAGE
    if promise.window is not None:
        return BOTH_BEFORE if promise.window.ended >= 0 else END_AFTER
    if reaches:
        return NOT_ANNOUNCED
    if mmu.pinned and mapped:
        return PINNED
    return NEVER if promise.idle or mmu.released else NOT_ANNOUNCED


def _row(entry: Entry) -> LedgerRow:
    start = end = None
    promise = entry.promise
    if promise is not None and promise.told < 0 and promise.window is not None:
        start = _step(promise.window.left)
        end = _step(promise.window.ended)
    elif promise is not None:
        end = _step(promise.told)
    return LedgerRow(
        entry.pfn,
        entry.gen,
        entry.mm,
        hexed(entry.va),
        entry.mmu,
        entry.mapped,
        entry.unmapped,
        start,
        end,
        entry.freed,
        entry.verdict,
    )


def _step(step: int) -> int | None:
    return step if step >= 0 else None
