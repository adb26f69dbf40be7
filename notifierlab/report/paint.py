"""Colours for a terminal. They repeat what the words say: nothing is told by colour alone."""

import os
from typing import TextIO

from notifierlab.report.lanes import ASCII, UNICODE

_RED, _YELLOW, _GREEN, _BOLD, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[1m", "\x1b[0m"


def wants_colour(file: TextIO) -> bool:
    """Whether `file` is a terminal whose owner has not asked for none (NO_COLOR, TERM=dumb)."""
    return file.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text: str) -> str:
    """The text with verdicts and violations coloured."""
    return "\n".join(_line(line) for line in text.split("\n"))


def _line(line: str) -> str:
    for glyphs in (UNICODE, ASCII):
        if line.startswith(glyphs.strong * 2) and glyphs.arrow in line:
            return f"{_BOLD}{_RED}{line}{_PLAIN}"
        if line.startswith(glyphs.across * 2) and glyphs.arrow in line:
            return f"{_YELLOW}{line}{_PLAIN}"
    if line.startswith(("VIOLATED", "different:")):
        return f"{_BOLD}{_RED}{line}{_PLAIN}"
    if line.startswith(("no violation", "proved", "same:")):
        return f"{_GREEN}{line}{_PLAIN}"
    if line.startswith("undecided"):
        return f"{_YELLOW}{line}{_PLAIN}"
    return line
