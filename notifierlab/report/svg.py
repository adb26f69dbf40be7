"""The story in lanes as a drawing, for papers and mails: dark on white, time downward.

A column for each task, what it did in words; windows as bands from the row that opens
them to the row that closes them. At the right stands what happened to the page
meanwhile: what the host made of it, and beside that which device maps it. Where the
device's bar goes on beside a free page, it is red.

Only plain SVG is used, with fonts that every viewer replaces by what it has.
"""

import re
import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Final, NamedTuple

from notifierlab.report.outcome import VERDICT_WORDS
from notifierlab.report.spans import NEVER, Span
from notifierlab.report.stories import Line
from notifierlab.report.story import SENTENCES
from notifierlab.report.timeline import Run, Timeline

WIDTH: Final = 960
STRIPS_MAX: Final = 2
"""How many pages have their life drawn."""

_SANS: Final = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
_MONO: Final = "Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_INK, _MUTED, _FAINT = "#1a1e23", "#58626c", "#dcdfe3"
_BAD, _BAD_SOFT, _WINDOW, _WINDOW_SOFT = "#b01c2a", "#fdeceb", "#d29500", "#fdf3dc"
_HOST, _HOST_SOFT, _DEVICE = "#0b6e80", "#d5e9ed", "#5a3fc0"

_MARGIN, _STEP_WIDTH, _LINE_HEIGHT, _ROW_GAP = 20, 46, 15, 7
_CHARACTER: Final = 6.4
"""How wide a letter is at the size of the text, generously: viewers have different fonts."""
_BAR, _BAR_GAP = 16, 10
_TAIL: Final = 52
"""Room below the last row, in which one sees what lasts beyond it."""

# What no XML may hold, whatever a log says.
_FORBIDDEN: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class _Placed(NamedTuple):
    """A row of the story on paper: from `top` to `bottom`."""

    line: Line
    top: float
    bottom: float
    texts: tuple[str, ...]

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2


def drawing(run: Run, line: Timeline, rows: Sequence[Line], *, inline: bool = False) -> str:
    """The story as SVG.

    Args:
        run: where it comes from, for the title.
        line: what lasted in the run.
        rows: the story.
        inline: it will stand in an HTML page, which has its own title and replay line.
    """
    return _Drawing(run, line, rows, inline=inline).text()


