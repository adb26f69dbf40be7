"""What docs/pytest.md shows is what happens."""

import re
from pathlib import Path

import pytest

# Imported here, they are the same modules in every session below.
import drivers.broken  # noqa: F401
import notifierlab.pytest_plugin.trial  # noqa: F401

pytest_plugins = ["pytester"]

TEXT = (Path(__file__).parent.parent / "docs" / "pytest.md").read_text(encoding="utf-8")


def block(kind: str, word: str) -> str:
    """The fenced block of that kind that has the word in it."""
    (found,) = [text for text in re.findall(rf"```{kind}\n(.*?)```", TEXT, re.DOTALL) if word in text]
    return str(found)


def run(pytester: pytest.Pytester, name: str, word: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(**{name: block("python", word)})
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", "-W", "error", *arguments)


@pytest.mark.slow
def test_the_first_example_and_what_it_amounts_to(pytester: pytest.Pytester) -> None:
    result = run(pytester, "test_guest", "never_keeps")

    result.assert_outcomes(passed=1)
    # How many orders there are changes with the model.
    shown = re.sub(r"\d+ orders", "N orders", block("text", "no violation").strip())
    assert shown in [re.sub(r"\d+ orders", "N orders", line) for line in result.outlines]


def test_fixtures_made_from_ours(pytester: pytest.Pytester) -> None:
    run(pytester, "test_pages", "def area").assert_outcomes(passed=2)


def test_a_failure_ends_as_shown(pytester: pytest.Pytester) -> None:
    result = run(pytester, "test_wrong", "KvmStartNeverClears")

    result.assert_outcomes(failed=1)
    for line in block("text", "replay  ").splitlines():
        assert line in result.outlines


@pytest.mark.parametrize("arguments", [(), ("-p", "no:trio")], ids=["with pytest-trio", "without"])
def test_one_run_on_trio(pytester: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    run(pytester, "test_once", "import trio", *arguments).assert_outcomes(passed=1)


def test_every_argument_of_the_marker_is_explained() -> None:
    from notifierlab.pytest_plugin.marker import Settings

    table = TEXT.partition("## The marker")[2].partition("## When")[0]
    assert [name for name in Settings.model_fields if f"`{name}`" not in table] == []


def test_every_example_is_run() -> None:
    blocks = re.findall(r"```(\w+)\n", TEXT)

    assert (blocks.count("python"), blocks.count("text"), len(blocks)) == (4, 2, 6)
