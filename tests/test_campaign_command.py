"""A search over processes by the command line: killed, stopped, and gone on with."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RUNS = 1200
SEARCH = [
    sys.executable,
    "-m",
    "notifierlab",
    "explore",
    "founding-race",
    "--strategy",
    "bounded",
    "--runs",
    str(RUNS),
    "--json",
]


def start(*arguments: str, cwd: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*SEARCH, *arguments], cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ
    )


def waited(condition: Callable[[], bool], seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def answer(process: "subprocess.Popen[str]") -> dict[str, Any]:
    out, err = process.communicate(timeout=120)
    assert out, err
    result: dict[str, Any] = json.loads(out)
    del result["seconds"], result["notes"]
    return result


def lines_in(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["bounded", "dpor"])
def test_a_search_that_was_killed_goes_on_from_its_checkpoint(tmp_path: Path, strategy: str) -> None:
    file = tmp_path / "search.jsonl"
    how = ("--strategy", strategy)
    whole = answer(start(*how, "--jobs", "1", cwd=tmp_path))
    first = start(*how, "--jobs", "2", "--checkpoint", str(file), cwd=tmp_path)
    assert waited(lambda: lines_in(file) > 3)
    workers = _children(first.pid)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert waited(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers)), "its workers live on"
    kept = lines_in(file)
    again = start(*how, "--checkpoint", str(file), cwd=tmp_path)
    assert answer(again) == whole
    assert lines_in(file) > kept


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in tasks.read_text().split()] if tasks.exists() else []


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--jobs", "2")])
def test_ctrl_c_prints_what_is_known(tmp_path: Path, more: tuple[str, ...]) -> None:
    file = tmp_path / "search.jsonl"
    process = start("--checkpoint", str(file), *more, cwd=tmp_path)
    assert waited(lambda: lines_in(file) > 3)
    process.send_signal(signal.SIGINT)
    result = answer(process)
    assert (process.returncode, result["verdict"], result["interrupted"]) == (130, "undecided", True)
    assert 0 < result["runs"] < RUNS
    assert "orders" in result["bound"]
