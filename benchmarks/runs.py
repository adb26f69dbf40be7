"""How many checked runs a search makes in a second, and where the time goes.

Each line is compared with the same runs where nobody listens, and with an empty loop of
`coro.send` over as many steps: less than that no bench of coroutines can cost. Run as
`python benchmarks/runs.py`.
"""

import types
from collections.abc import Generator
from dataclasses import replace
from functools import partial

from timing import best_seconds, table, target

from notifierlab.explore.run import run_once, RunSpec
from notifierlab.explore.search import explore
from notifierlab.explore.strategies import Bounded, Calm, RandomWalk, Strategy
from notifierlab.host import Host
from notifierlab.machine.carriers import new_machine, run_machine
from notifierlab.request import Request

RUNS = 300
YARDSTICK_RUNS = 2000


def without_checker(spec: RunSpec, strategy: Strategy, runs: int = RUNS) -> int:
    """Run with nobody listening; return how many steps that took."""
    steps = 0
    for _ in range(runs):
        strategy.new_run()
        machine = new_machine(spec.carrier, strategy.choose)
        strategy.begin_run(machine)
        host = Host(machine, spec.profile, spec.mutants, spec.drivers)
        run_machine(machine, partial(spec.scenario, host, **spec.params))
        steps += machine.steps
    return steps


def checked(spec: RunSpec, strategy: Strategy) -> None:
    """Run and judge, one by one."""
    for _ in range(RUNS):
        strategy.new_run()
        run_once(spec, strategy)


@types.coroutine
def forever() -> Generator[None, None, None]:
    """Give way again and again."""
    while True:
        yield


def sends(steps: int) -> None:
    """An empty loop over as many steps."""
    coro = forever()
    for _ in range(steps):
        coro.send(None)


def founding_race() -> None:
    """The real host model."""
    spec = Request(scenario="founding-race").resolve()
    on_trio = replace(spec, carrier="trio")
    steps = without_checker(spec, RandomWalk(0))
    empty, calm, walk, calm_checked, trio, trio_checked, searched, bounded = best_seconds(
        lambda: sends(steps),
        lambda: without_checker(spec, Calm()),
        lambda: without_checker(spec, RandomWalk(0)),
        lambda: checked(spec, Calm()),
        lambda: without_checker(on_trio, Calm()),
        lambda: checked(on_trio, Calm()),
        lambda: explore(spec, RandomWalk(0), runs=RUNS),
        lambda: explore(spec, Bounded(2), runs=RUNS),
        passes=5,
    )
    rows = [
        (name, round(RUNS / seconds), seconds / RUNS * 1e6, seconds / bare, seconds / empty)
        for name, seconds, bare in (
            ("random, bare, not checked", walk, walk),
            ("random, bare, checked", searched, walk),
            ("calm, bare, not checked", calm, calm),
            ("calm, bare, checked", calm_checked, calm),
            ("calm, trio, not checked", trio, calm),
            ("calm, trio, checked", trio_checked, calm),
            ("bounded, bare, checked", bounded, calm),
        )
    ]
    one = run_once(spec, Calm())
    title = f"founding-race: {one.steps} steps and {one.events} events in the calm run"
    table(title, ("what", "runs a second", "us a run", "x not checked", "x send"), rows)
    for name, seconds in (("random", searched), ("bounded", bounded)):
        text = f"{name}: at least 1500 checked runs a second: {RUNS / seconds:.0f}"
        target(text, met=RUNS / seconds >= 1500)


def yardstick() -> None:
    """The yardstick, in as few steps as the protocol can be shown."""
    spec = Request(scenario="yardstick").resolve()
    runs = YARDSTICK_RUNS
    steps = without_checker(spec, RandomWalk(0), runs)
    empty, walk, searched = best_seconds(
        lambda: sends(steps),
        lambda: without_checker(spec, RandomWalk(0), runs),
        lambda: explore(spec, RandomWalk(0), runs=runs),
        passes=5,
    )
    rows = [
        (name, round(runs / seconds), seconds / runs * 1e6, seconds / walk, seconds / empty)
        for name, seconds in (("random, not checked", walk), ("random, checked", searched))
    ]
    print()
    table(
        f"yardstick: {steps / runs:.0f} steps", ("what", "runs a second", "us a run", "x not checked", "x send"), rows
    )
    target(f"at least 12,000 checked runs a second: {runs / searched:.0f}", met=runs / searched >= 12_000)


if __name__ == "__main__":
    founding_race()
    yardstick()
