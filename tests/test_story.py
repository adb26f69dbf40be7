"""A story tells what matters, in lanes that fit the page, and ends with the replay line."""

import pytest

from notifierlab.events import (
    Deadlocked,
    Event,
    EVENTS,
    LockAcquired,
    LockReleased,
    PageAllocated,
    PageFreed,
    PteSet,
    Va,
    Violation,
    Waiting,
)
from notifierlab.report.lanes import ASCII, lanes, Row
from notifierlab.report.story import ROWS_MAX, story
from notifierlab.report.words import address_range, words
from tests.sample_log import events, VIOLATION

UNPAIRED = Violation(
    rule="unpaired-end",
    message="kvm0 hears the end of window win1.0, whose start it never heard",
    step=18,
    task="truncate",
    objects=("kvm0", "win1.0"),
)

FOUNDING_RACE = """\
   2  main: mm0 maps 0x10000 to page 3

step  truncate                                 register                 vcpu0
----  ---------------------------------------  -----------------------  ----------------------------
   5  opens window [0x10000,0x11000): nobody
        hears it
   6                                           begins to register kvm0
   7                                           kvm0 is on mm0's list
   8                                           kvm0 is registered
   9                                                                    kvm0 looks 0x10000 up
  10                                                                    kvm0 finds page 3 at 0x10000
  11                                                                    kvm0 maps 0x10000 to page 3
  13                                                                    kvm0.vcpu0 caches page 3
  14  clears pte 0x10000 (page 3)
  16  frees page 3
===>  freed-while-reachable: page 3 reached the freelist while kvm0 maps it at 0x10000
  17                                                                    kvm0.vcpu0 writes page 3
  18  tells kvm0: end [0x10000,0x11000),
        whose start it never heard
--->  unpaired-end: kvm0 hears the end of window win1.0, whose start it never heard

replay  notifierlab replay run.jsonl
"""


def _told(violation: Violation = VIOLATION, run: list[Event] | None = None, width: int = 100) -> str:
    return story(
        run or events(), violation, others=[UNPAIRED], replay="notifierlab replay run.jsonl", width=width, glyphs=ASCII
    )


def test_the_founding_race_is_told_so_that_it_convinces() -> None:
    head, _, text = _told().partition("\n\n")

    assert head.startswith("freed-while-reachable: ")
    assert text == FOUNDING_RACE


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_story_is_no_wider_than_the_page(width: int) -> None:
    assert max(len(line) for line in _told(width=width).splitlines()) <= width


def test_the_story_of_another_page_leaves_this_one_out() -> None:
    other = [
        PageAllocated(0, "main", 9, 1, "mm0"),
        PteSet(0, "main", "mm0", Va(0x40000), 9, True),
        PageFreed(24, "main", 9, 1),
    ]
    assert _told(run=[*other[:2], *events(), other[2]]) == _told()


def test_what_a_frame_was_in_an_earlier_life_is_not_told() -> None:
    earlier = [
        PageAllocated(0, "main", 3, 1, "mm0"),
        PteSet(0, "main", "mm0", Va(0x90000), 3, True),
        PageFreed(0, "main", 3, 1),
    ]
    assert _told(run=[*earlier, *events()]) == _told()


def test_a_page_known_by_its_address_alone_is_found() -> None:
    by_address = _by_address()
    assert "frees page 3" in _told(by_address)


def _by_address() -> Violation:
    return Violation(
        rule="stale-lookup",
        message="kvm0 maps page 3 at 0x10000 by a stale look-up",
        step=17,
        task="vcpu0",
        objects=("kvm0", "0x10000"),
    )


def test_a_story_of_locks_tells_who_holds_what() -> None:
    run: list[Event] = [
        LockAcquired(1, "a", "A", "x", "write", "wait"),
        LockAcquired(1, "a", "C", "x", "write", "wait"),
        LockReleased(2, "a", "C", "x", "write"),
        LockAcquired(3, "b", "B", "y", "write", "wait"),
        Deadlocked(4, "a", (Waiting("a", "B", ("b",)), Waiting("b", "A", ("a",)))),
    ]
    deadlock = Violation(rule="deadlock", message="a and b wait for each other", step=4, task="a", objects=("a", "b"))
    text = story(run, deadlock, width=100, glyphs=ASCII)

    assert "takes A" in text
    assert "takes B" in text
    assert "takes C" not in text
    assert "===>  deadlock: a and b wait for each other" in text


def test_a_long_story_is_cut_in_its_past_and_says_so() -> None:
    run = events()
    mapped = run.index(next(event for event in run if isinstance(event, PteSet)))
    touched = [PteSet(2, "main", "mm0", Va(0x10000), 3, True)] * (2 * ROWS_MAX)
    text = _told(run=[*run[:mapped], *touched, *run[mapped:]])

    assert "earlier events of this story are left out" in text
    assert len(text.splitlines()) <= 2 * (ROWS_MAX + 20)


def test_many_tasks_share_a_strip_of_marks() -> None:
    rows = [Row(n, f"task{n}", "does something") for n in range(9)]
    text = lanes(rows, width=100, glyphs=ASCII)

    assert len(text) == len(rows)
    assert text[2] == "   2  | | * | | | | | |  task2  does something"


def test_a_lane_is_as_wide_as_its_words_need() -> None:
    text = lanes([Row(1, "a", "x"), Row(2, "b", "y" * 10)], width=100, glyphs=ASCII)

    assert text == ["step  a  b", "----  -  ----------", "   1  x", "   2     yyyyyyyyyy"]


def test_every_event_of_a_story_has_words() -> None:
    silent = [each.__name__ for each in EVENTS if not any(words(event) for event in events() if type(event) is each)]

    assert "PteSet" not in silent
    assert "WindowOpened" not in silent


def test_exit_unmaps_everything() -> None:
    assert address_range(0, 1 << 47) == "everything"
    assert address_range(0x1000, 0x3000) == "[0x1000,0x3000)"
