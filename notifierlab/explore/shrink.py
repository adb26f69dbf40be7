"""Making a schedule simple: the same violation with fewer deviations from calm.

Simpler means: fewer preemptions and faults, then fewer switches between tasks, then
fewer steps to the violation, then the lesser schedule. A candidate is a changed plan, a
schedule with one number made smaller, or turns of one task put together; it is executed,
written down anew from what was really run, and kept if it breaks the same rule with the
same kind of objects and is simpler. What is handed out is what a plain replay gives.

    1. Parts of the plan left out: all of one task, large parts, single items, pairs.
    2. Single numbers of the schedule made calm or smaller; items moved.
    3. Turns of one task put together, with what lay between moved before or behind.
    4. Every order with fewer deviations, breadth first, and then those with as many.

Verified: no candidate of 1 to 3 is simpler (`minimal`); no order at all has fewer
deviations (`fewest`), or is simpler in any way (`least`). Each is said only if the
replays sufficed for it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from notifierlab.events import Violation
from notifierlab.explore.kinds import kind_of, trimmed
from notifierlab.explore.plans import At, Execute, InTurns, Plan, Planned, Recorder, Turn
from notifierlab.explore.run import RunResult
from notifierlab.explore.strategies import Bounded, deviations, Divergence, Replay

REPLAYS_MAX: Final = 1000
"""How many runs shrinking may take: a second, or a few."""

STEPS_MAX: Final = 300_000
"""How many steps those runs may take together: a run of a large scenario is worth many."""

Same = Callable[[Violation], tuple[str, ...]]
"""What of a violation makes it the same as another."""

_SHIFTS: Final = (1, -1, 2, -2, 4, -4)


@dataclass(frozen=True, kw_only=True)
class Shrunk:
    """The simplest run found. `choices` is its schedule without calm choices at the end.

    `plan` says the same in words that hold for a scenario of another size. `stopped` says
    that somebody did not want to wait any longer.
    """

    violation: Violation
    choices: tuple[int, ...]
    deviations: int
    switches: int
    plan: Plan
    result: RunResult
    replays: int
    minimal: bool
    fewest: bool
    least: bool
    stopped: bool = False


def shrink(
    execute: Execute,
    choices: Sequence[int],
    violation: Violation,
    *,
    replays_max: int = REPLAYS_MAX,
    same: Same = kind_of,
) -> Shrunk:
    """Return the simplest run like the one of `choices` that shows `violation`.

    Args:
        execute: runs a strategy.
        choices: the schedule that showed it.
        violation: what must stay: its rule, and the kind of its objects.
        replays_max: how many runs this may take.
        same: what must stay of a violation, if it is more than that.
    """
    return _Shrinker(execute, violation, replays_max, same).shrink(choices)


class _Candidate(NamedTuple):
    cost: tuple[int, int, int, tuple[int, ...]]
    plan: Plan
    turns: tuple[Turn, ...]
    result: RunResult
    violation: Violation


class _Shrinker:
    def __init__(self, execute: Execute, violation: Violation, replays_max: int, same: Same) -> None:
        self._execute = execute
        self._same = same
        self._kind = same(violation)
        self._left = replays_max
        self._replays = 0
        self._steps_left = STEPS_MAX
        self._stopped = False
        self._tried: set[object] = set()

    def shrink(self, choices: Sequence[int]) -> Shrunk:
        best = self._run(Recorder(Replay(choices, strict=False)))
        if best is None and self._stopped:
            best = self._run(Recorder(Replay(choices, strict=False)))
        if best is None:
            raise Divergence(
                f"the run that broke {self._kind[0]} does not break it when it is run again: the scenario or driver "
                "does not repeat itself (time, random numbers, the order of a set, state kept between runs?)"
            )
        best, minimal = self._descend(best)
        exact, fewest, least = self._least(best)
        if exact is not best and not least:
            exact, minimal = self._descend(exact)
        best = exact
        # What is handed out is what a plain replay of its choices gives.
        final = self._run(Recorder(Replay(best.result.choices))) or best
        assert final.result.choices == best.result.choices, "a shrunk run does not repeat"
        return Shrunk(
            violation=final.violation,
            choices=trimmed(final.result.choices),
            deviations=final.cost[0],
            switches=final.cost[1],
            plan=final.plan,
            result=final.result,
            replays=self._replays,
            minimal=minimal or least,
            fewest=fewest,
            least=least,
            stopped=self._stopped,
        )

    def _descend(self, best: _Candidate) -> tuple[_Candidate, bool]:
        """Take simpler neighbours until there is none; tell whether that was found out."""
        while self._left > 0:
            better = self._first_better(best)
            if better is None:
                return best, self._left > 0
            best = better
        return best, False

    def _first_better(self, best: _Candidate) -> _Candidate | None:
        for key, strategy in _neighbours(best):
            if key in self._tried:
                continue
            if self._left <= 0:
                return None
            self._tried.add(key)
            found = self._run(strategy)
            if found is not None and found.cost < best.cost:
                return found
        return None

    def _least(self, best: _Candidate) -> tuple[_Candidate, bool, bool]:
        """Execute the orders with no more deviations than `best`; return the simplest of all, and what is sure."""
        orders = Bounded(best.cost[0])
        while self._left > 0 and orders.new_run():
            if len(orders.counts) - 1 > best.cost[0]:
                break
            found = self._run(Recorder(orders))
            if found is not None and found.cost < best.cost:
                best = found
        fewest = orders.finished >= best.cost[0]
        least = orders.exhausted or orders.finished > best.cost[0]
        return best, fewest, least

    def _run(self, strategy: Recorder) -> _Candidate | None:
        """Execute, and return what it showed if that is the violation looked for."""
        self._left -= 1
        self._replays += 1
        result = self._execute(strategy, strategy.see)
        self._steps_left -= result.steps
        if result.ended == "interrupted":
            # Whoever waits has seen enough: what is known by now is handed out.
            self._stopped = True
        if self._stopped or self._steps_left <= 0:
            self._left = 0
        if result.ended == "interrupted":
            return None
        for violation in result.violations:
            if self._same(violation) == self._kind:
                cost = (
                    deviations(result.choices, result.options),
                    strategy.switches_until(violation.step),
                    violation.step,
                    trimmed(result.choices),
                )
                return _Candidate(cost, dict(strategy.plan), tuple(strategy.turns), result, violation)
        return None


def _neighbours(best: _Candidate) -> Iterator[tuple[object, Recorder]]:
    """Iterate over what may be simpler, large steps first; each with a key that stands for it."""
    for plan in _cut(best.plan):
        yield tuple(plan.items()), Planned(plan)
    for choices in _calmer(trimmed(best.result.choices)):
        yield choices, Recorder(Replay(choices, strict=False))
    for plan in _moved(best.plan):
        yield tuple(plan.items()), Planned(plan)
    values = {at: taken for at, taken in best.plan.items() if at.is_value}
    for turns in _together(best.turns):
        yield (turns, tuple(values.items())), InTurns(turns, values)


def _cut(plan: Plan) -> Iterator[Plan]:
    """Iterate over plans with something left out: all of a task, large parts, single items, pairs."""
    items = list(plan.items())
    for task in dict.fromkeys(name for at, taken in items for name in (at.task, taken) if isinstance(name, str)):
        yield {at: taken for at, taken in items if task not in (at.task, taken)}
    size = len(items)
    while size:
        for begin in range(0, len(items), size):
            yield dict(items[:begin] + items[begin + size :])
        size //= 2
    # Two preemptions often stand for one: there and back.
    for n in range(len(items)):
        for m in range(n + 1, len(items)):
            yield dict([item for i, item in enumerate(items) if i not in (n, m)])


def _calmer(choices: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Iterate over schedules with one number made smaller, and the rest as it stands or left out."""
    for n, choice in enumerate(choices):
        for less in range(choice):
            yield (*choices[:n], less, *choices[n + 1 :])
            if any(choices[n + 1 :]):
                yield (*choices[:n], less)


