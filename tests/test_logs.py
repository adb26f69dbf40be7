"""A log says the same as the run: checked again it gives the live verdict, run again the same events."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, HealthCheck, settings, strategies as st

from notifierlab import bench, catalogue, recheck
from notifierlab.errors import InputError
from notifierlab.reading import LogError
from notifierlab.request import Request

SCENARIOS = catalogue.scenario_names()
Write = Callable[[Request, int | None], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Runs a request and gives the place of its log."""

    def write(request: Request, seed: int | None) -> Path:
        path = tmp_path / "run.jsonl"
        bench.run(request, seed=seed, rules=(), log=path)
        return path

    return write


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_check_gives_the_live_verdict_and_replay_the_same_log(scenario: str, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    live = bench.run(Request(scenario=scenario, profile="v2_6_27"), seed=5, rules=(), log=path)

    checked = recheck.check_logs([str(path)], strict=False, rules=())
    assert (checked.verdict, checked.violations) == (live.verdict, live.violations)
    assert (checked.steps, checked.events) == (live.steps, live.events)
    replayed, text = bench.replay_log(str(path))
    assert text.startswith(f"same: all {live.events} events")
    assert replayed.violations == live.violations


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_both_carriers_write_the_same_events_and_verdict(scenario: str, write: Write) -> None:
    bare = write(Request(scenario=scenario, carrier="bare"), 2).read_bytes().splitlines()
    trio = write(Request(scenario=scenario, carrier="trio"), 2).read_bytes().splitlines()

    assert bare[1:] == trio[1:]
    assert {**json.loads(bare[0]), "carrier": "trio"} == json.loads(trio[0])


def test_a_kept_log_holds_what_is_needed_to_run_it_again(write: Write) -> None:
    request = Request(
        scenario="founding-race",
        params={"pages": "2"},
        profile="v2_6_32",
        switches={"free-after-end": "on"},
        mutants=("no-take-all-locks",),
        strict=True,
    )
    path = write(request, 3)
    header = json.loads(path.read_bytes().splitlines()[0])

    assert header["params"]["pages"] == 2
    assert header["switches"]["free_after_end"] is True
    assert header["switches"]["unlink_before_release"] is True
    assert (header["profile"], header["mutants"], header["seed"]) == ("v2_6_32", ["no-take-all-locks"], 3)
    assert header["strict"] is True
    assert bench.replay_log(str(path))[1].startswith("same: all")


def test_a_log_that_was_cut_off_is_replayed_as_far_as_it_goes(write: Write) -> None:
    path = write(Request(scenario="kvm-fault-vs-munmap"), 4)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:30]) + lines[30][:7])

    outcome, text = bench.replay_log(str(path))
    assert text == "same: all 29 events; the log ends there, the run would go on\n"
    assert outcome.verdict == "undecided"


def test_a_lock_inversion_that_only_two_logs_show_is_found(tmp_path: Path) -> None:
    from notifierlab.events import LockAcquired, LockReleased
    from notifierlab.trace import Writer
    from tests.sample_log import HEADER

    for name, first, second in (("a", "outer_lock", "inner_lock"), ("b", "inner_lock", "outer_lock")):
        with Writer.to(tmp_path / name, HEADER) as log:
            for step, lock in enumerate((first, second)):
                log(LockAcquired(step, "main", f"my.{lock}", lock, "write", "wait"))
            for lock in (second, first):
                log(LockReleased(2, "main", f"my.{lock}", lock, "write"))
            log.end(ended="complete", violations=(), steps=3, choices=())

    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    assert recheck.check_logs([a], strict=False, rules=()).verdict == "no-violation-within"
    both = recheck.check_logs([a, b], strict=False, rules=())
    assert [violation.rule for violation in both.violations] == ["lock-order"]
    assert both.where == ("together",)
    assert recheck.check_logs([a, b], strict=False, rules=("deadlock",)).violations == ()


_places = st.integers(0, 10_000)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(["remove", "swap", "copy", "task", "pfn", "mm"]), at=_places, to=_places)
def test_a_real_log_with_an_edit_is_refused_or_judged(kind: str, at: int, to: int, tmp_path: Path) -> None:
    whole = tmp_path / "whole.jsonl"
    if not whole.exists():
        bench.run(Request(scenario="churn"), seed=1, rules=(), log=whole)
    lines = whole.read_bytes().splitlines(keepends=True)
    n, m = 1 + at % (len(lines) - 2), 1 + to % (len(lines) - 2)
    if kind == "remove":
        del lines[n]
    elif kind == "swap":
        lines[n], lines[m] = lines[m], lines[n]
    elif kind == "copy":
        lines.insert(m, lines[n])
    else:
        line = json.loads(lines[n])
        if kind in line:
            line[kind] = json.loads(lines[m]).get(kind, line[kind])
        lines[n] = json.dumps(line).encode() + b"\n"
    # Steps and the count of events are mended, so that the checker is reached and not only the reader.
    edited = [json.loads(line) for line in lines]
    for step, line in enumerate(edited[1:-1]):
        line["step"] = step
    edited[-1]["events"] = len(edited) - 2
    path = tmp_path / "edited.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in edited))

    try:
        outcome = recheck.check_logs([str(path)], strict=True, rules=())
    except LogError as error:
        assert str(error)
    else:
        assert outcome.verdict in ("violated", "no-violation-within")


def test_a_run_that_waits_for_trio_itself_says_so_and_is_not_replayed(tmp_path: Path) -> None:
    (tmp_path / "sleepy.py").write_text(
        "import trio\n\n\n"
        "async def sleepy(host):\n"
        "    '''A scenario that waits for the clock.'''\n"
        "    async with host.together() as tasks:\n"
        "        tasks.start(trio.sleep, 0.001, name='sleeper')\n"
    )
    path = tmp_path / "run.jsonl"
    request = Request(scenario=f"{tmp_path / 'sleepy.py'}:sleepy", carrier="trio")
    outcome = bench.run(request, seed=None, rules=(), log=path)

    assert outcome.verdict == "no-violation-within"
    assert json.loads(path.read_bytes().splitlines()[0])["external"] is True
    assert recheck.check_logs([str(path)], strict=False, rules=()).verdict == "no-violation-within"
    with pytest.raises(InputError, match="waited for trio itself"):
        bench.replay_log(str(path))
