"""The rules of the family freeing: each speaks of a broken list and accepts a correct one."""

import pytest

from notifierlab import events as ev
from tests.event_list import END, Log, PFN, PTL, spoken, VA


def unmapped_in_a_window(*, tlb: bool = False) -> Log:
    """munmap as it should be: start, device drops, pte, flush, end, free."""
    log = Log()
    log.register()
    log.map(tlb=tlb)
    with log.holding("mm0.mmap_sem"):
        log(ev.WindowOpened, "win1", "mm0", VA, END, "R1")
        log(ev.WalkBegun, "mm0", "start", True)
        log.enter("start", win="win1")
        log.unmap(tlb=tlb)
        log.leave("start", win="win1")
        log(ev.WalkEnded, "mm0", "start")
        log.clear()
        log.close("kvm0")
    log.free()
    return log


def told_by_page(*, callback: str = "page") -> Log:
    """try_to_unmap as it should be: pte, invalidate_page under the pte lock, free."""
    log = Log()
    log.register()
    log.map()
    with log.holding("av0.lock"), log.holding(PTL):
        log(ev.PteCleared, "mm0", VA, PFN, "", "page", PTL)
        log(ev.CpuTlbFlushed, "mm0", VA, END)
        log(ev.WalkBegun, "mm0", callback, True)
        log.enter(callback)
        log.unmap()
        log.leave(callback)
        log(ev.WalkEnded, "mm0", callback)
        log(ev.PageNotifyDone, "mm0", VA)
    log.free()
    return log


def test_a_page_unmapped_in_a_window_is_fine() -> None:
    assert spoken(unmapped_in_a_window(tlb=True)) == []


@pytest.mark.parametrize("callback", ["page", "change_pte"])
def test_a_page_unmapped_with_a_page_callback_is_fine(callback: str) -> None:
    assert spoken(told_by_page(callback=callback)) == []


def test_a_page_freed_under_a_shadow_entry_is_found() -> None:
    log = Log()
    log.register()
    log.map()
    log.free()
    assert spoken(log) == ["freed-while-reachable"]


def test_a_page_freed_under_a_tlb_entry_is_found() -> None:
    log = Log()
    log.register()
    log.map(tlb=True)
    log(ev.SpteCleared, "kvm0", VA, PFN)
    log.free()
    assert spoken(log) == ["freed-while-reachable"]


def test_a_translation_to_an_earlier_life_of_the_frame_is_told_once() -> None:
    log = Log()
    log.register()
    log.map()
    log.free()
    log(ev.PageAllocated, PFN, 2, "mm1")
    log.free(gen=2)
    checked = spoken(log)
    assert checked == ["freed-while-reachable"]


def test_an_unannounced_change_is_found_when_the_pte_lock_goes() -> None:
    log = Log()
    log.register()
    log.clear(win="", notify="none")
    assert spoken(log) == ["freed-unannounced"]


def test_an_announcement_after_the_pte_lock_is_too_late() -> None:
    log = Log()
    log.register()
    log.clear(win="", notify="page")
    with log.holding("av0.lock"):
        log.walk("page", "kvm0")
    assert spoken(log) == ["freed-unannounced"]


def test_an_announcement_after_the_reference_was_dropped_is_too_late() -> None:
    log = Log()
    log.register()
    with log.holding("mm0.mmap_sem", mode="read"), log.holding(PTL):
        log(ev.PteCleared, "mm0", VA, PFN, "", "page", PTL)
        log(ev.PagePut, PFN, 0, "mm0")
        log.walk("page", "kvm0")
    assert spoken(log) == ["freed-unannounced"]


def test_a_downgrade_must_be_announced_too() -> None:
    log = Log()
    log.register()
    with log.holding(PTL):
        log(ev.PteDowngraded, "mm0", VA, PFN, "", "none", PTL)
    assert spoken(log) == ["freed-unannounced"]


def test_a_window_whose_start_has_not_returned_covers_nothing() -> None:
    log = Log()
    log.register()
    with log.holding("mm0.mmap_sem"):
        log(ev.WindowOpened, "win1", "mm0", VA, END, "R1")
        with log.by("other"):
            log(ev.WalkBegun, "mm0", "start", True)
            log.enter("start", win="win1")
        log.clear(win="", notify="none")
    assert "freed-unannounced" in spoken(log, complete=False)


def test_who_was_released_meanwhile_is_owed_nothing() -> None:
    log = Log()
    log.register()
    with log.holding(PTL):
        log(ev.PteCleared, "mm0", VA, PFN, "", "page", PTL)
        with log.by("unregister"):
            log.unregister()
    assert spoken(log) == []


def test_a_page_freed_before_the_cpu_flush_is_found_on_smp_only() -> None:
    log = Log()
    with log.holding(PTL):
        log(ev.PteCleared, "mm0", VA, PFN, "", "none", PTL)
    log.free()
    assert spoken(log) == ["freed-before-cpu-flush"]
    assert spoken(log, smp=False) == []


def test_a_flush_of_another_range_does_not_count() -> None:
    log = Log()
    with log.holding(PTL):
        log(ev.PteCleared, "mm0", VA, PFN, "", "none", PTL)
    log(ev.CpuTlbFlushed, "mm0", END, ev.ADDRESS_MAX)
    log(ev.CpuTlbFlushed, "mm1", VA, END)
    log.free()
    assert spoken(log) == ["freed-before-cpu-flush"]


