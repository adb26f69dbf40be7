"""What happened before what in a run, kept from one run to the next as far as they are the same.

Two steps of different tasks are dependent if they touch an object in conflicting modes;
`hb`, happens-before, is the order that tasks and dependence make. Each step gets a
vector clock: for each task, its last step that is `hb` before (or is) this one.

Runs of one search share their beginnings. So a step is analysed when it is appended, with
nothing but what stands before it, and `cut` takes back what the next run does not have.
A step costs as much as there are tasks and modes, not as the run is long: of each object
only the last touch by each task in each mode is looked at.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

from notifierlab.machine.access import Access, CONFLICTS, Mode, Step, WAKING
from notifierlab.machine.locks import GRACE_BEGINS, SECTION_BEGINS

Values = tuple[int, ...]
Label = tuple[str, Values]
"""A step by name: its task, and the values it chose."""

_MODES: Final = len(Mode)


class Taken:
    """A step as the analysis sees it (`Kinds.taken` makes it).

    `kind` stands for what it touches, `mark` for whose it is, what it chose, and that.
    """

    __slots__ = ("accesses", "arity", "kind", "label", "mark", "ready", "task", "values")

    def __init__(self, step: Step, kind: int, mark: int) -> None:
        self.task = step.task
        self.accesses = step.accesses
        self.values = step.values
        self.arity = step.arity
        self.ready = step.ready
        self.kind = kind
        self.mark = mark
        self.label: Label = step.task, step.values

    def __repr__(self) -> str:
        return f"<{self.task} {self.values or ''} {[(name, mode.name) for name, mode in self.accesses]}>"


class Kinds:
    """Gives each set of touches a small number, and tells which of them conflict.

    Each object has a bit for each mode: `touched` has those of a kind, `waking` those
    that it may not sleep through. `sets` has the touches themselves.
    """

    def __init__(self) -> None:
        self.sets: list[tuple[Access, ...]] = []
        self.touched: list[int] = []
        self.waking: list[int] = []
        self._numbers: dict[tuple[Access, ...], int] = {}
        self._objects: dict[str, int] = {}
        self._marks: dict[tuple[str, Values, int], int] = {}
        self._taken: dict[tuple[object, ...], Taken] = {}

    def taken(self, step: Step) -> Taken:
        """Return a step as the analysis sees it: the same for all that differ in when they were taken only."""
        task, accesses, _, values, arity, ready = step
        known = task, accesses, values, arity, ready
        taken = self._taken.get(known)
        if taken is None:
            kind = self.of(accesses)
            mark = self._marks.setdefault((task, values, kind), len(self._marks))
            taken = self._taken[known] = Taken(step, kind, mark)
        return taken

    def of(self, accesses: tuple[Access, ...]) -> int:
        """Return the number of a set of touches."""
        number = self._numbers.get(accesses)
        if number is None:
            number = self._numbers[accesses] = len(self.touched)
            touched = waking = 0
            for name, mode in accesses:
                place = _MODES * self._objects.setdefault(name, len(self._objects))
                touched |= 1 << (place + mode)
                waking |= WAKING[mode] << place
            self.sets.append(accesses)
            self.touched.append(touched)
            self.waking.append(waking)
        return number

    def free_of(self, kind: int, steps: Sequence[Taken]) -> bool:
        """Tell whether a step of this kind may come before all of `steps` as well as behind them."""
        waking, touched = self.waking[kind], self.touched
        for step in steps:  # noqa: SIM110 - this is the innermost loop of a search
            if waking & touched[step.kind]:
                return False
        return True


class Places(dict[int, list[int]]):
    """By task, the steps that touched one object in one mode; before them -1, for there may be none."""

    def __missing__(self, task: int) -> list[int]:
        self[task] = places = [-1]
        return places


class Tables(NamedTuple):
    """Where the steps of one kind stand, and where those stand that they conflict with: those in `beside`
    could as well have been behind them (`graces.py`)."""

    own: tuple[Places, ...]
    against: tuple[Places, ...]
    beside: tuple[Places, ...]


class History:
    """The steps of a run and their happens-before order.

    Tasks have numbers, for the whole search. `clocks[n][t]` is the last step of task `t`
    that is `hb` before step `n`, -1 if there is none; `own[t]` lists the steps of a task;
    `behind[n]` is the last step of another task that step `n` must stay behind.
    """

    def __init__(self) -> None:
        self.steps: list[Taken] = []
        self.tasks: list[int] = []
        self.clocks: list[list[int]] = []
        self.behind: list[int] = []
        self.own: list[list[int]] = []
        self.numbers: dict[str, int] = {}
        # By object and mode: the steps of each task that touched it so.
        self.touches: dict[str, dict[Mode, Places]] = {}
        self._tables: dict[int, Tables] = {}
        self._none: list[int] = []

    def number(self, task: str) -> int:
        """Return the number of a task, a new one where it was never seen."""
        number = self.numbers.get(task)
        if number is None:
            number = self.numbers[task] = len(self.numbers)
            self.own.append([])
            for clock in (*self.clocks, self._none):
                clock.append(-1)
        return number

    def after(self, first: int, step: int) -> bool:
        """Tell whether `step` is `first`, or happened after it."""
        return self.clocks[step][self.tasks[first]] >= first

    def next_of(self, task: str, at: int) -> int:
        """Return the first step of a task behind step `at`; -1 if there is none."""
        number = self.numbers.get(task)
        if number is None:
            return -1
        own = self.own[number]
        place = bisect_right(own, at)
        return own[place] if place < len(own) else -1

    def before(self, task: int) -> list[int]:
        """Return the clock of the last step of a task."""
        own = self.own[task]
        return self.clocks[own[-1]] if own else self._none

    def cut(self, length: int) -> None:
        """Take back all steps but the first `length`."""
        tables = self._tables
        for step, task in zip(self.steps[length:], self.tasks[length:], strict=True):
            self.own[task].pop()
            for places in (tables.get(step.kind) or self.tables_of(step)).own:
                places[task].pop()
        for kept in (self.steps, self.tasks, self.clocks, self.behind):
            del kept[length:]

    def append(self, step: Taken) -> None:
        """Add the next step."""
        task = self.numbers.get(step.task)
        if task is None:
            task = self.number(step.task)
        at = len(self.steps)
        tables = self._tables.get(step.kind) or self.tables_of(step)
        clock, immediate = self.joined(tables, task)
        self.found(step, at, task, immediate)
        clock[task] = -1
        self.behind.append(max([*clock, *immediate]) if tables.beside else max(clock))
        clock[task] = at
        self.steps.append(step)
        self.tasks.append(task)
        self.clocks.append(clock)
        self.own[task].append(at)
        for places in tables.own:
            places[task].append(at)

    def tables_of(self, step: Taken) -> Tables:
        """Return the tables of a step's kind."""
        touches = self.touches
        for name, mode in step.accesses:
            table = touches.setdefault(name, {})
            if mode not in table:
                if table:
                    # It may be one that other kinds conflict with.
                    self._tables.clear()
                table[mode] = Places()
        against = {
            (name, other): places
            for name, mode in step.accesses
            for other, places in touches[name].items()
            if CONFLICTS[mode] >> other & 1
        }
        own = [touches[name][mode] for name, mode in step.accesses]
        beside = [against.pop(GRACE_BEGINS)] if SECTION_BEGINS in step.accesses and GRACE_BEGINS in against else []
        tables = self._tables[step.kind] = Tables(tuple(own), tuple(against.values()), tuple(beside))
        return tables

    def joined(self, tables: Tables, task: int) -> tuple[list[int], list[int]]:
        """Return the clock of a step that comes next, and the last steps that it depends on:
        those with nothing between them and it. The latest is the first, those `beside` are the last."""
        clock = self.before(task).copy()
        # For each mode and task the last step that is not behind already by the own task's order.
        found = []
        for by_task in tables.against:
            for who, places in by_task.items():
                last = places[-1]
                if last > clock[who]:
                    found.append(last)
        immediate = []
        if len(found) > 1:
            found.sort(reverse=True)
        for other in found:
            if other > clock[self.tasks[other]]:
                immediate.append(other)
                for at, last in enumerate(self.clocks[other]):
                    if last > clock[at]:
                        clock[at] = last
        for by_task in tables.beside:
            immediate += [places[-1] for who, places in by_task.items() if places[-1] > clock[who]]
        return clock, immediate

    def found(self, step: Taken, at: int, task: int, immediate: list[int]) -> None:
        """Take note of what a new step depends on; it is not among the steps yet."""
