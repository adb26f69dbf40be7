"""The rules of the family windows: each speaks of a broken list and accepts a correct one."""

import pytest

from notifierlab import events as ev
from notifierlab.events import PAGE_SIZE, Va
from tests.event_list import END, Log, PFN, PTL, spoken, VA

TWO = Va(VA + 2 * PAGE_SIZE)


def registered(counter: str = "") -> Log:
    log = Log()
    log.register(counter=counter)
    return log


def test_windows_that_overlap_and_nest_are_fine() -> None:
    log = registered()
    with log.holding("mm0.mmap_sem", mode="read"):
        log.open("kvm0", win="win1", end=TWO)
        log.open("kvm0", win="win2")
        log.close("kvm0", win="win1", end=TWO)
        log.close("kvm0", win="win2")
    log.map()
    assert spoken(log) == []


def test_a_map_inside_a_window_is_found() -> None:
    log = registered()
    with log.holding("mm0.mmap_sem"):
        log.open("kvm0")
        log.map()
        log.close("kvm0")
    assert spoken(log) == ["mapped-inside-window"]


def test_a_map_after_the_first_of_two_ends_is_found() -> None:
    log = registered()
    with log.holding("mm0.mmap_sem", mode="read"):
        log.open("kvm0", win="win1")
        log.open("kvm0", win="win2")
        log.close("kvm0", win="win1")
        log.map()
        log.close("kvm0", win="win2")
    assert spoken(log) == ["mapped-inside-window"]


@pytest.mark.parametrize("dropped", [False, True])
def test_a_map_while_the_start_callback_runs_must_be_gone_when_it_returns(dropped: bool) -> None:
    log = registered()
    lookup = log.look_up()
    with log.holding("mm0.mmap_sem"):
        log(ev.WindowOpened, "win1", "mm0", VA, END, "R1")
        log(ev.WalkBegun, "mm0", "start", True)
        log.enter("start", win="win1")
        with log.by("vcpu"):
            log(ev.SpteSet, "kvm0", VA, PFN, True, lookup)
        if dropped:
            log.unmap()
        log.leave("start", win="win1")
        log(ev.WalkEnded, "mm0", "start")
        log.close("kvm0")
    assert spoken(log) == ([] if dropped else ["mapped-inside-window"])


def test_a_look_up_from_before_the_window_used_after_it_is_found() -> None:
    log = registered()
    lookup = log.look_up()
    with log.holding("mm0.mmap_sem"):
        log.open("kvm0")
        log.clear()
        log.close("kvm0")
    log(ev.SpteSet, "kvm0", VA, PFN, True, lookup)
    assert spoken(log) == ["stale-lookup"]


def test_a_look_up_inside_the_window_used_after_it_is_found() -> None:
    log = registered()
    with log.holding("mm0.mmap_sem"):
        log.open("kvm0")
        with log.by("vcpu"):
            lookup = log.look_up()
        log.clear()
        log.close("kvm0")
    log(ev.TlbFilled, "kvm0", "cpu0", VA, PFN, True, lookup)
    assert spoken(log) == ["stale-lookup"]


def test_a_look_up_that_a_page_callback_overtook_is_found() -> None:
    log = registered()
    lookup = log.look_up()
    with log.holding("av0.lock"), log.holding(PTL):
        log(ev.PteCleared, "mm0", VA, PFN, "", "page", PTL)
        log.walk("page", "kvm0")
    log(ev.SpteSet, "kvm0", VA, PFN, True, lookup)
    assert spoken(log) == ["stale-lookup"]


@pytest.mark.parametrize("dropped", [False, True])
def test_a_map_while_the_page_callback_runs_must_be_gone_when_it_returns(dropped: bool) -> None:
    log = registered()
    lookup = log.look_up()
    with log.holding("av0.lock"), log.holding(PTL):
        log(ev.PteCleared, "mm0", VA, PFN, "", "page", PTL)
        log(ev.WalkBegun, "mm0", "page", True)
        log.enter("page")
        with log.by("vcpu"):
            log(ev.SpteSet, "kvm0", VA, PFN, True, lookup)
        if dropped:
            log.unmap()
        log.leave("page")
        log(ev.WalkEnded, "mm0", "page")
    assert spoken(log) == ([] if dropped else ["stale-lookup"])


