"""A run in words that survive a change: what is taken where it is not the calm option.

A schedule is a list of numbers, and each number's meaning hangs on all that came before:
take one out and the rest says something else. A plan says "at its 7th choice, `truncate`
gives way to `vcpu0`", turns say who went, and for how many choices on end. Both are
followed as far as they can be, and what was really run is written down anew.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from notifierlab.events import Event
from notifierlab.explore.run import RunResult
from notifierlab.explore.strategies import Replay, Strategy
from notifierlab.machine.sched import Machine

Execute = Callable[[Strategy, Callable[[Event], None] | None], RunResult]
"""Runs a strategy, its events into a sink: `lambda strategy, sink: run_once(spec, strategy, sink=sink)`."""


class At(NamedTuple):
    """A choice point in words: the `n`-th of `task`, of a next task or of a value."""

    task: str
    is_value: bool
    n: int


class Turn(NamedTuple):
    """A task that goes first at `choices` choice points on end."""

    task: str
    choices: int


Plan = dict[At, str | int]
"""What is taken where it is not the calm option: the name of the next task, or the index of a value."""


class Recorder:
    """Wraps a strategy and writes down what it takes: the plan, and the turns."""

    name = "recorder"

    def __init__(self, inner: Strategy) -> None:
        self.plan: Plan = {}
        self.turns: list[Turn] = []
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
        index = self._pick(at, options, carry_on, is_value)
        if is_value:
            if index:
                self.plan[at] = index
            return index
        chosen = me if carry_on and not index else ready(machine, carry_on=carry_on)[index]
        if index:
            self.plan[at] = chosen
        self._note_turn(chosen)
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

    def _note_turn(self, task: str) -> None:
        if self.turns and self.turns[-1].task == task:
            self.turns[-1] = Turn(task, self.turns[-1].choices + 1)
        else:
            self.turns.append(Turn(task, 1))

    def _pick(self, at: At, options: int, carry_on: bool, is_value: bool) -> int:
        return self._inner.choose(options, carry_on, is_value)

    def _ready(self, *, carry_on: bool) -> tuple[str, ...]:
        assert self._machine is not None
        return ready(self._machine, carry_on=carry_on)


class Planned(Recorder):
    """Follows a plan; where the plan says nothing, or what cannot be, it stays calm."""

    def __init__(self, wanted: Mapping[At, str | int]) -> None:
        super().__init__(Replay(()))
        self._wanted = wanted

    def _pick(self, at: At, options: int, carry_on: bool, is_value: bool) -> int:
        taken = self._wanted.get(at, 0)
        if isinstance(taken, int):
            return taken if is_value and taken < options else 0
        names = self._ready(carry_on=carry_on)
        return names.index(taken) if taken in names else 0


class InTurns(Recorder):
    """Lets tasks go in turns, and takes the values of a plan; after the last turn it stays calm."""

    def __init__(self, wanted: Sequence[Turn], values: Mapping[At, str | int]) -> None:
        super().__init__(Replay(()))
        self._wanted = wanted
        self._values = values
        self._turn = 0
        self._taken = 0

    def _pick(self, at: At, options: int, carry_on: bool, is_value: bool) -> int:
        if is_value:
            value = self._values.get(at, 0)
            return value if isinstance(value, int) and value < options else 0
        names = self._ready(carry_on=carry_on)
        self._skip(names)
        if self._turn >= len(self._wanted) or self._wanted[self._turn].task not in names:
            return 0
        self._taken += 1
        return names.index(self._wanted[self._turn].task)

    def _skip(self, names: tuple[str, ...]) -> None:
        """Go on to the next turn when this one is over, or its task has ended."""
        assert self._machine is not None
        alive = [task.name for task in self._machine.tasks]
        while self._turn < len(self._wanted):
            task, choices = self._wanted[self._turn]
            if self._taken < choices and (task in names or task in alive):
                return
            self._turn += 1
            self._taken = 0


def ready(machine: Machine, *, carry_on: bool) -> tuple[str, ...]:
    """Name the tasks that may run, in the order of the options."""
    me = machine.current
    others = [
        task.name for task in machine.tasks if not (carry_on and task is me) and (task.until is None or task.until())
    ]
    return (me.name, *others) if carry_on else tuple(others)
