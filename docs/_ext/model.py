"""Gathers what the sources say about where the model is simpler than the kernel.

Such a line begins with `Model:`, in a docstring or in a comment; its sentence goes on to
the next `Model:`, the end of the paragraph, or the first line of code.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOTS: Final = ("notifierlab", "drivers", "guests")

_BEGINS: Final = re.compile(r"^\s*(#\s*)?(?:\"{3}|.*\. )?Model: (.*)$")


class Simplification(NamedTuple):
    """One sentence; `where` is the class or function it stands in, empty for the whole file."""

    where: str
    sentence: str


def simplifications(home: Path) -> Iterator[tuple[str, list[Simplification]]]:
    """Yield each file below `home` that simplifies, with its sentences."""
    for root in ROOTS:
        for path in sorted((home / root).rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            found = [Simplification(_around(source, line), sentence) for line, sentence in sentences(source)]
            if found:
                yield path.relative_to(home).as_posix(), found


def sentences(source: str) -> list[tuple[int, str]]:
    """Every `Model:` sentence of a source file, without the word itself, and its line."""
    found: list[tuple[int, list[str]]] = []
    comment = going = False
    for number, line in enumerate(source.splitlines(), 1):
        begins = _BEGINS.match(line)
        if begins is not None:
            comment, going = begins[1] is not None, True
            found.append((number, [begins[2]]))
        elif going:
            text = line.strip()
            going = text.startswith("#") if comment else text not in ("", '"""')
            if going:
                found[-1][1].append(text.removeprefix("#").strip())
        if going and not comment and line.rstrip().endswith('"""'):
            found[-1][1][-1] = found[-1][1][-1].removesuffix('"""')
            going = False
    return [(number, " ".join(parts)) for number, parts in found]


def _around(source: str, line: int) -> str:
    """The innermost class or function that has the line, with what it stands in."""
    names = [
        (node.lineno, node.name)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    return ".".join(name for _, name in sorted(names))
