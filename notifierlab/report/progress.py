"""How far a search is, for whoever waits: a live line on a terminal, else a line now and then."""

import time
from types import TracebackType
from typing import Final, Protocol, Self, TextIO

EVERY_SECONDS: Final = 10.0
"""How often a line is written that stays."""

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
    """Writes progress to `file`; nothing at all for a search that is quick."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._live = file.isatty()
        self._last = self._begin = time.monotonic()
        self._written = False

    def __call__(self, progress: SearchProgress) -> None:
        now = time.monotonic()
        if now - self._last < (LIVE_SECONDS if self._live else EVERY_SECONDS):
            return
        self._last = now
        found = f", found {', '.join(progress.found)}" if progress.found else ""
        rate = int(progress.runs / (now - self._begin))
        text = f"{progress.runs} runs, {rate} runs/s{_position(progress)}{found}"
        self._write(f"\r\x1b[K{text}" if self._live else f"{text}\n")

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
