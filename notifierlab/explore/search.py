"""The search: run after run, until something is found or there is nothing left to try.

What it looks for: the rules it was given, or else any, where the most severe stops it at
once and lesser ones are kept while it goes on. What it says is never more than it did:
a bound that was reached is named with the exact number of orders, a budget that cut it
is named too, and *proved* is said only when no order is left untried.
"""

import gc
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, Literal

from notifierlab.checker import LockEdge
from notifierlab.events import Violation
from notifierlab.explore.interrupts import stoppable
from notifierlab.explore.kinds import kind_of, severity, trimmed
from notifierlab.explore.lock_graph import inversion, LockGraph
from notifierlab.explore.run import run_once, RunResult, RunSpec
from notifierlab.explore.shrink import shrink
from notifierlab.explore.strategies import Bounded, deviations, make_strategy, RandomWalk, Strategy
from notifierlab.machine.sched import LabError

BOUND: Final = 2
"""How many deviations `bounded` tries by default."""

RUNS_MAX: Final = 10_000
"""How many runs a search makes by default: a small scenario takes about half a minute."""

_YOUNG_MAX: Final = 20_000

SearchVerdict = Literal["proved", "no-violation-within", "violated", "undecided"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One kind of violation, and the simplest run seen that shows it.

    `schedules` has one schedule, or two for an inversion of locks that no single run
    shows. `run` is the number of the first run that showed it (counted from 1), `times`
    how many did.
    """

    violation: Violation
    schedules: tuple[tuple[int, ...], ...]
    deviations: int
    steps: int
    run: int
    times: int = 1


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What a search found, and how far it came.

    `findings` are what was looked for, the most severe first; `others` what was seen
    besides. `orders[k]` counts the orders with exactly `k` deviations (bounded search
    only), `bound` says in words what was covered, `cut` why it ended before its bound.
    `replays` counts the runs that shrinking took, which are not among `runs`.
    """

    verdict: SearchVerdict
    strategy: str
    findings: tuple[Finding, ...]
    others: tuple[Finding, ...]
    runs: int
    steps: int
    orders: tuple[int, ...]
    bound: str
    cut: Literal["", "found", "runs", "interrupted"]
    replays: int = 0


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a search is, for whoever waits for it. `level` is the current number of deviations."""

    runs: int
    steps: int
    level: int | None
    found: tuple[str, ...]


def explore(
    spec: RunSpec,
    strategy: str | Strategy = "bounded",
    *,
    bound: int = BOUND,
    runs: int | None = None,
    seed: int = 0,
    rules: Collection[str] = (),
    find_all: bool = False,
    shrinking: bool = True,
    progress: Callable[[Progress], None] | None = None,
) -> SearchResult:
    """Search for a run of `spec` that breaks a rule.

    Args:
        spec: what to run.
        strategy: which orders to try, by name or as an object.
        bound: how many deviations `bounded` goes up to.
        runs: how many runs at most.
        seed: where `random` starts.
        rules: what to look for; empty looks for all, and stops at the most severe.
        find_all: go on after the first, and keep one run for each kind of violation.
        shrinking: make the schedules of what was found simple before they are handed out.
        progress: called after each run.

    Raises:
        LabError: the scenario or driver uses the bench wrongly; a note says in which run.
    """
    chosen = make_strategy(strategy, bound=bound, seed=seed) if isinstance(strategy, str) else strategy
    search = _Search(chosen, RUNS_MAX if runs is None else runs, frozenset(rules), find_all=find_all)
    with stoppable() as stop, _rare_collections():
        while not search.cut and chosen.new_run():
            search.take(_run(spec, chosen, search.runs + 1))
            if progress is not None:
                progress(search.progress())
            if stop.asked:
                search.cut = "interrupted"
        result = search.result()
        if shrinking and not stop.asked:
            result = _shrunk(spec, result, every=find_all)
    return result


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for garbage less often: each run leaves the same small heap, all in cycles."""
    before = gc.get_threshold()
    gc.set_threshold(_YOUNG_MAX, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _shrunk(spec: RunSpec, result: SearchResult, *, every: bool) -> SearchResult:
    """Make the schedules of what was found simple; of the most severe alone unless `every`."""
    findings = list(result.findings)
    replays = 0
    for n, finding in enumerate(findings if every else findings[:1]):
        if len(finding.schedules) == 1:
            shrunk = shrink(
                lambda strategy, sink: run_once(spec, strategy, sink=sink), finding.schedules[0], finding.violation
            )
            replays += shrunk.replays
            findings[n] = replace(
                finding,
                violation=shrunk.violation,
                schedules=(shrunk.choices,),
                deviations=shrunk.deviations,
                steps=shrunk.result.steps,
            )
    return replace(result, findings=tuple(findings), replays=replays)


def _run(spec: RunSpec, strategy: Strategy, number: int) -> RunResult:
    try:
        result = run_once(spec, strategy)
    except LabError as error:
        error.add_note(f"in run {number} of the search ({strategy.name})")
        raise
    if result.external:
        raise LabError(
            f"scenario {spec.name!r} waits for trio itself (a timer, a socket), so its choices alone do not repeat it "
            "and it cannot be searched; wait with machine.step(until=...), or run it once with --carrier trio"
        )
    return result


class _Search:
    """What is known so far."""

    def __init__(self, strategy: Strategy, runs_max: int, rules: frozenset[str], *, find_all: bool) -> None:
        self.runs = 0
        self.cut: Literal["", "found", "runs", "interrupted"] = ""
        self._strategy = strategy
        self._runs_max = runs_max
        self._rules = rules
        self._find_all = find_all
        self._steps = 0
        self._found: dict[tuple[str, ...], Finding] = {}
        self._locks: LockGraph[RunResult] = LockGraph()

    def take(self, result: RunResult) -> None:
        """Learn from one run."""
        self.runs += 1
        self._steps += result.steps
        kinds = {kind_of(violation): violation for violation in reversed(result.violations)}
        for violation in reversed(kinds.values()):
            self._keep(violation, result)
        for edge in result.lock_edges:
            self._add_edge(edge, result)
        if result.ended == "interrupted":
            self.cut = "interrupted"
        elif not self._find_all and any(self._stops(finding.violation.rule) for finding in self._found.values()):
            self.cut = "found"
        elif self.runs >= self._runs_max:
            self.cut = "runs"

    def progress(self) -> Progress:
        strategy = self._strategy
        level = len(strategy.counts) - 1 if isinstance(strategy, Bounded) else None
        rules = dict.fromkeys(finding.violation.rule for finding in self._found.values())
        return Progress(runs=self.runs, steps=self._steps, level=level, found=tuple(rules))

    def result(self) -> SearchResult:
        """Sum up."""
        ranked = sorted(self._found.values(), key=lambda finding: severity(finding.violation.rule))
        wanted = tuple(finding for finding in ranked if self._wanted(finding.violation.rule))
        strategy = self._strategy
        return SearchResult(
            verdict=self._verdict(found=bool(wanted)),
            strategy=strategy.name,
            findings=wanted,
            others=tuple(finding for finding in ranked if not self._wanted(finding.violation.rule)),
            runs=self.runs,
            steps=self._steps,
            orders=tuple(strategy.counts) if isinstance(strategy, Bounded) else (),
            bound=self._covered(),
            cut=self.cut,
        )

    def _keep(self, violation: Violation, *results: RunResult) -> None:
        kind = kind_of(violation)
        known = self._found.get(kind)
        finding = Finding(
            violation=violation,
            schedules=tuple(trimmed(result.choices) for result in results),
            deviations=sum(deviations(result.choices, result.options) for result in results),
            steps=sum(result.steps for result in results),
            run=self.runs if known is None else known.run,
            times=1 if known is None else known.times + 1,
        )
        if known is not None and _cost(known) <= _cost(finding):
            finding = replace(known, times=finding.times)
        self._found[kind] = finding

    def _add_edge(self, edge: LockEdge, result: RunResult) -> None:
        """Look for an inversion that only several runs together show."""
        cycle = self._locks.add(edge.outer, edge.inner, result)
        if cycle is None:
            return
        runs = list(dict.fromkeys(run for _, _, run in cycle))
        if len(runs) > 1:
            violation = inversion([(outer, inner) for outer, inner, _ in cycle], result.steps, edge.task)
            self._keep(violation, *runs)

    def _stops(self, rule: str) -> bool:
        return rule in self._rules if self._rules else severity(rule)[0] == 0

    def _wanted(self, rule: str) -> bool:
        return not self._rules or rule in self._rules

    def _verdict(self, *, found: bool) -> SearchVerdict:
        if found:
            return "violated"
        if self.cut == "interrupted" or not self.runs:
            return "undecided"
        proved = isinstance(self._strategy, Bounded) and self._strategy.exhausted
        return "proved" if proved else "no-violation-within"

    def _covered(self) -> str:
        strategy = self._strategy
        if isinstance(strategy, Bounded):
            return covered(strategy) + (
                f" (cut after {self.runs} runs; --runs goes further)" if self.cut == "runs" else ""
            )
        if isinstance(strategy, RandomWalk):
            return f"{_orders(self.runs)} drawn at random, seeds {strategy.first_seed} to {strategy.seed}"
        return _orders(self.runs)


def covered(strategy: Bounded) -> str:
    """Say which orders a bounded search has executed."""
    done = strategy.finished
    whole = sum(strategy.counts[:done])
    begun = sum(strategy.counts[done:])
    text = ""
    if done:
        text = f"all {_orders(whole)}"
        if not strategy.exhausted:
            text += " without a preemption or fault" if done == 1 else f" with at most {_deviations(done - 1)}"
    if begun:
        beyond = (
            f"{_orders(begun)} with {_deviations(done)}" if done else f"{_orders(begun)} without a preemption or fault"
        )
        text += f" and {beyond}" if text else beyond
    return text or "no order"


def _orders(n: int) -> str:
    return f"{n} order" if n == 1 else f"{n} orders"


def _deviations(n: int) -> str:
    return "1 preemption or fault" if n == 1 else f"{n} preemptions or faults"


def _cost(finding: Finding) -> tuple[int, int, int, tuple[tuple[int, ...], ...]]:
    return len(finding.schedules), finding.deviations, finding.steps, finding.schedules
