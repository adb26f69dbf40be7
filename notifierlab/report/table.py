"""Plain text tables: columns as wide as they need, the last one wrapped."""

import textwrap
from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]], *, head: Sequence[str] = (), width: int = 100) -> str:
    """Rows of cells as lines of text.

    Args:
        rows: the cells; each row has as many.
        head: titles of the columns.
        width: columns of the page; the last cell of a row is wrapped to fit.
    """
    every = [head, *rows] if head else list(rows)
    if not every:
        return ""
    widths = [max(len(row[n]) for row in every) for n in range(len(every[0]) - 1)]
    lines: list[str] = []
    for n, row in enumerate(every):
        lines += _line(row, widths, width)
        if n == 0 and head:
            lines.append("  ".join("-" * each for each in [*widths, len(head[-1])]))
    return "\n".join(lines) + "\n"


def _line(row: Sequence[str], widths: list[int], width: int) -> list[str]:
    first = "".join(cell.ljust(each) + "  " for cell, each in zip(row, widths, strict=False))
    room = max(width - len(first), 30)
    last = textwrap.wrap(row[-1], room, break_on_hyphens=False) or [""]
    return [(first + last[0]).rstrip(), *(" " * len(first) + more for more in last[1:])]
