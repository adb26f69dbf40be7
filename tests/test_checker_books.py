"""The rules of the family books: each speaks of a broken list and accepts a correct one."""

import pytest

from notifierlab import events as ev
from notifierlab.checker import RULES
from notifierlab.events import PAGE_SIZE, Va
from tests.event_list import END, Log, PFN, spoken, VA


def asked(*answers: int, used: bool = True, mapped: bool = True) -> Log:
    """Asks kvm0 for each of the answers, after it mapped VA and used it once."""
    log = Log()
    log.register()
    if mapped:
        log.map(tlb=True)
    if used:
        log.use()
    with log.holding("av0.lock"):
        for answer in answers:
            log(ev.WalkBegun, "mm0", "young", True)
            log.enter("young")
            log.leave("young", result=answer)
            log(ev.WalkEnded, "mm0", "young")
    return log


def test_a_use_is_reported_once() -> None:
    assert spoken(asked(1, 0)) == []


def test_a_use_that_is_not_reported_is_found() -> None:
    assert spoken(asked(0)) == ["young-lost"]


def test_a_use_that_is_reported_twice_is_found() -> None:
    assert spoken(asked(1, 1)) == ["young-lost"]


@pytest.mark.parametrize("answer", [0, 1])
def test_a_mapping_alone_may_count_as_a_use(answer: int) -> None:
    assert spoken(asked(answer, used=False)) == []


def test_a_young_answer_about_nothing_is_found() -> None:
    assert spoken(asked(1, mapped=False, used=False)) == ["young-lost"]


def test_a_device_without_accessed_bits_may_say_no() -> None:
    assert spoken(asked(0), kvm_ept_ageing=True) == []


def test_a_use_while_the_question_is_asked_may_count_either_way() -> None:
    for answer in (0, 1):
        log = asked(1)
        with log.holding("av0.lock"):
            log.enter("young")
            with log.by("vcpu"):
                log.use()
            log.leave("young", result=0)
            log.enter("young")
            log.leave("young", result=answer)
        assert spoken(log) == []


@pytest.mark.parametrize("pinned", [False, True])
@pytest.mark.parametrize("kept", [False, True])
def test_a_pinned_driver_keeps_a_reference_and_an_unpinned_none(pinned: bool, kept: bool) -> None:
    log = Log()
    log.register(pinned=pinned)
    lookup = log.look_up()
    log(ev.PageGot, PFN, 2, "kvm0")
    log(ev.SpteSet, "kvm0", VA, PFN, True, lookup)
    if not kept:
        log(ev.PagePut, PFN, 1, "kvm0")
    assert spoken(log, complete=False) == []
    assert spoken(log) == ([] if pinned == kept else ["pin-imbalance"])


def test_the_balance_is_judged_when_the_driver_is_freed() -> None:
    log = Log()
    log.register()
    log.look_up()
    log(ev.PageGot, PFN, 2, "kvm0")
    log.unregister()
    log(ev.DriverFreed, "kvm0")
    assert spoken(log, complete=False) == ["pin-imbalance"]


def test_a_put_too_many_is_found_at_once() -> None:
    log = Log()
    log.register()
    log(ev.PagePut, PFN, 0, "kvm0")
    assert spoken(log, complete=False) == ["pin-imbalance"]


def test_references_of_others_are_none_of_its_business() -> None:
    log = Log()
    log(ev.PageGot, PFN, 2, "cache")
    log(ev.PagePut, PFN, 1, "cache")
    log(ev.PagePut, PFN, 0, "mm0")
    assert spoken(log) == []


@pytest.mark.parametrize("callback", ["start", "page"])
@pytest.mark.parametrize("found", [False, True])
def test_a_callback_finds_the_shadow_entry_of_its_address(callback: str, found: bool) -> None:
    log = Log()
    log.register()
    log.map()
    with log.holding("mm0.mmap_sem"):
        log.enter(callback, win="win1" if callback == "start" else "")
        if found:
            log.unmap()
        log.leave(callback, win="win1" if callback == "start" else "")
    assert spoken(log) == ([] if found else ["reverse-map-hole"])


def test_a_callback_for_another_address_leaves_it_alone() -> None:
    log = Log()
    log.register()
    log.map()
    with log.holding("mm0.mmap_sem"):
        log.call("start", start=END, end=Va(END + 100 * PAGE_SIZE), win="win1")
        log.call("end", start=END, end=Va(END + 100 * PAGE_SIZE), win="win1")
    assert spoken(log) == []


@pytest.mark.parametrize(
    ("where", "rule"),
    [
        ("mm_take_all_locks", "take-all-incomplete"),
        ("mm_take_all_locks:as-bit", "lock-tag-leak"),
        ("mm_drop_all_locks", "lock-tag-leak"),
        ("mm_drop_all_locks:mutex", "lock-tag-leak"),
        ("mmu_notifier_register", "mm-pin"),
        ("mmu_notifier_unregister", "mm-pin"),
        ("mmu_notifier_mm_destroy", "mm-pin"),
        ("kvm_mmu_notifier_invalidate_range_end", "window-count"),
        ("page_dup_rmap", "reverse-map-hole"),
        ("page_remove_rmap", "reverse-map-hole"),
        ("somewhere_else", "bug-on"),
    ],
)
def test_a_bug_on_speaks_for_the_rule_it_guards(where: str, rule: str) -> None:
    log = Log()
    log(ev.BugHit, where, "it happened", "mm0")
    assert spoken(log) == [rule]
    assert rule in [known.id for known in RULES]
    assert spoken(log, disabled=(rule,)) == []
