"""A search that survives its process: every finished portion is written down at once.

The file is a journal. Its first line says what is searched; each further line is what
came of one portion, whole or not there: a line that a crash has cut off is dropped. A
search is a function of what came of its portions, so to resume is to search again and
find most of the work done. A journal of other code or of another search is refused: it
would be read as if it spoke of this one.
"""

import hashlib
import inspect
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from notifierlab.errors import InputError
from notifierlab.explore.portion import Part, Quest
from notifierlab.explore.run import RunSpec

FORMAT: Final = 2
"""The number of the journal's format."""

# Of the bench, what makes and judges a run; how it is shown may change.
_MAKE_RUNS: Final = ("checker", "events", "explore", "machine", "mm", "host.py", "shadow.py")

_PART: Final = msgspec.json.Decoder(Part, strict=False)


class Head(msgspec.Struct, frozen=True, tag="checkpoint", tag_field="ev"):
    """The first line: the search, and the code that it is about."""

    format: int
    search: str
    code: str


class Checkpoint:
    """The journal of a search at `path`; what it has is known by the keys of portions."""

    def __init__(self, path: Path, head: Head) -> None:
        self._path = path
        self._parts: dict[str, Part] = {}
        try:
            if path.exists() and path.stat().st_size:
                self._keep(self._read(head))
            else:
                self._begin(head)
            self._file = path.open("ab")
        except OSError as error:
            raise InputError(f"Cannot use the checkpoint {path}: {error.strerror}.") from error

    @property
    def runs(self) -> int:
        """How many runs are written down."""
        return sum(part.learnt.runs for part in self._parts.values())

    def get(self, key: str) -> Part | None:
        """Return what came of a portion, if it is known."""
        return self._parts.get(key)

    def add(self, part: Part) -> None:
        """Write down what came of a portion."""
        if part.key in self._parts:
            return
        self._parts[part.key] = part
        self._file.write(msgspec.json.encode(part) + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file; it stays, and may be resumed."""
        self._file.close()

    def _begin(self, head: Head) -> None:
        beside = self._path.with_name(self._path.name + ".new")
        beside.write_bytes(msgspec.json.encode(head) + b"\n")
        beside.replace(self._path)

    def _keep(self, size: int) -> None:
        """Cut off the line that a crash left unfinished."""
        if size < self._path.stat().st_size:
            os.truncate(self._path, size)

    def _read(self, head: Head) -> int:
        """Read what is there; return how many bytes of it are whole lines."""
        with self._path.open("rb") as file:
            size = self._check(file.readline(), head)
            for number, line in enumerate(file, 2):
                if not line.endswith(b"\n"):
                    break
                try:
                    part = _PART.decode(line)
                except msgspec.MsgspecError as error:
                    raise InputError(f"{self._path}, line {number}: no part of a checkpoint ({error}).") from error
                self._parts[part.key] = part
                size += len(line)
        return size

    def _check(self, line: bytes, head: Head) -> int:
        try:
            found = msgspec.json.decode(line, type=Head)
        except msgspec.MsgspecError as error:
            raise InputError(
                f"{self._path} is no checkpoint of a search ({error}). Give a new name, or the right one."
            ) from error
        if found.format != FORMAT:
            raise InputError(f"{self._path} has format {found.format}; this notifierlab reads format {FORMAT}.")
        if found.search != head.search:
            raise InputError(
                f"{self._path} is of another search:\n  there  {found.search}\n  here   {head.search}\n"
                "Ask for the same, or give another file."
            )
        if found.code != head.code:
            raise InputError(
                f"{self._path} was made before the scenario, a driver or notifierlab was changed, so it says nothing "
                "of them as they are now. Remove it to begin anew."
            )
        return len(line)


def head_of(quest: Quest, spec: RunSpec, seed: int) -> Head:
    """Say what a journal is about: what is run, how it is searched, by which code."""
    search = msgspec.json.encode(
        {
            "request": quest.request,
            "strategy": quest.strategy,
            "seed": seed,
            "rules": sorted(quest.wanted.rules),
            "all": quest.wanted.every,
        }
    )
    return Head(FORMAT, search.decode(), _fingerprint(spec))


def _fingerprint(spec: RunSpec) -> str:
    """Digest the code that makes a run: the bench, and the packages of the scenario and of the drivers."""
    bench = Path(__file__).parent.parent
    roots = [*(bench / name for name in _MAKE_RUNS), _root_of(spec.scenario)]
    roots += [_root_of(base) for driver in spec.drivers.values() for base in driver.__mro__]
    digest = hashlib.sha256(sys.version.encode())
    for root in dict.fromkeys(root for root in roots if root is not None):
        for file in _sources(root):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _root_of(thing: object) -> Path | None:
    """Return the folder of the outermost package that a function or class is from, or its file."""
    module = inspect.getmodule(thing)
    file = getattr(module, "__file__", None)
    if module is None or file is None or thing is object:
        return None
    depth = module.__name__.count(".")
    root = Path(file).parents[depth - 1] if depth else Path(file)
    return None if root == Path(__file__).parent.parent else root


def _sources(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
    else:
        yield from sorted(root.rglob("*.py"))