def _moved(plan: Plan) -> Iterator[Plan]:
    """Iterate over plans with one item moved, or with a smaller value."""
    items = list(plan.items())
    for n, (at, taken) in enumerate(items):
        for changed in _changed(at, taken):
            if changed[0] == at or changed[0] not in plan:
                yield dict([*items[:n], changed, *items[n + 1 :]])


def _changed(at: At, taken: str | int) -> Iterator[tuple[At, str | int]]:
    if isinstance(taken, int):
        for value in range(1, taken):
            yield at, value
    for shift in _SHIFTS:
        if at.n + shift >= 0:
            yield at._replace(n=at.n + shift), taken


def _together(turns: tuple[Turn, ...]) -> Iterator[tuple[Turn, ...]]:
    """Iterate over turns without a task, and with its next turn right after its last: drawn forward, or waited for."""
    for task in dict.fromkeys(turn.task for turn in turns):
        yield tuple(turn for turn in turns if turn.task != task)
    for n, (task, choices) in enumerate(turns):
        m = next((m for m in range(n + 1, len(turns)) if turns[m].task == task), None)
        if m is not None:
            both = Turn(task, choices + turns[m].choices)
            yield (*turns[:n], both, *turns[n + 1 : m], *turns[m + 1 :])
            yield (*turns[:n], *turns[n + 1 : m], both, *turns[m + 1 :])
