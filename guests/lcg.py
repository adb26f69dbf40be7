"""Numbers that look random and are not: a generator with nothing but its seed."""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Lcg:
    """A linear congruential generator (Knuth's MMIX), of which the upper bits are used."""

    def __init__(self, seed: int) -> None:
        self._state = seed
        self.below(1)

    def below(self, bound: int) -> int:
        """A number from 0 to `bound` - 1."""
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return (self._state >> 33) % bound

    def pick(self, things: Sequence[T]) -> T:
        """One of `things`."""
        return things[self.below(len(things))]

    def skewed_below(self, bound: int) -> int:
        """A number from 0 to `bound` - 1, the smaller the likelier (about one in n + 1)."""
        # The larger the weight drawn, the smaller the part of the range that is left.
        return self.below(self.below(bound) + 1)

    def chance(self, one_in: int) -> bool:
        """True once in `one_in` times."""
        return self.below(one_in) == 0
