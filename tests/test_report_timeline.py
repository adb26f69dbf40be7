"""What pictures draw is found in the events: what lasted, who was told, what became of each page."""

from collections.abc import Sequence

from msgspec.structs import replace

from notifierlab import events as e, recheck
from notifierlab.events import Event, Va
from notifierlab.report.spans import arrange, NEVER, Span, SpanKind
from notifierlab.report.timeline import Timeline, timeline
from tests.sample_log import END, events, START, VIOLATION
from tests.story_book import HOME, log_of

RUN = events()


def _place(kind: type[Event], run: Sequence[Event] = RUN) -> int:
    """Where the first event of this type stands."""
    return next(n for n, event in enumerate(run) if isinstance(event, kind))


def _spans(line: Timeline, kind: SpanKind, lane: str) -> list[Span]:
    return [span for span in line.spans if span.kind == kind and line.lanes[span.lane].name == lane]


def test_a_window_lasts_from_its_opening_to_its_end() -> None:
    (window,) = _spans(timeline(RUN), "window", "truncate")

    assert (window.begin, window.end) == (_place(e.WindowOpened), _place(e.WindowClosed))
    assert window.label == "window [0x10000,0x11000)"


def test_a_driver_that_registers_in_a_window_is_not_told_of_it() -> None:
    line = timeline(RUN)
    (unheard,) = _spans(line, "unheard", "kvm0")

    assert (unheard.begin, unheard.end) == (_place(e.NotifierAdded), _place(e.WindowClosed))
    assert _spans(line, "heard", "kvm0") == []
    assert [span.kind for span in line.spans if span.label == "window win1.0"] == ["unannounced"]


def test_a_driver_that_was_called_knows_of_the_window_until_it_hears_its_end() -> None:
    called = [
        e.NotifierAdded(0, "main", "mm0", "kvm0"),
        e.PageAllocated(1, "main", 3, 1, "mm0"),
        e.PteSet(2, "main", "mm0", START, 3, True),
        e.WindowOpened(3, "main", "win0.1", "mm0", START, END, "R1"),
        e.CbEntered(4, "main", "mm0", "kvm0", "start", START, END, "win0.1"),
        e.CbLeft(5, "main", "mm0", "kvm0", "start", START, END, "win0.1", 0),
        e.CbEntered(6, "main", "mm0", "kvm0", "end", START, END, "win0.1"),
        e.CbLeft(7, "main", "mm0", "kvm0", "end", START, END, "win0.1", 0),
        e.WindowClosed(8, "main", "win0.1", "mm0", START, END),
    ]
    line = timeline(called)

    assert [(span.begin, span.end) for span in _spans(line, "heard", "kvm0")] == [(4, 7)]
    assert _spans(line, "unheard", "kvm0") == []
    assert [(span.begin, span.end) for span in _spans(line, "announced", "3")] == [(3, 8)]
    assert [span.label for span in _spans(line, "op", "main")] == ["start of kvm0", "end of kvm0"]
    # Ranges are about the pages that stand in them.
    assert line.pages[3:] == ((3,),) * 6


def test_a_window_that_nobody_listens_to_is_owed_to_nobody() -> None:
    line = timeline([event for event in RUN if not isinstance(event, e.NotifierAdded)])

    assert [span.kind for span in line.spans if span.label == "window win1.0"] == ["announced"]
    assert not [span for span in line.spans if span.kind == "unheard"]


def test_a_page_is_mapped_unmapped_free_and_the_device_still_maps_it() -> None:
    line = timeline(RUN)
    freed = _place(e.PageFreed)
    host = [(span.kind, span.begin) for span in line.spans if line.lanes[span.lane].name == "3" and span.row == 0]
    (reached,) = _spans(line, "reached", "3")

    assert [each for each in host if each[0] in ("held", "mapped", "unmapped", "free")] == [
        ("held", _place(e.PageAllocated)),
        ("mapped", _place(e.PteSet)),
        ("unmapped", _place(e.PteCleared)),
        ("free", freed),
    ]
    assert (reached.label, reached.begin, reached.end, reached.stale) == ("kvm0", _place(e.SpteSet), NEVER, freed)
    assert [span.stale for span in line.spans if span.kind in ("entry", "cached")] == [freed, freed]


def test_a_life_knows_what_announced_it_and_who_used_it_after_its_end() -> None:
    (life,) = timeline(RUN).lives

    assert (life.pfn, life.gen) == (3, 1)
    assert life.announced == _place(e.WindowOpened)
    assert life.unmapped == _place(e.PteCleared)
    assert life.freed == _place(e.PageFreed)
    assert life.uses == [_place(e.SecAccessed)]


def test_a_frame_that_is_allocated_again_begins_another_life() -> None:
    again = [*RUN, e.PageAllocated(30, "main", 3, 2, "mm0")]
    line = timeline(again)

    assert [(life.gen, life.freed) for life in line.lives] == [(1, _place(e.PageFreed)), (2, NEVER)]
    assert [span.label for span in _spans(line, "held", "3")] == ["allocated", "reused"]


