"""Whether a run could go round in circles for ever.

A search that takes two runs for one where they come to the same state never sees a task try
again for ever: the second time it is a state that is known. So it looks, when all states are known,
whether some of them lead back to each other. That alone is no livelock: a vCPU that tries
again and again while the one it waits for is not let go on is only unlucky. It is one if
nobody is put off: of all who may run anywhere in the circle, each takes a step in it. (A strongly connected
component: Tarjan, "Depth-first search and linear graph algorithms", 1972.)
"""

from array import array
from collections.abc import Iterable, Iterator

_NONE = -1


class Circles:
    """The states that were visited, by number, and how runs went from one to the next."""

    def __init__(self) -> None:
        self._bits: dict[str, int] = {}
        self._ready = array("q")
        self._from, self._to, self._movers = array("q"), array("q"), array("q")

    def state(self, ready: Iterable[str]) -> int:
        """Take note of a new state, in which the tasks `ready` may run; return its number."""
        self._ready.append(self._mask(ready))
        return len(self._ready) - 1

    def way(self, start: int, end: int, movers: Iterable[str]) -> None:
        """Take note that steps of `movers` led from one state to another."""
        self._from.append(start)
        self._to.append(end)
        self._movers.append(self._mask(movers))

    def endless(self) -> tuple[str, ...]:
        """Return the tasks of a circle in which nobody is put off, none if there is no such circle."""
        part = self._components()
        ready: dict[int, int] = {}
        movers: dict[int, int] = {}
        for start, end, mask in zip(self._from, self._to, self._movers, strict=True):
            if part[start] == part[end]:
                movers[part[start]] = movers.get(part[start], 0) | mask
        for state, mask in enumerate(self._ready):
            if part[state] in movers:
                ready[part[state]] = ready.get(part[state], 0) | mask
        for component, mask in movers.items():
            if not ready[component] & ~mask:
                return tuple(task for task, bit in self._bits.items() if mask & bit)
        return ()

    def _mask(self, tasks: Iterable[str]) -> int:
        mask = 0
        for task in tasks:
            mask |= self._bits.setdefault(task, 1 << len(self._bits))
        return mask

    def _ways_on(self) -> "tuple[array[int], array[int]]":
        """Return the ways by where they begin: those of state n stand from `first[n]` to `first[n + 1]`."""
        first = array("q", bytes(8 * (len(self._ready) + 1)))
        for start in self._from:
            first[start + 1] += 1
        for state in range(len(self._ready)):
            first[state + 1] += first[state]
        at, ends = array("q", first), array("q", bytes(8 * len(self._to)))
        for start, end in zip(self._from, self._to, strict=True):
            ends[at[start]] = end
            at[start] += 1
        return first, ends

    def _components(self) -> "array[int]":
        """Return for each state a number that states share which lead to each other."""
        first, ends = self._ways_on()
        count = len(self._ready)
        found, low, part = (array("q", [_NONE]) * count for _ in range(3))
        found_so_far = 0
        open_states: list[int] = []
        for root in range(count):
            if found[root] != _NONE:
                continue
            walk: list[tuple[int, Iterator[int]]] = []
            coming: int | None = root
            while coming is not None or walk:
                if coming is not None:
                    found[coming] = low[coming] = found_so_far
                    found_so_far += 1
                    open_states.append(coming)
                    walk.append((coming, iter(ends[first[coming] : first[coming + 1]])))
                state, ways = walk[-1]
                coming = None
                for end in ways:
                    if found[end] == _NONE:
                        coming = end
                        break
                    if part[end] == _NONE:
                        low[state] = min(low[state], found[end])
                if coming is None:
                    walk.pop()
                    if walk:
                        low[walk[-1][0]] = min(low[walk[-1][0]], low[state])
                    if low[state] == found[state]:
                        _close(open_states, part, state)
        return part


def _close(open_states: list[int], part: "array[int]", state: int) -> None:
    """A component is known: it is what was found since `state`."""
    while True:
        one = open_states.pop()
        part[one] = state
        if one == state:
            return
