"""What `finding.py` has measured so far, kept in a file so that it can go on."""

import json
import os
from collections.abc import Collection
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

HOME = Path(__file__).parent.parent
SOURCES = ("notifierlab", "drivers", "guests")


class Cell(NamedTuple):
    """What each search for one bug by one strategy needed; None is more than `cap` runs."""

    cap: int
    runs: tuple[int | None, ...]

    def within(self, cap: int, seeds: int) -> "Cell":
        """Return what would have been measured with a smaller cap, or fewer seeds."""
        return Cell(cap, tuple(None if run is None or run > cap else run for run in self.runs[:seeds]))


NOTHING = Cell(0, ())


@cache
def sources() -> str:
    """Return a digest of the bench's own files: other sources may need other runs."""
    digest = blake2b(digest_size=6)
    for root in SOURCES:
        for path in sorted((HOME / root).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


class Notes:
    """The cells by bug and strategy, and with which sources each was measured."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._cells: dict[str, dict[str, tuple[str, Cell]]] = {}
        if path is not None and path.exists():
            self._cells = {
                bug: {name: (each["sources"], Cell(each["cap"], tuple(each["runs"]))) for name, each in row.items()}
                for bug, row in json.loads(path.read_text(encoding="utf-8")).items()
            }

    @property
    def others(self) -> int:
        """How many cells were measured with other sources."""
        return sum(made != sources() for row in self._cells.values() for made, _ in row.values())

    def known(self, bug: str, strategy: str) -> Cell:
        """Return what is known of one cell."""
        return self._cells.get(bug, {}).get(strategy, ("", NOTHING))[1]

    def take(self, bug: str, strategy: str, cell: Cell) -> None:
        """Note one cell."""
        self._cells.setdefault(bug, {})[strategy] = sources(), cell

    def forget(self, strategies: Collection[str]) -> None:
        """Have some strategies measured again."""
        for row in self._cells.values():
            for name in strategies:
                row.pop(name, None)

    def keep(self) -> None:
        """Write the file, whole or not at all."""
        if self._path is None:
            return
        rows = {
            bug: {name: {"sources": made, **cell._asdict()} for name, (made, cell) in row.items()}
            for bug, row in self._cells.items()
        }
        beside = self._path.with_name(self._path.name + ".new")
        lines = [f"{json.dumps(bug)}: {json.dumps(row)}" for bug, row in rows.items()]
        beside.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        os.replace(beside, self._path)
