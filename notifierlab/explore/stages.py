"""Which portions a search has, by its strategy; a proof over workers; and a search that was not told how."""

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec.structs import replace as replaced

from notifierlab.explore.auto import Auto, in_stages, NEAR, NEAR_RUNS, PROOF_RUNS, RUNS as AUTO_RUNS
from notifierlab.explore.dpor import Dpor
from notifierlab.explore.hunt import Hunt, Restarts
from notifierlab.explore.menu import make_strategy
from notifierlab.explore.portion import Part, Portion, Visited
from notifierlab.explore.prove import AGREED, CHECK_STEPS, Disagreement, disagreement, model_of, Prove
from notifierlab.explore.run import RunSpec
from notifierlab.explore.sampling import Sampler
from notifierlab.explore.search import Cut, RUNS_MAX
from notifierlab.explore.shares import ANY, ByLevels, ByOrders, BySeeds, Shares
from notifierlab.explore.states import States
from notifierlab.explore.strategies import Bounded, RandomWalk
from notifierlab.machine.sched import LabError

HUNT_RUNS: Final = 512
"""How many runs those make that learn from their runs, and begin anew in each portion."""

STATES_STEPS: Final = 32_000
"""How many steps the first search over states takes beside a search over workers: half a second."""


def shares_of(strategy: str, spec: RunSpec, *, bound: int, seed: int, runs: int | None) -> Shares:
    """Return the portions of a search of `spec` by a strategy, of `runs` runs at most.

    Raises:
        LabError: its next run hangs on all that it has seen.
    """
    made = make_strategy(strategy, bound=bound, seed=seed)
    most = RUNS_MAX if runs is None else runs
    if type(made) is Bounded:
        return ByLevels(bound)
    if type(made) is Dpor:
        return ByOrders()
    if isinstance(made, Prove):
        return Proof(model_of(spec))
    if isinstance(made, Auto):
        return Stages(model_of(spec), seed, AUTO_RUNS if runs is None else runs)
    if isinstance(made, RandomWalk | Sampler):
        return BySeeds(strategy, seed, most)
    if isinstance(made, Hunt | Restarts):
        return BySeeds(strategy, seed, most, HUNT_RUNS)
    raise LabError(
        f"the strategy {strategy!r} decides by all that it has seen, so it searches in one process and cannot be "
        "resumed; --jobs, --cluster and --checkpoint go with all others"
    )