class _Drawing:
    def __init__(self, run: Run, line: Timeline, rows: Sequence[Line], *, inline: bool) -> None:
        self._run, self._line, self._rows, self._inline = run, line, rows, inline
        self._tasks = list(dict.fromkeys(row.task for row in rows if row.task))
        self._strips = self._pages()
        # Each page: a bar for the host, one for each MMU that had it.
        strip = sum(sum(_bar_room(name) for name in ("", *self._mmus(pfn))) + 14 for pfn in self._strips)
        self._left = _MARGIN + _STEP_WIDTH
        self._right = WIDTH - _MARGIN - strip
        self._lane = (self._right - self._left) / max(len(self._tasks), 1)
        self._root = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "font-family": _SANS, "font-size": "12"})

    def text(self) -> str:
        top = self._head()
        placed = self._place(top + 30)
        bottom = (placed[-1].bottom if placed else top + 30) + _TAIL * bool(self._strips)
        height = self._foot(bottom + 14)
        self._root.set("viewBox", f"0 0 {WIDTH} {height:g}")
        self._root.set("width", str(WIDTH))
        self._root.set("height", f"{height:g}")
        self._root.set("role", "img")
        # What is drawn first lies below.
        self._windows(placed)
        self._lanes(top, bottom)
        for each in placed:
            self._row(each)
        x = self._right + 14.0
        for pfn in self._strips:
            x = self._strip(pfn, x, top, placed)
        ET.indent(self._root)
        body = ET.tostring(self._root, encoding="unicode")
        return body if self._inline else f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'

    # --- what stands around the lanes -------------------------------------------------

    def _head(self) -> float:
        """Title and what was run; returns where the lanes begin."""
        violation = self._run.violations[0] if self._run.violations else None
        title = violation.rule if violation is not None else VERDICT_WORDS[self._run.verdict].capitalize()
        ET.SubElement(self._root, "title").text = _clean(f"{title}: {self._run.header.scenario}")
        if self._inline:
            return 8
        self._rectangle(0, 0, WIDTH, 20_000, "#ffffff")
        ink = _BAD if violation is not None else _INK
        self._words(_MARGIN, 38, title, size=20, weight="bold", fill=ink)
        sentence = SENTENCES.get(violation.rule, "") if violation is not None else _NOTHING[self._run.complete]
        self._words(_MARGIN, 58, sentence, size=13)
        header = self._run.header
        facts = [header.scenario, f"profile {header.profile}", *(f"mutant {each}" for each in header.mutants)]
        self._words(_MARGIN, 76, "  ·  ".join(facts), size=11, fill=_MUTED)
        return 96

    def _foot(self, top: float) -> float:
        """What the colours mean, and how to run it again; returns the height of the drawing."""
        if not self._inline and self._run.replay:
            self._words(_MARGIN, top + 10, self._run.replay, size=11, fill=_MUTED, family=_MONO)
            top += 18
        return top + 8

    def _lanes(self, top: float, bottom: float) -> None:
        self._words(self._left - 12, top + 14, "step", size=11, fill=_MUTED, anchor="end")
        for n, task in enumerate(self._tasks):
            x = self._left + n * self._lane
            self._words(x + 8, top + 14, self._cut(task, self._lane - 12, 7.2), weight="bold")
            self._line_between(x, top, x, bottom + 6, _FAINT)
        self._line_between(_MARGIN, top + 22, WIDTH - _MARGIN, top + 22, _INK)

    # --- rows -------------------------------------------------------------------------

    def _place(self, top: float) -> list[_Placed]:
        placed = []
        for row in self._rows:
            room = self._lane - 22 if row.task else self._right - self._left - 20
            letters = max(int(room / _CHARACTER), 8)
            texts = tuple(textwrap.wrap(row.text, letters, break_on_hyphens=False)) or ("",)
            extra = 12 if row.kind == "strong" else 0
            bottom = top + len(texts) * _LINE_HEIGHT + _ROW_GAP + extra
            placed.append(_Placed(row, top, bottom, texts))
            top = bottom
        return placed

    def _row(self, row: _Placed) -> None:
        line = row.line
        strong, note = line.kind == "strong", line.kind == "note"
        first = row.top + 14 + (6 if strong else 0)
        if strong:
            self._rectangle(
                _MARGIN, row.top + 2, self._right - _MARGIN, row.bottom - row.top - 4, _BAD_SOFT, stroke=_BAD
            )
        if line.kind != "gap":
            ink = _BAD if strong or note else _MUTED
            self._words(self._left - 12, first, str(line.step), size=11, fill=ink, anchor="end", family=_MONO)
        x = self._left + 8.0
        if line.task:
            x += self._tasks.index(line.task) * self._lane
            self._dot(x - 8, first - 4, _INK)
        ink = _BAD if strong or note else _INK if line.task else _MUTED
        for n, text in enumerate(row.texts):
            y = first + n * _LINE_HEIGHT
            word = self._words(x + (2 if n else 0), y, text, fill=ink, weight="bold" if strong else "normal")
            if note:
                # It crosses lanes; a halo keeps it readable on them.
                word.attrib |= {"stroke": "#ffffff", "stroke-width": "3", "paint-order": "stroke"}

    def _windows(self, placed: Sequence[_Placed]) -> None:
        for span in self._line.spans:
            task = self._line.lanes[span.lane].name
            if span.kind != "window" or task not in self._tasks:
                continue
            if not placed or span.begin > placed[-1].line.place >= 0:
                continue
            top, bottom = self._between(span, placed)
            if bottom - top < 1:
                continue
            # A row that opens or closes the window stands wholly in its band.
            top = next((row.top for row in placed if row.line.place == span.begin), top)
            bottom = next((row.bottom - 2 for row in placed if row.line.place == span.end), bottom)
            x = self._left + self._tasks.index(task) * self._lane
            self._rectangle(x, top, self._lane - 6, bottom - top, _WINDOW_SOFT)
            self._rectangle(x, top, 3, bottom - top, _WINDOW)

    # --- lives of pages ---------------------------------------------------------------

    def _pages(self) -> list[int]:
        """The pages that the story is about: first those that a violation names, then those of its rows."""
        told = [pfn for row in self._rows if row.place >= 0 for pfn in self._line.pages[row.place]]
        wanted = [pfn for pfn in self._line.involved if pfn in told]
        return wanted[:STRIPS_MAX]

    def _mmus(self, pfn: int) -> list[str]:
        lane = self._lane_of(pfn)
        return list(dict.fromkeys(s.label for s in self._line.spans if s.lane == lane and s.kind == "reached"))

    def _lane_of(self, pfn: int) -> int:
        return next(lane.number for lane in self._line.lanes if lane.kind == "page" and lane.name == str(pfn))

    def _strip(self, pfn: int, x: float, top: float, placed: Sequence[_Placed]) -> float:
        lane, mmus = self._lane_of(pfn), self._mmus(pfn)
        columns: dict[str, float] = {}
        width = 0.0
        for name in ("", *mmus):
            columns[name] = x + width + (_bar_room(name) - _BAR) / 2
            width += _bar_room(name)
        self._words(x + width / 2, top + 2, f"page {pfn}", weight="bold", anchor="middle")
        for name, place in columns.items():
            self._words(place + _BAR / 2, top + 16, name or "host", size=9.5, fill=_MUTED, anchor="middle")
        for span in self._line.spans:
            if span.lane != lane:
                continue
            low, high = self._between(span, placed)
            if high - low < 1:
                continue
            if span.kind == "reached":
                self._reach(span, columns[span.label], low, high, placed)
            elif span.kind in _HOST_LOOKS:
                fill, stroke, ink = _HOST_LOOKS[span.kind]
                self._bar(columns[""], low, high, fill, stroke, ink, span.label, dashed=span.kind == "free")
        return x + width + 14

    def _reach(self, span: Span, x: float, low: float, high: float, placed: Sequence[_Placed]) -> None:
        stale = high if span.stale == NEVER else min(max(self._y(span.stale, placed), low), high)
        if stale > low:
            self._bar(x, low, stale, _DEVICE, _DEVICE, "#ffffff", "maps it")
        if high > stale:
            self._bar(x, stale, high, _BAD, _BAD, "#ffffff", "still maps it")

    def _bar(
        self, x: float, low: float, high: float, fill: str, stroke: str, ink: str, label: str, *, dashed: bool = False
    ) -> None:
        bar = self._rectangle(x, low, _BAR, high - low, fill, stroke=stroke)
        if dashed:
            bar.set("stroke-dasharray", "3 3")
        if high - low > len(label) * 5.6 + 8:
            y = (low + high) / 2
            word = self._words(x + _BAR / 2 + 3.5, y, label, size=10, fill=ink, anchor="middle")
            word.set("transform", f"rotate(-90 {x + _BAR / 2 + 3.5:g} {y:g})")

    def _between(self, span: Span, placed: Sequence[_Placed]) -> tuple[float, float]:
        last = placed[-1].bottom if placed else 0.0
        return self._y(span.begin, placed), last + _TAIL if span.end == NEVER else self._y(span.end, placed)

    def _y(self, place: int, placed: Sequence[_Placed]) -> float:
        """Where a place stands on paper: in the middle of its row, or on the edge between two."""
        edge = placed[0].top if placed else 0.0
        for row in placed:
            if row.line.place == place:
                return row.middle
            if row.line.place > place:
                return edge
            edge = row.bottom
        # After all that is told, but not at once: what lasts longer than the story is seen to.
        return edge + _TAIL * 0.75

    # --- strokes ----------------------------------------------------------------------

    def _words(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 12,
        fill: str = _INK,
        weight: str = "normal",
        anchor: str = "start",
        family: str = "",
    ) -> ET.Element:
        attributes = {"x": f"{x:g}", "y": f"{y:g}", "fill": fill}
        defaults = {"font-size": "12", "font-weight": "normal", "text-anchor": "start", "font-family": ""}
        given = {"font-size": f"{size:g}", "font-weight": weight, "text-anchor": anchor, "font-family": family}
        attributes |= {name: value for name, value in given.items() if value != defaults[name]}
        made = ET.SubElement(self._root, "text", attributes)
        made.text = _clean(text)
        return made

    def _rectangle(self, x: float, y: float, w: float, h: float, fill: str, *, stroke: str = "") -> ET.Element:
        attributes = {"x": f"{x:g}", "y": f"{y:g}", "width": f"{w:g}", "height": f"{max(h, 0):g}", "fill": fill}
        if stroke:
            attributes["stroke"] = stroke
        return ET.SubElement(self._root, "rect", attributes)

    def _line_between(self, x0: float, y0: float, x1: float, y1: float, stroke: str) -> None:
        attributes = {"x1": f"{x0:g}", "y1": f"{y0:g}", "x2": f"{x1:g}", "y2": f"{y1:g}", "stroke": stroke}
        ET.SubElement(self._root, "line", attributes)

    def _dot(self, x: float, y: float, fill: str) -> None:
        ET.SubElement(self._root, "circle", {"cx": f"{x:g}", "cy": f"{y:g}", "r": "3", "fill": fill})

    def _cut(self, text: str, room: float, character: float) -> str:
        letters = max(int(room / character), 3)
        return text if len(text) <= letters else f"{text[: letters - 1]}…"


_NOTHING: Final = {True: "No rule was broken in this run.", False: "Cut off; no rule was broken in what there is."}
_HOST_LOOKS: Final = {
    "held": (_HOST_SOFT, _HOST_SOFT, _INK),
    "mapped": (_HOST, _HOST, "#ffffff"),
    "unmapped": ("#ffffff", _HOST, _INK),
    "free": ("#ffffff", _MUTED, _INK),
}
"""What the host makes of a page: filling, outline, ink."""


def _bar_room(name: str) -> float:
    """How wide a bar's column is, for its name to stand above it."""
    return max(_BAR + _BAR_GAP, len(name) * 5.4 + 6)


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
