"""What happened before what in a run, and which two steps could have come the other way round.

Two steps of different tasks are dependent if they touch an object in conflicting modes;
`hb`, happens-before, is the order that tasks and dependence make. Each step gets a
vector clock: for each task, its last step that is `hb` before (or is) this one.

A *race* is a pair of dependent steps of which the later could have run in the place of
the earlier: it was not waiting for the earlier's task in any other way, and its
condition, if it has one, held there. That last part is what makes locks work: of
`p takes, p drops, q takes` the race is between the takes, whatever the drop says.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from notifierlab.machine.access import Access, CONFLICTS, Mode, Step

_GUARDS: Final = frozenset((Mode.ACQUIRE, Mode.ACQUIRE_READ, Mode.AWAIT, Mode.AFTER))
_LOCKS: Final = frozenset((Mode.ACQUIRE, Mode.ACQUIRE_READ, Mode.TRY, Mode.RELEASE, Mode.RELEASE_READ, Mode.DOWNGRADE))


class Taken:
    """A step as the analysis sees it. `kind` stands for what it touches (`Kinds`)."""

    __slots__ = ("accesses", "arity", "kind", "ready", "task", "values")

    def __init__(self, step: Step, kind: int) -> None:
        self.task = step.task
        self.accesses = step.accesses
        self.values = step.values
        self.arity = step.arity
        self.ready = step.ready
        self.kind = kind

    def __repr__(self) -> str:
        return f"<{self.task} {self.values or ''} {[(name, mode.name) for name, mode in self.accesses]}>"


class Kinds:
    """Gives each set of touches a small number, and remembers which of them conflict.

    `waits` tells whether any was of a condition other than that a lock is free.
    """

    def __init__(self) -> None:
        self.waits = False
        self._numbers: dict[tuple[Access, ...], int] = {}
        self._masks: list[dict[str, tuple[int, int]]] = []
        self._known: list[dict[int, bool]] = []

    def of(self, accesses: tuple[Access, ...]) -> int:
        """Return the number of a set of touches."""
        number = self._numbers.get(accesses)
        if number is None:
            number = self._numbers[accesses] = len(self._masks)
            masks: dict[str, tuple[int, int]] = {}
            for name, mode in accesses:
                has, conflicting = masks.get(name, (0, 0))
                self.waits = self.waits or mode is Mode.AWAIT
                masks[name] = has | 1 << mode, conflicting | CONFLICTS[mode]
            self._masks.append(masks)
            self._known.append({})
        return number

    def dependent(self, a: int, b: int) -> bool:
        """Tell whether steps of different tasks with these touches may not change places."""
        known = self._known[a].get(b)
        if known is None:
            masks, others = self._masks[a], self._masks[b]
            known = any(name in others and others[name][0] & conflicting for name, (_, conflicting) in masks.items())
            self._known[a][b] = known
        return known


class Race(NamedTuple):
    """Two steps that could come the other way round: `first` is the number of the earlier.

    `second` is the number of the later, or its distance beyond the run for a step that
    was left waiting at the end. `sure` is false if only a run can tell whether the later
    step's condition would have held. `others` are steps that must give way as well: they
    take a lock and still have it when the later step wants it.
    """

    first: int
    second: int
    sure: bool
    others: tuple[int, ...] = ()


class _Hold(NamedTuple):
    """A step that changed who holds a lock: it took it (for writing), turned that into reading, gave it back."""

    at: int
    took: bool
    writing: bool
    downgraded: bool
    gave: bool


def _hold(at: int, modes: set[Mode]) -> _Hold:
    reading = Mode.ACQUIRE_READ in modes
    return _Hold(
        at,
        took=reading or Mode.ACQUIRE in modes or Mode.TRY in modes,
        writing=not reading,
        downgraded=Mode.DOWNGRADE in modes,
        gave=Mode.RELEASE in modes or Mode.RELEASE_READ in modes,
    )


class History:
    """The happens-before order of one run, built step by step."""

    def __init__(self, steps: Sequence[Taken], blocked: Sequence[Taken] = ()) -> None:
        self.steps = steps
        self.blocked = blocked
        self.numbers: dict[str, int] = {}
        for step in (*steps, *blocked):
            self.numbers.setdefault(step.task, len(self.numbers))
        self.tasks = [self.numbers[step.task] for step in steps]
        self.clocks: list[list[int]] = []
        self.races: list[Race] = []
        self._none = [-1] * len(self.numbers)
        self._prev: dict[int, list[int]] = {}
        # By object and mode: the last step of each task that touched it so.
        self._last: dict[str, dict[Mode, dict[int, int]]] = {}
        # By object and task: all touches, for steps that wait.
        self._touches: dict[tuple[str, int], list[tuple[int, Mode]]] = {}
        self._locks: dict[str, list[_Hold]] = {}
        self._build()

    def after(self, first: int, step: int) -> bool:
        """Tell whether `step` is `first`, or happened after it."""
        return self.clocks[step][self.tasks[first]] >= first

    def without(self, race: Race) -> list[int]:
        """Return the steps behind the first of a race that did not happen after it.

        Left out are also those that took a lock which the second could not take then, and
        what happened after them.
        """
        left_out = (race.first, *race.others)
        return [
            at for at in range(race.first + 1, len(self.steps)) if not any(self.after(gone, at) for gone in left_out)
        ]

    def _build(self) -> None:
        for at, step in enumerate(self.steps):
            task = self.tasks[at]
            prev = self._prev.get(task, self._none)
            conflicting = self._conflicting(step, task, prev)
            clock = prev.copy()
            for other in conflicting:
                clock = [a if a > b else b for a, b in zip(clock, self.clocks[other], strict=True)]
            if conflicting:
                self._find_races(step, at, task, prev, conflicting)
            clock[task] = at
            self.clocks.append(clock)
            self._prev[task] = clock
            self._note(step, at, task)
        for n, step in enumerate(self.blocked):
            task = self.numbers[step.task]
            prev = self._prev.get(task, self._none)
            conflicting = self._conflicting(step, task, prev)
            if conflicting:
                self._find_races(step, len(self.steps) + n, task, prev, conflicting)

    def _conflicting(self, step: Taken, task: int, prev: list[int]) -> list[int]:
        """Return, for each mode and task, the last step that `step` depends on directly and that
        is not behind it already by its own task's order."""
        found: list[int] = []
        for name, mode in step.accesses:
            table = self._last.get(name)
            if table is not None:
                conflicts = CONFLICTS[mode]
                for other, lasts in table.items():
                    if conflicts >> other & 1:
                        for who, at in lasts.items():
                            if who != task and at > prev[who] and at not in found:
                                found.append(at)
        return found

    def _note(self, step: Taken, at: int, task: int) -> None:
        locks: dict[str, set[Mode]] | None = None
        for name, mode in step.accesses:
            table = self._last.get(name)
            if table is None:
                table = self._last[name] = {}
            lasts = table.get(mode)
            if lasts is None:
                table[mode] = {task: at}
            else:
                lasts[task] = at
            touches = self._touches.get((name, task))
            if touches is None:
                self._touches[name, task] = [(at, mode)]
            else:
                touches.append((at, mode))
            if mode in _LOCKS:
                locks = locks if locks is not None else {}
                locks.setdefault(name, set()).add(mode)
        if locks is not None:
            for name, modes in locks.items():
                self._locks.setdefault(name, []).append(_hold(at, modes))

    # --- races ----------------------------------------------------------------------

    def _find_races(self, step: Taken, at: int, task: int, prev: list[int], conflicting: list[int]) -> None:
        sure: dict[int, tuple[int, ...]] = dict.fromkeys(conflicting, ())
        if step.accesses[0].mode in _GUARDS:
            sure, unsure = self._reversible(step, task, prev)
            self.races += [Race(first, at, False, others) for first, others in unsure.items()]
        for first, others in sure.items():
            who = self.tasks[first]
            if not any(other != first and self.clocks[other][who] >= first for other in sure):
                self.races.append(Race(first, at, True, others))

    def _reversible(
        self, step: Taken, task: int, prev: list[int]
    ) -> tuple[dict[int, tuple[int, ...]], dict[int, tuple[int, ...]]]:
        """Return the steps that `step`, which has a condition, could have come before, surely and perhaps,
        each with those that must give way as well."""
        guards = _guards(step)
        sure: dict[int, tuple[int, ...]] = {}
        unsure: dict[int, tuple[int, ...]] = {}
        for name, mode in step.accesses:
            conflicts = CONFLICTS[mode]
            for who in range(len(self.numbers)):
                touches = self._touches.get((name, who), ()) if who != task else ()
                for first, other in reversed(touches):
                    if first <= prev[who]:
                        break
                    if not conflicts >> other & 1 or first in unsure:
                        continue
                    if first in sure:
                        break
                    could, others = self._could_run(step, guards, task, prev, first)
                    if could is None:
                        unsure[first] = others
                    elif could:
                        sure[first] = others
                        break
        return sure, unsure

    def _could_run(
        self, step: Taken, guards: Sequence[Access], task: int, prev: list[int], first: int
    ) -> tuple[bool | None, tuple[int, ...]]:
        """Tell whether the condition of `step` held without `first` and what came after it (None: perhaps),
        and what else must give way."""
        perhaps = False
        others: list[int] = []
        for name, mode in guards:
            if mode is Mode.AFTER:
                once = self._last.get(name, {}).get(Mode.FIRST)
                if once is None or any(self.after(first, at) for at in once.values()):
                    return False, ()
            elif mode is Mode.AWAIT:
                held = self._held(step, name, task, prev, first)
                if held is None:
                    perhaps = True
                elif not held:
                    return False, ()
            else:
                for at in self._in_the_way(name, mode, first):
                    if at < first or at <= prev[self.tasks[at]]:
                        return False, ()
                    others.append(at)
        return None if perhaps else True, tuple(others)

    def _in_the_way(self, name: str, mode: Mode, first: int) -> list[int]:
        """Return the steps that took a lock and still have it without `first` and what came after it."""
        holds: dict[int, list[tuple[int, bool]]] = {}
        for hold in self._locks.get(name, ()):
            if hold.at >= first and self.after(first, hold.at):
                continue
            mine = holds.setdefault(self.tasks[hold.at], [])
            if hold.took:
                mine.append((hold.at, hold.writing))
            if hold.downgraded and mine:
                mine[-1] = mine[-1][0], False
            if hold.gave and mine:
                mine.pop()
        return [at for mine in holds.values() for at, writing in mine if writing or mode is Mode.ACQUIRE]

    def _held(self, step: Taken, name: str, task: int, prev: list[int], first: int) -> bool | None:
        """Tell whether the condition of a wait held before `first`; None if nobody looked just so."""
        conflicts = CONFLICTS[Mode.AWAIT]
        for who in range(len(self.numbers)):
            for at, mode in reversed(self._touches.get((name, who), ())):
                if at <= first:
                    break
                if conflicts >> mode & 1 and not self.after(first, at):
                    return None
        if prev[task] > first:
            return None
        return step.task in self.steps[first].ready


def _guards(step: Taken) -> list[Access]:
    """Return what the condition of a step touches: its first touches, as far as they are of that sort."""
    guards = []
    for access in step.accesses:
        if access.mode not in _GUARDS:
            break
        guards.append(access)
    return guards


def is_initial(kinds: Kinds, steps: Sequence[Taken], at: int) -> bool:
    """Tell whether nothing in the sequence must happen before the step at place `at`."""
    step = steps[at]
    return not any(other.task == step.task or kinds.dependent(other.kind, step.kind) for other in steps[:at])
