"""Strategies that draw orders, each from a distribution of its own.

    pct   random priorities, and d-1 points where the running task falls behind: finds
          each bug of depth d with probability 1/(n k^(d-1)) at least     (ASPLOS 2010)
    pos   a random priority for each pending step, drawn afresh for those that conflict
          with the step just run: few conflicts, few coins                  (CAV 2018)
    surw  uniform over the orders of some chosen steps, not over runs    (ASPLOS 2025)

What is drawn is a function of the seed and of the runs before it (the length of a run and
what a step touches are learned). What repeats a single run is its schedule.

Values (`host.choose`) are no part of the published algorithms. Here they are drawn as a
random walk draws them, at a rate that is drawn for each run and is zero for every third.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final, TYPE_CHECKING

from notifierlab.explore.foresight import dependent, Foresight, GIVING, Rivals
from notifierlab.machine.access import Access
from notifierlab.machine.sched import Machine
from notifierlab.machine.task import ANOTHER, Task

if TYPE_CHECKING:
    from notifierlab.explore.run import RunResult

FAULT_RATES: Final = (0.0, 0.0625, 0.25)
"""How often a value is not the calm one; one of these holds for a run."""

DEPTHS: Final = (2, 3, 4)
"""The depths that `pct` takes in turn."""


_ABOVE_POINTS: Final = 1000
_PATIENCE: Final = 200


class Sampler:
    """What strategies have in common that draw each run by itself, from a seed of its own.

    A subclass says in `pick` who goes next, and may prepare a run in `prepare`.
    """

    name = ""
    records: ClassVar[bool] = False

    def __init__(self, seed: int = 0) -> None:
        self.first_seed = seed
        self.runs = 0
        self.fault_rate = 0.0
        self.met_value = False
        self.draw: Callable[[], float] = random.Random(seed).random
        self.machine: Machine | None = None

    @property
    def seed(self) -> int:
        """The seed of the current run."""
        return self.first_seed + max(self.runs - 1, 0)

    def new_run(self) -> bool:
        """Return true: there is always another run."""
        self.runs += 1
        return True

    def begin_run(self, machine: Machine) -> None:
        """Seed the run. Python promises that `random()` of an int seed stays the same."""
        self.machine = machine
        self.draw = random.Random(self.seed).random
        self.fault_rate = FAULT_RATES[int(self.draw() * len(FAULT_RATES))]
        self.prepare(machine)

    def choose(self, options: int, carry_on: bool, is_value: bool) -> int:
        """Draw a value, or pick a task."""
        draw = self.draw
        if is_value:
            self.met_value = True
            return 0 if draw() >= self.fault_rate else 1 + int(draw() * (options - 1))
        assert self.machine is not None
        ready = ready_tasks(self.machine, carry_on=carry_on)
        assert len(ready) == options
        return self.pick(ready)

    def end_run(self, result: "RunResult") -> None:
        """Learn nothing, unless a subclass does."""

    def prepare(self, machine: Machine) -> None:
        """Prepare a run: the seed is set."""

    def pick(self, ready: Sequence[Task]) -> int:
        """Return the index of who goes next."""
        raise NotImplementedError

    def covered(self) -> str:
        """Say what the runs so far amount to."""
        orders = "1 order" if self.runs == 1 else f"{self.runs} orders"
        return f"{orders} drawn by {self.name}, seeds {self.first_seed} to {self.seed}"


def ready_tasks(machine: Machine, *, carry_on: bool) -> list[Task]:
    """Return the tasks that may run, in the order of the options."""
    me = machine.current
    if machine.recording:
        # It has looked already; looking again would count as a touch.
        return [me, *(task for task in machine.ready if task is not me)] if carry_on else machine.ready
    if not carry_on:
        return [task for task in machine.tasks if task.until is None or task.until()]
    return [me, *(task for task in machine.tasks if task is not me and (task.until is None or task.until()))]


def _highest(ready: Sequence[Task], priorities: Mapping[str, float]) -> int:
    return max(range(len(ready)), key=lambda n: priorities[ready[n].name])


class Pct(Sampler):
    """Probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi, Nagarakatte; ASPLOS 2010).

    Each task has a random priority and the highest runs. At d-1 random points of k the
    task that would run gets a priority below all of those, the i-th point the i-th lowest
    (the points are not sorted, so any of them may end up lowest). A *point* is a choice
    among several tasks: where only one may run, a change would show at the next choice.

    `k` is the most choices that a run had so far; the first run has no points. `n` is the
    most tasks. A task that only waits for others to move (`Machine.relax`) falls below
    everybody, as PCT schedulers do with a yield, or two such loops could starve a third.
    """

    def __init__(self, seed: int = 0, depths: Sequence[int] = DEPTHS) -> None:
        super().__init__(seed)
        self.name = f"pct-{depths[0]}" if len(depths) == 1 else "pct"
        self.k = 0
        self.n = 0
        self._depths = tuple(depths)
        self._priorities: dict[str, float] = {}
        self._points: dict[int, int] = {}
        self._at = 0
        self._floor = 0
        # How many runs were made with the k of now: (depth, whether no value could be drawn).
        self._counted: dict[tuple[int, bool], int] = {}

    @property
    def depth(self) -> int:
        """The depth that the current run aims at."""
        return self._depths[(self.runs - 1) % len(self._depths)]

    def prepare(self, machine: Machine) -> None:
        """Draw where priorities change."""
        self._priorities = {}
        self._at = 0
        self._floor = 0
        self._points = {}
        for low in range(1, min(self.depth, self.k + 1)):
            point = 1 + int(self.draw() * self.k)
            while point in self._points:
                point = 1 + int(self.draw() * self.k)
            self._points[point] = low

    def pick(self, ready: Sequence[Task]) -> int:
        """Take the highest, after the change that is due."""
        assert self.machine is not None
        priorities = self._priorities
        for task in self.machine.tasks:
            if task.name not in priorities:
                priorities[task.name] = _ABOVE_POINTS + self.draw()
        me = self.machine.current
        if me.name in priorities and me.until is not None and me.waits_for is ANOTHER:
            self._floor -= 1
            priorities[me.name] = self._floor
        self._at += 1
        best = _highest(ready, priorities)
        low = self._points.get(self._at)
        if low is not None:
            priorities[ready[best].name] = low
            best = _highest(ready, priorities)
        return best

    def end_run(self, result: "RunResult") -> None:
        """Learn how long runs are."""
        if result.ended == "interrupted":
            return
        if self._at > self.k or len(self._priorities) > self.n:
            # The bound holds for runs that knew how long they may be.
            grown = self._at > self.k
            self.k = max(self.k, self._at)
            self.n = max(self.n, len(self._priorities))
            if grown:
                self._counted = {}
                return
        kind = (self.depth, self.fault_rate == 0.0)
        self._counted[kind] = self._counted.get(kind, 0) + 1

    def missed(self, depth: int) -> float:
        """Return a bound on the probability that all runs missed a bug of `depth` that needs no fault.

        It holds if no run has more tasks and choices than the longest so far. Runs that
        were made before the longest was known do not count, nor those in which a value
        might have been drawn (if there are any values to draw).
        """
        counted = self._counted.get((depth, True), 0)
        if not self.met_value:
            counted += self._counted.get((depth, False), 0)
        return float((1.0 - 1.0 / max(1, self.n * self.k ** (depth - 1))) ** counted)

    def covered(self) -> str:
        """Say how many orders, and how likely it is that a bug was missed."""
        odds = ", ".join(f"{_percent(self.missed(depth))} for depth {depth}" for depth in self._depths)
        fault = " that needs no fault" if self.met_value else ""
        return (
            f"{super().covered()}; the probability of having missed a bug{fault} is at most {odds}, "
            f"if no run has more than {self.n} tasks and {self.k} choices"
        )


def _percent(probability: float) -> str:
    """Round up: a bound that is rounded down is none."""
    tenths = min(1000, int(probability * 1000) + 1)
    return f"{tenths / 10:g} %"


class Pos(Sampler):
    """Partial order sampling (Yuan, Yang, Gu; CAV 2018).

    Each pending step has a random priority and the highest runs. Then the task that ran
    and every task whose pending step conflicts with the step just run draw afresh. Steps
    of which nothing is known conflict with nothing: over objects that record no accesses
    this is what the paper calls basic POS, by locks.
    """

    name = "pos"
    records = True

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._foresight = Foresight()
        self._priorities: dict[str, float] = {}

    def prepare(self, machine: Machine) -> None:
        """Forget the priorities of the run before."""
        self._foresight.begin(machine)
        self._priorities = {}

    def pick(self, ready: Sequence[Task]) -> int:
        """Draw what is due, and take the highest."""
        assert self.machine is not None
        priorities = self._priorities
        for step in self._foresight.new_steps():
            priorities.pop(step.task, None)
            self._redraw(step.task, step.accesses)
        for task in self.machine.tasks:
            if task.name not in priorities:
                priorities[task.name] = self.draw()
        return _highest(ready, priorities)

    def _redraw(self, ran: str, accesses: Sequence[Access]) -> None:
        assert self.machine is not None
        if not accesses:
            return
        for task in self.machine.tasks:
            if task.name != ran and dependent(accesses, self._foresight.of(task)):
                self._priorities.pop(task.name, None)


class Surw(Sampler):
    """Selectively uniform random walk (Zhao, Wolff, Mathur, Roychoudhury; ASPLOS 2025).

    Some steps are *chosen*: those that touch one object over which tasks conflict, or a
    pair of such objects that belong together because the same two tasks fight over both (a
    page and its spte, an spte and the sequence count); drawn anew for each run. One task
    is *intended*, drawn by how many chosen steps it has left. Who goes next is drawn
    evenly, except that a task about to take a chosen step waits unless it is the intended
    one. When it took it, another is drawn. If the counts are right and nothing blocks,
    every order of the chosen steps is equally likely.

    The counts come from the first run, a random walk, and from the longest that each task
    did since: guests that left early in the first run would starve for ever. A task that
    comes to a chosen step when it should have none left is given one.

    Blocking is not in the published text; our reading: if all who may run are about to
    take a chosen step and the intended one is blocked (it may wait for a lock that one of
    them holds), the intention passes to one of them, by their counts. It does so too if
    nobody took a chosen step for a long time, or a loop that tries again would never end.
    Over objects that record no accesses the chosen steps are takes of one or two locks.
    """

    name = "surw"
    records = True

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._foresight = Foresight()
        self._rivals = Rivals()
        self._chosen: tuple[str, ...] = ()
        self._left: dict[str, int] = {}
        self._known: dict[str, int] = {}
        self._intended = ""
        self._waited = 0

    def prepare(self, machine: Machine) -> None:
        """Draw what is chosen."""
        self._foresight.begin(machine)
        self._chosen = self._rivals.draw(self.draw)
        self._known = self._rivals.counts(self._chosen)
        self._left = {}
        self._intended = ""
        self._waited = 0

    def pick(self, ready: Sequence[Task]) -> int:
        """Draw among those who need not wait."""
        for step in self._foresight.new_steps():
            if self._is_chosen(step.accesses):
                self._left[step.task] = max(0, self._left.get(step.task, 0) - 1)
                self._intended = ""
                self._waited = 0
        self._intend()
        self._waited += 1
        at_chosen = [self._is_chosen(self._foresight.of(task)) for task in ready]
        for task, chosen in zip(ready, at_chosen, strict=True):
            if chosen and not self._left[task.name]:
                self._give(task.name, 1)
        free = [n for n, task in enumerate(ready) if not at_chosen[n] or self._intended in ("", task.name)]
        if not free or self._waited > _PATIENCE:
            self._waited = 0
            weights = [(task.name, max(1, self._left.get(task.name, 0))) for task in ready]
            self._intended = self._drawn(weights)
            return [task.name for task in ready].index(self._intended)
        return free[int(self.draw() * len(free))]

    def end_run(self, result: "RunResult") -> None:
        """Learn over what tasks conflict, and how often each comes there."""
        if result.ended != "interrupted":
            self._rivals.learn(result.trace)

    def _is_chosen(self, accesses: Sequence[Access]) -> bool:
        return any(access.object in self._chosen and access.mode not in GIVING for access in accesses)

    def _intend(self) -> None:
        """Keep the intention within those who live; a task that began since gets its share."""
        assert self.machine is not None
        tasks = self.machine.tasks
        if all(task.name != self._intended for task in tasks):
            self._intended = ""
        for task in tasks:
            if task.name not in self._left:
                self._give(task.name, self._known.get(task.name, 0))
        if not self._intended:
            self._intended = self._drawn([(task.name, self._left[task.name]) for task in tasks])

    def _give(self, name: str, count: int) -> None:
        """Let a task have chosen steps that were not counted when the intended one was drawn."""
        assert self.machine is not None
        self._left[name] = count
        all_left = sum(self._left.get(task.name, 0) for task in self.machine.tasks)
        if self._intended and self.draw() * all_left < count:
            self._intended = name

    def _drawn(self, weights: Sequence[tuple[str, int]]) -> str:
        """Draw a name by weight; none if all weights are zero."""
        ticket = self.draw() * sum(weight for _, weight in weights)
        for name, weight in weights:
            if ticket < weight:
                return name
            ticket -= weight
        return ""
