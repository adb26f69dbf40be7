"""How many runs each strategy needs until it finds a planted bug: means over seeds.

Run as `python benchmarks/finding.py [yardstick|mutants] [--seeds 30] [--cap 1000] [--jobs 2]`;
it prints the tables of docs/strategies.md. A search that found nothing counts with the cap,
and the mean is then a lower bound: how many of the searches found it stands in brackets.
`--chart FILE.svg` draws which share of the searches had found their mutant after how many
runs (that takes matplotlib).
"""

import argparse
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from notifierlab import catalogue, lists
from notifierlab.explore.menu import STRATEGIES
from notifierlab.explore.search import explore
from notifierlab.request import Request, Value

SEEDS = 30
CAP = 1000

FIXED = ("bounded", "dpor")
"""Strategies that have no seed: one search says all."""

SHOWN = ("hunt", "dpor-random", "pos", "pct-2", "pct-3", "pct-4", "surw", "random", "bounded", "dpor")


class Bug(NamedTuple):
    """One row: a mutant, and where it is looked for."""

    label: str
    mutant: str
    rules: tuple[str, ...]
    params: Mapping[str, Value]


YARDSTICK = tuple(
    Bug(f"{letter.upper()}, {words}", f"yardstick-{letter}", (), params)
    for words, params in (
        ("1 guest", {"guests": 1}),
        ("4 guests", {"guests": 4}),
        ("1 guest, 4 unrelated tasks", {"guests": 1, "unrelated": 4}),
    )
    for letter in "abcde"
)


def every_mutant() -> tuple[Bug, ...]:
    """Every mutant of host, core and drivers, looked for by the rules that it must trip."""
    names = [str(row["mutant"]) for row in lists.LISTS["mutants"]()]
    return tuple(Bug(name, name, (), {}) for name in names if not name.startswith("yardstick"))


def runs_until_found(bug: Bug, strategy: str, seed: int, cap: int) -> int | None:
    """Return the number of the run that showed the bug, None if none did."""
    mutant = catalogue.mutant(bug.mutant)
    spec = Request(scenario=mutant.scenario, mutants=(bug.mutant,), params=bug.params).resolve()
    rules = bug.rules or mutant.rules
    result = explore(spec, strategy, runs=cap, seed=seed, rules=rules, shrinking=False, repeat_every=0)
    return min((finding.run for finding in result.findings), default=None)


def searches(bug: Bug, strategy: str, seeds: int, cap: int) -> list[int | None]:
    """Return what each of the searches needed."""
    # Seeds far apart: run n of seed s may be run 0 of seed s+n.
    return [runs_until_found(bug, strategy, n * 1_000_000, cap) for n in range(1 if strategy in FIXED else seeds)]


def cell(found: Sequence[int | None], cap: int) -> str:
    """Return the mean, and how many searches found it if not all did."""
    mean = sum(cap if runs is None else runs for runs in found) / len(found)
    hits = sum(runs is not None for runs in found)
    if not hits:
        return "never"
    text = f"{mean:.1f}" if mean < 100 else f"{mean:.0f}"
    return text if hits == len(found) else f"{text} ({hits}/{len(found)})"


Found = dict[str, list[int | None]]
"""By strategy: what every search for every bug needed."""


def table(bugs: Sequence[Bug], strategies: Sequence[str], seeds: int, cap: int, pool: Executor) -> Found:
    """Print a table as Markdown, row by row; return what it was made from."""
    print(f"| bug | {' | '.join(strategies)} |")
    print(f"|---|{'---|' * len(strategies)}")
    cells = {(bug.label, name): pool.submit(searches, bug, name, seeds, cap) for bug in bugs for name in strategies}
    everything: Found = {name: [] for name in strategies}
    for bug in bugs:
        row = [cells[bug.label, name].result() for name in strategies]
        for name, found in zip(strategies, row, strict=True):
            everything[name] += found
        print(f"| {bug.label} | {' | '.join(cell(found, cap) for found in row)} |", flush=True)
    print()
    return everything


def chart(found: Found, cap: int, path: Path) -> None:
    """Draw for each strategy the share of searches that had found their mutant after n runs."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "notifierlab"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
    for name, runs in found.items():
        hits = sorted(one for one in runs if one is not None)
        shares = [100 * (n + 1) / len(runs) for n in range(len(hits))]
        axes.step([1, *hits, cap], [0, *shares, shares[-1] if shares else 0], where="post", label=name)
    axes.set(xscale="log", xlim=(1, cap), ylim=(0, 100), xlabel="runs", ylabel="searches that found it, %")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8, ncols=2)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", choices=("yardstick", "mutants", "both"), default="both")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--cap", type=int, default=CAP)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--chart", type=Path, metavar="FILE.svg", help="draw the mutants' searches")
    parser.add_argument("--strategy", action="append", choices=STRATEGIES, help="repeatable; by default all but `pct`")
    wanted = parser.parse_args()
    strategies = wanted.strategy or SHOWN
    with ProcessPoolExecutor(wanted.jobs, mp_context=get_context("spawn")) as pool:
        if wanted.part != "mutants":
            table(YARDSTICK, strategies, wanted.seeds, wanted.cap, pool)
        if wanted.part != "yardstick":
            found = table(every_mutant(), strategies, wanted.seeds, wanted.cap, pool)
            if wanted.chart is not None:
                chart(found, wanted.cap, wanted.chart)


if __name__ == "__main__":
    main()
