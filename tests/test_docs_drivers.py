"""docs/drivers.md: each of its commands is run in order, each snippet is what is really there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parent.parent / "docs" / "drivers.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(console|python|text)\n(.*?)```", PAGE, re.DOTALL)

LOOKED_UP_LAST = """\
        async with self.lock:
            seq = self.seq
        async with self.mm.mmap_sem.read():
            lookup = await shadow.look_up(self.name, self.mm, va, write=write)
"""


def _asked(block: str, folder: Path) -> tuple[str, str]:
    """Run a command of the page; return what it printed and what the page shows of that."""
    line, _, shown = block.partition("\n")
    arguments = line.removeprefix("$ notifierlab ").split()
    ran = subprocess.run(
        [sys.executable, "-m", "notifierlab", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "COLUMNS": "100"},
        check=False,
    )
    assert ran.returncode in (0, 1), ran.stderr
    return ran.stdout, shown.strip()


@pytest.mark.slow
def test_the_page_is_a_session_that_really_happens(tmp_path: Path) -> None:
    commands = [block for kind, block in BLOCKS if kind == "console"]
    mistake = next(block for kind, block in BLOCKS if kind == "python" and "look-up first" in block)
    story = next(block for kind, block in BLOCKS if kind == "text")
    begin, clean, broken, replayed, score = commands

    said, shown = _asked(begin, tmp_path)
    assert said.strip() == shown
    said, shown = _asked(clean, tmp_path)
    assert said.startswith(shown)

    driver = tmp_path / "mydevice.py"
    text = driver.read_text()
    assert LOOKED_UP_LAST in text
    driver.write_text(text.replace(LOOKED_UP_LAST, mistake.partition("\n")[2]))
    said, shown = _asked(broken, tmp_path)
    assert said.startswith(shown)
    for line in story.splitlines():
        assert re.sub(r" +", " ", line.strip()) in re.sub(r" +", " ", said), line
    said, shown = _asked(replayed, tmp_path)
    assert said.startswith(shown)
    assert "--score" in score


def test_the_test_of_the_page_is_the_one_that_is_written() -> None:
    from notifierlab.conformance.skeleton import TEST

    snippet = next(block for kind, block in BLOCKS if kind == "python" and "check_driver" in block)
    written = TEST.substitute(name="mydevice", cls="Mydevice")
    for line in (
        "from mydevice import Mydevice",
        "from notifierlab import check_driver",
        "check_driver(Mydevice, bound=1)",
    ):
        assert line in snippet
        assert line in written


def test_the_options_of_the_page_are_those_of_the_command() -> None:
    from notifierlab.commands.driver import driver

    known = [option for parameter in driver.params for option in parameter.opts]
    for option in re.findall(r"(?<![-\w])--[a-z][a-z-]+", PAGE):
        assert option in known, option
