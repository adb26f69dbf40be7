"""The rules of the family lifetime: each speaks of a broken list and accepts a correct one."""

from collections.abc import Callable

import pytest

from notifierlab import events as ev
from notifierlab.events import ADDRESS_MAX, Va
from tests.event_list import END, Log, PFN, spoken, VA

ALL = (Va(0), ADDRESS_MAX)


def registered(*, pinned: bool = False) -> Log:
    log = Log()
    log.register(pinned=pinned)
    return log


def dying(*, release: bool = True, unlink: bool = True, times: int = 1) -> Log:
    """exit_mmap of an mm with kvm0 on its list, up to its end."""
    log = registered()
    log(ev.MmUsersChanged, "mm0", 0)
    log(ev.ExitBegun, "mm0")
    if release:
        for _ in range(times):
            log.call("release", "kvm0", *ALL)
    if unlink:
        log(ev.NotifierRemoved, "mm0", "kvm0", "exit")
    log.free()
    log(ev.ExitDone, "mm0")
    return log


def test_a_life_from_registration_to_unregister_is_fine() -> None:
    log = registered()
    log.map()
    log.unmap()
    log.unregister()
    log(ev.DriverFreed, "kvm0")
    assert spoken(log) == []


def test_exit_that_releases_first_is_fine() -> None:
    assert spoken(dying()) == []


def test_exit_that_frees_before_release_is_found() -> None:
    assert spoken(dying(release=False)) == ["release-count"]


def test_a_listed_notifier_at_the_end_of_exit_is_found() -> None:
    assert spoken(dying(unlink=False)) == ["release-count"]


def test_a_second_release_is_found_in_the_order_of_2008_a_third_in_any() -> None:
    assert spoken(dying(times=2)) == []
    assert spoken(dying(times=2), unlink_before_release=True) == ["release-count"]
    assert spoken(dying(times=3)) == ["release-count"]


def test_unregister_without_release_is_found() -> None:
    log = registered()
    log(ev.UnregisterBegun, "mm0", "kvm0")
    log(ev.NotifierRemoved, "mm0", "kvm0", "unregister")
    log(ev.UnregisterDone, "mm0", "kvm0")
    assert spoken(log) == ["release-count"]


def gap(*, release_first: bool) -> Log:
    log = registered()
    log.map()
    if release_first:
        log.unmap()
        log.call("release", "kvm0", *ALL)
    log(ev.NotifierRemoved, "mm0", "kvm0", "exit")
    with log.by("reclaim"):
        log.clear(win="", notify="none")
        log.free()
    return log


def test_a_page_freed_between_the_list_and_release_is_found() -> None:
    assert spoken(gap(release_first=False)) == ["release-gap", "freed-while-reachable"]


def test_with_release_first_there_is_no_gap() -> None:
    assert spoken(gap(release_first=True)) == []


def test_a_callback_after_unregister_is_found() -> None:
    log = registered()
    log.unregister()
    with log.holding("mm0.mmap_sem"):
        log.walk("page", "kvm0")
    assert spoken(log) == ["call-after-unregister"]


def test_a_callback_that_runs_when_unregister_returns_is_found() -> None:
    log = registered()
    with log.by("reclaim"):
        log.take("av0.lock")
        log.enter("page")
    log.unregister()
    assert spoken(log, complete=False) == ["call-after-unregister"]


@pytest.mark.parametrize(
    "touch",
    [
        lambda log: log(ev.FieldRead, "kvm0", "count"),
        lambda log: log(ev.FieldWritten, "kvm0", "count", "0"),
        lambda log: log(ev.AtomicRead, "kvm0", "seq", "0"),
        lambda log: log(ev.AtomicWritten, "kvm0", "seq", "0"),
    ],
)
def test_a_field_of_a_freed_driver_is_not_touched(touch: Callable[[Log], None]) -> None:
    log = registered()
    touch(log)
    log.unregister()
    log(ev.DriverFreed, "kvm0")
    assert spoken(log) == []
    touch(log)
    assert spoken(log) == ["call-after-unregister"]


