"""The rules of the family locking: each speaks of a broken list and accepts a correct one."""

import pytest

from notifierlab import events as ev
from notifierlab.checker import Checker
from notifierlab.events import ADDRESS_MAX, Va
from tests.event_list import END, Log, spoken, VA


def test_a_registration_with_every_lock_is_fine() -> None:
    log = Log()
    log.register()
    assert spoken(log) == []


def test_every_missing_lock_is_named() -> None:
    log = Log()
    log(ev.RegisterBegun, "mm0", "kvm0", "", False)
    with log.holding("mm0.mmap_sem", mode="read"):
        log(ev.TakeAllBegun, "mm0")
        log(ev.TakeAllDone, "mm0")
    checker = Checker({})
    for event in log.events:
        checker.feed(event)
    missing = [violation.objects[1] for violation in checker.violations if violation.rule == "take-all-incomplete"]
    assert missing == ["mm0.mmap_sem for write", "mm_all_locks_mutex", "file0.i_mmap_lock", "av0.lock"]


def test_joining_without_taking_all_is_found() -> None:
    log = Log()
    log(ev.RegisterBegun, "mm0", "kvm0", "", False)
    log(ev.MmCountChanged, "mm0", 2)
    log(ev.NotifierAdded, "mm0", "kvm0")
    log(ev.RegisterDone, "mm0", "kvm0", 0)
    assert spoken(log) == ["take-all-incomplete"]


def test_a_lock_taken_twice_is_found() -> None:
    log = Log()
    with log.holding("mm0.mmap_sem"):
        log.take_all()
        log.take("av0.lock", how="nest")
        log(ev.TakeAllDone, "mm0")
    assert spoken(log) == ["take-all-incomplete"]


def test_the_kernels_own_test_of_mmap_sem_counts() -> None:
    log = Log()
    log(ev.BugHit, "mm_take_all_locks", "mm0.mmap_sem is not held for write", "mm0")
    assert spoken(log) == ["take-all-incomplete"]


def test_a_tag_without_the_mutex_is_found() -> None:
    log = Log()
    log(ev.TagSet, "file0", "file0.i_mmap_lock")
    assert spoken(log) == ["lock-tag-leak"]


@pytest.mark.parametrize("make", [ev.TagSet, ev.TagCleared])
def test_the_tag_of_an_anon_vma_changes_under_its_lock_only(make: type[ev.TagSet] | type[ev.TagCleared]) -> None:
    log = Log()
    with log.holding("mm_all_locks_mutex"):
        log(make, "av0", "av0.lock")
    assert spoken(log) == ["lock-tag-leak"]


def test_a_tagged_head_is_read_by_the_holder_of_the_mutex_only() -> None:
    log = Log()
    with log.holding("mm_all_locks_mutex"):
        log(ev.HeadRead, "av0", "av0.lock", True)
        assert spoken(log) == []
        with log.by("reclaim"):
            log(ev.HeadRead, "av0", "av0.lock", True)
    assert spoken(log) == ["lock-tag-leak"]


def test_an_untagged_head_is_nobodys_secret() -> None:
    log = Log()
    with log.holding("av0.lock"):
        log(ev.HeadRead, "av0", "av0.lock", False)
    assert spoken(log) == []


def test_a_tag_that_is_left_is_found() -> None:
    log = Log()
    with log.holding("mm0.mmap_sem"):
        log.take_all()
        log(ev.TakeAllInterrupted, "mm0")
    assert "lock-tag-leak" in spoken(log)


def interrupted(*, leave: str = "") -> Log:
    """A registration that a signal ends, and what it leaves."""
    log = Log()
    log(ev.RegisterBegun, "mm0", "kvm0", "", False)
    log.take("mm0.mmap_sem")
    log(ev.TakeAllBegun, "mm0")
    log.take("mm_all_locks_mutex")
    log(ev.TagSet, "file0", "file0.i_mmap_lock")
    log.take("file0.i_mmap_lock", how="nest")
    if leave != "lock":
        log.drop("file0.i_mmap_lock")
    if leave != "tag":
        log(ev.TagCleared, "file0", "file0.i_mmap_lock")
    log.drop("mm_all_locks_mutex")
    log(ev.TakeAllInterrupted, "mm0")
    if leave == "count":
        log(ev.MmCountChanged, "mm0", 2)
    if leave == "entry":
        log(ev.NotifierAdded, "mm0", "kvm0")
    if leave != "semaphore":
        log.drop("mm0.mmap_sem")
    log(ev.RegisterDone, "mm0", "kvm0", -4)
    return log


