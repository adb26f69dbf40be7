"""How a search is cut into portions, and what it amounts to: by levels, by seeds, by orders that differ."""

from collections.abc import Iterable, Iterator
from itertools import count, islice
from typing import Final

from msgspec.structs import replace as replaced

from notifierlab.explore.portion import Part, Portion
from notifierlab.explore.search import covered, Cut, cut_short, Levels, orders
from notifierlab.explore.strategies import departures, departures_count
from notifierlab.explore.subtrees import Subtrees

PORTION_RUNS: Final = 192
"""How many runs a worker makes before it reports: a fraction of a second."""

PORTION_ROOTS: Final = 48
"""How many roots of a level are handed out together."""

SPLIT: Final = 8
"""Into how many portions the rest of an unfinished one is cut, at most."""

ANY: Final = 1 << 30
"""As many runs as it takes."""


class Shares:
    """The portions of a search, and what is known of it as far as they were learnt.

    `proved`, `traces`, `states`, `levels` and `runs_max` are as a search has them.
    """

    runs_max: int | None = None

    @property
    def hangs_on_what_is_learnt(self) -> bool:
        """Whether it depends on when others are learnt which portions there are."""
        return False

    @property
    def levels(self) -> Levels | None:
        """What is known by levels."""
        return None

    @property
    def proved(self) -> bool:
        """Whether no order was left untried, and that is a proof."""
        return False

    @property
    def traces(self) -> int | None:
        """How many orders that differ were executed."""
        return None

    @property
    def states(self) -> int | None:
        """How many states were visited."""
        return None

    def next_portion(self) -> Portion | None:
        """Return the next portion; None if there is none as long as no more is learnt."""
        raise NotImplementedError

    def first(self, line: Iterable[Portion]) -> int:
        """Return which of the portions that stand in a line is learnt first."""
        return 0

    def rest(self, portion: Portion, part: Part) -> Iterator[Portion]:
        """Iterate over what is left of a portion, in portions."""
        return iter(())

    def learn(self, part: Part) -> bool:
        """Learn what came of the next portion; return whether those that follow still count."""
        self.add(part)
        return True

    def add(self, part: Part) -> None:
        """Learn what came of a portion, though there are gaps before it."""

    def next_level(self) -> bool:
        """End what all portions were learnt of; return whether there is more."""
        return False

    def position(self, ready: int) -> tuple[int | None, int | None, int | None]:
        """Return the level, how many of its orders were executed, and about how many are left, as far as there is
        telling; `ready` runs are known of and not learnt."""
        return None, None, None

    def covered(self, runs: int, cut: Cut) -> str:
        """Say which orders were executed."""
        raise NotImplementedError


