"""Wakeup trees: what is still to be tried from one point of a run.

A node is a step that a task would take; a path from the root is the beginning of an
order that no run has shown yet. `insert` adds a sequence unless a path is in the tree
already which begins the same order. The children of a node are tried from left to right.
"""

from collections.abc import Sequence

from notifierlab.explore.happens import is_initial, Kinds, Taken

Label = tuple[str, tuple[int, ...]]
"""A step by name: its task, and the values it chose."""


class Branch:
    """A step to be tried, and what is to be tried after it.

    `values` are the choices of values it is to take, None for any; with `every`, each
    other is to be tried in its place as well. `kind` stands for what it touches.
    """

    __slots__ = ("children", "every", "kind", "task", "values")

    def __init__(self, task: str, values: tuple[int, ...] | None, kind: int, *, every: bool) -> None:
        self.task = task
        self.values = values
        self.kind = kind
        self.every = every
        self.children: list[Branch] = []


def insert(kinds: Kinds, children: list[Branch], steps: list[Taken]) -> None:
    """Plan the order that begins with `steps`, unless what is planned covers it.

    The steps choose no values.
    """
    while True:
        for child in children:
            at = _covers(kinds, child, steps)
            if at is None:
                continue
            if at >= 0:
                del steps[at]
            if not child.children or not steps:
                return
            children = child.children
            break
        else:
            break
    for step in steps:
        branch = Branch(step.task, (), step.kind, every=True)
        children.append(branch)
        children = branch.children


def _covers(kinds: Kinds, child: Branch, steps: Sequence[Taken]) -> int | None:
    """Return the place of the step of `steps` that `child` is, -1 if `child` changes none of
    them; None if neither, so that what begins with `child` does not cover them."""
    for at, step in enumerate(steps):
        if step.task == child.task:
            return at if is_initial(kinds, steps, at) else None
    return None if any(kinds.dependent(child.kind, step.kind) for step in steps) else -1


def is_weak_initial(kinds: Kinds, sleeping: dict[Label, Taken], task: str, steps: Sequence[Taken]) -> bool:
    """Tell whether an order that begins with `steps` may as well begin with the step that sleeps of `task`.

    The steps choose no values.
    """
    for at, step in enumerate(steps):
        if step.task == task:
            return is_initial(kinds, steps, at)
    kind = sleeping[task, ()].kind
    return not any(kinds.dependent(kind, step.kind) for step in steps)


def asleep(known: dict[tuple[int, ...], tuple[int, ...]], taken: tuple[int, ...]) -> bool:
    """Tell whether every way to go on after choosing `taken` is among `known`, which maps the
    values of a step to the numbers of those on offer."""
    if taken in known:
        return True
    at = len(taken)
    for values, arity in known.items():
        if values[:at] == taken and len(values) > at:
            return all(asleep(known, (*taken, value)) for value in range(arity[at]))
    return False


def known_of(sleeping: dict[Label, Taken], task: str) -> dict[tuple[int, ...], tuple[int, ...]]:
    """Return the values that sleep of one task's step, and how many were on offer for each."""
    return {values: step.arity for (who, values), step in sleeping.items() if who == task}