def test_a_failed_registration_that_leaves_nothing_is_fine() -> None:
    assert spoken(interrupted()) == []


@pytest.mark.parametrize("leave", ["lock", "tag", "count", "entry", "semaphore"])
def test_whatever_a_failed_registration_leaves_is_found(leave: str) -> None:
    assert "interrupted-register-leaves-trace" in spoken(interrupted(leave=leave))


@pytest.mark.parametrize("what", ["linked", "unlinked", "anon_vma"])
@pytest.mark.parametrize("who", ["host", "other"])
def test_the_vma_list_stands_still_for_others_while_all_locks_are_taken(what: str, who: str) -> None:
    log = Log()
    with log.holding("mm0.mmap_sem"):
        log.take_all()
        with log.by(who):
            if what == "linked":
                log(ev.VmaLinked, "mm0", "vma1", VA, END, "", "")
            elif what == "unlinked":
                log(ev.VmaUnlinked, "mm0", "vma0")
            else:
                log(ev.AnonVmaAttached, "mm0", "vma0", "av0")
        log.drop_all()
        log(ev.TakeAllDropped, "mm0")
    log(ev.VmaLinked, "mm0", "vma2", VA, END, "", "")
    assert spoken(log) == ([] if who == "host" else ["vma-list-moved"])


def test_locks_in_the_order_of_their_classes_are_fine() -> None:
    log = Log()
    with log.holding("mm0.mmap_sem"), log.holding("file0.i_mmap_lock"), log.holding("av0.lock"):
        pass
    assert spoken(log) == []


@pytest.mark.parametrize("how", ["wait", "nest", "try"])
def test_a_lock_of_lower_rank_inside_is_found_unless_it_was_only_tried(how: str) -> None:
    log = Log()
    with log.holding("av0.lock"), log.holding("file0.i_mmap_lock", how=how):
        pass
    assert spoken(log) == ([] if how == "try" else ["lock-order"])


@pytest.mark.parametrize("how", ["wait", "nest"])
def test_a_second_lock_of_a_class_must_be_annotated(how: str) -> None:
    log = Log()
    with log.holding("mm0.mmap_sem"), log.holding("mm1.mmap_sem", mode="read", how=how):
        pass
    assert spoken(log) == ([] if how == "nest" else ["lock-order"])


def test_after_the_inner_lock_went_the_order_begins_anew() -> None:
    log = Log()
    with log.holding("mm0.mmap_sem"):
        with log.holding("av0.lock"):
            pass
        with log.holding("file0.i_mmap_lock"):
            pass
    assert spoken(log) == []


def test_a_drivers_own_classes_are_judged_by_the_orders_seen() -> None:
    log = Log()
    with log.holding("a", "mine_a"), log.holding("b", "mine_b"):
        pass
    assert spoken(log) == []
    with log.holding("b", "mine_b"), log.holding("a", "mine_a"):
        pass
    assert spoken(log) == ["lock-order"]


def test_ranks_count_in_a_cycle_with_a_drivers_own_class() -> None:
    log = Log()
    with log.holding("kvm0.mmu_lock"), log.holding("a", "mine"):
        pass
    with log.holding("a", "mine"), log.holding("mm0.mmap_sem"):
        pass
    assert spoken(log, disabled=("sleep-in-atomic",)) == ["lock-order"]


def test_edges_of_own_classes_are_kept_for_merging() -> None:
    log = Log()
    with log.holding("mm0.mmap_sem"), log.holding("a", "mine"), log.holding("kvm0.mmu_lock"):
        pass
    checker = Checker({})
    for event in log.events:
        checker.feed(event)
    edges = [(edge.outer, edge.inner, edge.outer_lock, edge.inner_lock) for edge in checker.lock_edges]
    assert edges == [("mmap_sem", "mine", "mm0.mmap_sem", "a"), ("mine", "mmu_lock", "a", "kvm0.mmu_lock")]


