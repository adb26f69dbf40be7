"""Gathers what the sources say about where the model is simpler than the kernel.

Such a line begins with `Model:`, in a docstring or in a comment; its sentence goes on to
the next `Model:`, the end of the paragraph, or the first line of code.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOTS: Final = ("notifierlab", "drivers", "guests")

_BEGINS: Final = re.compile(r"^\s*(#\s*)?(?:\"{3}|.*\. )?Model: (.*)$")


def simplifications(home: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each file below `home` that simplifies, with its sentences."""
    for root in ROOTS:
        for path in sorted((home / root).rglob("*.py")):
            found = sentences(path.read_text(encoding="utf-8"))
            if found:
                yield path.relative_to(home).as_posix(), found


def sentences(source: str) -> list[str]:
    """Every `Model:` sentence of a source file, on one line, without the word itself."""
    found: list[list[str]] = []
    comment = going = False
    for line in source.splitlines():
        begins = _BEGINS.match(line)
        if begins is not None:
            comment, going = begins[1] is not None, True
            found.append([begins[2]])
        elif going:
            text = line.strip()
            going = text.startswith("#") if comment else text not in ("", '"""')
            if going:
                found[-1].append(text.removeprefix("#").strip())
        if going and not comment and line.rstrip().endswith('"""'):
            found[-1][-1] = found[-1][-1].removesuffix('"""')
            going = False
    return [" ".join(parts) for parts in found]