def test_a_map_between_a_pte_change_and_its_page_callback_is_fine() -> None:
    log = registered()
    lookup = log.look_up()
    with log.holding("av0.lock"), log.holding(PTL):
        log(ev.PteCleared, "mm0", VA, PFN, "", "page", PTL)
        with log.by("vcpu"):
            log(ev.SpteSet, "kvm0", VA, PFN, True, lookup)
        log(ev.WalkBegun, "mm0", "page", True)
        log.enter("page")
        log.unmap()
        log.leave("page")
        log(ev.WalkEnded, "mm0", "page")
    assert spoken(log) == []


def test_an_answer_that_stands_when_it_is_given_is_not_stale() -> None:
    """GRU asks inside a window, and reads its counter and the pte after the end."""
    log = registered()
    with log.holding("mm0.mmap_sem"):
        log.open("kvm0")
        with log.by("gru"):
            log(ev.LookupBegun, "kvm0", "lookup9", "mm0", VA, False)
        log.clear()
        log.close("kvm0")
    log(ev.PageAllocated, 8, 1, "mm0")
    log(ev.PteSet, "mm0", VA, 8, True)
    log(ev.LookupDone, "kvm0", "lookup9", VA, 8)
    log(ev.TlbFilled, "kvm0", "cpu0", VA, 8, False, "lookup9")
    assert spoken(log) == []


def test_a_window_that_changed_nothing_at_the_address_makes_no_look_up_stale() -> None:
    log = registered()
    lookup = log.look_up()
    with log.holding("mm0.mmap_sem"):
        log.open("kvm0")
        log.close("kvm0")
    log(ev.SpteSet, "kvm0", VA, PFN, True, lookup)
    assert spoken(log) == []


def test_a_downgrade_makes_a_look_up_for_reading_not_stale() -> None:
    for write, expected in ((False, []), (True, ["stale-lookup"])):
        log = registered()
        lookup = log.look_up(write=write)
        with log.holding("mm0.mmap_sem"):
            log.open("kvm0")
            with log.holding(PTL):
                log(ev.PteDowngraded, "mm0", VA, PFN, "win1", "window", PTL)
            log.close("kvm0")
        log(ev.SpteSet, "kvm0", VA, PFN, write, lookup)
        assert spoken(log) == expected


def test_a_change_before_the_start_has_returned_is_found() -> None:
    log = registered()
    with log.holding("mm0.mmap_sem"):
        log(ev.WindowOpened, "win1", "mm0", VA, END, "R1")
        log.clear()
        log.walk("start", "kvm0", win="win1")
        log.close("kvm0")
    assert "changed-before-start" in spoken(log)


def test_a_change_without_the_window_it_claims_is_found() -> None:
    log = registered()
    log.clear(win="")
    assert spoken(log)[0] == "changed-before-start"


def test_a_change_after_every_start_is_fine() -> None:
    log = registered()
    log.register("gru0", count=3)
    with log.holding("mm0.mmap_sem"):
        log.open("gru0", "kvm0")
        log.clear()
        log.close("gru0", "kvm0")
    assert spoken(log) == []


def test_an_end_without_its_start_is_found() -> None:
    log = registered()
    with log.holding("mm0.mmap_sem"):
        log.walk("end", "kvm0", win="win1")
    assert spoken(log) == ["unpaired-end"]


def test_an_end_of_another_range_is_found() -> None:
    log = registered()
    with log.holding("mm0.mmap_sem"):
        log.open("kvm0")
        log.walk("end", "kvm0", win="win1", end=TWO)
    assert spoken(log) == ["unpaired-end"]


def test_a_second_start_is_found() -> None:
    log = registered()
    with log.holding("mm0.mmap_sem"):
        log.open("kvm0")
        log.walk("start", "kvm0", win="win1")
        log.close("kvm0")
    assert spoken(log) == ["unpaired-end"]


def test_a_window_that_is_closed_without_telling_is_found() -> None:
    log = registered()
    with log.holding("mm0.mmap_sem"):
        log.open("kvm0")
        log.close()
    assert spoken(log) == ["start-never-ended"]


def test_a_window_that_is_forgotten_is_found_when_the_lock_goes() -> None:
    log = registered()
    with log.holding("file0.i_mmap_lock"):
        log.open("kvm0")
    assert spoken(log, complete=False) == ["start-never-ended"]