class ByLevels(Shares):
    """The portions of a search by levels; `counts` and the like as `Bounded` has them."""

    def __init__(self, bound: int) -> None:
        self.counts = [0]
        self.finished = 0
        self.exhausted = False
        self._bound = bound
        self._parents: list[tuple[bytes, bytes]] = []
        self._deeper = False
        self._roots = 1
        self._handed_out = 0
        self._portions = self._of_level(iter([b""]))

    @property
    def levels(self) -> Levels:
        """What is known by levels."""
        return self

    def next_portion(self) -> Portion | None:
        return next(self._portions, None)

    def _of_level(self, roots: Iterator[bytes]) -> Iterator[Portion]:
        """Iterate over portions of the current level."""
        level = len(self.counts) - 1
        parents = level < self._bound
        for n in count():
            some = tuple(islice(roots, PORTION_ROOTS))
            if not some:
                return
            self._handed_out += len(some)
            # Asked for more, a portion brings more: that is another one.
            key = f"{level}{'p' if parents else ''}.{n}"
            yield Portion(key, PORTION_RUNS, some, parents=parents)

    def rest(self, portion: Portion, part: Part) -> Iterator[Portion]:
        """Iterate over what is left of a portion, in portions."""
        size = max(1, -(-len(part.pending) // SPLIT))
        for n, begin in enumerate(range(0, len(part.pending), size)):
            yield replaced(portion, key=f"{portion.key}.{n}", roots=part.pending[begin : begin + size])

    def add(self, part: Part) -> None:
        """Note what the next level departs from."""
        self.counts[-1] += part.learnt.runs
        self._parents += part.parents
        self._deeper = self._deeper or part.deeper

    def next_level(self) -> bool:
        """End a level; return whether there is another."""
        self.finished = len(self.counts)
        self.exhausted = not self._deeper
        if self.exhausted or self.finished > self._bound:
            return False
        parents, self._parents, self._deeper = self._parents, [], False
        self.counts.append(0)
        self._roots = sum(departures_count(options) for _, options in parents)
        self._handed_out = 0
        self._portions = self._of_level(root for prefix, options in parents for root in departures(prefix, options))
        return True

    def position(self, ready: int) -> tuple[int | None, int | None, int | None]:
        """Return the level, how many of its orders were executed, and about how many are left."""
        done = self.counts[-1] + ready
        left = (self._roots - self._handed_out) * done // self._handed_out if self._handed_out else None
        return len(self.counts) - 1, done, left if self.finished else None

    def covered(self, runs: int, cut: Cut) -> str:
        """Say which orders were executed."""
        return covered(self) + cut_short(cut, runs)


class BySeeds(Shares):
    """The portions of a search by seeds, `runs` of them. What a strategy learns, it learns anew in each portion."""

    def __init__(self, strategy: str, seed: int, runs: int, each: int = 0) -> None:
        self._strategy = strategy
        self._seed = seed
        self._each = each
        self._proof = self._remark = ""
        size = each or PORTION_RUNS
        self._portions = iter(
            [
                Portion(
                    f"{seed + n}+{min(size, runs - n)}", min(size, runs - n), seed=seed + n, strategy=strategy, begun=n
                )
                for n in range(0, runs, size)
            ]
        )

    @property
    def proved(self) -> bool:
        """Whether one of them left no order untried."""
        return bool(self._proof)

    def next_portion(self) -> Portion | None:
        return None if self._proof else next(self._portions, None)

    def learn(self, part: Part) -> bool:
        self.add(part)
        return not self._proof

    def add(self, part: Part) -> None:
        self._proof = self._proof or part.proof
        self._remark = self._remark or part.remark

    def covered(self, runs: int, cut: Cut) -> str:
        """Say which seeds were executed; workers that were interrupted leave gaps."""
        return self._covered(runs, cut) + self._remark

    def _covered(self, runs: int, cut: Cut) -> str:
        if self._proof:
            return self._proof
        if self._each:
            return f"{orders(runs)} by {self._strategy}, begun anew every {self._each} from seed {self._seed} on"
        how = "at random" if self._strategy == "random" else f"by {self._strategy}"
        seeds = "from seed" if cut == "interrupted" else "seeds"
        to = "on" if cut == "interrupted" else f"to {self._seed + max(runs - 1, 0)}"
        return f"{orders(runs)} drawn {how}, {seeds} {self._seed} {to}"


class ByOrders(Shares):
    """The portions of a search by `dpor`: errands."""

    hangs_on_what_is_learnt = True

    def __init__(self) -> None:
        self.runs = 0
        self._tree = Subtrees()
        self._remark = ""
        self._made = 0

    @property
    def proved(self) -> bool:
        """Whether every order that differs was executed."""
        return self._tree.proved

    @property
    def traces(self) -> int:
        """How many orders were executed that differ."""
        return self._tree.traces

    def next_portion(self) -> Portion | None:
        errand = self._tree.next_errand()
        if errand is None:
            return None
        self._made += 1
        return Portion(f"o{self._made}", ANY, errand=errand, steps=errand.steps, begun=self.runs)

    def learn(self, part: Part) -> bool:
        if part.interrupted:
            self.add(part)
            return True
        self._note(part)
        assert part.report is not None
        return self._tree.learn(part.report)

    def add(self, part: Part) -> None:
        self._note(part)
        assert part.report is not None
        self._tree.count(part.report)

    def _note(self, part: Part) -> None:
        self.runs += part.learnt.runs
        self._remark = self._remark or part.remark

    def position(self, ready: int) -> tuple[int | None, int | None, int | None]:
        return None, self._tree.traces + ready, None

    def covered(self, runs: int, cut: Cut) -> str:
        return self._tree.covered() + self._remark
