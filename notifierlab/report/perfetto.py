"""A run as a trace for Perfetto (ui.perfetto.dev): protobuf, made with Perfetto's own package.

Time is the number of the step: one microsecond a step, the events of a step one nanosecond
apart. What lasted is a slice. Slices of one track must nest, and windows, locks and
translations do not; so each window has a track of its own, and locks and translations
have one for each that overlap. Tracks of the same name and parent are shown as one.

Arrows lead from the window to the unmapping of the page, to its free, and to each use by
a device after that. Every event carries its step and its line in the log.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import msgspec

from notifierlab.events import Event, WindowOpened
from notifierlab.report.spans import NEVER, Span, SpanKind
from notifierlab.report.timeline import Run, Timeline
from notifierlab.report.words import words
from notifierlab.wire import tag_of, va_fields

NANOSECONDS_A_STEP: Final = 1000
SEQUENCE: Final = 1

_BEGIN, _END, _INSTANT, _COUNTER = 1, 2, 3, 4
"""`TrackEvent.Type`."""
_EXPLICIT: Final = 3
"""`TrackDescriptor.ChildTracksOrdering`: children stand in the order of their rank."""


class _Mark(NamedTuple):
    """One packet: sorted by time, and in the order of making where times are equal."""

    time: int
    made: int
    kind: int
    track: int
    name: str
    notes: dict[str, int | str]
    flows: tuple[int, ...]
    value: int


def trace(run: Run, line: Timeline) -> bytes:
    """The run as a Perfetto trace."""
    # Imported here since it belongs to an extra, and takes its time.
    from perfetto.trace_builder.proto_builder import TraceProtoBuilder

    drawing = _Trace(run, line)
    builder = TraceProtoBuilder()
    for track in drawing.tracks:
        _describe(builder.add_packet(), track)
    for mark in sorted(drawing.marks):
        _mark(builder.add_packet(), mark)
    written: bytes = builder.serialize()
    return written


class _Track(NamedTuple):
    uuid: int
    parent: int
    name: str
    rank: int
    counter: bool
    about: str


class _Trace:
    """Tracks and marks of one run. Making it is drawing it."""

    def __init__(self, run: Run, line: Timeline) -> None:
        self.tracks: list[_Track] = []
        self.marks: list[_Mark] = []
        self._run, self._line = run, line
        self._times = _times(run.events)
        # By the place of an event: the arrows that touch it.
        self._flows: dict[int, list[int]] = {}
        for flow, places in _flows(line).items():
            for place in places:
                self._flows.setdefault(place, []).append(flow)
        header = run.header
        about = (
            f"{header.scenario}, profile {header.profile}, mutants {', '.join(header.mutants) or 'none'}, "
            f"verdict {run.verdict}; 1 us is one step, 1 ns one event of a step"
        )
        self._verdict = self._track(0, "violations", about=about)
        self._roots = {
            kind: self._track(0, name)
            for kind, name in (("task", "tasks"), ("mmu", "secondary MMUs"), ("page", "pages"))
        }
        self._allocator = self._track(self._roots["page"], "allocator")
        self._mms = self._track(0, "windows")
        self._lanes = {
            lane.number: self._track(self._roots[lane.kind], f"page {lane.name}" if lane.kind == "page" else lane.name)
            for lane in line.lanes
            if lane.kind != "page" or int(lane.name) in line.involved
        }
        self._rows: dict[tuple[int, str, int], int] = {}
        self._spans()
        self._events()
        self._violations()
        self._counters()

    # --- tracks ---------------------------------------------------------------------

    def _track(self, parent: int, name: str, *, counter: bool = False, about: str = "") -> int:
        uuid = len(self.tracks) + 1
        self.tracks.append(_Track(uuid, parent, name, uuid, counter, about))
        return uuid

    def _row(self, lane: int, name: str, row: int) -> int:
        """A track under that of a lane; those of one name are shown as one."""
        key = (lane, name, row)
        if key not in self._rows:
            self._rows[key] = self._track(self._lanes[lane], name)
        return self._rows[key]

    # --- what lasted ----------------------------------------------------------------

    def _spans(self) -> None:
        operations: dict[int, list[Span]] = {}
        for span in self._line.spans:
            if span.lane not in self._lanes:
                continue
            if span.kind in ("task", "op"):
                operations.setdefault(span.lane, []).append(span)
            elif span.kind == "window":
                self._window(span)
            elif span.kind in _ROW_NAMES:
                self._slice(self._row(span.lane, _ROW_NAMES[span.kind], span.row), span)
            else:
                self._slice(self._lanes[span.lane], span)
        for lane, spans in operations.items():
            for place, kind, span in nested(spans):
                self._add(self._times[place], kind, self._lanes[lane], span.label if kind == _BEGIN else "")

    def _window(self, span: Span) -> None:
        opened = self._run.events[span.begin]
        notes: dict[str, int | str] = {}
        if isinstance(opened, WindowOpened):
            notes = _fields(opened) | {"task": opened.task}
        flows = tuple(self._flows.get(span.begin, ()))
        self._slice(self._track(self._mms, "windows"), span, notes, flows)

    def _slice(
        self, track: int, span: Span, notes: dict[str, int | str] | None = None, flows: tuple[int, ...] = ()
    ) -> None:
        notes = self._where(span.begin) | (notes or {})
        if span.stale != NEVER:
            notes["stale from step"] = self._run.events[span.stale].step
        self._add(self._times[span.begin], _BEGIN, track, span.label, notes, flows)
        # A slice without an end is shown as one that did not end.
        if span.end != NEVER:
            self._add(self._times[span.end], _END, track, "")

    # --- what happened --------------------------------------------------------------

    def _events(self) -> None:
        tasks = {lane.name: lane.number for lane in self._line.lanes if lane.kind == "task"}
        for place, event in enumerate(self._run.events):
            text = words(event)
            if not text:
                continue
            notes = self._where(place) | _fields(event)
            track = self._lanes[tasks[event.task]]
            tag = tag_of(type(event))
            # The slice of the window has the arrow already; its event would only be met by it again.
            its = () if isinstance(event, WindowOpened) else tuple(self._flows.get(place, ()))
            if tag in ("page_freed", "page_allocated"):
                name = "free" if tag == "page_freed" else "allocate"
                self._add(self._times[place], _INSTANT, self._allocator, f"{name} page {notes['pfn']}", notes, its)
                its = ()
            self._add(self._times[place], _INSTANT, track, text, notes, its)

    def _violations(self) -> None:
        for violation, place in zip(self._run.violations, self._run.places, strict=True):
            if not self._times:
                break
            notes = self._where(place) | {"message": violation.message, "task": violation.task}
            self._add(self._times[place], _INSTANT, self._verdict, violation.rule, notes)

    def _counters(self) -> None:
        stale = [
            (max(span.stale, span.begin), span.end)
            for span in self._line.spans
            if span.stale != NEVER and span.kind in ("entry", "cached")
        ]
        windows = [(span.begin, span.end) for span in self._line.spans if span.kind == "window"]
        for name, lasted in (("open windows", windows), ("stale translations", stale)):
            track = self._track(0, name, counter=True)
            changes = sorted([*((begin, 1) for begin, _ in lasted), *((end, -1) for _, end in lasted if end != NEVER)])
            value = 0
            for place, change in changes:
                value += change
                self._add(self._times[place], _COUNTER, track, "", value=value)

    # --- packets --------------------------------------------------------------------

    def _where(self, place: int) -> dict[str, int | str]:
        return {"step": self._run.events[place].step, "line of the log": place + 2}

    def _add(
        self,
        time: int,
        kind: int,
        track: int,
        name: str,
        notes: dict[str, int | str] | None = None,
        flows: tuple[int, ...] = (),
        value: int = 0,
    ) -> None:
        self.marks.append(_Mark(time, len(self.marks), kind, track, name, notes or {}, flows, value))


_ROW_NAMES: Final[dict[SpanKind, str]] = {
    "lock": "locks held",
    "heard": "windows it knows of",
    "unheard": "windows it was not told of",
    "entry": "translations",
    "cached": "translations",
    "announced": "announced",
    "unannounced": "in a window not told of",
    "reached": "mapped by a device",
}


def nested(spans: Sequence[Span]) -> Iterator[tuple[int, int, Span]]:
    """Beginnings and ends of spans that ought to nest, as (place, kind, span).

    What lasts longer than the span around it is ended with that one: a trace cannot say it.
    """
    ends = [(span.end if span.end != NEVER else None, n) for n, span in enumerate(spans)]
    changes = sorted(
        [(span.begin, 1, n) for n, span in enumerate(spans)] + [(e, 0, n) for e, n in ends if e is not None]
    )
    stack: list[int] = []
    for place, begins, n in changes:
        if begins:
            stack.append(n)
            yield place, _BEGIN, spans[n]
            continue
        while n in stack:
            yield place, _END, spans[stack.pop()]


def _times(events: Sequence[Event]) -> list[int]:
    """When each event happened, in nanoseconds; no two at once, and none before an earlier one."""
    times: list[int] = []
    last = -1
    for event in events:
        last = max(last + 1, event.step * NANOSECONDS_A_STEP)
        times.append(last)
    return times


def _flows(line: Timeline) -> dict[int, tuple[int, ...]]:
    """By the number of an arrow: the places that it connects, in order.

    One for each life of a page that ended: announcement, unmapping, free, stale uses.
    """
    flows = {}
    for number, life in enumerate(line.lives, 1):
        places = [place for place in (life.announced, life.unmapped, life.freed, *life.uses) if place != NEVER]
        if life.freed != NEVER and len(places) > 1:
            flows[number] = tuple(sorted(places))
    return flows


def _fields(event: Event) -> dict[str, int | str]:
    addresses = _addresses(type(event))
    values: dict[str, int | str] = {}
    for name in event.__struct_fields__[2:]:
        value = getattr(event, name)
        if name in addresses:
            values[name] = hex(value)
        elif isinstance(value, bool) or not isinstance(value, int | str):
            values[name] = msgspec.json.encode(value).decode()
        else:
            values[name] = value
    return values


_addresses: Final = cache(va_fields)


def _describe(packet: Any, track: _Track) -> None:
    packet.trusted_packet_sequence_id = SEQUENCE
    descriptor = packet.track_descriptor
    descriptor.uuid = track.uuid
    descriptor.name = track.name
    descriptor.child_ordering = _EXPLICIT
    descriptor.sibling_order_rank = track.rank
    if track.parent:
        descriptor.parent_uuid = track.parent
    if track.about:
        descriptor.description = track.about
    if track.counter:
        descriptor.counter.SetInParent()


def _mark(packet: Any, mark: _Mark) -> None:
    packet.timestamp = mark.time
    packet.trusted_packet_sequence_id = SEQUENCE
    event = packet.track_event
    event.type = mark.kind
    event.track_uuid = mark.track
    if mark.name:
        event.name = mark.name
    if mark.kind == _COUNTER:
        event.counter_value = mark.value
    event.flow_ids.extend(mark.flows)
    for name, value in mark.notes.items():
        note = event.debug_annotations.add()
        note.name = name
        if isinstance(value, int):
            note.int_value = value
        else:
            note.string_value = value
