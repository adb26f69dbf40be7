"""The rules of the family flush: each speaks of a broken list and accepts a correct one."""

import pytest

from notifierlab import events as ev
from notifierlab.events import ADDRESS_MAX, Va
from tests.event_list import END, Log, PFN, spoken, VA


def mapped() -> Log:
    log = Log()
    log.register()
    log.map(tlb=True)
    return log


def test_a_flush_before_the_drivers_lock_goes_is_fine() -> None:
    log = mapped()
    log.unmap(tlb=True)
    assert spoken(log) == []


def test_a_flush_after_the_drivers_lock_is_late() -> None:
    log = mapped()
    log.unmap()
    log.flush()
    assert spoken(log) == ["flush-late"]


def test_a_flush_after_the_callback_is_late_even_without_a_lock() -> None:
    log = mapped()
    with log.holding("mm0.mmap_sem"):
        log.enter("page")
        log(ev.SpteCleared, "kvm0", VA, PFN)
        log.leave("page")
    log.flush()
    assert spoken(log) == ["flush-late"]


def test_a_lock_taken_after_the_clear_may_go_before_the_flush() -> None:
    log = mapped()
    with log.holding("kvm0.mmu_lock"):
        log(ev.SpteCleared, "kvm0", VA, PFN)
        with log.holding("kvm0.requests_lock", "requests"):
            pass
        log.flush()
    assert spoken(log) == []


def test_a_lock_of_the_host_may_go_before_the_flush() -> None:
    log = mapped()
    with log.holding("mm0.mmap_sem"):
        log(ev.SpteCleared, "kvm0", VA, PFN)
    log.flush()
    assert spoken(log) == []


def test_a_tlb_entry_filled_after_the_clear_is_not_the_clearers_business() -> None:
    log = mapped()
    with log.holding("kvm0.mmu_lock"):
        log(ev.SpteCleared, "kvm0", VA, PFN)
        log.flush()
        log(ev.TlbFilled, "kvm0", "cpu1", VA, PFN, False, "")
    assert spoken(log) == []


@pytest.mark.parametrize("range_", [(VA, END), (Va(0), ADDRESS_MAX)])
def test_a_flush_that_returns_too_early_is_found(range_: tuple[Va, Va]) -> None:
    log = mapped()
    log(ev.TlbFlushBegun, "kvm0", "flush1", *range_)
    log(ev.TlbFlushDone, "kvm0", "flush1", *range_)
    assert spoken(log) == ["flush-incomplete"]


def test_another_flushers_flush_is_as_good() -> None:
    log = mapped()
    log(ev.TlbFlushBegun, "kvm0", "flush9", VA, END)
    with log.by("other"):
        log.flush()
    log(ev.TlbFlushDone, "kvm0", "flush9", VA, END)
    assert spoken(log) == []


def test_an_entry_filled_during_the_flush_may_stand() -> None:
    log = mapped()
    log(ev.TlbFlushBegun, "kvm0", "flush9", VA, END)
    log(ev.TlbDropped, "kvm0", "cpu0", VA, PFN)
    log(ev.TlbFilled, "kvm0", "cpu0", VA, PFN, True, "")
    log(ev.TlbFlushDone, "kvm0", "flush9", VA, END)
    assert spoken(log) == []


def test_an_entry_outside_the_range_may_stand() -> None:
    log = mapped()
    log(ev.TlbFlushBegun, "kvm0", "flush9", END, ADDRESS_MAX)
    log(ev.TlbFlushDone, "kvm0", "flush9", END, ADDRESS_MAX)
    assert spoken(log) == []


def test_a_callback_that_returns_before_its_flush_is_found() -> None:
    log = mapped()
    with log.holding("mm0.mmap_sem"):
        log.enter("young")
        log(ev.TlbFlushBegun, "kvm0", "flush9", VA, END)
        log.leave("young")
    assert spoken(log) == ["flush-incomplete"]


def test_a_flush_of_another_task_is_not_the_callbacks() -> None:
    log = mapped()
    with log.by("other"):
        log(ev.TlbFlushBegun, "kvm0", "flush9", VA, END)
    with log.holding("mm0.mmap_sem"):
        log.enter("young")
        log.leave("young")
    assert spoken(log) == []
