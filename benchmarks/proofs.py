"""How much it takes to prove each scenario: by traces, by states, and what is left open.

Run as `python benchmarks/proofs.py [SCENARIO[:NAME=VALUE,...]]... [--seconds 60]`; it prints
the table of docs/proofs.md, as Markdown. Seconds are CPU time of this process, for each
method of each scenario at most so many.
"""

import argparse
import time

from notifierlab import lists
from notifierlab.explore.dpor import Dpor
from notifierlab.explore.run import run_once, RunSpec
from notifierlab.explore.search import rare_collections
from notifierlab.explore.states import States
from notifierlab.explore.strategies import Strategy
from notifierlab.request import Request

SECONDS = 60.0
METHODS = ("dpor", "states")


class Tried:
    """What a method did, within so many seconds of CPU time."""

    def __init__(self, spec: RunSpec, strategy: Dpor | States, seconds: float) -> None:
        self.strategy = strategy
        self.runs = self.steps = 0
        self.tasks: dict[str, None] = {}
        self.broken: dict[str, None] = {}
        began = time.process_time()
        with rare_collections():
            while time.process_time() - began < seconds and strategy.new_run():
                self._run(spec, strategy)
        self.seconds = time.process_time() - began

    def _run(self, spec: RunSpec, strategy: Strategy) -> None:
        result = run_once(spec, strategy)
        self.runs += 1
        self.steps += result.steps
        self.tasks.update(dict.fromkeys(step.task for step in result.trace if step.task != "main"))
        self.broken.update(dict.fromkeys(violation.rule for violation in result.violations))

    def cells(self) -> list[str]:
        """The row, without the scenario and its tasks."""
        strategy = self.strategy
        verdict = "proved" if strategy.proved else "ended" if strategy.exhausted else "open"
        if self.broken:
            verdict = "violated"
        found = strategy.traces if isinstance(strategy, Dpor) else strategy.states
        redundant = f"{strategy.redundant:,}" if isinstance(strategy, Dpor) else ""
        return [
            strategy.name,
            verdict,
            f"{found:,} {'traces' if isinstance(strategy, Dpor) else 'states'}",
            f"{self.runs:,}",
            redundant,
            f"{self.steps:,}",
            f"{self.seconds:.1f}",
        ]


def spec_of(wanted: str) -> tuple[str, RunSpec]:
    """Return how a row is called, and what is run for `SCENARIO:NAME=VALUE,...`."""
    name, _, settings = wanted.partition(":")
    params = dict(setting.split("=", 1) for setting in settings.split(",") if setting)
    label = " ".join([name, *settings.split(",")]).strip()
    return label, Request(scenario=name, params=dict(params)).resolve()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO[:NAME=VALUE,...]")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--method", action="append", choices=METHODS)
    wanted = parser.parse_args()
    names = wanted.scenarios or [str(row["scenario"]) for row in lists.LISTS["scenarios"]()]
    print("| scenario | tasks | method | verdict | found | runs | redundant | steps | seconds |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in names:
        label, spec = spec_of(name)
        for method in wanted.method or METHODS:
            tried = Tried(spec, Dpor() if method == "dpor" else States(), wanted.seconds)
            print(f"| {label} | {len(tried.tasks)} | {' | '.join(tried.cells())} |", flush=True)


if __name__ == "__main__":
    main()
