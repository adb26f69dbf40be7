"""The run as the page's script reads it: columns of numbers, and each text once.

A run of a hundred thousand events says few different things; so texts stand in one
list, and all else is their numbers. Places are numbers of events, as everywhere.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from notifierlab.checker import LedgerRow
from notifierlab.checker.ledger import NOT_ANNOUNCED
from notifierlab.events import Event
from notifierlab.report.spans import Lane
from notifierlab.report.stories import Line
from notifierlab.report.timeline import Run, Timeline
from notifierlab.report.words import words
from notifierlab.wire import tag_of, va_fields

FAMILIES: Final = {"host": "host", "notifier": "notifier core", "shadow": "secondary MMU", "machine": "machine"}
"""The families of events, by the module that declares them, in the words of a reader."""


class _Strings:
    """Texts, and the number of each."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        return self._numbers.setdefault(text, len(self._numbers))

    @property
    def all(self) -> list[str]:
        return list(self._numbers)


class _Kind(msgspec.Struct):
    """A type of event: its fields beside step and task, and which of them are addresses."""

    number: int
    name: str
    family: str
    fields: tuple[str, ...]
    addresses: tuple[str, ...]


def page_data(run: Run, line: Timeline, stories: Sequence[Sequence[Line]]) -> dict[str, object]:
    """Everything the script needs, ready for JSON."""
    strings = _Strings()
    known = _known_kinds(run.events)
    numbers: dict[tuple[str, str], int] = {(lane.kind, lane.name): lane.number for lane in line.lanes}
    page_sets: dict[tuple[int, ...], int] = {}
    return {
        "events": _columns(run.events, strings, numbers, known),
        "pages": [page_sets.setdefault(pages, len(page_sets)) for pages in line.pages],
        "pageSets": list(page_sets),
        "kinds": _kinds(known),
        "lanes": [[lane.kind, lane.name] for lane in line.lanes],
        "involved": _involved(line.lanes, line.involved),
        "spans": [
            each
            for span in line.spans
            for each in (
                strings.number(span.kind),
                span.lane,
                span.row,
                span.begin,
                span.end,
                strings.number(span.label),
                span.stale,
                span.page,
            )
        ],
        "violations": [
            [violation.rule, violation.message, place]
            for violation, place in zip(run.violations, run.places, strict=True)
        ],
        "stories": [[[row.place, row.kind] for row in rows] for rows in stories],
        "ledger": {
            "head": [name.replace("_", " ") for name in LedgerRow.__struct_fields__],
            "rows": [msgspec.structs.astuple(row) for row in run.ledger],
            "bad": NOT_ANNOUNCED,
        },
        # Last: only now are all texts known.
        "strings": strings.all,
    }


def _involved(lanes: Sequence[Lane], frames: Sequence[int]) -> list[int]:
    numbers = {lane.name: lane.number for lane in lanes if lane.kind == "page"}
    return [numbers[str(pfn)] for pfn in frames if str(pfn) in numbers]


def _known_kinds(events: Sequence[Event]) -> dict[type[Event], _Kind]:
    known: dict[type[Event], _Kind] = {}
    for event in events:
        kind = type(event)
        if kind not in known:
            family = kind.__module__.rpartition(".")[2]
            known[kind] = _Kind(len(known), tag_of(kind), family, kind.__struct_fields__[2:], va_fields(kind))
    return known


def _kinds(known: Mapping[type[Event], _Kind]) -> list[list[object]]:
    return [
        [kind.name, kind.family, FAMILIES.get(kind.family, kind.family), list(kind.fields)] for kind in known.values()
    ]


def _columns(
    events: Sequence[Event], strings: _Strings, lanes: dict[tuple[str, str], int], known: Mapping[type[Event], _Kind]
) -> dict[str, list[int]]:
    """Step, task, MMU, kind, words and fields of each event, each a column; the fields one after the other."""
    step, task, mmu, kind, text, values = [], [], [], [], [], []
    for event in events:
        its = known[type(event)]
        step.append(event.step)
        task.append(lanes["task", event.task])
        mmu.append(lanes.get(("mmu", getattr(event, "mmu", "")), -1))
        kind.append(its.number)
        text.append(strings.number(words(event)))
        shown = [_shown(getattr(event, name), address=name in its.addresses) for name in its.fields]
        values += [strings.number(each) for each in shown]
    return {"step": step, "task": task, "mmu": mmu, "kind": kind, "text": text, "values": values}


def _shown(value: object, *, address: bool) -> str:
    if address:
        return f"{value:#x}"
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()
