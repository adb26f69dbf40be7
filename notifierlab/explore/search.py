"""The search: run after run, until something is found or there is nothing left to try.

What it looks for: the rules it was given, or else any, where the most severe stops it at
once and lesser ones are kept while it goes on. What it says is never more than it did:
a bound that was reached is named with the exact number of orders, a budget that cut it
is named too, and *proved* is said only when no order is left untried.
"""

import gc
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol, runtime_checkable

from notifierlab.checker import Checker, not_exercised
from notifierlab.explore.estimate import Positioned
from notifierlab.explore.interrupts import stoppable
from notifierlab.explore.kinds import kind_of, signature_of
from notifierlab.explore.menu import make_strategy
from notifierlab.explore.prove import Prove
from notifierlab.explore.repeat import REPEAT_EVERY, Repeats
from notifierlab.explore.run import run_once, RunResult, RunSpec
from notifierlab.explore.shape import shape_of_run
from notifierlab.explore.shrink import shrink
from notifierlab.explore.strategies import Bounded, RandomWalk, Strategy
from notifierlab.explore.tally import Finding, merged, Tally, Wanted
from notifierlab.machine.sched import LabError

BOUND: Final = 2
"""How many deviations `bounded` tries by default."""

RUNS_MAX: Final = 10_000
"""How many runs a search makes by default: a small scenario takes about half a minute."""

_YOUNG_MAX: Final = 20_000

SearchVerdict = Literal["proved", "no-violation-within", "violated", "undecided"]
Cut = Literal["", "found", "runs", "interrupted"]


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What a search found, and how far it came.

    `findings` are what was looked for, the most severe first; `others` what was seen
    besides. `orders[k]` counts the orders with exactly `k` deviations (bounded search
    only), `bound` says in words what was covered, `cut` why it ended before its bound.
    `replays` counts the runs that shrinking took, which are not among `runs`.
    `not_exercised` are rules that had nothing to judge in any run. `traces` and `states` count
    the orders that differ and the states visited, for a strategy that does.
    """

    verdict: SearchVerdict
    strategy: str
    findings: tuple[Finding, ...]
    others: tuple[Finding, ...]
    runs: int
    steps: int
    orders: tuple[int, ...]
    bound: str
    cut: Cut
    replays: int = 0
    not_exercised: tuple[str, ...] = ()
    traces: int | None = None
    states: int | None = None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a search is, for whoever waits for it.

    `level` is the current number of deviations, None for a search that does not go by
    them. `orders` is how many orders (of that level) were executed, `left` about how many are not yet;
    None where there is no telling. `unit` says what is counted, if not orders.
    """

    runs: int
    steps: int
    level: int | None
    found: tuple[str, ...]
    orders: int | None = None
    left: int | None = None
    unit: str = "orders"


