"""In which order the classes of a driver's locks were taken, merged over many runs.

A driver's own classes have no rank. If one run takes A under B and another B under A,
some order of the two deadlocks, even if no run that was made did.
"""

from collections.abc import Sequence
from typing import Generic, TypeVar

from notifierlab.events import Violation

Run = TypeVar("Run")


class LockGraph(Generic[Run]):
    """An edge says: the inner class was taken while the outer was held. It keeps the first run that showed it."""

    def __init__(self) -> None:
        self._edges: dict[str, dict[str, Run]] = {}

    def add(self, outer: str, inner: str, run: Run) -> list[tuple[str, str, Run]] | None:
        """Add an edge. Return the cycle that it closes, as edges with their runs, or None.

        An edge known before closes nothing new.
        """
        inners = self._edges.setdefault(outer, {})
        if inner in inners:
            return None
        back = self._path(inner, outer)
        inners[inner] = run
        return None if back is None else [(outer, inner, run), *back]

    def _path(self, start: str, goal: str) -> list[tuple[str, str, Run]] | None:
        """Return the edges of a shortest way from `start` to `goal`."""
        if start == goal:
            return []
        came: dict[str, tuple[str, str, Run]] = {}
        queue = [start]
        for outer in queue:
            for inner, run in self._edges.get(outer, {}).items():
                if inner in came or inner == start:
                    continue
                came[inner] = (outer, inner, run)
                if inner == goal:
                    return self._unroll(came, start, goal)
                queue.append(inner)
        return None

    def _unroll(self, came: dict[str, tuple[str, str, Run]], start: str, goal: str) -> list[tuple[str, str, Run]]:
        path = [came[goal]]
        while path[0][0] != start:
            path.insert(0, came[path[0][0]])
        return path


def inversion(cycle: Sequence[tuple[str, str]], step: int, task: str) -> Violation:
    """Return the violation of locks that runs take in orders which together form a circle."""
    classes = tuple(sorted({outer for outer, _ in cycle}))
    orders = "; ".join(f"{inner} is taken under {outer}" for outer, inner in cycle)
    return Violation(
        rule="lock-order",
        message=f"different runs take these lock classes in opposite orders: {orders}",
        step=step,
        task=task,
        objects=classes,
    )
