"""Wakeup trees: what is still to be tried from one point of a run, and what need not be.

A node is a step that a task would take; a path from the root is the beginning of an
order that no run has shown yet. `insert` adds a sequence unless a path is in the tree
already which begins the same order. The children of a node are tried from left to right.

The last step of a sequence was seen in another place, where it may have touched other
things and chosen among other values. So it is a *leaf*: what it touches is a guess, and it
stands for whatever values it will choose among. A sequence that a leaf seems to cover waits
there (`Branch.waiting`) until the leaf has run and what it touches is known.

The other steps of a sequence did not happen after what is reversed, nor do they depend on
what they are planned behind: they touch what they touched. So, too, does a step that sleeps
as long as it does.
"""

from collections.abc import Mapping, Sequence

from notifierlab.explore.happens import Kinds, Label, Taken

Known = dict[tuple[int, ...], tuple[int, ...]]
"""The values that a step was seen to choose, each with how many were on offer."""


class Branch:
    """A step to be tried, and what is to be tried after it.

    `values` are the choices of values it is to take, None for each in turn.
    `kind` stands for what it touches, -1 if nothing is known. For a `leaf` both are guesses.
    """

    __slots__ = ("_at", "_children", "_steps", "kind", "leaf", "task", "values", "waiting")

    def __init__(self, task: str, values: tuple[int, ...] | None = None, kind: int = -1, *, leaf: bool = True) -> None:
        self.task = task
        self.values = values
        self.kind = kind
        self.leaf = leaf
        self.waiting: list[list[Taken]] = []
        self._children: list[Branch] = []
        self._steps: Sequence[Taken] = ()
        self._at = 0

    @classmethod
    def of(cls, steps: Sequence[Taken], at: int = 0) -> "Branch":
        """Return a sequence from its step `at` on, as a branch; what is behind is made when it is asked for."""
        step = steps[at]
        leaf = at == len(steps) - 1
        branch = cls(step.task, step.values, step.kind, leaf=leaf)
        if not leaf:
            branch._steps, branch._at = steps, at + 1
        return branch

    @property
    def grown(self) -> "list[Branch]":
        """What of that is made already."""
        return self._children

    @property
    def tail(self) -> Sequence[Taken]:
        """What of that is not: one step after the other."""
        return self._steps[self._at :]

    @tail.setter
    def tail(self, steps: Sequence[Taken]) -> None:
        self._steps, self._at = steps, 0

    @property
    def children(self) -> "list[Branch]":
        """What is to be tried behind the step."""
        if self._steps:
            self._children.append(Branch.of(self._steps, self._at))
            self._steps = ()
        return self._children


def insert(kinds: Kinds, children: list[Branch], steps: list[Taken]) -> None:
    """Plan the order that begins with `steps`, unless what is planned covers it."""
    while steps:
        for child in children:
            rest = covered_by(kinds, child, steps)
            if rest is None:
                continue
            if child.leaf:
                if rest:
                    child.waiting.append(steps)
                return
            children, steps = child.children, rest
            break
        else:
            children.append(Branch.of(steps))
            return


def covered_by(kinds: Kinds, child: Branch, steps: list[Taken]) -> list[Taken] | None:
    """Return what is left to be done of `steps` behind `child`; None if an order that begins with
    `child` cannot be one that begins with `steps`."""
    task, values, last = child.task, child.values, len(steps) - 1
    for at, step in enumerate(steps):
        if step.task == task:
            unlike = at < last and child.leaf and values is not None and _unlike(values, step.values)
            if unlike and kinds.free_of(step.kind, steps[:at]):
                # The guess is wrong: there it chooses as this step does.
                values = child.values = None
            if not at:
                return steps[1:] if values is None or values == step.values else None
            kind = step.kind if at < last else child.kind
            if kind < 0 or (values is not None and values != step.values) or not kinds.free_of(kind, steps[:at]):
                return None
            return steps[:at] + steps[at + 1 :]
    # A step that chooses vouches for nothing: what it touches when it chooses otherwise is not known.
    return None if values or child.kind < 0 or not kinds.free_of(child.kind, steps) else steps