def asleep(where: str) -> Log:
    log = Log()
    match where:
        case "callback":
            log.take("mm0.mmap_sem")
            log.enter("page")
        case "spinlock":
            log.take("kvm0.mmu_lock")
        case "rcu":
            log(ev.RcuReadEntered)
        case "preempt":
            log(ev.PreemptDisabled)
        case "interrupt":
            log(ev.TaskStarted, "host", "interrupt")
        case "mutex":
            log.take("page_lock")
        case "left":
            log(ev.RcuReadEntered)
            log(ev.PreemptDisabled)
            log(ev.PreemptEnabled)
            log(ev.RcuReadLeft)
            with log.holding("kvm0.mmu_lock"):
                pass
            log.take("mm0.mmap_sem")
            log.call("page")
    log(ev.MightSleep, "kmalloc")
    return log


@pytest.mark.parametrize("where", ["callback", "spinlock", "rcu", "preempt", "interrupt"])
def test_sleeping_in_atomic_context_is_found(where: str) -> None:
    assert spoken(asleep(where)) == ["sleep-in-atomic"]


@pytest.mark.parametrize("where", ["mutex", "left", "nowhere"])
def test_sleeping_elsewhere_is_fine(where: str) -> None:
    assert spoken(asleep(where)) == []


def test_waiting_for_a_sleeping_lock_is_sleeping_and_trying_is_not() -> None:
    for how, expected in (("wait", ["sleep-in-atomic"]), ("try", [])):
        log = Log()
        log(ev.RcuReadEntered)
        log.take("page_lock", how=how)
        assert spoken(log) == expected


@pytest.mark.parametrize("lock", ["mm0.mmap_sem", "file0.i_mmap_lock", "av0.lock"])
def test_a_walk_under_a_lock_of_the_mm_is_fine(lock: str) -> None:
    log = Log()
    with log.holding(lock):
        log.walk("page")
    assert spoken(log) == []


@pytest.mark.parametrize("lock", ["mm1.mmap_sem", "file1.i_mmap_lock", "kvm0.mmu_lock"])
def test_a_walk_under_other_locks_is_found(lock: str) -> None:
    log = Log()
    with log.holding(lock):
        log.walk("start")
    assert spoken(log) == ["illegitimate-walk"]


def test_a_walk_on_a_vma_that_has_left_the_list_or_a_dying_mm_is_fine() -> None:
    log = Log()
    log(ev.VmaUnlinked, "mm0", "vma0")
    with log.holding("av0.lock"):
        log.walk("page")
    log(ev.MmUsersChanged, "mm0", 0)
    log.walk("start", start=Va(0), end=ADDRESS_MAX)
    assert spoken(log) == []


def test_a_deadlock_names_who_waits_for_what() -> None:
    log = Log()
    log(ev.Deadlocked, (ev.Waiting("a", "lock b", ("b",)), ev.Waiting("b", "lock a", ("a",))))
    checker = Checker({})
    checker.feed(log.events[-1])
    (violation,) = checker.finish(complete=False)
    assert violation.rule == "deadlock"
    assert "a waits for lock b, held by b; b waits for lock a, held by a" in violation.message


def test_a_run_that_never_ends_is_a_livelock() -> None:
    log = Log()
    log(ev.StepsExhausted, 100, (ev.Waiting("a", "", ()),))
    assert spoken(log, complete=False) == ["livelock"]


@pytest.mark.parametrize("reason", [False, True])
def test_retries_without_reason_are_a_livelock(reason: bool) -> None:
    log = Log()
    log.register()
    for n in range(70):
        log(ev.FaultRetried, "kvm0", VA)
        if reason and n == 40:
            with log.holding("mm0.mmap_sem"):
                log.walk("page", "kvm0")
    assert spoken(log) == ([] if reason else ["livelock"])


@pytest.mark.parametrize("closed", [False, True])
def test_two_vcpus_may_retry_as_long_as_a_window_is_open(closed: bool) -> None:
    # They let each other run, and whoever has the window open is not chosen.
    log = Log()
    log.register()
    with log.holding("mm0.mmap_sem"):
        log.open("kvm0")
        for _ in range(0 if closed else 70):
            log(ev.FaultRetried, "kvm0", VA)
        log.close("kvm0")
    for _ in range(70 if closed else 3):
        log(ev.FaultRetried, "kvm0", VA)
    assert spoken(log) == (["livelock"] if closed else [])
