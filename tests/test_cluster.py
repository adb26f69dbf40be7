"""A search on a Dask cluster is the search of one process, also when a worker is killed."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from notifierlab.explore.workers import Cluster
from notifierlab.machine.sched import LabError
from tests.test_campaign_command import answer, lines_in, start, waited

HAS_DASK = importlib.util.find_spec("distributed") is not None
Process = subprocess.Popen[bytes]


class Dask:
    """A scheduler with two workers on loopback."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = folder / "scheduler.json"
        self._log = (folder / "dask.log").open("wb")
        self.processes = [
            self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show"),
            *(
                self._start("worker", "--nthreads", "1", "--no-nanny", "--no-dashboard", "--name", name)
                for name in ("one", "two")
            ),
        ]

    @property
    def address(self) -> str:
        """Where the scheduler listens, once both workers have come."""
        assert waited(lambda: self.place.exists() and self.told().count("Registered to") >= 2), self.told()
        return str(json.loads(self.place.read_text())["address"])

    def told(self) -> str:
        return (self.folder / "dask.log").read_text()

    def end(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()
        self._log.close()

    def _start(self, what: str, *arguments: str) -> Process:
        module = f"distributed.cli.dask_{what}"
        command = [sys.executable, "-m", module, "--scheduler-file", str(self.place), *arguments]
        return subprocess.Popen(command, cwd=self.folder, stdout=self._log, stderr=self._log, env=os.environ)


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Dask]:
    cluster = Dask(tmp_path)
    yield cluster
    cluster.end()


@pytest.mark.slow
@pytest.mark.skipif(not HAS_DASK, reason="distributed is not installed: pip install 'notifierlab[cluster]'")
@pytest.mark.parametrize("strategy", ["bounded", "dpor"])
def test_a_cluster_that_loses_a_worker_finds_and_counts_what_one_process_does(
    dask: Dask, tmp_path: Path, strategy: str
) -> None:
    whole = answer(start("--strategy", strategy, "--jobs", "1", cwd=tmp_path))
    file = tmp_path / "search.jsonl"
    process = start("--strategy", strategy, "--cluster", dask.address, "--checkpoint", str(file), cwd=tmp_path)
    assert waited(lambda: lines_in(file) > 3)
    os.kill(dask.processes[1].pid, signal.SIGKILL)
    assert answer(process) == whole
    assert process.returncode == 0


@pytest.mark.skipif(HAS_DASK, reason="distributed is installed")
def test_a_cluster_without_its_library_says_what_to_install() -> None:
    with pytest.raises(LabError, match=r"pip install 'notifierlab\[cluster\]'"):
        Cluster("127.0.0.1:8786")
