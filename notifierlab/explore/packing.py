"""Points of a search by `dpor` as a value, to be sent to another process or written down.

A step is written out once, in a table, and a number everywhere else; so is a set of
touches. Plans are trees, and deep: they are laid flat, each branch with the number of the
one it stands on. What was asked for at a point is left out: it only saves work.
"""

from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

from msgspec import Struct

from notifierlab.explore.happens import Kinds, Label, Taken
from notifierlab.explore.wakeup import Branch, Point
from notifierlab.machine.access import Access, Step

P = TypeVar("P", bound=Point)

NONE: Final = -1
"""The number of a step or branch that is not there."""


class PackedBranch(Struct, frozen=True, array_like=True):
    """A branch; `on` is the number of the branch it stands on."""

    on: int
    task: str
    values: tuple[int, ...] | None
    kind: int
    leaf: bool
    tail: tuple[int, ...]
    waiting: tuple[tuple[int, ...], ...]


class PackedPoint(Struct, frozen=True, array_like=True):
    """A point; what is `loose` or `young` is said by places in `sleep`. The branches planned come after the one that
    runs, if one does."""

    base: int
    sleep: tuple[int, ...]
    branches: tuple[PackedBranch, ...]
    runs: bool
    taken: int
    waiting: tuple[tuple[int, ...], ...]
    explored: bool
    loosened: bool
    loose: tuple[int, ...]
    young: tuple[int, ...]
    open: tuple[tuple[str, bool], ...]


class Order(Struct, frozen=True, array_like=True):
    """Steps that are to be planned at the point number `at`."""

    at: int
    steps: tuple[int, ...]


class Pack(Struct, frozen=True):
    """Points that follow each other, and orders planned elsewhere. `choices` lead from the first point to the last."""

    choices: tuple[int, ...] = ()
    steps: tuple[Step, ...] = ()
    touches: tuple[tuple[Access, ...], ...] = ()
    points: tuple[PackedPoint, ...] = ()
    orders: tuple[Order, ...] = ()


class Packer:
    """Makes a pack; `kinds` are those of the steps."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self._steps: dict[Step, int] = {}
        self._known: dict[Taken, int] = {}
        self._touches: dict[int, int] = {NONE: NONE}

    def pack(
        self,
        points: Iterable[Point],
        choices: Sequence[int] = (),
        orders: Iterable[tuple[int, Sequence[Taken]]] = (),
    ) -> Pack:
        """Return the pack."""
        packed = tuple([self._point(point) for point in points])
        planned = tuple([Order(at, self._numbers(steps)) for at, steps in orders])
        sets = self._kinds.sets
        touches = tuple([sets[kind] for kind in self._touches if kind != NONE])
        return Pack(tuple(choices), tuple(self._steps), touches, packed, planned)

    def _point(self, point: Point) -> PackedPoint:
        labels = list(point.sleep)
        branches: list[PackedBranch] = []
        for branch in (*([] if point.running is None else [point.running]), *point.plan):
            self._add(branches, NONE, branch)
        return PackedPoint(
            point.base,
            self._numbers(point.sleep.values()),
            tuple(branches),
            point.running is not None,
            NONE if point.taken is None else self._number(point.taken),
            self._sequences(point.waiting),
            point.explored,
            point.loosened,
            tuple([labels.index(label) for label in point.loose]),
            tuple([labels.index(label) for label in point.young]),
            tuple(point.open.items()),
        )

    def _add(self, branches: list[PackedBranch], on: int, branch: Branch) -> None:
        """Lay a branch flat, with all that stands on it."""
        left = [(on, branch)]
        while left:
            below, branch = left.pop()
            left += [(len(branches), child) for child in reversed(branch.grown)]
            kind = self._touches.setdefault(branch.kind, len(self._touches) - 1)
            branches.append(
                PackedBranch(
                    below,
                    branch.task,
                    branch.values,
                    kind,
                    branch.leaf,
                    self._numbers(branch.tail),
                    self._sequences(branch.waiting),
                )
            )

    def _sequences(self, sequences: Iterable[Sequence[Taken]]) -> tuple[tuple[int, ...], ...]:
        return tuple([self._numbers(steps) for steps in sequences])

    def _numbers(self, steps: Iterable[Taken]) -> tuple[int, ...]:
        return tuple([self._number(step) for step in steps])

    def _number(self, taken: Taken) -> int:
        number = self._known.get(taken)
        if number is None:
            step = Step(taken.task, taken.accesses, NONE, taken.values, taken.arity, taken.ready)
            number = self._known[taken] = self._steps.setdefault(step, len(self._steps))
        return number


class Unpacker:
    """Makes points of a pack again; `kinds` are those of who will work with them."""

    def __init__(self, kinds: Kinds, pack: Pack) -> None:
        self._pack = pack
        self._steps = [kinds.taken(step) for step in pack.steps]
        self._kinds = [*(kinds.of(touches) for touches in pack.touches), NONE]

    def points(self, make: type[P]) -> list[P]:
        """Return the points, as such of a class."""
        return [self._point(packed, make) for packed in self._pack.points]

    def orders(self) -> list[tuple[int, list[Taken]]]:
        """Return the orders, each with the number of the point where it is to be planned."""
        return [(order.at, self._sequence(order.steps)) for order in self._pack.orders]

    def _point(self, packed: PackedPoint, make: type[P]) -> P:
        sleep: dict[Label, Taken] = {taken.label: taken for taken in self._sequence(packed.sleep)}
        labels = list(sleep)
        planned = self._branches(packed.branches)
        point = make(sleep, planned[packed.runs :], packed.base)
        point.running = planned[0] if packed.runs else None
        point.taken = None if packed.taken == NONE else self._steps[packed.taken]
        point.waiting = self._sequences(packed.waiting)
        point.explored = packed.explored
        point.loosened = packed.loosened
        point.loose = {labels[at]: None for at in packed.loose}
        point.young = {labels[at]: None for at in packed.young}
        point.open = dict(packed.open)
        return point

    def _branches(self, flat: Sequence[PackedBranch]) -> list[Branch]:
        """Return the branches that stand on no other, with all that stands on them."""
        roots: list[Branch] = []
        made: list[Branch] = []
        for each in flat:
            branch = Branch(each.task, each.values, self._kinds[each.kind], leaf=each.leaf)
            branch.tail = self._sequence(each.tail)
            branch.waiting = self._sequences(each.waiting)
            (roots if each.on == NONE else made[each.on].grown).append(branch)
            made.append(branch)
        return roots

    def _sequences(self, sequences: Iterable[Sequence[int]]) -> list[list[Taken]]:
        return [self._sequence(numbers) for numbers in sequences]

    def _sequence(self, numbers: Iterable[int]) -> list[Taken]:
        steps = self._steps
        return [steps[number] for number in numbers]
