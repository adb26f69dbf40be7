"""The chart of docs/strategies.md: which share of the searches had found their mutant after how many runs."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from finding_notes import Cell

WIDTH: Final = 760
HEIGHT: Final = 430
LEFT, RIGHT, TOP, BOTTOM = 52, 640, 24, 380
"""Where the axes stand."""

LINE_HEIGHT: Final = 17

LOOKS: Final[Mapping[str, tuple[str, str, str]]] = {
    "hunt": ("#d62728", "3.2", ""),
    "dpor-random": ("#1f77d0", "1.8", ""),
    "dpor": ("#1f77d0", "1.8", "6 3"),
    "pos": ("#2a9d4a", "1.8", ""),
    "pct-2": ("#9467bd", "1.8", "2 3"),
    "pct-3": ("#9467bd", "1.8", ""),
    "pct-4": ("#9467bd", "1.8", "7 3"),
    "surw": ("#d08200", "1.8", ""),
    "random": ("#808890", "1.8", ""),
    "bounded": ("#808890", "1.8", "6 3"),
}
"""Colour, width and dashes of each line; others are grey and dotted."""

STYLE: Final = """\
text { font: 12px system-ui, sans-serif; fill: #1c1e21 }
.card { fill: #ffffff } .grid { stroke: #1c1e21; stroke-opacity: .14 } .axis { stroke: #1c1e21; fill: none }
.line { fill: none; stroke-linejoin: round }
@media (prefers-color-scheme: dark) {
  text { fill: #e6e8ea } .card { fill: #16181b } .grid, .axis { stroke: #e6e8ea } .line { filter: brightness(1.3) }
}"""


def drawn(found: Sequence[Mapping[str, Cell]], cap: int) -> str:
    """Return the chart as SVG: each mutant counts the same, however many searches were made for it."""
    names = list(found[0])
    shares = {name: share_by_run([row[name] for row in found], cap) for name in names}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">',
        "<title>Share of searches that have found their mutant, by runs</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="card" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
        *_axes(cap),
        *(_line(name, shares[name], cap) for name in reversed(names)),
        *_labels({name: shares[name][-1] for name in names}),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def share_by_run(cells: Sequence[Cell], cap: int) -> list[float]:
    """Return for 0, 1, 2, ... `cap` runs the mean over the cells of the share of searches that had found it."""
    gained = [0.0] * (cap + 1)
    for cell in cells:
        for run in cell.runs:
            if run is not None:
                gained[run] += 1 / len(cell.runs) / len(cells)
    shares, so_far = [], 0.0
    for each in gained:
        so_far += each
        shares.append(so_far)
    return shares


def _x(run: int, cap: int) -> float:
    return round(LEFT + (RIGHT - LEFT) * math.log(run) / math.log(cap), 1)


def _y(share: float) -> float:
    return round(BOTTOM - (BOTTOM - TOP) * share, 1)


def _axes(cap: int) -> list[str]:
    parts = []
    for percent in range(0, 101, 20):
        y = _y(percent / 100)
        parts.append(f'<path class="grid" d="M{LEFT} {y}H{RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{percent} %</text>')
    ticks = [run for run in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if run <= cap]
    for run in ticks:
        x = _x(run, cap)
        parts.append(f'<path class="grid" d="M{x} {TOP}V{BOTTOM}"/>')
        parts.append(f'<text x="{x}" y="{BOTTOM + 18}" text-anchor="middle">{run}</text>')
    parts.append(f'<path class="axis" d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}"/>')
    parts.append(f'<text x="{(LEFT + RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">runs of a search</text>')
    parts.append(f'<text x="{LEFT}" y="{TOP - 9}">searches that have found their mutant</text>')
    return parts


def _line(name: str, shares: Sequence[float], cap: int) -> str:
    rises = [run for run in range(2, cap + 1) if shares[run] > shares[run - 1]]
    steps = "".join(f"H{_x(run, cap)}V{_y(shares[run])}" for run in rises)
    return f'<path class="line" {_look(name)} d="M{LEFT} {_y(shares[1])}{steps}H{RIGHT}"/>'


def _labels(ends: Mapping[str, float]) -> list[str]:
    """Name the lines at their ends, in their order and without one upon another."""
    order = sorted(ends, key=lambda name: -ends[name])
    at: list[float] = []
    for name in order:
        at.append(max(_y(ends[name]), at[-1] + LINE_HEIGHT if at else TOP))
    over = max(0.0, at[-1] - BOTTOM)
    parts = []
    for name, y in zip(order, at, strict=True):
        y = round(y - over, 1)
        parts.append(f'<path class="line" {_look(name)} d="M{RIGHT + 8} {y}h22"/>')
        parts.append(f'<text x="{RIGHT + 36}" y="{round(y + 4, 1)}">{name}</text>')
    return parts


def _look(name: str) -> str:
    colour, width, dashes = LOOKS.get(name, ("#808890", "1.8", "1 3"))
    return f'stroke="{colour}" stroke-width="{width}"' + (f' stroke-dasharray="{dashes}"' if dashes else "")
