"""The stories of a run, as rows with their places: what pictures show of them."""

from typing import Final, NamedTuple

from notifierlab import events as e
from notifierlab.events import Violation
from notifierlab.report.story import told
from notifierlab.report.timeline import Run
from notifierlab.report.words import words

STORIES_MAX: Final = 12
"""How many rules have their story told, the most severe first."""

PLAIN_ROWS_MAX: Final = 120
"""How much of a run is told that has no violation, and so no story."""


_SMALL: Final = (e.LockAcquired, e.LockReleased, e.MightSleep, e.PageGot, e.PagePut, e.FieldRead, e.FieldWritten)
"""What would bury the rest, where no rule asks for it."""


class Line(NamedTuple):
    """A row of a story. `kind` is `row`, `note` (another violation), `strong` (the violation
    itself) or `gap`; `place` is the event it is about, -1 for a gap."""

    step: int
    task: str
    text: str
    kind: str
    place: int


class Told(NamedTuple):
    """A violation and its story."""

    violation: Violation
    rows: tuple[Line, ...]


def stories(run: Run) -> list[Told]:
    """The story of the first violation of each rule."""
    first: dict[str, tuple[Violation, int]] = {}
    for violation, place in zip(run.violations, run.places, strict=True):
        first.setdefault(violation.rule, (violation, place))
    found: dict[str, int] = {}
    for violation, place in zip(run.violations, run.places, strict=True):
        found.setdefault(f"{violation.rule}: {violation.message}", place)
    return [Told(violation, _lines(run, violation, at, found)) for violation, at in list(first.values())[:STORIES_MAX]]


def _lines(run: Run, violation: Violation, at: int, found: dict[str, int]) -> tuple[Line, ...]:
    lines = []
    for row in told(run.events, violation, others=run.violations):
        if row.strong:
            lines.append(Line(row.step, row.task, row.text, "strong", at))
        elif row.task:
            lines.append(Line(row.step, row.task, row.text, "row", row.place))
        else:
            lines.append(Line(row.step, "", row.text, "note" if row.text in found else "gap", found.get(row.text, -1)))
    return tuple(lines)


def plain(run: Run) -> tuple[Line, ...]:
    """What can be told of a run without a story, from its beginning."""
    spoken = [(n, event) for n, event in enumerate(run.events) if words(event) and not isinstance(event, _SMALL)]
    lines = [Line(event.step, event.task, words(event), "row", place) for place, event in spoken[:PLAIN_ROWS_MAX]]
    if len(spoken) > PLAIN_ROWS_MAX:
        step = spoken[PLAIN_ROWS_MAX][1].step
        lines.append(Line(step, "", f"... {len(spoken) - PLAIN_ROWS_MAX} later events are left out ...", "gap", -1))
    return tuple(lines)
