"""The same violation in a smaller scenario: fewer pages, guests, rounds.

Numbers among a scenario's parameters are made smaller one at a time while the same rule
is still broken with the same kind of objects: first by following the plan of the larger
scenario, then by a short search. Not made smaller: `seed`, which is a name and no size,
and yes-or-no parameters. Where a smaller value is no scenario at all (it raises), the
larger one stays.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from notifierlab.events import Violation
from notifierlab.explore.kinds import kind_of
from notifierlab.explore.plans import Execute, Planned, Recorder
from notifierlab.explore.run import run_once, RunSpec
from notifierlab.explore.shrink import REPLAYS_MAX, Same, shrink, Shrunk
from notifierlab.explore.strategies import Bounded
from notifierlab.machine.sched import LabError

SEARCH_MAX: Final = 150
"""How many runs may look for the violation in a scenario with one parameter made smaller."""

RUNS_MAX: Final = 600
STEPS_MAX: Final = 200_000
"""How many runs may look for it in all smaller scenarios, and how many steps these may take."""

_NO_SIZES: Final = ("seed",)


@dataclass(frozen=True, kw_only=True)
class Smaller:
    """The simplest run of the smallest scenario. `params` are those that were made smaller."""

    spec: RunSpec
    params: Mapping[str, int]
    shrunk: Shrunk


def shrink_scenario(
    spec: RunSpec,
    choices: Sequence[int],
    violation: Violation,
    *,
    keep: Collection[str] = (),
    replays_max: int = REPLAYS_MAX,
    hurried: bool = False,
    same: Same = kind_of,
) -> Smaller:
    """Make the run of `choices` simple, and the scenario small.

    Args:
        spec: what was run.
        choices: the schedule that showed it.
        violation: what must stay: its rule, and the kind of its objects.
        keep: parameters that stay as they are, since somebody asked for them.
        replays_max: how many runs one shrinking may take; there are two if the scenario gets smaller.
        hurried: leave the scenario as large as it is.
        same: what must stay of a violation, if it is more than that.
    """
    shrunk = shrink(_execute(spec), choices, violation, replays_max=replays_max, same=same)
    search = _Search(shrunk, same)
    best, found = spec, None
    again = not (hurried or shrunk.stopped)
    while again:
        again = False
        for params in _smaller(best.params, keep):
            candidate = replace(best, params=params)
            shown = search.find(candidate)
            if shown is not None:
                best, found, again = candidate, shown, True
                break
    if found is not None:
        shrunk = shrink(_execute(best), *found, replays_max=replays_max, same=same)
    changed = {name: value for name, value in best.params.items() if value != spec.params[name]}
    return Smaller(spec=best, params=changed, shrunk=shrunk)


class _Search:
    """Looks for what a shrunk run shows in scenarios that are ever smaller."""

    def __init__(self, known: Shrunk, same: Same) -> None:
        self._same = same
        self._kind = same(known.violation)
        self._deviations = known.deviations
        self._plan = known.plan
        self._runs_left = RUNS_MAX
        self._steps_left = STEPS_MAX

    def find(self, spec: RunSpec) -> tuple[tuple[int, ...], Violation] | None:
        """Return a schedule of `spec` that shows it, and its violation."""
        orders = Bounded(max(self._deviations, 1))
        if self._runs_left <= 0 or self._steps_left <= 0:
            return None
        try:
            for n in range(SEARCH_MAX):
                if n and not orders.new_run():
                    return None
                found = self._run(spec, Recorder(orders) if n else Planned(self._plan))
                if found is not None:
                    return found
                if self._runs_left <= 0 or self._steps_left <= 0:
                    return None
        except (LabError, AssertionError):
            # Too small: the scenario's own assumptions do not hold.
            return None
        return None

    def _run(self, spec: RunSpec, strategy: Recorder) -> tuple[tuple[int, ...], Violation] | None:
        result = run_once(spec, strategy)
        self._runs_left -= 1
        self._steps_left -= result.steps
        if result.ended == "interrupted":
            self._runs_left = 0
            return None
        for violation in result.violations:
            if self._same(violation) == self._kind:
                self._plan = dict(strategy.plan)
                return result.choices, violation
        return None


def _smaller(params: Mapping[str, Any], keep: Collection[str]) -> Iterator[dict[str, Any]]:
    for name, value in params.items():
        if isinstance(value, bool) or not isinstance(value, int) or name in _NO_SIZES or name in keep:
            continue
        for less in dict.fromkeys((1, value // 2, value - 1)):
            if 0 < less < value:
                yield {**params, name: less}


def _execute(spec: RunSpec) -> Execute:
    return lambda strategy, sink: run_once(spec, strategy, sink=sink)
