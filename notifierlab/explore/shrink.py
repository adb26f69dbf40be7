"""Making a schedule simple: the same violation with fewer deviations from calm.

A schedule is a list of numbers, and each number's meaning hangs on all that came before:
take one out and the rest says something else. So a schedule is first rewritten as a plan,
in words that survive it: "at its 7th choice, `truncate` gives way to `vcpu0`". Plans are
cut, run, and written down anew from what was really run; a candidate counts if it breaks
the same rule with the same kind of objects, and is kept if it is simpler.

Simpler means: fewer preemptions and faults, then fewer switches between tasks, then
fewer steps to the violation, then the lesser schedule. Verified: no single item of the
plan can be left out (unless the replays ran out, and `minimal` says so). Not verified:
that no wholly different run is simpler still.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from notifierlab.events import Event, Violation
from notifierlab.explore.kinds import kind_of, trimmed
from notifierlab.explore.run import RunResult
from notifierlab.explore.strategies import deviations, Replay, Strategy
from notifierlab.machine.sched import Machine

REPLAYS_MAX: Final = 400
"""How many runs shrinking may take."""

_SHIFTS: Final = (1, -1, 2, -2, 4, -4)

Execute = Callable[[Strategy, Callable[[Event], None] | None], RunResult]


class At(NamedTuple):
    """A choice point in words: the `n`-th of `task`, of a next task or of a value."""

    task: str
    is_value: bool
    n: int


Plan = dict[At, str | int]
"""What is taken where it is not the calm option: the name of the next task, or the index of a value."""


@dataclass(frozen=True, kw_only=True)
class Shrunk:
    """The simplest run found. `choices` is its schedule without calm choices at the end."""

    violation: Violation
    choices: tuple[int, ...]
    deviations: int
    switches: int
    result: RunResult
    replays: int
    minimal: bool


def shrink(execute: Execute, choices: Sequence[int], violation: Violation, *, replays_max: int = REPLAYS_MAX) -> Shrunk:
    """Return the simplest run like the one of `choices` that shows `violation`.

    Args:
        execute: runs a strategy; `lambda strategy, sink: run_once(spec, strategy, sink=sink)`.
        choices: the schedule that showed it.
        violation: what must stay: its rule, and the kind of its objects.
        replays_max: how many runs this may take.
    """
    return _Shrinker(execute, violation, replays_max).shrink(choices)


class _Candidate(NamedTuple):
    cost: tuple[int, int, int, tuple[int, ...]]
    plan: Plan
    result: RunResult
    violation: Violation


class _Shrinker:
    def __init__(self, execute: Execute, violation: Violation, replays_max: int) -> None:
        self._execute = execute
        self._kind = kind_of(violation)
        self._left = replays_max
        self._replays_max = replays_max
        self._tried: set[tuple[tuple[At, str | int], ...]] = set()

    def shrink(self, choices: Sequence[int]) -> Shrunk:
        best = self._run(_Recorder(Replay(choices)))
        assert best is not None, "the schedule to shrink does not show its violation"
        minimal = False
        while not minimal and self._left > 0:
            better = self._first_better(best)
            minimal = better is None and self._left > 0
            best = better or best
        # What is handed out is what a plain replay of its choices gives.
        final = self._run(_Recorder(Replay(best.result.choices))) or best
        assert final.result.choices == best.result.choices, "a shrunk run does not repeat"
        return Shrunk(
            violation=final.violation,
            choices=trimmed(final.result.choices),
            deviations=final.cost[0],
            switches=final.cost[1],
            result=final.result,
            replays=self._replays_max - self._left,
            minimal=minimal,
        )

    def _first_better(self, best: _Candidate) -> _Candidate | None:
        for plan in _simpler(best.plan):
            key = tuple(plan.items())
            if key in self._tried:
                continue
            if self._left <= 0:
                return None
            self._tried.add(key)
            found = self._run(_Planned(plan))
            if found is not None and found.cost < best.cost:
                return found
        return None

    def _run(self, strategy: "_Recorder | _Planned") -> _Candidate | None:
        """Execute, and return what it showed if that is the violation looked for."""
        self._left -= 1
        result = self._execute(strategy, strategy.see)
        if result.ended == "interrupted":
            # Whoever waits has seen enough: what is known by now is handed out.
            self._left = 0
            return None
        for violation in result.violations:
            if kind_of(violation) == self._kind:
                cost = (
                    deviations(result.choices, result.options),
                    strategy.switches_until(violation.step),
                    violation.step,
                    trimmed(result.choices),
                )
                return _Candidate(cost, dict(strategy.plan), result, violation)
        return None


def _simpler(plan: Plan) -> Iterator[Plan]:
    """Iterate over plans that may be simpler: large parts left out, then single items, then moved."""
    items = list(plan.items())
    size = len(items)
    while size:
        for begin in range(0, len(items), size):
            yield dict(items[:begin] + items[begin + size :])
        size //= 2
    for n, (at, taken) in enumerate(items):
        for changed in _changed(at, taken):
            if changed[0] == at or changed[0] not in plan:
                yield dict([*items[:n], changed, *items[n + 1 :]])
    # Two preemptions often stand for one: there and back.
    for n in range(len(items)):
        for m in range(n + 1, len(items)):
            yield dict([item for i, item in enumerate(items) if i not in (n, m)])


def _changed(at: At, taken: str | int) -> Iterator[tuple[At, str | int]]:
    """Iterate over one item moved, or with a smaller value."""
    if isinstance(taken, int):
        for value in range(1, taken):
            yield at, value
    for shift in _SHIFTS:
        if at.n + shift >= 0:
            yield at._replace(n=at.n + shift), taken


class _Recorder:
    """Wraps a strategy and writes the plan of what it takes."""

    name = "shrink"

    def __init__(self, inner: Strategy) -> None:
        self.plan: Plan = {}
        self._inner = inner
        self._machine: Machine | None = None
        self._counts: dict[tuple[str, bool], int] = {}
        self._switches: list[int] = []
        self._last = ""

    def new_run(self) -> bool:
        return True

    def begin_run(self, machine: Machine) -> None:
        self._machine = machine
        self._inner.begin_run(machine)

    def choose(self, options: int, carry_on: bool, is_value: bool) -> int:
        machine = self._machine
        assert machine is not None
        me = machine.current.name
        n = self._counts.get((me, is_value), 0)
        self._counts[(me, is_value)] = n + 1
        at = At(me, is_value, n)
        ready = () if is_value else _ready(machine, carry_on=carry_on)
        index = self._pick(at, ready, options, carry_on, is_value)
        if index:
            self.plan[at] = index if is_value else ready[index]
        return index

    def end_run(self, result: RunResult) -> None:
        self._inner.end_run(result)

    def see(self, event: Event) -> None:
        """Note where the task changes."""
        if event.task != self._last:
            self._last = event.task
            self._switches.append(event.step)

    def switches_until(self, step: int) -> int:
        return sum(1 for at in self._switches if at <= step)

    def _pick(self, at: At, ready: tuple[str, ...], options: int, carry_on: bool, is_value: bool) -> int:
        return self._inner.choose(options, carry_on, is_value)


class _Planned(_Recorder):
    """Follows a plan as far as it can, and writes down the one that was followed."""

    def __init__(self, wanted: Plan) -> None:
        super().__init__(Replay(()))
        self._wanted = wanted

    def _pick(self, at: At, ready: tuple[str, ...], options: int, carry_on: bool, is_value: bool) -> int:
        taken = self._wanted.get(at, 0)
        if isinstance(taken, int):
            return taken if is_value and taken < options else 0
        return ready.index(taken) if taken in ready else 0


def _ready(machine: Machine, *, carry_on: bool) -> tuple[str, ...]:
    """Name the tasks that may run, in the order of the options."""
    me = machine.current
    others = [
        task.name for task in machine.tasks if not (carry_on and task is me) and (task.until is None or task.until())
    ]
    return (me.name, *others) if carry_on else tuple(others)
