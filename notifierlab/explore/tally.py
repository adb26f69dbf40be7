"""What a search has learnt: what was broken, in how many runs, and what could be judged.

Runs are taken one by one (`take`), or as what somebody else has learnt of a stretch of
them (`absorb`). Both give the same, as long as stretches are absorbed in the order of
their runs: of each kind of violation the first run and the simplest one, how many showed
it, and which locks were taken under which.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from notifierlab.checker import LockEdge
from notifierlab.events import Violation
from notifierlab.explore.kinds import kind_of, severity, signature_of, trimmed
from notifierlab.explore.lock_graph import inversion, LockGraph
from notifierlab.explore.run import RunResult
from notifierlab.explore.strategies import deviations


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One kind of violation, and the simplest run seen that shows it.

    `shape` is what led to it (`shape.py`), where that was looked at.
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
    shape: str = ""


class Shown(NamedTuple):
    """A run, as much of it as a finding needs. `run` is its number."""

    choices: tuple[int, ...]
    deviations: int
    steps: int
    run: int


class EdgeShown(NamedTuple):
    """A lock of one class taken under one of another, and the first run where that was so."""

    outer: str
    inner: str
    task: str
    shown: Shown


@dataclass(frozen=True)
class Wanted:
    """What a search looks for: the rules it was given, or any. It ends at the first unless `every`.

    `enough` are rules a violation of which ends it whatever is looked for.
    """

    rules: frozenset[str] = frozenset()
    every: bool = False
    enough: frozenset[str] = frozenset()

    def wants(self, rule: str) -> bool:
        """Whether a violation of the rule is what is looked for."""
        return not self.rules or rule in self.rules

    def stops(self, rules: Collection[str]) -> bool:
        """Whether one of these violations ends the search: any that was asked for, else the most severe."""
        if self.every or not rules:
            return False
        if any(rule in self.enough for rule in rules):
            return True
        return any(rule in self.rules if self.rules else severity(rule)[0] == 0 for rule in rules)


class Stretch(NamedTuple):
    """What was learnt of runs that follow each other; numbers of runs count from its first."""

    runs: int
    steps: int
    found: tuple[Finding, ...]
    edges: tuple[EdgeShown, ...]
    seen: tuple[str, ...]


class Tally:
    """What is known so far.

    Args:
        judging: whether locks that several runs together take in a circle are a finding.
            Whoever knows a part of the runs only must leave that to whom it reports to.
        apart: whether violations of one kind are kept apart by who broke the rule, and how.
    """

    def __init__(self, *, judging: bool = True, apart: bool = False) -> None:
        self._key = signature_of if apart else kind_of
        self.runs = 0
        self.steps = 0
        self.seen: frozenset[str] = frozenset()
        self._judging = judging
        self._found: dict[tuple[str, ...], Finding] = {}
        self._edges: dict[tuple[str, str], EdgeShown] = {}
        self._locks: LockGraph[Shown] = LockGraph()

    def take(self, result: RunResult) -> None:
        """Learn from one run."""
        self.runs += 1
        self.steps += result.steps
        if not result.seen <= self.seen:
            self.seen |= result.seen
        if result.violations:
            kinds = {self._key(violation): violation for violation in reversed(result.violations)}
            for violation in reversed(kinds.values()):
                self._keep(violation, self._shown(result))
        for edge in result.lock_edges:
            if (edge.outer, edge.inner) not in self._edges:
                self._add_edge(_edge_shown(edge, self._shown(result)))

    def absorb(self, stretch: Stretch) -> None:
        """Learn what was learnt of the runs that come next."""
        before = self.runs
        self.runs += stretch.runs
        self.steps += stretch.steps
        self.seen |= frozenset(stretch.seen)
        for finding in stretch.found:
            self._merge(replace(finding, run=before + finding.run))
        for edge in stretch.edges:
            if (edge.outer, edge.inner) not in self._edges:
                self._add_edge(edge._replace(shown=edge.shown._replace(run=before + edge.shown.run)))

    def stretch(self) -> Stretch:
        """Return what is known, for another tally to absorb."""
        return Stretch(self.runs, self.steps, self.findings, tuple(self._edges.values()), tuple(sorted(self.seen)))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """In the order in which they were first seen."""
        return tuple(self._found.values())

    @property
    def ranked(self) -> list[Finding]:
        """The most severe first, then the first seen."""
        return sorted(self._found.values(), key=lambda finding: (severity(finding.violation.rule), finding.run))

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules that were broken."""
        if not self._found:
            return ()
        return tuple(dict.fromkeys(finding.violation.rule for finding in self._found.values()))

    def _shown(self, result: RunResult) -> Shown:
        return Shown(trimmed(result.choices), deviations(result.choices, result.options), result.steps, self.runs)

    def _keep(self, violation: Violation, *shown: Shown) -> None:
        self._merge(
            Finding(
                violation=violation,
                schedules=tuple(each.choices for each in shown),
                deviations=sum(each.deviations for each in shown),
                steps=sum(each.steps for each in shown),
                run=max(each.run for each in shown),
            )
        )

    def _merge(self, finding: Finding) -> None:
        kind = self._key(finding.violation)
        known = self._found.get(kind)
        if known is not None:
            best = known if _cost(known) <= _cost(finding) else finding
            finding = replace(best, run=known.run, times=known.times + finding.times)
        self._found[kind] = finding

    def _add_edge(self, edge: EdgeShown) -> None:
        """Look for an inversion that only several runs together show."""
        self._edges[edge.outer, edge.inner] = edge
        cycle = self._locks.add(edge.outer, edge.inner, edge.shown) if self._judging else None
        if cycle is None:
            return
        runs = list(dict.fromkeys(shown for _, _, shown in cycle))
        if len(runs) > 1:
            violation = inversion([(outer, inner) for outer, inner, _ in cycle], edge.shown.steps, edge.task)
            self._keep(violation, *runs)


def _edge_shown(edge: LockEdge, shown: Shown) -> EdgeShown:
    return EdgeShown(edge.outer, edge.inner, edge.task, shown)


def _cost(finding: Finding) -> tuple[int, int, int, tuple[tuple[int, ...], ...]]:
    return len(finding.schedules), finding.deviations, finding.steps, finding.schedules


def merged(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings with those made one that have the same rule, objects and shape."""
    found: dict[tuple[str, ...], Finding] = {}
    for finding in findings:
        key = (finding.shape, *kind_of(finding.violation))
        known = found.get(key)
        if known is not None:
            best = known if _cost(known) <= _cost(finding) else finding
            finding = replace(best, run=min(known.run, finding.run), times=known.times + finding.times)
        found[key] = finding
    return tuple(found.values())
