"""What README and docs show is what happens: each page is run as a session in a folder of its own."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import click
import pytest

from notifierlab.cli import notifierlab
from notifierlab.config import defaults_from
from tests.pages import Block, blocks, changed, commands, HOME, is_like, name_of, pages

NOT_RUN_MAX = 6

KINDS = ("console", "diff", "python", "sh", "toml", "yaml")

OTHERS_OPTIONS = {"--junit-xml"}

EVERY_BLOCK = [block for page in pages() for block in blocks(page)]

RUNNABLE = [page for page in pages() if any(block.kind in ("console", "python", "sh") for block in blocks(page))]


# --- sessions -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("page", RUNNABLE, ids=name_of)
def test_the_page_is_a_session_that_really_happens(page: Path, tmp_path: Path) -> None:
    # As in a clone of the repository, with an environment in `.venv`.
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (tmp_path / "drivers").symlink_to(HOME / "drivers")
    for block in blocks(page):
        if not block.not_run and block.kind in PLAYERS:
            PLAYERS[block.kind](block, tmp_path)


def _play_shell(block: Block, folder: Path) -> None:
    _run(block.text, block, folder)


def _play_console(block: Block, folder: Path) -> None:
    for n, (command, shown) in enumerate(commands(block.text)):
        printed = _run(command, block, folder, n)
        assert is_like(shown, printed), f"{block.place}: $ {command}\nshows\n{shown}\nbut prints\n{printed}"


def _play_python(block: Block, folder: Path) -> None:
    named = re.match(r"# (\w+\.py)\n", block.text)
    if named is not None:
        (folder / named[1]).write_text(block.text, encoding="utf-8")
        return
    (folder / "snippet_of_docs.py").write_text(block.text, encoding="utf-8")
    _run("python -W error snippet_of_docs.py", block, folder)


def _play_diff(block: Block, folder: Path) -> None:
    named = re.search(r"^\+\+\+ (\S+)$", block.text, re.MULTILINE)
    assert named is not None, f"{block.place} names no file"
    file = folder / named[1]
    file.write_text(changed(file.read_text(encoding="utf-8"), block.text), encoding="utf-8")


def _play_job(block: Block, folder: Path) -> None:
    steps = re.findall(r"- run: (.*)", block.text)
    assert steps, f"{block.place} runs nothing"
    for step in steps:
        if not step.startswith("pip install"):
            _run(step, block, folder)


PLAYERS = {
    "sh": _play_shell,
    "console": _play_console,
    "python": _play_python,
    "diff": _play_diff,
    "yaml": _play_job,
}


def _run(command: str, block: Block, folder: Path, n: int = 0) -> str:
    """Run a command as a reader would; return what it printed."""
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env={**_environment(), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == block.status(n), f"{block.place}: {command}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


def _environment() -> dict[str, str]:
    """Ours, without what pytest and its plugins put there for themselves."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV_", "COVERAGE"))}
    return {**own, "COLUMNS": "100", "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"}


# --- what a page may claim ------------------------------------------------------------


def test_every_block_is_of_a_kind_that_is_run() -> None:
    # What stands in braces is made by the generator of the pages.
    fences = {
        name_of(page): len(re.findall(r"^```\w", page.read_text(encoding="utf-8"), re.MULTILINE)) for page in pages()
    }
    counted = {name: sum(block.page == name for block in EVERY_BLOCK) for name in fences}

    assert fences == counted
    assert [block.place for block in EVERY_BLOCK if block.kind not in KINDS] == []


def test_few_blocks_are_not_run_and_each_says_why() -> None:
    not_run = [block for block in EVERY_BLOCK if block.not_run]

    assert len(not_run) <= NOT_RUN_MAX, [block.place for block in not_run]
    assert all(len(block.not_run.split()) > 3 for block in not_run)


@pytest.mark.parametrize(
    "block", [block for block in EVERY_BLOCK if block.kind == "toml"], ids=lambda block: block.place
)
def test_what_is_shown_of_pyproject_is_understood(block: Block, tmp_path: Path) -> None:
    place = tmp_path / "pyproject.toml"
    place.write_text(block.text)
    if "[tool.notifierlab]" in block.text:
        assert defaults_from(place, notifierlab.commands)
    else:
        assert re.search(r'^\[project\.entry-points\."notifierlab\.\w+"\]\n[\w-]+ = "[\w.]+:\w+"\n', block.text)


