"""The strategies by name: what `explore --strategy` may ask for."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from notifierlab.explore.auto import Auto
from notifierlab.explore.dpor import Dpor
from notifierlab.explore.hunt import Hunt, Restarts
from notifierlab.explore.prove import Prove
from notifierlab.explore.sampling import Pct, Pos, Surw
from notifierlab.explore.states import States
from notifierlab.explore.strategies import Bounded, RandomWalk, Strategy
from notifierlab.machine.sched import LabError


class Wish(NamedTuple):
    """What a strategy is made from; each takes what it has a use for."""

    bound: int
    seed: int
    runs: int | None


_MAKERS: Final[Mapping[str, Callable[[Wish], Strategy]]] = {
    "auto": lambda wish: Auto(wish.seed, wish.runs),
    "bounded": lambda wish: Bounded(wish.bound),
    "dpor": lambda _: Dpor(),
    "dpor-random": lambda wish: Restarts(wish.seed),
    "hunt": lambda wish: Hunt(wish.seed),
    "random": lambda wish: RandomWalk(wish.seed),
    "pct": lambda wish: Pct(wish.seed),
    "pct-2": lambda wish: Pct(wish.seed, (2,)),
    "pct-3": lambda wish: Pct(wish.seed, (3,)),
    "pct-4": lambda wish: Pct(wish.seed, (4,)),
    "pos": lambda wish: Pos(wish.seed),
    "prove": lambda _: Prove(),
    "states": lambda _: States(),
    "surw": lambda wish: Surw(wish.seed),
}

STRATEGIES: Final = tuple(_MAKERS)
"""The names, as they are listed."""


def make_strategy(name: str, *, bound: int, seed: int, runs: int | None = None) -> Strategy:
    """Return the strategy called `name`; `bound`, `seed` and `runs` (at most) are for those that use them."""
    make = _MAKERS.get(name)
    if make is None:
        raise LabError(f"no strategy {name!r}; there are: {', '.join(STRATEGIES)}")
    return make(Wish(bound, seed, runs))
