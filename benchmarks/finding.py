"""How many runs each strategy needs until it finds a planted bug: means over seeds.

Run as `python benchmarks/finding.py [yardstick|host] [--seeds 10] [--cap 1000]`; it prints
the tables of docs/strategies.md. A search that found nothing counts with the cap, and the
mean is then a lower bound: how many of the searches found it stands in brackets.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from notifierlab import catalogue
from notifierlab.explore.menu import STRATEGIES
from notifierlab.explore.search import explore
from notifierlab.request import Request, Value

SEEDS = 10
CAP = 1000
WORST = ("freed-while-reachable",)

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
HOST = tuple(
    Bug(name, name, WORST, {})
    for name in (
        "no-take-all-locks",
        "kvm-forgets-count",
        "kvm-forgets-seq",
        "kvm-bumps-seq-after-unlock",
        "gru-hardware-cancel-off",
    )
)


def runs_until_found(bug: Bug, strategy: str, seed: int, cap: int) -> int | None:
    """Return the number of the run that showed the bug, None if none did."""
    mutant = catalogue.mutant(bug.mutant)
    spec = Request(scenario=mutant.scenario, mutants=(bug.mutant,), params=bug.params).resolve()
    rules = bug.rules or mutant.rules
    result = explore(spec, strategy, runs=cap, seed=seed, rules=rules, shrinking=False, repeat_every=0)
    return min((finding.run for finding in result.findings), default=None)


def cell(bug: Bug, strategy: str, seeds: int, cap: int) -> str:
    """Return the mean, and how many searches found it if not all did."""
    # Seeds far apart: run n of seed s may be run 0 of seed s+n.
    searches = [n * 1_000_000 for n in range(1 if strategy in FIXED else seeds)]
    found = [runs_until_found(bug, strategy, seed, cap) for seed in searches]
    mean = sum(cap if runs is None else runs for runs in found) / len(found)
    hits = sum(runs is not None for runs in found)
    if not hits:
        return "never"
    text = f"{mean:.1f}" if mean < 100 else f"{mean:.0f}"
    return text if hits == len(found) else f"{text} ({hits}/{len(found)})"


def table(bugs: Sequence[Bug], strategies: Sequence[str], seeds: int, cap: int) -> None:
    """Print a table as Markdown, row by row."""
    print(f"| bug | {' | '.join(strategies)} |")
    print(f"|---|{'---|' * len(strategies)}")
    for bug in bugs:
        print(f"| {bug.label} | {' | '.join(cell(bug, name, seeds, cap) for name in strategies)} |", flush=True)
    print()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", choices=("yardstick", "host", "both"), default="both")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--cap", type=int, default=CAP)
    parser.add_argument("--strategy", action="append", choices=STRATEGIES, help="repeatable; by default all but `pct`")
    wanted = parser.parse_args()
    strategies = wanted.strategy or SHOWN
    if wanted.part != "host":
        table(YARDSTICK, strategies, wanted.seeds, wanted.cap)
    if wanted.part != "yardstick":
        table(HOST, strategies, wanted.seeds, wanted.cap)


if __name__ == "__main__":
    main()
