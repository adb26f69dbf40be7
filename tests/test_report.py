"""What people see: tables, verdicts, colours, progress."""

import io

import pytest

from notifierlab.events import Violation
from notifierlab.report.outcome import LISTED_MAX, Outcome
from notifierlab.report.paint import painted, wants_colour
from notifierlab.report.progress import ProgressLine
from notifierlab.report.table import table


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Now:
    """What a search tells of itself."""

    def __init__(self, runs: int = 1000, *, level: int | None = 2, unit: str = "orders") -> None:
        self.runs = runs
        self.level = level
        self.unit = unit

    orders = 600
    left = 1400
    found = ("unpaired-end",)


def _violation(n: int) -> Violation:
    return Violation(rule="unpaired-end", message=f"the {n}th", step=n, task="main", objects=(f"win{n}.0",))


def _outcome(verdict: str, *violations: Violation, interrupted: bool = False) -> Outcome:
    return Outcome(
        about="x", verdict=verdict, violations=violations, runs=3, steps=12345, seconds=0.5, interrupted=interrupted
    )


@pytest.mark.parametrize(
    ("verdict", "status"), [("proved", 0), ("no-violation-within", 0), ("violated", 1), ("undecided", 3)]
)
def test_each_verdict_has_its_exit_status(verdict: str, status: int) -> None:
    assert _outcome(verdict).exit_status == status
    assert _outcome(verdict, interrupted=True).exit_status == 130


def test_an_outcome_says_what_it_rests_on() -> None:
    text = _outcome("no-violation-within").as_text()

    assert text.startswith("no violation  x\n")
    assert "3 runs, 12 345 steps, 0.50 s, 6 runs/s" in text


def test_a_flood_of_violations_is_counted_in_text_and_whole_in_json() -> None:
    outcome = _outcome("violated", *(_violation(n) for n in range(LISTED_MAX + 7)))
    found = outcome.as_json()["violations"]

    assert "... and 7 more" in outcome.as_text()
    assert isinstance(found, list)
    assert len(found) == LISTED_MAX + 7


def test_no_line_of_a_table_is_wider_than_the_page() -> None:
    text = table([("a", "word " * 40), ("bb", "short")], head=("name", "what"), width=60)

    assert max(len(line) for line in text.splitlines()) <= 60
    assert text.splitlines()[0] == "name  what"
    assert table([]) == ""


def test_colours_change_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "VIOLATED  x\n━━━▶  here\n───▶  there\nno violation  y\nundecided  z\n  plain\n"
    coloured = painted(text)

    for code in ("31", "33", "32", "1", "0"):
        coloured = coloured.replace(f"\x1b[{code}m", "")
    assert coloured == text
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert wants_colour(Terminal())
    assert not wants_colour(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_colour(Terminal())


def test_progress_on_a_terminal_is_a_line_that_changes_with_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    terminal = Terminal()

    with ProgressLine(terminal) as live:
        for now in (0.1, 1.0, 11.0):
            clock[0] = now
            live(Now())

    assert terminal.getvalue().count("1000 runs, ") == 2
    assert "1000 runs, 90 runs/s, now with 2 preemptions or faults: 600 orders, about 1400 left" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_progress_elsewhere_is_a_line_whenever_the_runs_have_doubled() -> None:
    def written(*runs: int) -> list[str]:
        file = io.StringIO()
        with ProgressLine(file) as plain:
            for count in runs:
                plain(Now(runs=count))
        return [line.partition(",")[0] for line in file.getvalue().splitlines()]

    assert written(*range(1, 1100)) == ["256 runs", "512 runs", "1024 runs"]
    # Workers report many runs at once.
    assert written(100, 700, 900, 5000, 5001) == ["700 runs", "5000 runs"]
    assert written(*range(1, 256)) == []


def test_quiet_is_no_progress_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    files = Terminal(), io.StringIO()
    for file in files:
        with ProgressLine(file, quiet=True) as quiet:
            clock[0] += 100
            quiet(Now())

    assert [file.getvalue() for file in files] == ["", ""]


def test_a_search_that_does_not_go_by_deviations_says_what_it_counts() -> None:
    file = io.StringIO()
    with ProgressLine(file) as plain:
        plain(Now(level=None, unit="states"))
    assert file.getvalue() == "1000 runs, 600 states, about 1400 left, found unpaired-end\n"


def test_a_quick_search_shows_no_progress_at_all() -> None:
    terminal = Terminal()
    with ProgressLine(terminal) as live:
        live(Now())

    assert terminal.getvalue() == ""