def test_a_window_that_is_forgotten_is_found_when_the_task_or_the_run_ends() -> None:
    log = registered()
    log.take("mm0.mmap_sem")
    log.open("kvm0")
    assert spoken(log, complete=False) == []
    assert spoken(log, complete=True) == ["start-never-ended"]
    log(ev.TaskEnded)
    assert spoken(log, complete=False) == ["start-never-ended"]


def test_who_leaves_inside_a_window_hears_no_end() -> None:
    log = registered()
    with log.holding("mm0.mmap_sem"):
        log.open("kvm0")
        with log.by("closer"):
            log.unregister()
        log.close()
    assert spoken(log) == []


def counted(*values: str) -> Log:
    """A window told to kvm0, which writes these values into its counter in its callbacks."""
    log = registered(counter="count")
    written = iter(values)
    with log.holding("mm0.mmap_sem"):
        log(ev.WindowOpened, "win1", "mm0", VA, END, "R1")
        for callback in ("start", "end"):
            log(ev.WalkBegun, "mm0", callback, True)
            log.enter(callback, win="win1")
            log(ev.FieldWritten, "kvm0", "count", next(written))
            log.leave(callback, win="win1")
            log(ev.WalkEnded, "mm0", callback)
        log(ev.WindowClosed, "win1", "mm0", VA, END)
    return log


@pytest.mark.parametrize("values", [("1", "0"), ("True", "False")])
def test_a_count_that_is_right_is_fine(values: tuple[str, str]) -> None:
    assert spoken(counted(*values)) == []


@pytest.mark.parametrize("values", [("1", "1"), ("0", "0"), ("1", "-1"), ("2", "0")])
def test_a_count_that_is_wrong_is_found(values: tuple[str, str]) -> None:
    assert spoken(counted(*values)) == ["window-count"]


def test_a_count_that_is_no_number_says_nothing() -> None:
    log = registered(counter="count")
    log(ev.FieldWritten, "kvm0", "count", "many")
    assert spoken(log) == []


def test_a_count_is_not_compared_while_another_callback_runs() -> None:
    log = registered(counter="count")
    with log.holding("mm0.mmap_sem", mode="read"):
        with log.by("other"):
            log.enter("start", win="win2")
            log(ev.AtomicWritten, "kvm0", "count", "1")
        log.enter("start", win="win1")
        log.leave("start", win="win1")
        log(ev.AtomicWritten, "kvm0", "count", "2")
        with log.by("other"):
            log.leave("start", win="win2")
    assert spoken(log) == []


def test_joining_inside_a_window_is_found() -> None:
    log = Log()
    with log.by("truncator"):
        log.take("file1.i_mmap_lock")
        log(ev.WindowOpened, "win1", "mm0", VA, END, "R3")
    log.register()
    assert spoken(log, complete=False) == ["registered-mid-window"]


def test_joining_while_another_task_walks_is_found() -> None:
    log = Log()
    with log.by("reclaim"), log.holding("av0.lock"):
        log(ev.WalkBegun, "mm0", "young", True)
    with log.by("registrar"):
        log.register()
    assert spoken(log, complete=False) == ["registered-mid-window"]


def test_joining_between_a_change_and_its_notification_is_found() -> None:
    log = Log()
    with log.by("reclaim"), log.holding(PTL):
        log(ev.PteCleared, "mm0", VA, PFN, "", "page", PTL)
    with log.by("registrar"):
        log.register()
    assert spoken(log) == ["registered-mid-window"]


def test_joining_after_all_that_is_fine() -> None:
    log = Log()
    with log.by("reclaim"), log.holding("av0.lock"), log.holding(PTL):
        log(ev.PteCleared, "mm0", VA, PFN, "", "page", PTL)
        log.walk("page")
        log(ev.PageNotifyDone, "mm0", VA)
    with log.by("truncator"), log.holding("file0.i_mmap_lock"):
        log.open()
        log.close()
    log.register()
    assert spoken(log) == []


def test_the_newest_registration_is_called_first() -> None:
    for order, expected in ((("gru0", "kvm0"), []), (("kvm0", "gru0"), ["callback-order"])):
        log = registered()
        log.register("gru0", count=3)
        with log.holding("mm0.mmap_sem"):
            log.open(*order)
            log.close(*order)
        assert spoken(log) == expected
