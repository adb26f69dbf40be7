"""What `benchmarks/finding.py` has measured is not measured again, and what it prints is what was measured."""

from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

HOME = Path(__file__).parent.parent


@pytest.fixture
def finding(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(HOME / "benchmarks"))
    return import_module("finding")


@pytest.fixture
def asked(finding: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """The searches that are made, of a bug that only `pos` finds: its search n in run 10 n."""
    made: list[tuple[str, int, int]] = []

    def needed(_bug: object, strategy: str, seed: int, cap: int) -> int | None:
        n = seed // 1_000_000
        made.append((strategy, n, cap))
        return 10 * n if strategy == "pos" and 10 * n <= cap and n else None

    monkeypatch.setattr(finding, "runs_until_found", needed)
    return made


def measure(finding: ModuleType, cap: int, path: Path | None, seeds: int = 12) -> list[str]:
    notes = finding.Notes(path)
    strategies = ("pos", "surw", "dpor")
    ((_, row),) = finding.measured(finding.YARDSTICK[:1], strategies, finding.Wish(seeds, cap), notes, None)
    return [finding.text_of(row[name]) for name in strategies]


def test_a_search_is_made_once_and_a_hopeless_strategy_given_up(
    finding: ModuleType, asked: list[tuple[str, int, int]], tmp_path: Path
) -> None:
    notes = tmp_path / "notes.json"
    # 10 to 50, and seven times the cap.
    assert measure(finding, 55, notes) == [f"{(150 + 7 * 55) / 12:.1f} (5/12)", "never (10)", "never"]
    assert [sum(name == each for each, _, _ in asked) for name in ("pos", "surw", "dpor")] == [12, 10, 1]

    asked.clear()
    assert measure(finding, 55, notes)[1:] == ["never (10)", "never"]
    assert asked == []


def test_a_greater_cap_asks_only_for_what_was_not_found_and_a_smaller_one_for_nothing(
    finding: ModuleType, asked: list[tuple[str, int, int]], tmp_path: Path
) -> None:
    notes = tmp_path / "notes.json"
    measure(finding, 55, notes)
    asked.clear()
    assert measure(finding, 105, notes)[0] == f"{(550 + 2 * 105) / 12:.1f} (10/12)"
    assert [n for name, n, _ in asked if name == "pos"] == [0, 6, 7, 8, 9, 10, 11]

    asked.clear()
    assert measure(finding, 35, notes) == [f"{(60 + 9 * 35) / 12:.1f} (3/12)", "never (10)", "never"]
    assert asked == []


def test_who_found_nothing_early_is_asked_for_all_seeds_once_a_greater_cap_finds_something(
    finding: ModuleType, asked: list[tuple[str, int, int]], tmp_path: Path
) -> None:
    notes = tmp_path / "notes.json"
    assert measure(finding, 5, notes)[0] == "never (10)"
    assert measure(finding, 1000, notes)[0] == f"{(660 + 1000) / 12:.0f} (11/12)"


def test_a_cell_measured_with_other_sources_is_counted(
    finding: ModuleType, asked: list[tuple[str, int, int]], tmp_path: Path
) -> None:
    notes = tmp_path / "notes.json"
    measure(finding, 55, notes)
    assert finding.Notes(notes).others == 0
    notes.write_text(notes.read_text().replace(import_module("finding_notes").sources(), "elsewhere", 2))
    assert finding.Notes(notes).others == 2

    again = finding.Notes(notes)
    again.forget(["pos", "surw"])
    assert again.others == 0
    assert again.known(finding.YARDSTICK[0].label, "pos").runs == ()


def test_a_bug_is_found_where_the_search_finds_it(finding: ModuleType) -> None:
    bug = finding.YARDSTICK[1]
    assert finding.runs_until_found(bug, "dpor", 0, 50) == 3
    assert finding.runs_until_found(bug, "dpor", 0, 2) is None


def test_a_livelock_is_one_after_fewer_steps_too(finding: ModuleType) -> None:
    (bug,) = [bug for bug in finding.every_mutant() if bug.mutant == "kvm-retries-for-ever"]
    assert finding.runs_until_found(bug, "random", 0, 3) == 1


def test_the_chart_counts_each_mutant_the_same(finding: ModuleType) -> None:
    chart = import_module("finding_chart")
    cells = [finding.Cell(4, (1, None)), finding.Cell(4, (3,)), finding.Cell(4, (None,) * 10), finding.Cell(4, (1,))]
    assert chart.share_by_run(cells, 4) == pytest.approx([0, 3 / 8, 3 / 8, 5 / 8, 5 / 8])
    drawn = chart.drawn([{"hunt": cell, "mine": cell} for cell in cells], 4)
    assert drawn.count('class="line"') == 4
    assert ">mine</text>" in drawn
