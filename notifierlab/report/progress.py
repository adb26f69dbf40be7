"""How far a search is, for whoever waits: a live line on a terminal, else a line now and then.

A terminal is told by the clock. Elsewhere, in the log of a CI job, each line stays, so one
is written when the runs have doubled: the same lines every time, and few of them.
"""

import time
from types import TracebackType
from typing import Final, Protocol, Self, TextIO

FIRST_RUNS: Final = 256
"""After how many runs the first line is written that stays; the next ones at each doubling."""

LIVE_SECONDS: Final = 0.2
"""How often the live line changes."""


class SearchProgress(Protocol):
    """What a search tells of itself."""

    @property
    def runs(self) -> int: ...
    @property
    def level(self) -> int | None: ...
    @property
    def orders(self) -> int | None: ...
    @property
    def unit(self) -> str: ...
    @property
    def left(self) -> int | None: ...
    @property
    def found(self) -> tuple[str, ...]: ...


class ProgressLine:
    """Writes progress to `file`; nothing at all for a search that is quick, or when `quiet`."""

    def __init__(self, file: TextIO, *, quiet: bool = False) -> None:
        self._file = file
        self._quiet = quiet
        self._live = file.isatty()
        self._last = self._begin = time.monotonic()
        self._next = FIRST_RUNS
        self._written = False

    def __call__(self, progress: SearchProgress) -> None:
        if self._quiet:
            return
        if self._live:
            self._live_line(progress)
        elif progress.runs >= self._next:
            while self._next <= progress.runs:
                self._next *= 2
            self._write(f"{progress.runs} runs{_position(progress)}{_found(progress)}\n")

    def _live_line(self, progress: SearchProgress) -> None:
        now = time.monotonic()
        if now - self._last < LIVE_SECONDS:
            return
        self._last = now
        rate = int(progress.runs / (now - self._begin))
        self._write(f"\r\x1b[K{progress.runs} runs, {rate} runs/s{_position(progress)}{_found(progress)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live and self._written:
            self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        self._written = True
        self._file.write(text)
        self._file.flush()


def _position(progress: SearchProgress) -> str:
    """Where a search is, and about how far it is to its end or to the next level."""
    text = "" if progress.level is None else f", now with {progress.level} preemptions or faults"
    if progress.orders is not None:
        text += f"{',' if progress.level is None else ':'} {progress.orders} {progress.unit}"
    return text if progress.left is None else f"{text}, about {progress.left} left"


def _found(progress: SearchProgress) -> str:
    return f", found {', '.join(progress.found)}" if progress.found else ""
