"""Searching from the command line: workers, checkpoints, repetition, lenient replay."""

import json
from pathlib import Path

import pytest

from notifierlab.cli import _guarded

SECRET = """
from drivers.kvm import KvmMmu

class Mine(KvmMmu):
    def __init__(self, mm, name="kvm0", *, vcpus=1):
        super().__init__(mm, name, vcpus=vcpus)
        self.faults = {}

    async def page_fault(self, va):
        self.faults["n"] = self.faults.get("n", 0) + 1
        return await super().page_fault(va)

    async def unmap(self, start, end):
        return bool(self.faults) and await super().unmap(start, end)
"""

TWICE = '''
from itertools import count

RUNS = count()


async def twice(host):
    """Never the same."""
    host.machine.might_sleep(f"for the {next(RUNS)}th time")
'''


@pytest.fixture(autouse=True)
def _in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.mark.slow
def test_a_checkpoint_is_resumed_and_says_how_much_it_had(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    search = ["explore", "founding-race", "--bound", "1", "--checkpoint", "search.jsonl"]
    assert _guarded(search) == 0
    first = capsys.readouterr().out
    assert _guarded(search) == 0
    second = capsys.readouterr().out
    assert "note: search.jsonl had 84 of the runs" in second
    assert (
        first.splitlines()[2]
        == second.splitlines()[2]
        == ("  within: all 84 orders with at most 1 preemption or fault")
    )
    assert _guarded([*search, "--strict"]) == 2
    assert "search.jsonl is of another search" in capsys.readouterr().err


@pytest.mark.slow
def test_one_job_finds_what_a_search_without_jobs_finds(capsys: pytest.CaptureFixture[str]) -> None:
    search = ["explore", "founding-race", "--mutant", "no-take-all-locks", "--strategy", "bounded", "--json"]
    answers = []
    for more in ([], ["--jobs", "1"]):
        assert _guarded([*search, *more]) == 1
        answers.append(json.loads(capsys.readouterr().out))
        del answers[-1]["seconds"]
    assert answers[0] == answers[1]
    assert "young-lost" in answers[0]["not_exercised"]


def test_a_scenario_that_does_not_repeat_itself_is_wrong_use(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "twice.py").write_text(TWICE)
    assert _guarded(["explore", "twice.py:twice"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("Error: scenario 'twice.py:twice' does not repeat itself")
    assert "for the 0th time" in told
    assert f"at     {tmp_path / 'twice.py'}:9" in told
    assert _guarded(["explore", "twice.py:twice", "--repeat-every", "0"]) == 0


def test_a_driver_with_a_secret_is_wrong_use_where_orders_are_left_out(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(SECRET)
    search = ["explore", "kvm-fault-vs-munmap", "--driver", "mine.py:Mine", "--quiet"]
    assert _guarded([*search, "--strategy", "dpor"]) == 2
    told = capsys.readouterr().err
    assert "task kvm0.vcpu0 changed `Mine.faults['n']`, which task unmapper may use as well" in told
    assert f"changed  {tmp_path / 'mine.py'}:10\n" in told
    assert f"used     {tmp_path / 'mine.py'}:14 (task unmapper)\n" in told
    assert _guarded([*search, "--strategy", "dpor", "--runs", "40", "--audit-every", "0"]) == 0
    assert _guarded([*search, "--runs", "40"]) == 2
    assert _guarded([*search, "--runs", "40", "--strategy", "bounded"]) == 0


def test_a_strategy_that_cannot_be_shared_out_is_refused_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert _guarded(["explore", "founding-race", "--strategy", "states", "--jobs", "2"]) == 2
    assert "--jobs, --cluster and --checkpoint go with all others" in capsys.readouterr().err


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert _guarded(["explore", "founding-race", "--cluster", "nowhere:not-a-port"]) == 2
    assert "Error: " in capsys.readouterr().err


@pytest.mark.slow
def test_a_lenient_replay_follows_a_log_of_another_driver_and_says_where_it_could_not(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert _guarded(["explore", "founding-race", "--mutant", "no-take-all-locks", "--log", "run.jsonl"]) == 1
    log = tmp_path / "run.jsonl"
    log.write_text(log.read_text().replace('"mutants":["no-take-all-locks"]', '"mutants":[]', 1))
    capsys.readouterr()

    assert _guarded(["replay", "run.jsonl"]) == 3
    assert capsys.readouterr().out.startswith("different: ")
    assert _guarded(["replay", "run.jsonl", "--lenient"]) == 0
    told = capsys.readouterr().out
    assert "of the log (vm) no longer exists; from there the run went on calmly:" in told
    assert "this one run, as the log says up to step" in told
    assert _guarded(["replay", "run.jsonl", "--lenient", "--then", "random", "--seed", "4"]) in (0, 1)
    assert "then by random, seed 4" in capsys.readouterr().out


def test_a_lenient_replay_of_an_unchanged_log_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert _guarded(["run", "founding-race", "--seed", "3", "--log", "run.jsonl"]) == 0
    assert _guarded(["replay", "run.jsonl", "--lenient"]) == 0
    assert "same: all" in capsys.readouterr().out
