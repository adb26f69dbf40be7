"""About how much of a search is left, told from the places where it stood.

A search that goes deep first is a walk over a tree. At each point from the root to where
it stands, some branches are done, one is being walked, others are known and not begun.
What the branches cost that are done says what those will cost that are not, of the same
depth; and where none of a depth is done, those of greater depths say it, and how fast
they grow towards the root. (After Knuth, "Estimating the efficiency of backtrack
programs", 1975, who asks a tree at random; here it is asked where the search has been.)

The first branch of a point does not count: it meets everything for the first time, and
is much the largest where states are remembered. And branches that a search will find only
on its way are not counted, so a search by `dpor` has more left than is said. The figure is
rough: on the yardstick it is mostly within three times and a third of the truth once a
quarter is done, and before that too small.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, runtime_checkable

_ENOUGH: Final = 4
"""How many branches of a depth must be done to speak for it alone."""

_POOL: Final = 12
"""How many depths together speak for one of which too little is known."""

_GROWTH_MAX: Final = 4.0
"""How much larger branches are taken to be one level nearer to the root, at most."""


class Position(NamedTuple):
    """How far a search is: so many are `done`, about so many `left` (None where there is no telling).

    `unit` is what is counted, in the plural; `level` the number of deviations, for a search
    by levels, and then the counts are of that level.
    """

    done: int
    left: int | None
    unit: str = "orders"
    level: int | None = None


@runtime_checkable
class Positioned(Protocol):
    """A strategy that can tell how far it is."""

    def progress(self) -> Position | None: ...


class Estimate:
    """Learns from where a search stands, as often as it is shown, and says about how much is left."""

    def __init__(self) -> None:
        self._stack: list[tuple[int, int]] = []
        self._count = 0
        # By depth, of the points on the stack: where the branch being walked began, and
        # what the largest that is done has cost.
        self._begun: list[int] = []
        self._largest: list[int] = []
        # By depth: how many branches are done, and what they cost together.
        self._branches: dict[int, int] = {}
        self._costs: dict[int, int] = {}

    def see(self, stack: Sequence[tuple[int, int]], count: int) -> None:
        """Take note of where the search stands.

        Args:
            stack: for each point from the root down, how many branches are done, and how
                many are known in all; the one being walked is known and not done.
            count: how many of what is counted were found by now.
        """
        same = 0
        for before, now in zip(self._stack, stack, strict=False):
            if before[0] != now[0]:
                break
            same += 1
        for depth in range(same, len(self._stack)):
            if self._stack[depth][0]:
                self._branches[depth] = self._branches.get(depth, 0) + 1
                self._costs[depth] = self._costs.get(depth, 0) + self._count - self._begun[depth]
        kept = same
        if same < min(len(stack), len(self._stack)):
            # The same point, at its next branch.
            self._largest[same] = max(self._largest[same], self._count - self._begun[same])
            kept += 1
        self._largest[kept:] = [0] * (len(stack) - kept)
        self._begun[same:] = [self._count] * (len(stack) - same)
        self._stack, self._count = list(stack), count

    def left(self) -> int | None:
        """Return about how many are still to be found; None if there is no telling yet."""
        if not self._count:
            return None
        total = 0.0
        for depth, (done, known) in enumerate(self._stack):
            if known - done > 1:
                cost = self._cost(depth)
                if cost is None:
                    return None
                total += (known - done - 1) * cost
        return round(total)

    def _cost(self, depth: int) -> float | None:
        """Return about what a branch of that depth costs."""
        if self._branches.get(depth, 0) >= _ENOUGH:
            return self._mean([depth])
        depths = sorted(self._branches)
        pool = [other for other in depths if other >= depth][:_POOL] or depths[-1:]
        if not pool:
            return None
        branches = sum(self._branches[other] for other in pool)
        centre = sum(self._branches[other] * other for other in pool) / branches
        cost: float = self._mean(pool) * self._growth(pool) ** (centre - depth)
        return min(cost, max(self._largest[depth], self._count - self._begun[depth]))

    def _growth(self, pool: list[int]) -> float:
        """Return by how much branches are larger one level nearer to the root."""
        half = len(pool) // 2
        if not half:
            return 1.0
        near, far = pool[:half], pool[half:]
        levels = sum(far) / len(far) - sum(near) / len(near)
        ratio = max(self._mean(near), 0.05) / max(self._mean(far), 0.05)
        return float(min(max(ratio ** (1 / levels), 1.0), _GROWTH_MAX))

    def _mean(self, depths: list[int]) -> float:
        return sum(self._costs[depth] for depth in depths) / sum(self._branches[depth] for depth in depths)
