"""A table of lanes: one column a task, time downward, the step at the left.

Lanes are as wide as their words need and together no wider than the page. With so many
tasks that lanes would be too narrow to read, each becomes a mark in a strip, and the
words stand at the right with the task's name.
"""

import textwrap
from collections.abc import Sequence
from typing import Final, NamedTuple

LANE_WIDTH_MIN: Final = 22
"""A lane narrower than this is a strip of marks."""


class Row(NamedTuple):
    """One thing that happened; a row without a task is a banner across all lanes, a strong one stands out.

    `place` is the number of the event in its run, counted from 0; -1 where the row is no event.
    """

    step: int
    task: str
    text: str
    strong: bool = False
    place: int = -1


class Glyphs(NamedTuple):
    """The characters a terminal can show."""

    across: str
    down: str
    mark: str
    arrow: str
    strong: str


UNICODE: Final = Glyphs("─", "│", "●", "▶", "━")
ASCII: Final = Glyphs("-", "|", "*", ">", "=")


def glyphs_for(encoding: str | None) -> Glyphs:
    """What a terminal of this encoding can show."""
    try:
        "".join(UNICODE).encode(encoding or "ascii")
    except UnicodeEncodeError:
        return ASCII
    return UNICODE


def lanes(rows: Sequence[Row], *, width: int = 100, glyphs: Glyphs = UNICODE) -> list[str]:
    """The rows as lines of text, none wider than `width` (unless a task's name alone is)."""
    tasks = list(dict.fromkeys(row.task for row in rows if row.task))
    step_width = max([4, *(len(str(row.step)) for row in rows)])
    room = width - step_width - 2
    if tasks and (room - 2 * (len(tasks) - 1)) // len(tasks) >= LANE_WIDTH_MIN:
        return _columns(rows, tasks, step_width, room, glyphs)
    return _strip(rows, tasks, step_width, room, glyphs)


def _columns(rows: Sequence[Row], tasks: list[str], step_width: int, room: int, glyphs: Glyphs) -> list[str]:
    widths = _widths(rows, tasks, room - 2 * (len(tasks) - 1))
    lines = [
        _joined(
            "step".rjust(step_width), [task[:width].ljust(width) for task, width in zip(tasks, widths, strict=True)]
        ),
        _joined(glyphs.across * step_width, [glyphs.across * width for width in widths]),
    ]
    for row in rows:
        if not row.task:
            lines += _banner(row, step_width, room, glyphs)
            continue
        place = tasks.index(row.task)
        for n, text in enumerate(_wrapped(row.text, widths[place])):
            cells = [" " * width for width in widths]
            cells[place] = text.ljust(widths[place])
            step = str(row.step) if n == 0 else ""
            lines.append(_joined(step.rjust(step_width), cells))
    return lines


def _strip(rows: Sequence[Row], tasks: list[str], step_width: int, room: int, glyphs: Glyphs) -> list[str]:
    name_width = max((len(task) for task in tasks), default=0)
    text_width = max(room - 2 * len(tasks) - name_width - 3, 30)
    lines = []
    for row in rows:
        if not row.task:
            lines += _banner(row, step_width, room, glyphs)
            continue
        for n, text in enumerate(_wrapped(row.text, text_width)):
            here = [glyphs.mark if task == row.task and n == 0 else glyphs.down for task in tasks]
            step, name = (str(row.step), row.task) if n == 0 else ("", "")
            lines.append(f"{step.rjust(step_width)}  {' '.join(here)}  {name.ljust(name_width)}  {text}".rstrip())
    return lines


def _banner(row: Row, step_width: int, room: int, glyphs: Glyphs) -> list[str]:
    texts = _wrapped(row.text, room - 2)
    line = glyphs.strong if row.strong else glyphs.across
    first = f"{line * (step_width - 1) + glyphs.arrow}  {texts[0]}"
    return [first, *(" " * (step_width + 2) + text for text in texts[1:])]


def _widths(rows: Sequence[Row], tasks: list[str], room: int) -> list[int]:
    """Each lane gets what its longest text needs; what is missing is taken from the widest."""
    needs = [max([len(task), *(len(row.text) for row in rows if row.task == task)]) for task in tasks]
    while sum(needs) > room:
        widest = max(needs)
        needs[needs.index(widest)] = widest - 1
    return needs


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent="  ", break_on_hyphens=False) or [""]


def _joined(step: str, cells: list[str]) -> str:
    return f"{step}  {'  '.join(cells)}".rstrip()
