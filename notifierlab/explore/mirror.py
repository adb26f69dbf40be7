"""Whether tasks declared interchangeable are: a run with their names exchanged must go the same way."""

from typing import Final

from notifierlab.explore.fingerprint import Numbers, Portrait, State
from notifierlab.machine.sched import LabError, Machine

MIRROR_FIRST: Final = 1
"""After this many runs the first is repeated with names exchanged; then after twice as many."""


def on_offer(machine: Machine, carry_on: bool) -> tuple[str, ...]:
    """Return the tasks that may run, in the order of the options."""
    names = [task.name for task in machine.ready]
    if carry_on and machine.current.name in names:
        names.remove(machine.current.name)
        names.insert(0, machine.current.name)
    return tuple(names)


class Mirror:
    """Repeats a run with the names of interchangeable tasks exchanged, and compares the states."""

    def __init__(self, numbers: Numbers) -> None:
        self.machine: Machine | None = None
        self.running = False
        self._numbers = numbers
        self._next = MIRROR_FIRST
        self._order: list[tuple[str, tuple[int, ...]]] = []
        self._states: list[State] = []

    def due(self) -> bool:
        """Tell whether the next run is a mirrored one."""
        self.running = bool(self._order)
        if self.running:
            self._next *= 2
        return self.running

    def saw(self, machine: Machine, runs: int) -> None:
        """Keep the run that has just ended, if it is time to mirror one."""
        self._order = []
        if not machine.alike or runs < self._next:
            return
        other = _exchanged(machine.alike)
        self._order = [(other.get(step.task, step.task), step.values) for step in machine.trace]
        self._states = self._states_of(machine)

    def choose(self, options: int, carry_on: bool, is_value: bool) -> int:
        """Take the task that has the other's name."""
        assert self.machine is not None
        trace = self.machine.trace
        if is_value:
            values = self._order[len(trace)][1] if len(trace) < len(self._order) else ()
            taken = self.machine.values_taken
            return values[taken] if taken < len(values) else 0
        names = on_offer(self.machine, carry_on)
        name = self._order[len(trace)][0] if len(trace) < len(self._order) else ""
        return names.index(name) if name in names else 0

    def end_run(self) -> None:
        """Compare."""
        assert self.machine is not None
        if self._states_of(self.machine) != self._states:
            tasks = ", ".join(name for name in _exchanged(self.machine.alike))
            raise LabError(
                f"{tasks} are declared interchangeable, and a run with their names exchanged goes another way; "
                "give them the same function and arguments, or do not declare it (machine.interchangeable)"
            )
        self.running = False
        self._order = []

    def _states_of(self, machine: Machine) -> list[State]:
        portrait = Portrait(self._numbers)
        states = []
        for _ in machine.trace:
            portrait.take(machine)
            states.append(portrait.state())
        return states


def _exchanged(alike: dict[str, str]) -> dict[str, str]:
    """Return for each interchangeable task the next one of its kind."""
    kinds: dict[str, list[str]] = {}
    for name, kind in alike.items():
        kinds.setdefault(kind, []).append(name)
    return {name: names[(at + 1) % len(names)] for names in kinds.values() for at, name in enumerate(names)}