class Proof(ByOrders):
    """The portions of a proof: errands, and now and then one that searches over states for itself.

    What is known of states cannot be handed on, so each such portion begins with nothing, and takes
    twice as many steps as the one before. It is learnt when the errands have taken as many
    since, or all orders were executed: by then it has ended, if there are two workers.

    Once one of the two has ended, the other may go on as long as in `prove`. Where that ends, too,
    both must have come to the same ends.
    """

    def __init__(self, model: str) -> None:
        super().__init__()
        self._model = model
        self._steps = 0
        self._longest = 0
        self._beside = 0
        # When the portion beside is learnt, and the next one made, in steps of errands.
        self._due = 0
        self._visited = Visited(0, False, False, "no state")
        # Where runs ended, by errands; how many steps these may take for a second opinion, and whether states were
        # asked for theirs.
        self._ends: dict[str, None] = {}
        self._until = 0
        self._asked = False

    @property
    def proved(self) -> bool:
        """Whether all orders were executed that differ, or all states visited."""
        return super().proved or self._visited.proved

    @property
    def agreed(self) -> bool:
        """Whether both have ended, and came to the same ends."""
        return super().proved and self._visited.proved and self._ends == dict.fromkeys(self._visited.ends)

    @property
    def states(self) -> int:
        """How many states were visited, by the last portion that did."""
        return self._visited.states

    def next_portion(self) -> Portion | None:
        if self._visited.proved:
            return self._errand() if self._steps < self._until else None
        if self._tree.exhausted:
            return self._second_opinion()
        if not self._beside and not self._visited.ended:
            self._beside = max(STATES_STEPS, self._steps)
            self._due = self._steps + self._beside
            return self._over_states(self._beside)
        return self._errand()

    def _errand(self) -> Portion | None:
        portion = super().next_portion()
        if portion is None or portion.errand is None:
            return portion
        return replaced(portion, errand=replaced(portion.errand, ends=True))

    def _second_opinion(self) -> Portion | None:
        """All orders were executed: have states visited once more, or for the first time, if that is not dear."""
        if self._asked or self._visited.ended or not super().proved:
            return None
        self._asked = True
        return self._over_states(max(self._steps // 4, CHECK_STEPS))

    def _over_states(self, steps: int) -> Portion:
        return Portion(f"s{steps}", ANY, strategy=States.name, steps=steps, begun=self.runs)

    def first(self, line: Iterable[Portion]) -> int:
        at = 0
        for at, portion in enumerate(line):
            if portion.errand is not None or self._steps >= self._due:
                return at
        return at

    def learn(self, part: Part) -> bool:
        if part.visited is not None:
            self.add(part)
            self._beside = 0
            self._until = self._steps + max(part.learnt.steps // 4, CHECK_STEPS)
            return True
        self._steps += part.learnt.steps
        report = part.report
        if report is not None and report.anew:
            self._ends.clear()
        elif report is not None:
            self._ends.update(dict.fromkeys(report.ends))
        counts = super().learn(part)
        if not self._tree.exhausted:
            return counts
        self._compare()
        # Nobody waits for states where all orders were executed.
        return False

    def add(self, part: Part) -> None:
        if part.visited is None:
            super().add(part)
        else:
            self._visited = part.visited
            self._note(part)
            self._compare()

    def _compare(self) -> None:
        if super().proved and self._visited.proved and not self.agreed:
            raise Disagreement(
                disagreement(len(self._ends), self.traces, len(self._visited.ends), self._visited.states)
            )

    def _note(self, part: Part) -> None:
        super()._note(part)
        self._longest = max(self._longest, part.longest)

    def covered(self, runs: int, cut: Cut) -> str:
        if not self.proved:
            return f"states: {self._visited.words}; dpor: {super().covered(runs, cut)}"
        by = [self._visited.words] if self._visited.proved else []
        by += [super().covered(runs, cut)] if super().proved else []
        text = f"{'; '.join(by)}; no run longer than {self._longest} steps"
        return f"{text}{AGREED if self.agreed else ''} (model {self._model})"


class Stages(Shares):
    """The portions of a search that was not told how (`auto.py`): near by, then a proof, then a hunt.

    A stage ends with the portion that uses up its share of the runs.
    """

    def __init__(self, model: str, seed: int, runs: int) -> None:
        self.runs_max = self._runs_max = runs
        self._near = ByLevels(NEAR)
        self._proof = Proof(model)
        self._hunt = BySeeds(Hunt.name, seed, runs, HUNT_RUNS)
        self._stage: Shares = self._near
        self._runs = 0
        self._in_hunt = 0

    @property
    def hangs_on_what_is_learnt(self) -> bool:
        """Whether the portions of the current stage do."""
        return self._stage.hangs_on_what_is_learnt

    @property
    def proved(self) -> bool:
        """Whether one of them left no order untried."""
        return self._near.exhausted or self._proof.proved or self._hunt.proved

    @property
    def traces(self) -> int:
        """How many orders that differ were executed for the proof."""
        return self._proof.traces

    @property
    def states(self) -> int:
        """How many states were visited for the proof."""
        return self._proof.states

    def next_portion(self) -> Portion | None:
        return self._stage.next_portion()

    def first(self, line: Iterable[Portion]) -> int:
        return self._stage.first(line)

    def rest(self, portion: Portion, part: Part) -> Iterator[Portion]:
        return self._stage.rest(portion, part)

    def learn(self, part: Part) -> bool:
        counts = self._stage.learn(part)
        self._count(part)
        if self._stage is self._near and self._runs >= self._runs_max * NEAR_RUNS:
            self._stage = self._proof
        elif self._stage is self._proof and self._runs >= self._runs_max * PROOF_RUNS and not self._proof.proved:
            self._stage = self._hunt
        else:
            return counts
        return False

    def add(self, part: Part) -> None:
        self._stage.add(part)
        self._count(part)

    def _count(self, part: Part) -> None:
        self._runs += part.learnt.runs
        if self._stage is self._hunt:
            self._in_hunt += part.learnt.runs

    def next_level(self) -> bool:
        if self._stage.next_level():
            return True
        if self.proved or self._stage is self._hunt:
            return False
        self._stage = self._proof if self._stage is self._near else self._hunt
        return True

    def position(self, ready: int) -> tuple[int | None, int | None, int | None]:
        return self._stage.position(ready)

    def covered(self, runs: int, cut: Cut) -> str:
        if self._proof.proved:
            return self._proof.covered(runs, cut)
        proof = "" if self._stage is self._near else self._proof.covered(runs, cut)
        return in_stages(self._near, proof, self._hunt.covered(self._in_hunt, cut) if self._stage is self._hunt else "")
