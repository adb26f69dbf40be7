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

from collections.abc import Iterable, Mapping, Sequence

from notifierlab.explore.happens import Kinds, Label, Taken

Known = dict[tuple[int, ...], tuple[int, ...]]
"""The values that a step was seen to choose, each with how many were on offer."""


class Branch:
    """A step to be tried, and what is to be tried after it.

    `values` are the choices of values it is to take, None for any (a leaf).
    `kind` stands for what it touches, -1 if nothing is known.
    """

    __slots__ = ("children", "kind", "task", "values", "waiting")

    def __init__(self, task: str, values: tuple[int, ...] | None, kind: int = -1) -> None:
        self.task = task
        self.values = values
        self.kind = kind
        self.children: list[Branch] = []
        self.waiting: list[list[Taken]] = []


def insert(kinds: Kinds, children: list[Branch], steps: list[Taken]) -> None:
    """Plan the order that begins with `steps`, unless what is planned covers it."""
    while steps:
        for child in children:
            rest = covered_by(kinds, child, steps)
            if rest is None:
                continue
            if child.values is None:
                child.waiting.append(steps)
                return
            children, steps = child.children, rest
            break
        else:
            children.append(_chain(steps))
            return


def covered_by(kinds: Kinds, child: Branch, steps: list[Taken]) -> list[Taken] | None:
    """Return what is left to be done of `steps` behind `child`; None if an order that begins with
    `child` cannot be one that begins with `steps`."""
    task, last = child.task, len(steps) - 1
    for at, step in enumerate(steps):
        if step.task != task:
            continue
        if at < last:
            if child.values is not None and child.values != step.values:
                return None
            kind = step.kind
        elif child.values:
            # It chose: what it touches when it chooses otherwise is not known.
            return None
        else:
            kind = child.kind
        return steps[:at] + steps[at + 1 :] if kind >= 0 and kinds.free_of(kind, steps[:at]) else None
    if child.values or child.kind < 0 or not kinds.free_of(child.kind, steps):
        return None
    return steps


def covered(kinds: Kinds, sleeping: Mapping[Label, Taken], steps: Sequence[Taken]) -> bool:
    """Tell whether an order that begins with `steps` may as well begin with a step that sleeps.

    For the last of the steps, or for one that comes after them, all its values must be asleep.
    """
    last = len(steps) - 1
    places: dict[str, int] = {}
    for at, step in enumerate(steps):
        places.setdefault(step.task, at)
    for label, taken in sleeping.items():
        at = places.get(taken.task, -1)
        if 0 <= at < last:
            if steps[at].values == taken.values and kinds.free_of(steps[at].kind, steps[:at]):
                return True
            continue
        before = steps[:at] if at >= 0 else steps
        if not kinds.free_of(taken.kind, before):
            continue
        if not taken.arity or _all_free(kinds, sleeping, label[0], before):
            return True
    return False


def _all_free(kinds: Kinds, sleeping: Mapping[Label, Taken], task: str, before: Sequence[Taken]) -> bool:
    """Tell whether a step sleeps with all its values, and may go before some others with each."""
    return asleep(known_of(sleeping, task), ()) and all(
        kinds.free_of(taken.kind, before) for taken in sleeping.values() if taken.task == task
    )


def path_of(branch: Branch) -> Iterable[Branch] | None:
    """Return a branch and what is planned behind it, if that is one sequence."""
    path = [branch]
    while branch.children:
        if len(branch.children) > 1:
            return None
        branch = branch.children[0]
        path.append(branch)
    return path


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


def _chain(steps: Sequence[Taken]) -> Branch:
    """Return the sequence as a branch; its last step may choose any values."""
    branch = Branch(steps[-1].task, None, steps[-1].kind)
    for step in reversed(steps[:-1]):
        before = Branch(step.task, step.values, step.kind)
        before.children.append(branch)
        branch = before
    return branch
