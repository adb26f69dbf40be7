"""How many orders `dpor` executes in a second, and how its cost grows with the length of a run.

Run as `python benchmarks/orders.py`. Seconds are CPU seconds of this process; machines differ,
so each figure stands beside that of an empty coroutine that is resumed as many times as a
run has steps.
"""

import types
from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any

from timing import best_seconds, table, target

from guests.scenarios.yardstick import yardstick
from notifierlab.explore.dpor import Dpor
from notifierlab.explore.happens import Kinds, Taken
from notifierlab.explore.interrupts import stoppable
from notifierlab.explore.races import Race, Races
from notifierlab.explore.run import run_once, RunSpec
from notifierlab.explore.search import rare_collections
from notifierlab.explore.strategies import RandomWalk, Replay
from notifierlab.machine.access import Access, Mode, Step

RUNS = 1500
RUNS_A_SECOND = 3000
LENGTHS = (100, 1000, 10_000)
GROWTH_MAX = 3.0


def executed(guests: int) -> tuple[int, int, list[tuple[int, ...]]]:
    """Search the yardstick; return how many runs and steps were made, and the schedules."""
    spec = RunSpec(name="yardstick", scenario=yardstick, params={"guests": guests})
    strategy, steps = Dpor(), 0
    schedules: list[tuple[int, ...]] = []
    with stoppable(), rare_collections():
        while len(schedules) < RUNS and strategy.new_run():
            result = run_once(spec, strategy)
            steps += result.steps
            schedules.append(result.choices)
    return len(schedules), steps, schedules


def replayed(guests: int, schedules: list[tuple[int, ...]]) -> None:
    """Execute the same runs with nothing recorded and nobody searching."""
    spec = RunSpec(name="yardstick", scenario=yardstick, params={"guests": guests})
    with stoppable(), rare_collections():
        for schedule in schedules:
            run_once(spec, Replay(schedule))


def resumed(steps: int) -> None:
    """Resume an empty coroutine."""

    @types.coroutine
    def give_way() -> Generator[None, None, None]:
        yield

    async def for_ever() -> None:
        while True:
            await give_way()

    coroutine: Coroutine[Any, Any, None] = for_ever()
    for _ in range(steps):
        coroutine.send(None)
    coroutine.close()


def orders() -> None:
    """Print how many checked runs a search makes in a second."""
    rows: list[list[object]] = []
    rates = []
    for guests in (1, 2, 3):
        runs, steps, schedules = executed(guests)
        search, replay, empty = best_seconds(
            partial(executed, guests),
            partial(replayed, guests, schedules),
            partial(resumed, steps),
            passes=3 if runs > 100 else 30,
        )
        rates.append(runs / search)
        rows.append([guests, runs, steps / runs, round(runs / search), round(runs / replay), search / empty])
    columns = ("guests", "runs", "steps a run", "runs a second", "the same, not searched", "x empty coroutine")
    table("the yardstick by dpor, each run checked", columns, rows)
    target(f"at least {RUNS_A_SECOND} runs a second: {min(rates):.0f}", met=min(rates) >= RUNS_A_SECOND)


def a_long_run(length: int) -> list[Step]:
    """Four tasks that take eight locks in turn, read and write what those protect, and count."""
    draw = RandomWalk(1)
    draw.begin_run(None)  # type: ignore[arg-type]  # it looks at no machine
    steps: list[Step] = []
    while len(steps) < length:
        task, n = f"t{draw.choose(4, False, False)}", draw.choose(8, False, False)
        touched = Access(f"x{n}", Mode.READ), Access(f"x{n}", Mode.WRITE)
        steps.append(Step(task, (Access(f"l{n}", Mode.ACQUIRE),)))
        steps.append(Step(task, touched))
        steps.append(Step(task, (Access(f"count{n}", Mode.ADD),)))
        steps.append(Step(task, (Access(f"l{n}", Mode.RELEASE),)))
    return steps[:length]


def analysed(steps: list[Taken]) -> Races:
    """Find the races of a run."""
    races = Races()
    for step in steps:
        races.append(step)
    races.ended(())
    return races


def reversed_all(races: Races, found: list[Race]) -> None:
    """Find for each race what comes before its second step when that comes first."""
    for race in found:
        races.without(race)


def lengths() -> None:
    """Print what it costs to find the races of a run, and to reverse one of them."""
    kinds = Kinds()
    rows: list[list[object]] = []
    costs = []
    for length in LENGTHS:
        steps = [kinds.taken(step) for step in a_long_run(length)]
        known = analysed(steps)
        found = [race for races in known.races for race in races]
        find, plan = best_seconds(partial(analysed, steps), partial(reversed_all, known, found), passes=3)
        costs.append(find / length)
        rows.append([length, len(found), find / length * 1e6, plan / max(1, len(found)) * 1e6])
    table("races of one long run", ("steps", "races", "us a step to find them", "us a race to reverse it"), rows)
    growth = costs[-1] / costs[0]
    target(
        f"a step of a run 100 times as long costs at most {GROWTH_MAX:.0f} times: {growth:.1f}",
        met=growth <= GROWTH_MAX,
    )


def main() -> None:
    """Measure and print."""
    orders()
    lengths()


if __name__ == "__main__":
    main()
