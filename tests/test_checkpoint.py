"""A search resumes from its journal, and from no other."""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import ParamSpec, TypeVar

import msgspec
import pytest

from notifierlab.errors import InputError
from notifierlab.explore import shares
from notifierlab.explore.campaign import campaign, Limits
from notifierlab.explore.checkpoint import Checkpoint, Head, head_of
from notifierlab.explore.portion import Quest
from notifierlab.explore.search import SearchResult
from notifierlab.explore.workers import Here
from tests.test_campaign import alone, quest, Toy

P = ParamSpec("P")
T = TypeVar("T")
WHAT = quest(Toy("opposite_locks"), every=True)


@pytest.fixture(autouse=True)
def _small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "PORTION_RUNS", 7)
    monkeypatch.setattr(shares, "PORTION_ROOTS", 3)


class Counting(Here):
    """It counts what it is asked to do."""

    def __init__(self) -> None:
        self.portions = 0

    def submit(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        self.portions += 1
        return super().submit(fn, *args, **kwargs)


def searched(path: Path, bound: int = 2, what: Quest = WHAT) -> tuple[SearchResult, int]:
    workers = Counting()
    checkpoint = Checkpoint(path, head_of(what, what.request.resolve(), 0))
    result = campaign(what, Limits(bound=bound, seed=0), workers, checkpoint=checkpoint, shrinking=False)
    return result, workers.portions


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.93, 1.0])
def test_a_journal_that_was_cut_off_anywhere_is_resumed_with_the_same_result(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "search.jsonl"
    whole, portions = searched(path)
    assert whole == alone(WHAT, Limits(bound=2, seed=0))
    text = path.read_bytes()
    head = text.index(b"\n") + 1
    path.write_bytes(text[: head + int((len(text) - head) * kept)])
    again, rest = searched(path)
    assert again == whole
    assert rest == 0 if kept == 1.0 else 0 < rest <= portions
    assert sorted(path.read_bytes().splitlines()) == sorted(text.splitlines())


def test_a_search_with_a_greater_bound_uses_all_levels_but_the_last(tmp_path: Path) -> None:
    path = tmp_path / "search.jsonl"
    searched(path, bound=1)
    result, portions = searched(path, bound=2)
    assert result == alone(WHAT, Limits(bound=2, seed=0))
    assert portions < searched(tmp_path / "other.jsonl", bound=2)[1]


def test_the_journal_of_another_search_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "search.jsonl"
    searched(path)
    with pytest.raises(InputError, match="is of another search"):
        searched(path, what=quest(Toy("unlocked_count"), every=True))
    with pytest.raises(InputError, match="is of another search"):
        searched(path, what=quest(Toy("opposite_locks"), rules=("deadlock",)))


def test_the_journal_of_other_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "search.jsonl"
    head = head_of(WHAT, WHAT.request.resolve(), 0)
    path.write_bytes(msgspec.json.encode(Head(head.format, head.search, "0123")) + b"\n")
    with pytest.raises(InputError, match="before the scenario, a driver or notifierlab was changed"):
        Checkpoint(path, head)
    path.write_bytes(msgspec.json.encode(Head(99, head.search, head.code)) + b"\n")
    with pytest.raises(InputError, match="has format 99"):
        Checkpoint(path, head)


def test_a_file_that_is_no_journal_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("milk\neggs\n")
    head = head_of(WHAT, WHAT.request.resolve(), 0)
    with pytest.raises(InputError, match="is no checkpoint of a search"):
        Checkpoint(path, head)
    assert path.read_text() == "milk\neggs\n"
    with pytest.raises(InputError, match="Cannot use the checkpoint"):
        Checkpoint(tmp_path / "no" / "folder", head)


def test_a_line_in_the_middle_that_is_no_part_is_named(tmp_path: Path) -> None:
    path = tmp_path / "search.jsonl"
    searched(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"{}\n", *lines[2:]]))
    with pytest.raises(InputError, match="line 3: no part of a checkpoint"):
        searched(path)
