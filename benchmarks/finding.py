"""How many runs each strategy needs until it finds a planted bug: means over seeds.

    python benchmarks/finding.py [yardstick|mutants] [--seeds 30] [--cap 1000] [--jobs 2]
                                 [--notes FILE.json] [--chart FILE.svg]

It prints the tables of docs/strategies.md. A search that found nothing counts with the cap,
and the mean is then a lower bound: how many of the searches found it stands in brackets.
What makes it affordable:

- A strategy without a seed is run once. One with a seed that found nothing in its first
  ten searches is given up for that bug: the table says `never (10)`.
- A bug is looked up once for all the searches of a process, and they share its checkers.
- Nothing is audited or run twice: that changes no search, and costs a short one more
  than the search itself. A run ends after 5000 steps, not 100,000: those of the host have
  some hundred, and only a livelock has more.
- `--notes` keeps each search when its row is done. Begun again, only what is missing is searched;
  with a greater cap, only what had found nothing. What was measured with other sources of the
  bench is used all the same, and counted: `--anew STRATEGY` measures it again.

`--chart` draws which share of the searches had found their mutant after how many runs.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Final, NamedTuple

from finding_chart import drawn
from finding_notes import Cell, Notes

from notifierlab import catalogue, lists
from notifierlab.explore.menu import STRATEGIES
from notifierlab.explore.run import RunSpec
from notifierlab.explore.search import explore
from notifierlab.request import Request, Value

SEEDS: Final = 30
CAP: Final = 1000
HOPELESS: Final = 10
"""After how many searches without a find the others are spared."""

STEPS_MAX: Final = 5000

FIXED: Final = ("bounded", "dpor")
"""Strategies that have no seed: one search says all."""

SHOWN: Final = ("hunt", "dpor-random", "pos", "pct-2", "pct-3", "pct-4", "surw", "random", "bounded", "dpor")


class Bug(NamedTuple):
    """One row: a mutant, and where it is looked for."""

    label: str
    mutant: str
    params: tuple[tuple[str, Value], ...] = ()


class Wish(NamedTuple):
    """How much is measured: searches for a bug by a strategy with a seed, runs in each at most."""

    seeds: int
    cap: int


YARDSTICK: Final = tuple(
    Bug(f"{letter.upper()}, {words}", f"yardstick-{letter}", params)
    for words, params in (
        ("1 guest", (("guests", 1),)),
        ("4 guests", (("guests", 4),)),
        ("1 guest, 4 unrelated tasks", (("guests", 1), ("unrelated", 4))),
    )
    for letter in "abcde"
)


def every_mutant() -> tuple[Bug, ...]:
    """Every mutant of host, core and drivers, looked for by the rules that it must trip."""
    names = [str(row["mutant"]) for row in lists.LISTS["mutants"]()]
    return tuple(Bug(name, name) for name in names if not name.startswith("yardstick"))


@cache
def looked_up(bug: Bug) -> tuple[RunSpec, tuple[str, ...]]:
    """Return what is run, and the rules one of which a run must break."""
    mutant = catalogue.mutant(bug.mutant)
    request = Request(scenario=mutant.scenario, mutants=(bug.mutant,), params=dict(bug.params), steps_max=STEPS_MAX)
    return request.resolve(), tuple(mutant.rules)


def runs_until_found(bug: Bug, strategy: str, seed: int, cap: int) -> int | None:
    """Return the number of the run that showed the bug, None if none did."""
    spec, rules = looked_up(bug)
    result = explore(spec, strategy, runs=cap, seed=seed, rules=rules, shrinking=False, repeat_every=0, audit_every=0)
    return min((finding.run for finding in result.findings), default=None)


def searches(bug: Bug, strategy: str, wish: Wish, known: Cell) -> Cell:
    """Return what each of the searches needed; those that are known are not made again."""
    runs: list[int | None] = []
    for n in range(1 if strategy in FIXED else wish.seeds):
        if n == HOPELESS and not any(runs):
            break
        before = known.runs[n] if n < len(known.runs) else None
        if before is None and (n >= len(known.runs) or known.cap < wish.cap):
            # Seeds far apart: run n of seed s may be run 0 of seed s+n.
            before = runs_until_found(bug, strategy, n * 1_000_000, wish.cap)
        runs.append(before)
    return Cell(wish.cap, tuple(runs))


def text_of(found: Cell) -> str:
    """Return the mean, and how many searches found it if not all did."""
    runs = found.runs
    mean = sum(found.cap if each is None else each for each in runs) / len(runs)
    hits = sum(each is not None for each in runs)
    if not hits:
        return "never" if len(runs) != HOPELESS else f"never ({HOPELESS})"
    text = f"{mean:.1f}" if mean < 100 else f"{mean:.0f}"
    return text if hits == len(runs) else f"{text} ({hits}/{len(runs)})"


def measured(
    bugs: Sequence[Bug], strategies: Sequence[str], wish: Wish, notes: Notes, pool: Executor | None
) -> Iterator[tuple[Bug, Mapping[str, Cell]]]:
    """Yield row by row what was needed, having noted it."""
    waiting: dict[tuple[Bug, str], Future[Cell]] = {}
    if pool is not None:
        cells = [(bug, name, notes.known(bug.label, name)) for bug in bugs for name in strategies]
        for bug, name, known in cells:
            if not enough(known, name, wish):
                waiting[bug, name] = pool.submit(searches, bug, name, wish, known)
    for bug in bugs:
        row = {}
        for name in strategies:
            known = notes.known(bug.label, name)
            if (bug, name) in waiting:
                notes.take(bug.label, name, waiting[bug, name].result())
            elif not enough(known, name, wish):
                notes.take(bug.label, name, searches(bug, name, wish, known))
            row[name] = notes.known(bug.label, name).within(wish.cap, 1 if name in FIXED else wish.seeds)
        notes.keep()
        yield bug, row


def enough(known: Cell, strategy: str, wish: Wish) -> bool:
    """Tell whether nothing is left to measure."""
    seen = known.within(wish.cap, wish.seeds).runs
    hopeless = len(seen) >= HOPELESS and not any(seen)
    whole = len(seen) >= (1 if strategy in FIXED else wish.seeds)
    return (whole or hopeless) and (known.cap >= wish.cap or None not in seen)


def table(rows: Iterator[tuple[Bug, Mapping[str, Cell]]], strategies: Sequence[str]) -> list[Mapping[str, Cell]]:
    """Print a table as Markdown, row by row; return what it was made from."""
    print(f"| bug | {' | '.join(strategies)} |")
    print(f"|---|{'---|' * len(strategies)}")
    everything = []
    for bug, row in rows:
        print(f"| {bug.label} | {' | '.join(text_of(row[name]) for name in strategies)} |", flush=True)
        everything.append(row)
    print()
    return everything


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("yardstick", "mutants", "both"), default="both")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--cap", type=int, default=CAP)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--notes", type=Path, metavar="FILE.json", help="keep what is measured, and go on from there")
    parser.add_argument("--anew", action="append", default=[], choices=STRATEGIES, help="measure it again; repeatable")
    parser.add_argument("--chart", type=Path, metavar="FILE.svg", help="draw the mutants' searches")
    parser.add_argument("--strategy", action="append", choices=STRATEGIES, help="repeatable; by default all but `pct`")
    wanted = parser.parse_args()
    strategies = wanted.strategy or SHOWN
    wish = Wish(wanted.seeds, wanted.cap)
    notes = Notes(wanted.notes)
    notes.forget(wanted.anew)
    pool = ProcessPoolExecutor(wanted.jobs, mp_context=get_context("spawn")) if wanted.jobs > 1 else None
    try:
        if wanted.part != "mutants":
            table(measured(YARDSTICK, strategies, wish, notes, pool), strategies)
        if wanted.part != "yardstick":
            found = table(measured(every_mutant(), strategies, wish, notes, pool), strategies)
            if wanted.chart is not None:
                wanted.chart.write_text(drawn(found, wish.cap), encoding="utf-8")
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)
    if notes.others:
        print(f"{notes.others} cells were measured with other sources of the bench")


if __name__ == "__main__":
    main()