def covered(kinds: Kinds, sleeping: Mapping[Label, Taken], steps: Sequence[Taken]) -> bool:
    """Tell whether an order that begins with `steps` may as well begin with a step that sleeps."""
    return coverer(kinds, sleeping, steps) is not None


def coverer(kinds: Kinds, sleeping: Mapping[Label, Taken], steps: Sequence[Taken]) -> Label | None:
    """Return the first step that sleeps with which an order that begins with `steps` may as well begin.

    A step that comes after them must sleep with all the values that it may choose.
    """
    last = len(steps) - 1
    places: dict[str, int] = {}
    for at, step in enumerate(steps):
        places.setdefault(step.task, at)
    for label, taken in sleeping.items():
        task, values = label
        at = places.get(task, -1)
        if 0 <= at < last:
            if steps[at].values == values and kinds.free_of(steps[at].kind, steps[:at]):
                return label
            continue
        before = steps[:at] if at >= 0 else steps
        if not kinds.free_of(taken.kind, before):
            continue
        if not taken.arity or (at >= 0 and steps[at].values == values) or _all_free(kinds, sleeping, task, before):
            return label
    return None


def _all_free(kinds: Kinds, sleeping: Mapping[Label, Taken], task: str, before: Sequence[Taken]) -> bool:
    """Tell whether a step sleeps with all its values, and may go before some others with each."""
    return asleep(known_of(sleeping, task), ()) and all(
        kinds.free_of(taken.kind, before) for taken in sleeping.values() if taken.task == task
    )


def asleep(known: Known, taken: tuple[int, ...]) -> bool:
    """Tell whether every way to go on after choosing `taken` is among `known`."""
    if taken in known:
        return True
    at = len(taken)
    for values, arity in known.items():
        if values[:at] == taken and len(values) > at:
            return all(asleep(known, (*taken, value)) for value in range(arity[at]))
    return False


def known_of(sleeping: Mapping[Label, Taken], task: str) -> Known:
    """Return the values that sleep of one task's step, and how many were on offer for each."""
    return {values: taken.arity for (who, values), taken in sleeping.items() if who == task}


def _unlike(some: tuple[int, ...], others: tuple[int, ...]) -> bool:
    """Tell whether one step cannot choose in both ways, since one is only a part of the other."""
    return some != others and all(a == b for a, b in zip(some, others, strict=False))


class Point:
    """A point of the current run: what sleeps there, what is planned, what runs.

    `base` is the number of choices made before it; `explored` tells that all behind some
    step taken here is known. `waiting` are sequences that the step being tried here seemed to
    cover. `loose` are the steps asleep that no race may vouch for: while there are any,
    everybody is tried; `loosened` says that what runs will be one. `open` are the tasks tried
    with some values only, and whether the others must be tried. `asked` are the orders that
    were asked for, by the marks of their steps. `young` are the steps asleep behind which
    somebody else is still searching (`subtrees.py`).
    """

    __slots__ = (
        "asked",
        "base",
        "explored",
        "loose",
        "loosened",
        "open",
        "plan",
        "running",
        "sleep",
        "taken",
        "waiting",
        "young",
    )

    def __init__(self, sleep: dict[Label, Taken], plan: list[Branch], base: int) -> None:
        self.sleep = sleep
        self.plan = plan
        self.base = base
        self.running: Branch | None = None
        self.taken: Taken | None = None
        self.explored = False
        self.waiting: list[list[Taken]] = []
        self.loose: dict[Label, None] = {}
        self.loosened = False
        self.open: dict[str, bool] = {}
        self.asked: dict[tuple[int, ...], None] = {}
        self.young: dict[Label, None] = {}

    def is_asleep(self, task: str) -> bool:
        """Tell whether a task sleeps here, with all the values that its step may choose."""
        return (task, ()) in self.sleep or asleep(known_of(self.sleep, task), ())
