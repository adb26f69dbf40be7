"""The ledger has a row for each freed page and each MMU that was on the list."""

import pytest

from notifierlab import events as ev
from notifierlab.checker import Checker, LedgerRow
from notifierlab.events import ADDRESS_MAX, Va
from tests.event_list import END, Log, PFN, PTL, VA


def rows(log: Log, *, ledger: bool = True) -> list[LedgerRow]:
    checker = Checker({}, ledger=ledger)
    for event in log.events:
        checker.feed(event)
    checker.finish(complete=True)
    return checker.ledger()


def step_of(log: Log, kind: type[ev.Event], nth: int = 0) -> int:
    return [event.step for event in log.events if isinstance(event, kind)][nth]


def registered(*, pinned: bool = False) -> Log:
    log = Log()
    log.register(pinned=pinned)
    return log


def test_a_page_freed_after_its_window_shows_every_step() -> None:
    log = registered()
    log.map()
    with log.holding("mm0.mmap_sem"):
        log.open("kvm0")
        log.unmap()
        log.clear()
        log.close("kvm0")
    log.free()
    left = [event.step for event in log.events if isinstance(event, ev.CbLeft)]
    (row,) = rows(log)
    assert row == LedgerRow(
        pfn=PFN,
        gen=1,
        mm="mm0",
        va="0x10000",
        mmu="kvm0",
        mapped=step_of(log, ev.SpteSet),
        unmapped=step_of(log, ev.PteCleared),
        start=left[0],
        end=left[1],
        freed=step_of(log, ev.PageFreed),
        verdict="start and end before the free",
    )


def test_a_page_freed_inside_its_window_shows_the_end_that_came_later() -> None:
    log = registered()
    with log.holding("mm0.mmap_sem"):
        log.open("kvm0")
        log.clear()
        log.free()
        log.close("kvm0")
    (row,) = rows(log)
    assert row.verdict == "start before, end after"
    assert row.mapped is None
    assert row.end is not None
    assert row.end > row.freed


def test_a_page_told_by_itself_has_an_end_and_no_start() -> None:
    log = registered()
    with log.holding("av0.lock"), log.holding(PTL):
        log(ev.PteCleared, "mm0", VA, PFN, "", "page", PTL)
        log.walk("page", "kvm0")
    log.free()
    (row,) = rows(log)
    assert (row.verdict, row.start) == ("by invalidate_page", None)
    assert row.end == step_of(log, ev.CbLeft)


@pytest.mark.parametrize("pinned", [False, True])
def test_a_page_nobody_announced_is_kept_by_its_pin_or_by_nothing(pinned: bool) -> None:
    log = registered(pinned=pinned)
    log.map()
    log.clear(win="", notify="none")
    log.unmap()
    log.free()
    (row,) = rows(log)
    assert row.verdict == ("pinned" if pinned else "NOT ANNOUNCED")


def test_who_was_released_could_not_reach_it() -> None:
    log = registered()
    log.call("release", "kvm0", Va(0), ADDRESS_MAX)
    log.clear(win="", notify="none")
    log.free()
    (row,) = rows(log)
    assert row.verdict == "never reachable"


def test_who_reaches_a_freed_page_has_a_row_though_it_is_on_no_list() -> None:
    log = Log()
    log.map("gru0")
    log.clear(win="", notify="none")
    log.free()
    (row,) = rows(log)
    assert (row.mmu, row.verdict, row.unmapped) == ("gru0", "NOT ANNOUNCED", None)


def test_each_listed_mmu_and_each_life_has_its_row() -> None:
    log = registered()
    log.register("gru0", count=3)
    for gen in (1, 2):
        with log.holding("mm0.mmap_sem"):
            log.open("gru0", "kvm0", win=f"win{gen}")
            log.clear(win=f"win{gen}")
            log.close("gru0", "kvm0", win=f"win{gen}")
        log.free(gen=gen)
        log(ev.PageAllocated, PFN, gen + 1, "mm0")
        log(ev.PteSet, "mm0", VA, PFN, True)
    assert [(row.gen, row.mmu) for row in rows(log)] == [(1, "gru0"), (1, "kvm0"), (2, "gru0"), (2, "kvm0")]


def test_a_page_that_two_mms_map_has_a_row_for_each() -> None:
    log = registered()
    log(ev.MmCreated, "mm1")
    log(ev.RegisterBegun, "mm1", "kvm1", "", False)
    log(ev.NotifierAdded, "mm1", "kvm1")
    log(ev.PteSet, "mm1", VA, PFN, False)
    with log.holding("mm0.mmap_sem"):
        log.open("kvm0")
        log.clear()
        log.close("kvm0")
    log.take("mm1.ptl0", "pte_lock")
    log(ev.PteCleared, "mm1", VA, PFN, "", "none", "mm1.ptl0")
    log.drop("mm1.ptl0", "pte_lock")
    log.free()
    assert [(row.mm, row.mmu, row.verdict) for row in rows(log)] == [
        ("mm1", "kvm1", "NOT ANNOUNCED"),
        ("mm0", "kvm0", "start and end before the free"),
    ]


def test_a_page_of_an_mm_without_listeners_has_no_row() -> None:
    log = Log()
    log.clear(win="", notify="none")
    log.free()
    log(ev.CpuTlbFlushed, "mm0", VA, END)
    assert rows(log) == []


def test_without_being_asked_for_it_is_not_kept() -> None:
    log = registered()
    log.clear(win="", notify="none")
    log.free()
    assert rows(log, ledger=False) == []