def test_a_flush_of_everything_counts() -> None:
    log = Log()
    with log.holding(PTL):
        log(ev.PteCleared, "mm0", VA, PFN, "", "none", PTL)
    log(ev.CpuTlbFlushed, "mm0", ev.Va(0), ev.ADDRESS_MAX)
    log.free()
    assert spoken(log) == []


def test_an_access_to_a_free_page_is_found() -> None:
    log = Log()
    log.register()
    log.map(tlb=True)
    log.free()
    log.use()
    assert spoken(log, disabled=("freed-while-reachable",)) == ["stale-access"]


def test_an_access_to_the_next_life_of_a_page_is_found() -> None:
    log = Log()
    log.register()
    log.map(tlb=True)
    log.free()
    log(ev.PageAllocated, PFN, 2, "mm1")
    log.use()
    assert spoken(log, disabled=("freed-while-reachable",)) == ["stale-access"]


def test_an_access_to_a_page_in_its_life_is_fine() -> None:
    log = Log()
    log.register()
    log.map(tlb=True)
    log.use(write=True)
    assert spoken(log) == []


def test_a_device_that_sees_another_page_than_the_process_is_found() -> None:
    log = Log()
    log.register()
    log.map(tlb=True)
    log(ev.PageAllocated, 8, 1, "mm0")
    log(ev.PteSet, "mm0", VA, 8, True)
    log.use()
    assert spoken(log) == ["wrong-data"]


@pytest.mark.parametrize("where", ["window", "pte lock"])
def test_the_two_may_differ_while_the_host_is_changing_it(where: str) -> None:
    log = Log()
    log.register()
    log.map(tlb=True)
    log(ev.PageAllocated, 8, 1, "mm0")
    if where == "window":
        log(ev.WindowOpened, "win1", "mm0", VA, END, "R1")
    else:
        log.take(PTL)
        log(ev.PteCleared, "mm0", VA, PFN, "", "page", PTL)
    log(ev.PteSet, "mm0", VA, 8, True)
    log.use()
    assert spoken(log, complete=False) == []


def test_wrong_content_is_found() -> None:
    log = Log()
    log(ev.DataChecked, "kvm0", VA, "a", "a")
    assert spoken(log) == []
    log(ev.DataChecked, "kvm0", VA, "a", "b")
    assert spoken(log) == ["wrong-data"]


def written_and_tested(*, dirtied: bool, dropped: bool) -> Log:
    log = Log()
    log.register()
    log.map(tlb=True)
    log.use(write=True)
    if dropped:
        log.unmap(tlb=True)
    if dirtied:
        log(ev.PageDirtied, PFN, "kvm0")
    log(ev.DirtyTested, PFN, dirtied, False, "shrink_page_list")
    return log


def test_a_write_that_the_dirty_test_does_not_see_is_found() -> None:
    assert spoken(written_and_tested(dirtied=False, dropped=True)) == ["lost-dirty"]


def test_a_write_that_was_made_known_is_fine() -> None:
    assert spoken(written_and_tested(dirtied=True, dropped=True)) == []


def test_a_write_that_can_still_be_made_known_is_fine() -> None:
    assert spoken(written_and_tested(dirtied=False, dropped=False)) == []


def downgraded_under(*, drop: bool) -> Log:
    log = Log()
    log.register()
    log.map(tlb=True)
    with log.holding("mm0.mmap_sem"):
        log(ev.WindowOpened, "win1", "mm0", VA, END, "R8")
        log(ev.WalkBegun, "mm0", "start", True)
        log.enter("start", win="win1")
        if drop:
            log.unmap(tlb=True)
        log.leave("start", win="win1")
        log(ev.WalkEnded, "mm0", "start")
        with log.holding(PTL):
            log(ev.PteDowngraded, "mm0", VA, PFN, "win1", "window", PTL)
        log.close("kvm0")
    if drop:
        log(ev.PteUpgraded, "mm0", VA, PFN)
        log.map(tlb=True)
    log.use(write=True)
    return log


def test_a_write_after_the_permission_went_is_found() -> None:
    assert spoken(downgraded_under(drop=False), disabled=("reverse-map-hole",)) == ["write-without-permission"]


def test_a_write_through_a_new_mapping_is_fine() -> None:
    assert spoken(downgraded_under(drop=True)) == []


def freed_inside() -> Log:
    log = Log()
    log.register()
    with log.holding("mm0.mmap_sem"):
        log.open("kvm0")
        log.clear()
        log.free()
        log.close("kvm0")
    return log


def test_a_page_freed_inside_its_window_breaks_the_strict_rule_only() -> None:
    assert spoken(freed_inside()) == []
    assert spoken(freed_inside(), strict=True) == ["free-before-end"]


def test_pages_freed_after_the_end_or_by_page_callback_satisfy_the_strict_rule() -> None:
    assert spoken(unmapped_in_a_window(), strict=True) == []
    assert spoken(told_by_page(), strict=True) == []


def test_a_window_of_somebody_else_does_not_delay_a_page_callback() -> None:
    log = Log()
    log.register()
    with log.by("other"), log.holding("mm0.mmap_sem", mode="read"):
        log.open("kvm0")
        with log.by("reclaim"), log.holding("av0.lock"):
            with log.holding(PTL):
                log(ev.PteCleared, "mm0", VA, PFN, "", "page", PTL)
                log(ev.CpuTlbFlushed, "mm0", VA, END)
                log.walk("page", "kvm0")
                log(ev.PageNotifyDone, "mm0", VA)
            log.free()
        log.close("kvm0")
    assert spoken(log, strict=True) == []
