"""Reads the pages of the documentation as sessions that can be run.

A page is a session in one folder, its fenced blocks in order:

    sh        commands, run by bash
    console   commands (`$ ...`) with what they print; `...` stands for what varies
    python    a file if its first line is `# NAME.py`, else a program that must end well
    diff      changes to the file named after `+++`, each behind a line `@@`
    toml      configuration
    yaml      a job of CI, whose commands are run, but for those that install

A comment just above a fence says what is special: `<!-- status: 1 -->` the exit status of its
commands (or one for each), `<!-- not run: REASON -->` that it cannot be run here.
"""

import re
from pathlib import Path
from typing import Final, NamedTuple

HOME: Final = Path(__file__).parent.parent

_FENCE: Final = re.compile(
    r"^(?:<!-- (?P<note>[^\n]*?) -->\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_NOTE: Final = re.compile(r"(?:status: (?P<statuses>[\d ]+)|not run: (?P<reason>.+))")


class Block(NamedTuple):
    """A fenced block of a page; `statuses` is what its commands end with."""

    page: str
    line: int
    kind: str
    text: str
    statuses: tuple[int, ...] = (0,)
    not_run: str = ""

    def status(self, n: int) -> int:
        """What the `n`-th of its commands must end with."""
        return self.statuses[n if len(self.statuses) > 1 else 0]

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return f"{self.page}, line {self.line}"


def pages() -> list[Path]:
    """Every page that people read."""
    return [HOME / "README.md", *sorted((HOME / "docs").rglob("*.md"))]


def name_of(page: Path) -> str:
    return page.relative_to(HOME).as_posix()


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for fence in _FENCE.finditer(text):
        note = _NOTE.fullmatch(fence["note"] or "")
        found.append(
            Block(
                name_of(page),
                text.count("\n", 0, fence.start("kind")) + 1,
                fence["kind"],
                fence["text"],
                tuple(int(status) for status in ((note and note["statuses"]) or "0").split()),
                (note["reason"] or "") if note else "",
            )
        )
    return found


def commands(console: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with what is shown below it."""
    parts = re.split(r"^\$ (.*)\n", console, flags=re.MULTILINE)
    assert parts[0] == "", "a console block begins with a command"
    return list(zip(parts[1::2], parts[2::2], strict=True))


def is_like(shown: str, printed: str) -> bool:
    """Whether what is shown is what was printed.

    A line `...` stands for any lines, `...` within a line for anything on it. How many orders
    there are changes with the model, and does not count.
    """
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else ".*".join(re.escape(part) for part in line.split("...")) + r"\n"
        for line in _uncounted(shown).rstrip().splitlines()
    )
    return re.fullmatch(pattern, _uncounted(printed).rstrip() + "\n") is not None


def _uncounted(text: str) -> str:
    return re.sub(r"\d+ orders\b", "N orders", text)


def changed(source: str, diff: str) -> str:
    """`source` with a diff applied, the old lines of whose hunks must stand in it once each."""
    heads, *hunks = re.split(r"^@@\n", diff, flags=re.MULTILINE)
    assert re.fullmatch(r"--- (\S+)\n\+\+\+ \1\n", heads), "a diff begins with --- and +++"
    for hunk in hunks:
        lines = hunk.splitlines()
        old = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
        new = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
        assert source.count(old) == 1, f"{source.count(old)} places fit\n{hunk}"
        source = source.replace(old, new)
    return source
