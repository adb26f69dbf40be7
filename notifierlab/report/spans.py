"""What lasted in a run: from which event to which, in whose lane, on which row of it.

Events are facts of a moment. A picture needs what lies between two of them: a lock is
held from its taking to its dropping, a window is open, a page is mapped. Places are the
numbers of events in their run, counted from 0; a span without an end has `NEVER`.
"""

from collections.abc import Hashable, Iterable
from typing import Final, Literal

import msgspec

NEVER: Final = -1
"""The place of what did not happen."""

LaneKind = Literal["task", "mmu", "page"]

SpanKind = Literal[
    # In the lane of a task.
    "task",
    "op",
    "lock",
    "window",
    # In the lane of a secondary MMU.
    "registered",
    "heard",
    "unheard",
    "entry",
    "cached",
    # In the lane of a page.
    "held",
    "mapped",
    "unmapped",
    "free",
    "announced",
    "unannounced",
    "reached",
]


class Lane(msgspec.Struct, frozen=True):
    """One lane of a picture, and its number among all of them."""

    kind: LaneKind
    name: str
    number: int


class Span(msgspec.Struct, gc=False, kw_only=True):
    """Something that lasted from `begin` to `end`, both places of events.

    `stale` is the place from which it should not have been there any more: a translation
    whose page was freed. `row` keeps spans of one kind and lane apart that overlap.
    `page` is the frame that a translation leads to.
    """

    kind: SpanKind
    lane: int
    label: str
    begin: int
    end: int = NEVER
    row: int = 0
    stale: int = NEVER
    page: int = NEVER


class Spans:
    """The spans of a run while they are being found. A key stands for one that is still open."""

    def __init__(self) -> None:
        self.all: list[Span] = []
        self._lanes: dict[tuple[LaneKind, str], Lane] = {}
        self._open: dict[Hashable, list[Span]] = {}

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """Every lane that was asked for, in that order."""
        return tuple(self._lanes.values())

    def lane(self, kind: LaneKind, name: str) -> int:
        """The number of a lane; a name that was not heard before gets a new one."""
        known = self._lanes.get((kind, name))
        if known is None:
            known = self._lanes[kind, name] = Lane(kind, name, len(self._lanes))
        return known.number

    def begin(self, key: Hashable, kind: SpanKind, lane: int, label: str, place: int, *, row: int = 0) -> Span:
        """Opens a span; of several with one key, the last that was opened ends first."""
        span = Span(kind=kind, lane=lane, label=label, begin=place, row=row)
        self.all.append(span)
        self._open.setdefault(key, []).append(span)
        return span

    def end(self, key: Hashable, place: int) -> Span | None:
        """Closes the span of the key, if one is open."""
        known = self._open.get(key)
        if not known:
            return None
        span = known.pop()
        if not known:
            del self._open[key]
        span.end = place
        return span

    def current(self, key: Hashable) -> Span | None:
        """The open span of the key."""
        known = self._open.get(key)
        return known[-1] if known else None

    def switch(self, key: Hashable, kind: SpanKind, lane: int, label: str, place: int) -> None:
        """Ends what the key stood for and begins what comes after it; nothing if that is the same."""
        before = self.current(key)
        if before is not None and before.kind == kind:
            return
        self.end(key, place)
        self.begin(key, kind, lane, label, place)


def arrange(spans: Iterable[Span], kinds: tuple[SpanKind, ...]) -> None:
    """Gives each span of these kinds the first row of its lane that is free when it begins."""
    # By lane: where the last span of each row ends.
    rows: dict[int, list[int]] = {}
    for span in spans:
        if span.kind not in kinds:
            continue
        ends = rows.setdefault(span.lane, [])
        place = next((n for n, end in enumerate(ends) if NEVER < end <= span.begin), len(ends))
        if place == len(ends):
            ends.append(span.end)
        else:
            ends[place] = span.end
        span.row = place
