"""Which two steps of a run could have come the other way round.

A *race* is a pair of dependent steps with nothing between them in `hb`, of which the
later could have run in the place of the earlier: its condition, if it has one, held
there. That last part is what makes locks work: of `p takes, p drops, q takes` the race is
between the takes, whatever the drop says.

A wait for a condition on one object (`Mode.AWAIT`) races with what changed the object:
with the last change, unless the wait was not over before it; then with the one before.
Where changes commute (two adds), the wait may be over without both and not without either;
then no single race shows it, and the changes are *loose*: where they stand, everybody is to
be tried. The same holds for all that a wait stands beside whose condition was ever seen to
read more than one object (`wide`), since what it reads where it does not hold is not known.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, takewhile
from typing import Final, NamedTuple

from notifierlab.explore.happens import History, Taken
from notifierlab.machine.access import Access, CONFLICTS, Mode
from notifierlab.machine.locks import GRACE_BEGINS

_GUARDS: Final = frozenset((Mode.ACQUIRE, Mode.ACQUIRE_READ, Mode.PASS, Mode.PASS_READ, Mode.AWAIT, Mode.AFTER))
_ALONE: Final = (Mode.ACQUIRE, Mode.PASS)
_LOCKS: Final = frozenset((Mode.ACQUIRE, Mode.ACQUIRE_READ, Mode.TRY, Mode.RELEASE, Mode.RELEASE_READ, Mode.DOWNGRADE))
_TAKES_AND_DROPS: Final = {Mode.ACQUIRE, Mode.RELEASE}
_ONCE: Final = {Mode.FIRST, Mode.AFTER}
_GIVING: Final = frozenset((Mode.RELEASE, Mode.RELEASE_READ))

Holders = dict[int, tuple[tuple[int, bool], ...]]
"""Who has a lock: for each task the steps that took it, and whether for writing."""


class Race:
    """Two steps that could come the other way round: `first` and `second` are their numbers; a
    step that was left waiting would be the next.

    `others` are steps that must give way as well: they take a lock and still have it when
    the later step wants it. `settled` is a step: as long as the run is the same up to it,
    the other way round is known to be covered; -1 if nothing is known. `asked` is the last step
    of the order that was asked for with the two the other way round; -1 if none was yet.
    """

    __slots__ = ("asked", "first", "others", "second", "settled", "step")

    def __init__(self, first: int, second: int, step: Taken, others: tuple[int, ...] = ()) -> None:
        self.first = first
        self.second = second
        self.step = step
        self.others = others
        self.settled = -1
        self.asked = -1

    def __repr__(self) -> str:
        return f"Race({self.first}, {self.second}, {self.step}, {self.others})"


class _Hold:
    """A step that changed who holds a lock; `after` says who holds it then, once somebody asked."""

    __slots__ = ("after", "at", "modes", "task")

    def __init__(self, at: int, task: int, modes: frozenset[Mode]) -> None:
        self.at = at
        self.task = task
        self.modes = modes
        self.after: Holders | None = None

    @property
    def only_gives(self) -> bool:
        return self.modes <= _GIVING

    def apply(self, holders: Holders) -> Holders:
        """Return who holds the lock behind the step."""
        modes, mine = self.modes, list(holders.get(self.task, ()))
        reading = Mode.ACQUIRE_READ in modes
        if reading or Mode.ACQUIRE in modes or Mode.TRY in modes:
            mine.append((self.at, not reading))
        if Mode.DOWNGRADE in modes and mine:
            mine[-1] = mine[-1][0], False
        if (Mode.RELEASE in modes or Mode.RELEASE_READ in modes) and mine:
            mine.pop()
        return {**holders, self.task: tuple(mine)}


class _Shape(NamedTuple):
    """What the condition of a step touches, if that is a wait, and how it changes which locks."""

    guards: list[Access]
    waits: bool
    locks: list[tuple[str, frozenset[Mode]]]


class Races(History):
    """The history of a run, with its races: `races[n]` are those whose later step is step `n`.

    `loose` are the steps found to be so since it was last emptied; `wide` the tasks that
    were ever seen to wait for more than one object.
    """

    def __init__(self) -> None:
        super().__init__()
        self.races: list[list[Race]] = []
        self.loose: list[int] = []
        self.wide: dict[str, None] = {}
        self._holds: dict[str, list[_Hold]] = {}
        self._shapes: dict[int, _Shape] = {}

    def spread(self, length: int) -> list[int]:
        """Return for each task the last of its steps that all from step `length` on happened after."""
        spread = [length - 1] * len(self.own)
        for own in self.own:
            if own and own[-1] >= length:
                for task, last in enumerate(self.clocks[own[bisect_left(own, length)]]):
                    if last < spread[task]:
                        spread[task] = last
        return spread

    def without(self, race: Race) -> list[Taken]:
        """Return the steps behind the first of a race that did not happen after it.

        Left out are also those that took a lock which the second could not take then, and
        what happened after them.
        """
        first, clocks = race.first, self.clocks
        who = self.tasks[first]
        # What stands behind the begin of a grace period, and might as well before it, is to stay behind it.
        end = race.second if GRACE_BEGINS in race.step.accesses else len(clocks)
        left = [at for at in range(first + 1, end) if clocks[at][who] < first]
        for gone in race.others:
            left = [at for at in left if not self.after(gone, at)]
        race.asked = left[-1] if left else first
        steps = self.steps
        return [steps[at] for at in left]

    def cut(self, length: int) -> None:
        """Take back all steps but the first `length`."""
        for step in self.steps[length:]:
            for name, _ in (self._shapes.get(step.kind) or self._shape(step)).locks:
                self._holds[name].pop()
        del self.races[length:]
        super().cut(length)

    def found(self, step: Taken, at: int, task: int, immediate: list[int]) -> None:
        """Find the races of a new step with those before it."""
        shape = self._shapes.get(step.kind) or self._shape(step)
        self.races.append(self._races_of(step, shape, task, immediate) if immediate else [])
        for name, modes in shape.locks:
            self._holds.setdefault(name, []).append(_Hold(at, task, modes))

    def _shape(self, step: Taken) -> _Shape:
        locks: dict[str, list[Mode]] = {}
        for name, mode in step.accesses:
            if mode in _LOCKS:
                locks.setdefault(name, []).append(mode)
        guards = _guards(step)
        waits = any(mode is Mode.AWAIT for _, mode in guards)
        shape = _Shape(guards, waits, [(name, frozenset(modes)) for name, modes in locks.items()])
        self._shapes[step.kind] = shape
        return shape

    def ended(self, blocked: Sequence[Taken]) -> list[Race]:
        """Find the races of the steps that were left waiting at the end of the run."""
        races: list[Race] = []
        for step in blocked:
            task = self.number(step.task)
            _, immediate = self.joined(self.tables_of(step), task)
            if immediate:
                races += self._races_of(step, self._shape(step), task, immediate)
        if self.wide:
            self._loosen_beside(blocked)
        return races

    def _races_of(self, step: Taken, shape: _Shape, task: int, immediate: list[int]) -> list[Race]:
        guards, at = shape.guards, len(self.steps)
        if not guards:
            return [Race(first, at, step) for first in reversed(immediate)]
        prev = self.before(task)
        firsts = (
            self._awaited(step, guards, task, prev, immediate) if shape.waits else self._unlocked(step, guards, prev)
        )
        return [Race(first, at, step, others) for first, others in sorted(firsts.items())]

    # --- locks ----------------------------------------------------------------------

    def _unlocked(self, step: Taken, guards: Sequence[Access], prev: list[int]) -> dict[int, tuple[int, ...]]:
        """Return the steps that one which takes a lock could have come before, with nothing of that
        sort between, each with those that must give way as well."""
        could: dict[int, tuple[int, ...]] = {}
        name, mode = step.accesses[0]
        if len(step.accesses) == 1 and mode is Mode.ACQUIRE and self.touches[name].keys() <= _TAKES_AND_DROPS:
            # Before the last take the lock was free, and all that took it since came after that.
            last = max([places[-1] for places in self.touches[name][mode].values()])
            return {last: ()} if last > prev[self.tasks[last]] else could
        for n, (name, mode) in enumerate(step.accesses):
            if mode is Mode.AFTER and n < len(guards) and self.touches[name].keys() <= _ONCE:
                # It can only come after what happens once.
                continue
            for firsts in self._rivals(name, mode, prev):
                for first in firsts:
                    if first in could:
                        break
                    others = self._in_the_way_of(guards, prev, first)
                    if others is not None:
                        could[first] = others
                        break
        if len(could) < 2:
            return could
        return {first: others for first, others in could.items() if not self._hidden(first, could)}

    def _hidden(self, first: int, among: dict[int, tuple[int, ...]]) -> bool:
        """Tell whether one of some steps happened after `first`."""
        who = self.tasks[first]
        return any(other != first and self.clocks[other][who] >= first for other in among)

    def _rivals(self, name: str, mode: Mode, prev: list[int]) -> Iterator[Iterable[int]]:
        """Iterate over what conflicts with a touch and is not behind `prev`: the steps of each other
        task, from the last to the first."""
        table, conflicts = self.touches.get(name), CONFLICTS[mode]
        if table is None:
            return
        found: dict[int, list[list[int]]] = {}
        for other, by_task in table.items():
            if conflicts >> other & 1:
                for who, places in by_task.items():
                    if places[-1] > prev[who]:
                        found.setdefault(who, []).append(places)
        for who, lists in sorted(found.items()):
            places = lists[0]
            if len(lists) > 1:
                places = sorted({at: None for places in lists for at in places[bisect_left(places, prev[who] + 1) :]})
            yield takewhile(prev[who].__lt__, reversed(places))

    def _in_the_way_of(self, guards: Sequence[Access], prev: list[int], first: int) -> tuple[int, ...] | None:
        """Return what must give way for the locks of a step to be free in the place of `first`; None if
        that cannot be."""
        others: list[int] = []
        for name, mode in guards:
            if mode is Mode.AFTER:
                once = [at[-1] for at in self.touches.get(name, {}).get(Mode.FIRST, {}).values() if at[-1] >= 0]
                if not once or any(self.after(first, at) for at in once):
                    return None
            elif mode is not Mode.AWAIT:
                for at in self._in_the_way(name, mode, first):
                    if at < first or at <= prev[self.tasks[at]]:
                        return None
                    others.append(at)
        return tuple(others)

    def _in_the_way(self, name: str, mode: Mode, first: int) -> list[int]:
        """Return the steps that took a lock and still have it without `first` and what came after it."""
        holds = self._holds.get(name)
        if not holds:
            return []
        # Mostly it is one of the last.
        begin = len(holds)
        while begin and holds[begin - 1].at >= first:
            begin -= 1
        holders = self._holders(holds, begin)
        if begin < len(holds) and holds[begin].at == first and holds[begin].only_gives:
            # Without the drop, whoever had it has it still.
            had = [at for at, writing in holders.get(self.tasks[first], ()) if writing or mode in _ALONE]
            if had:
                return had
        for hold in holds[begin:]:
            if not self.after(first, hold.at):
                holders = hold.apply(holders)
        return [at for mine in holders.values() for at, writing in mine if writing or mode in _ALONE]

    def _holders(self, holds: Sequence[_Hold], length: int) -> Holders:
        """Return who has a lock behind the first `length` of the steps that changed that."""
        known = length
        while known and holds[known - 1].after is None:
            known -= 1
        holders = (holds[known - 1].after if known else None) or {}
        for hold in holds[known:length]:
            hold.after = holders = hold.apply(holders)
        return holders

    # --- waits ----------------------------------------------------------------------

    def _awaited(
        self, step: Taken, guards: Sequence[Access], task: int, prev: list[int], immediate: list[int]
    ) -> dict[int, tuple[int, ...]]:
        """Return the steps that one which waits for a condition could have come before, surely or perhaps."""
        changes = self._changes(guards, prev)
        in_order = all(self.after(earlier, later) for later, earlier in pairwise(changes))
        could: dict[int, tuple[int, ...]] = {}
        for first in immediate:
            if first not in changes:
                self._add(could, guards, prev, first)
        if in_order:
            for first in changes:
                held = None if prev[task] > first else step.task in self.steps[first].ready
                if held is not False:
                    self._add(could, guards, prev, first)
                if held:
                    break
        elif all(self._is_wake(first, guards) for first in changes):
            # Woken is woken: without one of them there is another.
            for first in immediate:
                if first in changes:
                    self._add(could, guards, prev, first)
        else:
            self.loose += changes
        return could

    def _add(self, could: dict[int, tuple[int, ...]], guards: Sequence[Access], prev: list[int], first: int) -> None:
        others = self._in_the_way_of(guards, prev, first)
        if others is not None:
            could[first] = others

    def _changes(self, guards: Sequence[Access], prev: list[int]) -> list[int]:
        """Return the steps that changed what a condition reads, from the last to the first."""
        found: dict[int, None] = {}
        for name, mode in guards:
            if mode is Mode.AWAIT:
                for firsts in self._rivals(name, mode, prev):
                    found.update(dict.fromkeys(firsts))
        return sorted(found, reverse=True)

    def _is_wake(self, at: int, guards: Sequence[Access]) -> bool:
        """Tell whether a step does nothing to what a condition reads but wake those who wait."""
        names = [name for name, mode in guards if mode is Mode.AWAIT]
        return all(mode is Mode.WAKE for name, mode in self.steps[at].accesses if name in names)

    def _loosen_beside(self, blocked: Sequence[Taken]) -> None:
        """Loosen what stood beside a wait for more than one object."""
        for at, step in enumerate(self.steps):
            if step.task in self.wide and any(mode is Mode.AWAIT for _, mode in _guards(step)):
                own = self.own[self.tasks[at]]
                place = bisect_left(own, at)
                prev = self.clocks[own[place - 1]] if place else self._none
                self._loosen(prev, self.tasks[at], at)
        for step in blocked:
            if step.task in self.wide:
                task = self.number(step.task)
                self._loosen(self.before(task), task, len(self.steps))

    def _loosen(self, prev: list[int], task: int, at: int) -> None:
        for other, who in enumerate(self.tasks):
            if who != task and other > prev[who] and self.clocks[other][task] < at:
                self.loose.append(other)


def _guards(step: Taken) -> list[Access]:
    """Return what the condition of a step touches: its first touches, as far as they are of that sort."""
    guards: list[Access] = []
    for access in step.accesses:
        if access.mode not in _GUARDS:
            break
        guards.append(access)
    return guards
