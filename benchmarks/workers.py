"""How much sooner several processes end the same search, by levels and by orders, their start included.

Run as `python benchmarks/workers.py [RUNS]`, on a machine that has nothing else to do: unlike
the other benchmarks it measures seconds, since that is what more processes are for.
"""

import os
import sys
import time

from timing import table, target

from notifierlab.explore.campaign import campaign, Limits
from notifierlab.explore.portion import Quest
from notifierlab.explore.repeat import REPEAT_EVERY
from notifierlab.explore.search import SearchResult
from notifierlab.explore.tally import Wanted
from notifierlab.explore.workers import workers_for
from notifierlab.request import Request

RUNS = 12_000
SPEED_UP_MIN = 1.7
PASSES = 2
PAGES = {"bounded": 1, "dpor": 2}
"""Of the founding race: enough for a search of some ten seconds, or the start of the processes counts too much."""


def measured(strategy: str, jobs: int, runs: int) -> tuple[SearchResult, float]:
    """A search of `founding-race`, and its seconds: the best of some passes."""
    request = Request(scenario="founding-race", params={"pages": PAGES[strategy]})
    quest = Quest(request=request, strategy=strategy, wanted=Wanted(), repeat_every=REPEAT_EVERY)
    seconds: list[float] = []
    for _ in range(PASSES):
        begin = time.perf_counter()
        result = campaign(quest, Limits(bound=3, seed=0, runs=runs), workers_for(jobs, None))
        seconds.append(time.perf_counter() - begin)
    return result, min(seconds)


def compared(strategy: str, runs: int) -> None:
    """Print how much sooner more processes end a search, and check that they come to the same."""
    results: list[SearchResult] = []
    seconds: list[float] = []
    rows: list[list[object]] = []
    for jobs in (1, *range(2, (os.cpu_count() or 1) + 1)):
        result, took = measured(strategy, jobs, runs)
        results.append(result)
        seconds.append(took)
        rows.append([jobs, took, int(result.runs / took), seconds[0] / took])
    title = f"{results[0].runs} runs of founding-race pages={PAGES[strategy]} by {strategy}: {results[0].bound}"
    table(title, ["processes", "seconds", "runs/s", "times as fast as one"], rows)
    assert all(result == results[0] for result in results), "the result hangs on the number of processes"
    if len(seconds) > 1:
        text = f"two processes are {seconds[0] / seconds[1]:.2f} times as fast as one (at least {SPEED_UP_MIN})"
        target(text, met=seconds[0] / seconds[1] >= SPEED_UP_MIN)


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    for strategy in ("bounded", "dpor"):
        compared(strategy, runs)


if __name__ == "__main__":
    main()