def test_a_driver_may_be_made_anew_under_the_same_name() -> None:
    log = registered()
    log.unregister()
    log(ev.DriverFreed, "kvm0")
    log.register()
    log(ev.FieldRead, "kvm0", "count")
    log.map()
    assert spoken(log) == []


def test_a_map_after_release_is_found() -> None:
    log = registered()
    log.call("release", "kvm0", *ALL)
    log.map()
    assert spoken(log) == ["mapped-after-release"]


def test_what_release_leaves_is_found_unless_it_is_pinned() -> None:
    for pinned, expected in ((False, ["mapped-after-release"]), (True, [])):
        log = registered(pinned=pinned)
        log.map()
        if pinned:
            log(ev.PageGot, PFN, 2, "kvm0")
        log.call("release", "kvm0", *ALL)
        assert spoken(log) == expected


@pytest.mark.parametrize("when", ["never", "failed", "not yet", "done"])
def test_only_a_registered_driver_looks_up(when: str) -> None:
    log = Log()
    if when == "failed":
        log(ev.RegisterBegun, "mm0", "kvm0", "", False)
        log(ev.RegisterDone, "mm0", "kvm0", -4)
    elif when == "not yet":
        log(ev.RegisterBegun, "mm0", "kvm0", "", False)
    elif when == "done":
        log.register()
    log.look_up()
    assert spoken(log) == ([] if when == "done" else ["unregistered-driver-maps"])


def test_only_a_registered_driver_maps() -> None:
    log = Log()
    log(ev.TlbFilled, "gru0", "cpu0", VA, PFN, False, "")
    assert spoken(log) == ["unregistered-driver-maps"]


def test_a_registration_that_does_not_pin_is_found() -> None:
    log = Log()
    log.register(count=1)
    assert spoken(log) == ["mm-pin"]


def test_a_pin_that_goes_before_unregister_is_found() -> None:
    log = registered()
    log(ev.MmCountChanged, "mm0", 1)
    assert spoken(log) == ["mm-pin"]


def test_registering_with_a_dying_mm_is_found() -> None:
    log = Log()
    log(ev.MmUsersChanged, "mm0", 0)
    log.register(count=1)
    assert spoken(log) == ["mm-pin"]


def test_an_mm_is_freed_once_and_with_an_empty_list() -> None:
    log = Log()
    log(ev.MmFreed, "mm0", 0)
    assert spoken(log) == []
    log(ev.MmFreed, "mm0", 0)
    assert spoken(log) == ["mm-pin"]
    log = Log()
    log(ev.MmFreed, "mm0", 1)
    assert spoken(log) == ["mm-pin"]


def test_a_driver_freed_without_unregistering_is_found_at_the_end() -> None:
    log = registered()
    log.call("release", "kvm0", *ALL)
    log(ev.NotifierRemoved, "mm0", "kvm0", "exit")
    log(ev.DriverFreed, "kvm0")
    assert spoken(log, complete=False) == []
    assert spoken(log) == ["mm-pin"]


def test_a_child_inherits_nothing() -> None:
    for notifiers, expected in ((False, []), (True, ["inherited-by-child"])):
        log = registered()
        log(ev.MmForked, "mm0", "mm1", notifiers)
        assert spoken(log) == expected


def test_what_happens_to_the_child_does_not_reach_the_parents_drivers() -> None:
    log = registered()
    with log.holding("mm1.mmap_sem"):
        log(ev.CbEntered, "mm1", "kvm0", "page", VA, END, "")
        log(ev.CbLeft, "mm1", "kvm0", "page", VA, END, "", 0)
    assert spoken(log) == ["inherited-by-child"]


def test_a_walker_sees_a_list_that_is_complete() -> None:
    for ready, expected in ((True, []), (False, ["unpublished-read"])):
        log = Log()
        with log.holding("av0.lock"):
            log(ev.WalkBegun, "mm0", "young", ready)
            log(ev.WalkEnded, "mm0", "young")
        assert spoken(log) == expected
