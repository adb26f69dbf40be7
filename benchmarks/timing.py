"""How the benchmarks measure and print: the best of several passes, and ratios.

The machine is shared, so the best pass says most; figures compared with each other are
taken in turn within one process.
"""

import gc
import time
from collections.abc import Callable, Sequence


def best_seconds(*bodies: Callable[[], object], passes: int = 5) -> list[float]:
    """Return for each of `bodies` its shortest CPU time; the bodies take turns."""
    best = [float("inf")] * len(bodies)
    for _ in range(passes):
        for n, body in enumerate(bodies):
            gc.collect()
            began = time.process_time()
            body()
            best[n] = min(best[n], time.process_time() - began)
    return best


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print `rows` in columns under a title."""
    texts = [list(columns), *([_text(cell) for cell in row] for row in rows)]
    widths = [max(len(row[n]) for row in texts) for n in range(len(columns))]
    print(title)
    for row in texts:
        first, *rest = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        print("  " + "  ".join([row[0].ljust(widths[0]), *rest]) if first else "")
    print()


def target(text: str, *, met: bool) -> None:
    """Print what was to reach, and whether it was."""
    print(f"  {'reached' if met else 'MISSED '}  {text}")


def _text(cell: object) -> str:
    return f"{cell:.3g}" if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int) else str(cell)