def test_a_translation_of_a_page_that_is_free_already_is_stale_at_once() -> None:
    late = [
        e.PageAllocated(0, "main", 3, 1, "mm0"),
        e.PageFreed(1, "main", 3, 1),
        e.SpteSet(2, "vcpu0", "kvm0", START, 3, True, "lookup0.1"),
        e.SecAccessed(3, "vcpu0", "kvm0", "vcpu0", START, 3, False),
        e.SpteCleared(4, "vcpu0", "kvm0", START, 3),
    ]
    line = timeline(late)

    assert [(span.stale, span.end) for span in _spans(line, "entry", "kvm0")] == [(2, 4)]
    assert [(span.stale, span.end) for span in _spans(line, "reached", "3")] == [(2, 4)]
    assert line.lives[0].uses == [3]


def test_a_page_that_was_never_allocated_is_never_stale() -> None:
    zero: list[Event] = [
        e.PteSet(0, "main", "mm0", START, 0, False),
        e.SpteSet(1, "vcpu0", "kvm0", START, 0, False, "lookup0.1"),
    ]
    line = timeline(zero)

    assert [span.stale for span in _spans(line, "entry", "kvm0")] == [NEVER]
    assert [span.kind for span in line.spans if line.lanes[span.lane].name == "0"] == ["mapped", "reached"]


def test_a_page_is_involved_when_a_violation_names_its_address() -> None:
    moved: list[Event] = [
        e.PteSet(0, "main", "mm0", START, 3, False),
        e.PteSet(1, "main", "mm0", START, 4, False),
        e.PteSet(2, "main", "mm0", END, 5, False),
    ]
    wrong = replace(VIOLATION, objects=("kvm0", hex(START + 8)))

    assert timeline(moved, [wrong]).involved == (3, 4)


def test_a_page_callback_announces_its_page_alone() -> None:
    told = [
        e.PageAllocated(0, "main", 3, 1, "mm0"),
        e.PteSet(1, "main", "mm0", START, 3, True),
        e.PteCleared(2, "kswapd", "mm0", START, 3, "", "page", "mm0.ptl0"),
        e.CbEntered(3, "kswapd", "mm0", "kvm0", "page", START, END, ""),
        e.CbLeft(4, "kswapd", "mm0", "kvm0", "page", START, END, "", 0),
        e.PageFreed(5, "kswapd", 3, 1),
    ]
    line = timeline(told)

    assert line.lives[0].announced == 3
    assert [(span.begin, span.end) for span in _spans(line, "announced", "3")] == [(3, 4)]


def test_locks_that_are_held_together_stand_in_rows_of_their_own() -> None:
    locks = [
        e.LockAcquired(0, "main", "a", "x", "write", "wait"),
        e.LockAcquired(1, "main", "b", "x", "read", "wait"),
        e.LockReleased(2, "main", "a", "x", "write"),
        e.LockAcquired(3, "main", "c", "x", "write", "wait"),
        e.LockDowngraded(4, "main", "c", "x"),
    ]
    found = [(span.label, span.row, span.begin, span.end) for span in timeline(locks).spans if span.kind == "lock"]

    assert found == [("a", 0, 0, 2), ("b (read)", 1, 1, NEVER), ("c", 0, 3, 4), ("c (read)", 0, 4, NEVER)]


def test_rows_are_given_to_the_kinds_that_were_asked_for() -> None:
    kinds: tuple[SpanKind, ...] = ("lock", "op", "lock")
    spans = [Span(kind=kind, lane=0, label="", begin=n, end=n + 2) for n, kind in enumerate(kinds)]
    arrange(spans, ("lock",))
    assert [span.row for span in spans] == [0, 0, 0]

    spans[2].begin = 1
    arrange(spans, ("lock",))
    assert [span.row for span in spans] == [0, 0, 1]


def test_pages_are_involved_when_a_device_had_them_or_a_violation_names_them() -> None:
    only_hosts = [event for event in RUN if not isinstance(event, e.SpteSet | e.TlbFilled)]

    assert timeline(RUN).involved == (3,)
    assert timeline(only_hosts).involved == ()
    assert timeline(only_hosts, [VIOLATION]).involved == (3,)


def test_a_log_from_elsewhere_may_lack_what_ours_has() -> None:
    bare: list[Event] = [
        e.SpteCleared(0, "dev", "gpu0", START, 9),
        e.PageFreed(1, "dev", 9, 1),
        e.CbLeft(2, "dev", "mm9", "gpu0", "end", START, END, "w", 0),
        e.WindowClosed(3, "dev", "w", "mm9", START, END),
        e.LockReleased(4, "dev", "l", "", "write"),
        e.FaultRetried(5, "dev", "gpu0", Va(0)),
    ]
    line = timeline(bare)

    assert [lane.name for lane in line.lanes] == ["dev", "9"]
    assert [span.kind for span in line.spans] == ["free"]


def test_the_founding_race_shows_a_device_that_outlives_the_page() -> None:
    run = recheck.run_of(str(HOME / log_of("founding-race")))
    line = timeline(run.events, run.violations)
    (reached,) = _spans(line, "reached", "2")
    freed = run.places[0]

    assert isinstance(run.events[freed], e.PageFreed)
    assert reached.stale == freed
    assert [span.label for span in _spans(line, "unheard", "kvm0")] == ["not told of window [0x10000,0x11000)"]


def test_each_violation_is_placed_at_the_event_that_broke_the_rule() -> None:
    run = recheck.run_of(str(HOME / log_of("founding-race")))

    for violation, place in zip(run.violations, run.places, strict=True):
        assert (run.events[place].step, run.events[place].task) == (violation.step, violation.task)