def explore(
    spec: RunSpec,
    strategy: str | Strategy = "bounded",
    *,
    bound: int = BOUND,
    runs: int | None = None,
    seed: int = 0,
    rules: Collection[str] = (),
    enough: Collection[str] = (),
    find_all: bool = False,
    shrinking: bool = True,
    repeat_every: int = REPEAT_EVERY,
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
        enough: rules a violation of which ends the search, whatever it looks for.
        find_all: go on after the first, and keep one run for each violation that came about in its own way.
        shrinking: make the schedules of what was found simple before they are handed out.
        repeat_every: execute every so-manieth run twice and compare; 0 is never.
        progress: called after each run.

    Raises:
        LabError: the scenario or driver uses the bench wrongly, or does not repeat itself; a
            note says in which run.
    """
    chosen = make_strategy(strategy, bound=bound, seed=seed) if isinstance(strategy, str) else strategy
    wanted = Wanted(frozenset(rules), find_all, frozenset(enough))
    search = _Search(spec, chosen, RUNS_MAX if runs is None else runs, wanted, Repeats(spec, repeat_every))
    with stoppable() as stop, rare_collections():
        while not search.cut and chosen.new_run():
            search.run()
            if progress is not None:
                progress(search.progress())
            if stop.asked:
                search.cut = "interrupted"
        result = search.result()
        if shrinking and not stop.asked:
            result = shrunk(spec, result, every=find_all)
    return result


@contextmanager
def rare_collections() -> Iterator[None]:
    """Look for garbage less often: each run leaves the same small heap, all in cycles."""
    before = gc.get_threshold()
    gc.set_threshold(_YOUNG_MAX, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def shrunk(spec: RunSpec, result: SearchResult, *, every: bool) -> SearchResult:
    """Make the schedules of what was found simple; of the most severe alone unless `every`.

    Of `every`, those are one that then turn out to have come about in the same way.
    """
    findings = list(result.findings)
    replays = 0
    for n, finding in enumerate(findings if every else findings[:1]):
        if len(finding.schedules) == 1:
            simple = shrink(
                lambda strategy, sink: run_once(spec, strategy, sink=sink),
                finding.schedules[0],
                finding.violation,
                same=signature_of if every else kind_of,
            )
            replays += simple.replays
            findings[n] = replace(
                finding,
                violation=simple.violation,
                schedules=(simple.choices,),
                deviations=simple.deviations,
                steps=simple.result.steps,
                shape=shape_of_run(spec, simple.choices, simple.violation) if every else "",
            )
    return replace(result, findings=merged(findings) if every else tuple(findings), replays=replays)


class _Search:
    """One search in this process."""

    def __init__(self, spec: RunSpec, strategy: Strategy, runs_max: int, wanted: Wanted, repeats: Repeats) -> None:
        self.cut: Cut = ""
        self._spec = spec
        self._strategy = strategy
        self._runs_max = runs_max
        self._wanted = wanted
        self._repeats = repeats
        self._tally = Tally(apart=wanted.every)
        if isinstance(strategy, Certifying):
            strategy.begin_search(spec)

    def run(self) -> None:
        """Execute the next run, and learn from it."""
        tally = self._tally
        try:
            result = self._repeats.run(self._strategy)
        except LabError as error:
            error.add_note(f"in run {tally.runs + 1} of the search ({self._strategy.name})")
            raise
        self._take(result)

    def _take(self, result: RunResult) -> None:
        tally = self._tally
        tally.take(result)
        if result.ended == "interrupted":
            self.cut = "interrupted"
        elif self._wanted.stops(tally.rules):
            self.cut = "found"
        elif tally.runs >= self._runs_max:
            self.cut = "runs"

    def progress(self) -> Progress:
        strategy, tally = self._strategy, self._tally
        position = strategy.progress() if isinstance(strategy, Positioned) else None
        if position is None:
            return Progress(runs=tally.runs, steps=tally.steps, level=None, found=tally.rules)
        return Progress(
            runs=tally.runs,
            steps=tally.steps,
            level=position.level,
            found=tally.rules,
            orders=position.done,
            left=position.left,
            unit=position.unit,
        )

    def result(self) -> SearchResult:
        """Sum up."""
        strategy = self._strategy
        levels = strategy if isinstance(strategy, Bounded) else None
        proved = bool(getattr(strategy, "proved", False))
        result = summed_up(
            self._spec,
            self._tally,
            self._wanted,
            self.cut,
            strategy.name,
            self._covered(),
            levels=levels,
            proved=proved,
        )
        traces, states = _counted(strategy)
        return replace(result, traces=traces, states=states)

    def _covered(self) -> str:
        strategy, runs = self._strategy, self._tally.runs
        if isinstance(strategy, Bounded):
            return covered(strategy) + cut_short(self.cut, runs)
        if isinstance(strategy, RandomWalk):
            return drawn(runs, strategy.first_seed)
        if isinstance(strategy, Telling):
            return strategy.covered()
        return orders(runs)


def _counted(strategy: Strategy) -> tuple[int | None, int | None]:
    """Return how many orders and how many states a strategy counts; None where it does not."""
    if isinstance(strategy, Prove):
        return strategy.counted()
    return getattr(strategy, "traces", None), getattr(strategy, "states", None)


@runtime_checkable
class Telling(Protocol):
    """A strategy that says itself what its runs amount to."""

    def covered(self) -> str: ...


@runtime_checkable
class Certifying(Protocol):
    """A strategy that wants to know of what its runs will be."""

    def begin_search(self, spec: RunSpec) -> None: ...


class Levels(Protocol):
    """What is known of a search by levels: `counts[k]` orders with `k` deviations, the first `finished` are whole."""

    @property
    def counts(self) -> Sequence[int]: ...
    @property
    def finished(self) -> int: ...
    @property
    def exhausted(self) -> bool: ...


def summed_up(
    spec: RunSpec,
    tally: Tally,
    wanted: Wanted,
    cut: Cut,
    strategy: str,
    bound: str,
    *,
    levels: Levels | None = None,
    proved: bool = False,
) -> SearchResult:
    """Say what a search found, and nothing more.

    A rule that was asked for and had nothing to judge leaves a search undecided: nothing
    was seen, but nothing was looked at either.
    """
    findings = tuple(finding for finding in tally.ranked if wanted.wants(finding.violation.rule))
    idle = idle_rules(spec, tally, wanted)
    asked_idle = [rule for rule in idle if rule in wanted.rules]
    verdict: SearchVerdict = "no-violation-within"
    if findings:
        verdict = "violated"
    elif cut == "interrupted" or not tally.runs or asked_idle:
        verdict = "undecided"
    elif proved or (levels is not None and levels.exhausted):
        verdict = "proved"
    return SearchResult(
        verdict=verdict,
        strategy=strategy,
        findings=findings,
        others=tuple(finding for finding in tally.ranked if not wanted.wants(finding.violation.rule)),
        runs=tally.runs,
        steps=tally.steps,
        orders=tuple(levels.counts) if levels is not None else (),
        bound=bound,
        cut=cut,
        not_exercised=idle,
    )


def idle_rules(spec: RunSpec, tally: Tally, wanted: Wanted) -> tuple[str, ...]:
    """List the rules that had nothing to judge: of those asked for, or else of all that are judged in such runs."""
    judged = Checker(spec.profile.switches(), strict=spec.strict).rules
    asked = tuple(sorted(wanted.rules)) or judged
    broken = tally.rules
    return tuple(
        rule for rule in asked if rule not in broken and (rule not in judged or not_exercised(tally.seen, (rule,)))
    )


def covered(levels: Levels) -> str:
    """Say which orders a bounded search has executed."""
    done = levels.finished
    whole = sum(levels.counts[:done])
    begun = sum(levels.counts[done:])
    text = ""
    if done:
        text = f"all {orders(whole)}"
        if not levels.exhausted:
            text += " without a preemption or fault" if done == 1 else f" with at most {_deviations(done - 1)}"
    if begun:
        beyond = (
            f"{orders(begun)} with {_deviations(done)}" if done else f"{orders(begun)} without a preemption or fault"
        )
        text += f" and {beyond}" if text else beyond
    return text or "no order"


def cut_short(cut: Cut, runs: int) -> str:
    """Say that a budget ended a bounded search, if it did."""
    return f" (cut after {runs} runs; --runs goes further)" if cut == "runs" else ""


def drawn(runs: int, seed: int) -> str:
    """Say which orders a search by seeds has executed."""
    return f"{orders(runs)} drawn at random, seeds {seed} to {seed + max(runs - 1, 0)}"


def orders(n: int) -> str:
    """Count orders in words."""
    return f"{n} order" if n == 1 else f"{n} orders"


def _deviations(n: int) -> str:
    return "1 preemption or fault" if n == 1 else f"{n} preemptions or faults"