def test_the_two_jobs_of_readme_are_commands_that_ci_takes_from_it() -> None:
    text = (HOME / "README.md").read_text(encoding="utf-8")
    for heading in ("## Run it", "## Test it"):
        block = re.search(rf"^{heading}$.*?```sh\n(.*?)```", text, re.DOTALL | re.MULTILINE)
        assert block is not None
        assert block[1].startswith("python3 -m venv .venv\n.venv/bin/pip install ")


def test_every_name_of_ours_is_one() -> None:
    from notifierlab import catalogue
    from notifierlab.checker import RULES
    from notifierlab.mm.profile import SWITCHES

    (strategies,) = [option for option in notifierlab.commands["explore"].params if option.name == "strategy"]
    assert isinstance(strategies.type, click.Choice)
    known = {
        *(rule.id for rule in RULES),
        *catalogue.mutants(),
        *catalogue.scenario_names(),
        *(switch.replace("_", "-") for switch in SWITCHES),
        *strategies.type.choices,
    }
    unknown = [
        f"{name_of(page)}: {name}"
        for page in pages()
        for name in re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+)+)`", _prose(page))
        if name not in known
    ]
    assert unknown == []


def test_every_command_and_option_is_one() -> None:
    ours = {
        option
        for command in (notifierlab, *notifierlab.commands.values())
        for parameter in command.params
        for option in parameter.opts
    }
    plugin = (HOME / "notifierlab" / "pytest_plugin" / "__init__.py").read_text(encoding="utf-8")
    ours.update(re.findall(r'"(--[a-z-]+)"', plugin))
    asked = [
        (name_of(page), span) for page in pages() for span in re.findall(r"`((?:notifierlab |--)[^`]+)`", _prose(page))
    ]
    assert len(asked) > 50
    assert [
        (page, span)
        for page, span in asked
        if not set(re.findall(r"(?<!\S)--[a-z][a-z-]+", span)) <= ours | OTHERS_OPTIONS
        or not set(re.findall(r"^notifierlab ([a-z]+)", span)) <= set(notifierlab.commands)
    ] == []


def _prose(page: Path) -> str:
    """The text of a page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def test_every_simplification_of_the_model_is_gathered() -> None:
    gather = runpy.run_path(str(HOME / "docs" / "_ext" / "model.py"))
    gathered = [each for _, found in gather["simplifications"](HOME) for each in found]
    stand = [
        line
        for root in gather["ROOTS"]
        for path in (HOME / root).rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if "Model: " in line
    ]

    assert len(gathered) == len(stand) > 30
    assert [sentence for _, sentence in gathered if not sentence.endswith(".")] == []


def test_a_simplification_ends_where_its_paragraph_does() -> None:
    sentences = runpy.run_path(str(HOME / "docs" / "_ext" / "model.py"))["sentences"]
    source = '''"""A room. Model: it has
no windows.
Model: nor doors.

It is dark.
"""
# Model: nobody
# enters.
x = 1  # whatever
'''
    assert sentences(source) == [(1, "it has no windows."), (3, "nor doors."), (7, "nobody enters.")]


def test_the_test_of_a_new_driver_is_the_one_that_is_written() -> None:
    from notifierlab.conformance.skeleton import TEST

    (shown,) = [block.text for block in EVERY_BLOCK if block.page == "docs/drivers.md" and "# test_my" in block.text]
    written = TEST.substitute(name="mydevice", cls="Mydevice")
    for line in (
        "from mydevice import Mydevice",
        "from notifierlab import check_driver",
        "check_driver(Mydevice, bound=1)",
    ):
        assert line in shown
        assert line in written


def test_every_argument_of_the_marker_is_explained() -> None:
    from notifierlab.pytest_plugin.marker import Settings

    text = (HOME / "docs" / "pytest.md").read_text(encoding="utf-8")
    table = text.partition("## The marker")[2].partition("## When")[0]
    assert [name for name in Settings.model_fields if f"`{name}`" not in table] == []
