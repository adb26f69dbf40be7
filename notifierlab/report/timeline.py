"""A run as pictures show it, computed once: lanes, what lasted in them, the lives of pages.

The page, the Perfetto trace and the drawing of lanes all draw this, and add nothing to
it but colours. It is made from events alone, in one pass.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final

from notifierlab.again import replay_command
from notifierlab.checker import LedgerRow
from notifierlab.events import Event, PAGE_SIZE, Violation
from notifierlab.report.doings import Doings, Telling
from notifierlab.report.lives import Life, Lives
from notifierlab.report.spans import arrange, Lane, Span, SpanKind, Spans
from notifierlab.trace import RunHeader, Verdict, VerdictWord
from notifierlab.wire import tag_of


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that was judged, and whatever there is to show of it.

    `violations` begin with the most severe; `places` tells at which event each was found.
    `name` is the path of its log, or `-`.
    """

    name: str
    header: RunHeader
    events: Sequence[Event]
    verdict: VerdictWord
    complete: bool
    violations: tuple[Violation, ...]
    places: tuple[int, ...]
    claimed: Verdict | None
    ledger: tuple[LedgerRow, ...]
    notes: tuple[str, ...] = ()

    @property
    def choices(self) -> tuple[int, ...]:
        """The choices that were made; those asked for, if the log was cut off before it said."""
        return self.claimed.choices if self.claimed is not None else self.header.schedule

    @property
    def replay(self) -> str:
        """The command that runs it again; nothing for a log that came by standard input."""
        return "" if self.name == "-" else replay_command(self.header.scenario, PurePath(self.name).as_posix())


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """What the pictures draw.

    `pages` says of each event which frames it is about; `involved` are the frames that a
    secondary MMU reached, or that a violation names, themselves or by their address.
    """

    lanes: tuple[Lane, ...]
    spans: tuple[Span, ...]
    lives: tuple[Life, ...]
    pages: tuple[tuple[int, ...], ...]
    involved: tuple[int, ...]


_ROWS: Final[tuple[tuple[SpanKind, ...], ...]] = (
    ("lock",),
    ("window",),
    ("heard", "unheard"),
    ("entry", "cached"),
    ("reached",),
)
"""Kinds of spans that share rows."""


def timeline(events: Sequence[Event], violations: Sequence[Violation] = ()) -> Timeline:
    """Everything that lasted in a run, found in its events.

    Args:
        events: the whole run.
        violations: what is known to be wrong in it; frames that they name are `involved`.
    """
    spans = Spans()
    lives, telling = Lives(spans), Telling(spans)
    followers = (Doings(spans), telling, lives)
    handlers: dict[type[Event], tuple[Callable[[int, Any], None], ...]] = {}
    pages = []
    for place, event in enumerate(events):
        spans.lane("task", event.task)
        kind = type(event)
        known = handlers.get(kind)
        if known is None:
            name = f"on_{tag_of(kind)}"
            known = handlers[kind] = tuple(getattr(each, name) for each in followers if hasattr(each, name))
        closing = lives.pages_of(event)
        for handler in known:
            handler(place, event)
        pages.append(closing or lives.pages_of(event))
    telling.at_end()
    lives.at_end()
    found = sorted(spans.all, key=lambda span: span.begin)
    for kinds in _ROWS:
        arrange(found, kinds)
    involved = dict.fromkeys([*_named(violations, lives), *lives.reached])
    return Timeline(
        lanes=spans.lanes,
        spans=tuple(found),
        lives=tuple(lives.lives),
        pages=tuple(pages),
        involved=tuple(involved),
    )


def _named(violations: Sequence[Violation], lives: Lives) -> list[int]:
    """The frames that violations name, by their number or by an address at which they stood."""
    frames: list[int] = []
    for name in (name for violation in violations for name in violation.objects):
        if found := re.fullmatch(r"pfn (\d+)", name):
            frames.append(int(found[1]))
        elif found := re.fullmatch(r"0x[0-9a-f]+", name):
            frames += lives.stood.get(int(found[0], 16) // PAGE_SIZE * PAGE_SIZE, ())
    return frames
