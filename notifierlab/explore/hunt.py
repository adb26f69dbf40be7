"""The hunt: several strategies take turns, and whoever shows something new gets more of them.

No strategy wins everywhere, and which one will is not known before. What is known after
each run is which *hand-offs* it had: a task changed an object, and another one met that
change. A run whose hand-offs were all seen before has hardly a bug that was not. So
every other slice goes round, and those between go to whoever had the most new hand-offs
in a run lately. Once nobody has any they go to the first, who is the best hunter of all we
measured if it can see all that tasks share; where it cannot, to those of the first who draw
what they do, in turn. Slices are counted in runs, not in seconds: a hunt repeats.

`dpor` in its fixed order finds in a handful of runs what lies near its beginning, which those who
draw may miss for hundreds, and little else for long. So it comes early, and its slices are short.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final, TYPE_CHECKING

from notifierlab.explore.dpor import Dpor
from notifierlab.explore.sampling import Pct, Pos, Surw
from notifierlab.explore.strategies import Bounded, RandomWalk, Strategy
from notifierlab.machine.access import Mode, Step
from notifierlab.machine.sched import Machine

if TYPE_CHECKING:
    from notifierlab.explore.run import RunResult

SLICE_RUNS: Final = 16
"""How many runs a strategy has on end."""

SHORT_RUNS: Final = 8
"""How many `dpor` has: of all the mutants of the host, what it finds in 16 it mostly finds in 8."""

BOUND: Final = 2
"""How many deviations `bounded` goes up to within a hunt."""

Arms = Mapping[str, Callable[[int], Strategy]]
"""Who takes part: each is made of a seed."""

_CHANGES: Final = (
    Mode.WRITE,
    Mode.ADD,
    Mode.INSERT,
    Mode.RELEASE,
    Mode.RELEASE_READ,
    Mode.ENQUEUE,
    Mode.WAKE,
)

HandOff = tuple[str, str, str]
"""Who changed an object, who met that change, and the object."""


def hand_offs(trace: Sequence[Step]) -> dict[HandOff, None]:
    """Return the hand-offs of a run, in their order."""
    found: dict[HandOff, None] = {}
    changed: dict[str, str] = {}
    for step in trace:
        for access in step.accesses:
            changer = changed.get(access.object, step.task)
            if changer != step.task:
                found[changer, step.task, access.object] = None
        for access in step.accesses:
            if access.mode in _CHANGES:
                changed[access.object] = step.task
    return found


class Restarts:
    """Optimal DPOR in random order that begins anew again and again.

    From some beginnings the search is lost for long in a part without a bug, from most it
    is not; so none is followed for long before another is tried, and every second one of
    a length is followed twice as long: 1, 1, 2, 1, 1, 2, 4, ... slices (Luby, Sinclair,
    Zuckerman, 1993). Where the
    space is small, one of them ends, and with it the search.
    """

    name = "dpor-random"
    records: ClassVar[bool] = True

    def __init__(self, seed: int = 0, runs: int = SLICE_RUNS) -> None:
        self.first_seed = seed
        self.restarts = 0
        self.runs = 0
        self._slice = runs
        self._left = 0
        self._dpor = Dpor(seed=seed)

    @property
    def proved(self) -> bool:
        """Whether the current search left no order untried, and that is a proof."""
        return self._dpor.proved

    def new_run(self) -> bool:
        """Prepare the next run of this search or of a new one; there is none once one was exhausted."""
        if not self._left:
            self._dpor = Dpor(seed=self.first_seed + self.restarts)
            self.restarts += 1
            self._left = luby(self.restarts) * self._slice
        self._left -= 1
        if not self._dpor.new_run():
            return False
        self.runs += 1
        return True

    def begin_run(self, machine: Machine) -> None:
        self._dpor.begin_run(machine)

    def choose(self, options: int, carry_on: bool, is_value: bool) -> int:
        return self._dpor.choose(options, carry_on, is_value)

    def end_run(self, result: "RunResult") -> None:
        self._dpor.end_run(result)

    def covered(self) -> str:
        """Say what the runs so far amount to."""
        if self._dpor.exhausted:
            return self._dpor.covered()
        return f"{self.runs} orders by dpor in random order, begun {self.restarts} times from seed {self.first_seed}"


def luby(n: int) -> int:
    """Return the `n`-th of 1, 1, 2, 1, 1, 2, 4, 1, 1, 2, 1, 1, 2, 4, 8, ... (from 1)."""
    while (n + 1) & n:
        n -= (1 << (n.bit_length() - 1)) - 1
    return (n + 1) >> 1


ARMS: Final[Arms] = {
    "dpor-random": Restarts,
    "dpor": lambda _seed: Dpor(),
    "pos": Pos,
    "pct": Pct,
    "bounded": lambda _seed: Bounded(BOUND),
    "surw": Surw,
    "random": RandomWalk,
}
"""Who takes part, in the order in which they begin."""

ARMS_AFTER_DPOR: Final[Arms] = {name: make for name, make in ARMS.items() if name != "dpor"}
"""Who takes part where the orders of `dpor` were tried before."""


class _Arm:
    """One who takes part: what it has done, and what it showed in its last two slices."""

    def __init__(self, name: str, strategy: Strategy) -> None:
        self.name = name
        self.strategy = strategy
        self.draws = not isinstance(strategy, Dpor)
        self.slice = SLICE_RUNS if self.draws else SHORT_RUNS
        self.runs = 0
        self.new = 0
        self._before = 0

    @property
    def worth(self) -> int:
        return self.new + self._before

    def begin_slice(self) -> None:
        self._before, self.new = self.new, 0


class Hunt:
    """A portfolio in slices of runs (see the head of this file)."""

    name = "hunt"
    records: ClassVar[bool] = True

    def __init__(self, seed: int = 0, arms: Arms = ARMS) -> None:
        self.seen: dict[HandOff, None] = {}
        self.first_seed = seed
        self._arms = [_Arm(name, make(seed)) for name, make in arms.items()]
        self._gone: list[_Arm] = []
        self._current = self._arms[0]
        self._sees_all = False
        self._slices = 0
        self._left = 0
        self._round = -1

    @property
    def proved(self) -> bool:
        """Whether one of them left no order untried, and that is a proof."""
        return bool(self._proof)

    @property
    def _proof(self) -> str:
        arms = (*self._arms, *self._gone)
        searches = [arm.strategy for arm in arms if isinstance(arm.strategy, Restarts | Dpor)]
        return next((search.covered() for search in searches if search.proved), "")

    def new_run(self) -> bool:
        """Let whoever's slice it is prepare a run; one that has no more leaves."""
        while self._arms and not self.proved:
            if not self._left:
                self._next_slice()
            if self._current.strategy.new_run():
                self._left -= 1
                self._current.runs += 1
                return True
            self._leave(self._current)
        return False

    def begin_run(self, machine: Machine) -> None:
        self._current.strategy.begin_run(machine)

    def choose(self, options: int, carry_on: bool, is_value: bool) -> int:
        return self._current.strategy.choose(options, carry_on, is_value)

    def end_run(self, result: "RunResult") -> None:
        """Credit the strategy with what nobody had shown before."""
        self._current.strategy.end_run(result)
        self._sees_all = result.declared
        for hand_off in hand_offs(result.trace):
            if hand_off not in self.seen:
                self.seen[hand_off] = None
                self._current.new += 1

    def covered(self) -> str:
        """Say who made how many runs, and how many hand-offs they showed."""
        parts = [f"{arm.runs} by {arm.name}" for arm in (*self._arms, *self._gone) if arm.runs]
        if self._proof:
            return f"{self._proof} ({', '.join(parts)})"
        return f"{', '.join(parts)}; {len(self.seen)} hand-offs between tasks seen (seed {self.first_seed})"

    def _leave(self, arm: _Arm) -> None:
        self._arms.remove(arm)
        self._gone.append(arm)
        self._left = 0

    def _next_slice(self) -> None:
        self._slices += 1
        if self._slices % 2 == 0 and self._round + 1 >= len(self._arms):
            best = max(self._arms, key=lambda arm: arm.worth)
            if not best.worth and not self._sees_all:
                first = [arm for arm in self._arms if arm.draws][:2] or self._arms
                best = first[self._slices // 2 % len(first)]
            self._current = best
        else:
            self._round += 1
            self._current = self._arms[self._round % len(self._arms)]
        self._current.begin_slice()
        self._left = self._current.slice
