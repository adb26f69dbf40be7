"""Every violation that is kept is still one: its log is judged, run again and told as it was."""

from pathlib import Path

import pytest

from notifierlab import bench, recheck
from notifierlab.cli import _guarded
from notifierlab.errors import InputError
from notifierlab.events import Violation
from tests.story_book import HOME, log_of, PLACE, STORIES, story_of

LOG_BYTES_MAX = 60_000
STORY_LINES_MAX = 70


@pytest.fixture(autouse=True)
def at_the_top(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HOME)


def test_nothing_is_kept_that_nobody_looks_at() -> None:
    kept = sorted(path.name for path in Path(PLACE).iterdir())
    assert kept == sorted(f"{name}{suffix}" for name in STORIES for suffix in (".jsonl", ".txt"))


@pytest.mark.parametrize("name", STORIES)
def test_a_kept_log_gets_the_verdict_that_it_has(name: str) -> None:
    with recheck.open_log(str(log_of(name))) as file:
        checked = recheck.check_log(file, name)

    assert checked.claimed is not None
    assert checked.violations == checked.claimed.violations
    assert checked.verdict == checked.claimed.verdict == "violated"
    assert STORIES[name].rule in [violation.rule for violation in checked.violations]
    assert log_of(name).stat().st_size < LOG_BYTES_MAX


@pytest.mark.parametrize("name", STORIES)
def test_a_kept_log_runs_again_event_by_event(name: str) -> None:
    outcome, comparison = bench.replay_log(str(log_of(name)))

    assert comparison.startswith("same: ")
    assert outcome.verdict == "violated"


@pytest.mark.parametrize("name", STORIES)
def test_a_kept_story_is_told_in_the_same_words(name: str) -> None:
    kept = log_of(name).with_suffix(".txt").read_text()
    told, _, _ = kept.partition("\nwhy\n")

    assert story_of(name, why=False).startswith(told)
    assert len(kept.splitlines()) <= STORY_LINES_MAX


@pytest.mark.slow
@pytest.mark.parametrize("name", STORIES)
def test_a_kept_story_gives_the_same_reasons(name: str) -> None:
    assert story_of(name, why=True) == log_of(name).with_suffix(".txt").read_text()


def test_the_command_tells_all_with_full_and_why_with_why(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    log = str(log_of("unregister-too-soon"))
    assert _guarded(["story", log]) == 1
    short = capsys.readouterr().out
    assert _guarded(["story", log, "--full", "--why"]) == 1
    full = capsys.readouterr().out

    assert "takes mm0.mmap_sem" not in short
    assert "takes mm0.mmap_sem" in full
    assert "\nwhy\n" not in short
    assert "  no way back   after step 76, destroy: kvm0 is unregistered\n" in full
    assert short.endswith(f"replay  notifierlab replay {log}\n")
    assert full.endswith(f"replay  notifierlab replay {log}\n")


def test_a_log_that_was_cut_off_cannot_be_asked_why(tmp_path: Path) -> None:
    lines = log_of("founding-race").read_bytes().splitlines(keepends=True)
    (tmp_path / "cut.jsonl").write_bytes(b"".join(lines[:-1]))
    reader, _ = recheck.read_log(str(tmp_path / "cut.jsonl"))
    with pytest.raises(InputError, match="was cut off"):
        bench.why(reader, Violation(rule="deadlock", message="", step=0, task="", objects=()))
