"""What the checker costs an event: live, from a log, and where no checker listens.

The events are those of `churn`. Run as `python benchmarks/check.py`.
"""

import io
from collections.abc import Callable
from functools import partial

from timing import best_seconds, table, target

from notifierlab.checker import Checker
from notifierlab.events import Event
from notifierlab.explore.run import run_once, RunSpec
from notifierlab.explore.strategies import RandomWalk
from notifierlab.host import Host
from notifierlab.machine.carriers import new_machine, run_machine
from notifierlab.reading import LogReader
from notifierlab.request import header_of, Request
from notifierlab.trace import Writer

SEED = 1
OPS = 1000
LENGTHS = (250, 1000, 4000, 16_000)


def events_of(spec: RunSpec) -> list[Event]:
    """The events of one run."""
    events: list[Event] = []
    run_once(spec, _walk(), sink=events.append)
    return events


def _walk() -> RandomWalk:
    strategy = RandomWalk(SEED)
    strategy.new_run()
    return strategy


def unchecked(spec: RunSpec, sink: Callable[[Event], None] | None) -> None:
    """Run with `sink` alone listening."""
    strategy = _walk()
    machine = new_machine(spec.carrier, strategy.choose, sink, steps_max=spec.steps_max)
    strategy.begin_run(machine)
    run_machine(machine, lambda: spec.scenario(Host(machine, spec.profile, spec.mutants, spec.drivers), **spec.params))


def feed(spec: RunSpec, events: list[Event], *, ledger: bool) -> None:
    """Judge events that are there already."""
    checker = Checker(spec.profile.switches(), ledger=ledger)
    checker.feed_all(events)
    checker.finish(complete=True)


def log_of(request: Request, spec: RunSpec, events: list[Event]) -> bytes:
    """Write events as a log."""
    file = io.BytesIO()
    writer = Writer(file, header_of(request, spec))
    for event in events:
        writer(event)
    writer.end(ended="complete", violations=(), steps=events[-1].step, choices=())
    return file.getvalue()


def read(log: bytes) -> list[Event]:
    """Read a log back."""
    return list(LogReader(io.BytesIO(log), "log"))


def growth() -> None:
    """Judge runs of more and more operations: the cost of an event must stay what it is."""
    logs = []
    for ops in LENGTHS:
        spec = Request(scenario="churn", params={"ops": ops}, steps_max=10_000_000).resolve()
        logs.append((ops, spec, events_of(spec)))
    seconds = best_seconds(*[partial(feed, spec, events, ledger=False) for _, spec, events in logs], passes=3)
    each = [took / len(events) for took, (_, _, events) in zip(seconds, logs, strict=True)]
    table(
        "The checker on longer and longer runs",
        ("operations", "events", "us an event", "x shortest"),
        [
            (f"{ops:,}", len(events), cost * 1e6, cost / each[0])
            for (ops, _, events), cost in zip(logs, each, strict=True)
        ],
    )
    longest = f"{len(logs[-1][2]):,} events"
    target(
        f"an event of {longest} at most 1.5 times one of the shortest: {each[-1] / each[0]:.2f}",
        met=each[-1] <= 1.5 * each[0],
    )


def main() -> None:
    """Measure and print."""
    request = Request(scenario="churn", params={"ops": OPS})
    spec = request.resolve()
    events = events_of(spec)
    log = log_of(request, spec, events)
    silent, emitting, checked, live, ledger, writing, reading = best_seconds(
        lambda: unchecked(spec, None),
        lambda: unchecked(spec, lambda _: None),
        lambda: run_once(spec, _walk()),
        lambda: feed(spec, events, ledger=False),
        lambda: feed(spec, events, ledger=True),
        lambda: log_of(request, spec, events),
        lambda: read(log),
        passes=3,
    )
    n = len(events)
    rows = [
        (name, seconds / n * 1e6, round(n / seconds), seconds / live)
        for name, seconds in (
            ("run, no events made", silent),
            ("run, events made", emitting),
            ("run, checked live", checked),
            ("checker alone", live),
            ("checker with ledger", ledger),
            ("write the log", writing),
            ("read the log", reading),
            ("check a log (read, judge)", reading + ledger),
        )
    ]
    table(f"churn of {OPS} operations: {n:,} events", ("what", "us an event", "events a second", "x checker"), rows)
    target(f"checker under 4 us an event live: {(checked - emitting) / n * 1e6:.2f}", met=checked - emitting < 4e-6 * n)
    print()
    growth()


if __name__ == "__main__":
    main()
