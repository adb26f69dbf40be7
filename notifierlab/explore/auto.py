"""What a search does unless it is told how: look near by, then prove, and if that takes too long, hunt.

    1. the orders with at most one preemption or fault: what lies near the calm run is found
       at once, and in its simplest form
    2. `prove`, until three quarters of the runs are gone: where it ends, that is the answer
    3. `hunt`, for as many runs as are left

Runs are counted, not seconds, so that a search repeats.
"""

from typing import Final, TYPE_CHECKING

from notifierlab.explore.estimate import Position
from notifierlab.explore.hunt import ARMS_AFTER_DPOR, Hunt
from notifierlab.explore.prove import Prove
from notifierlab.explore.strategies import Bounded
from notifierlab.machine.sched import Machine

if TYPE_CHECKING:
    from notifierlab.explore.run import RunResult, RunSpec
    from notifierlab.explore.search import Levels

RUNS: Final = 20_000
"""How many runs the three have together, unless it is said: on the host some one or two minutes."""

NEAR: Final = 1
NEAR_RUNS: Final = 1 / 16
PROOF_RUNS: Final = 3 / 4
"""How many deviations are tried near by, and when the first two end, as parts of all runs."""

Stage = Bounded | Prove | Hunt


class Auto:
    """The strategy. `runs` is how many it will have; three quarters of them are for looking near and the proof."""

    name = "auto"

    def __init__(self, seed: int = 0, runs: int | None = None) -> None:
        self.runs_max = RUNS if runs is None else runs
        self.near = Bounded(NEAR)
        self.proof = Prove()
        self.hunt = Hunt(seed, ARMS_AFTER_DPOR)
        self._stage: Stage = self.near
        self._runs = 0

    @property
    def records(self) -> bool:
        """Whether the runs of the current stage record touches."""
        return self._stage is not self.near

    @property
    def proved(self) -> bool:
        """Whether one of the three left no order untried."""
        return self.near.exhausted or self.proof.proved or self.hunt.proved

    def begin_search(self, spec: "RunSpec") -> None:
        """Note what is to be proved something of."""
        self.proof.begin_search(spec)

    def new_run(self) -> bool:
        """Prepare the next run, of the next stage if this one is over."""
        if self._stage is self.near and self._runs >= self.runs_max * NEAR_RUNS:
            # Many tasks that wait for each other have many orders without a preemption.
            self._stage = self.proof
        elif self._stage is self.proof and self._runs >= self.runs_max * PROOF_RUNS and not self.proof.proved:
            self._stage = self.hunt
        while not self._stage.new_run():
            if self.proved or self._stage is self.hunt:
                return False
            self._stage = self.proof if self._stage is self.near else self.hunt
        self._runs += 1
        return True

    def begin_run(self, machine: Machine) -> None:
        """See the machine of the run that begins."""
        self._stage.begin_run(machine)

    def choose(self, options: int, carry_on: bool, is_value: bool) -> int:
        """Let the current stage choose."""
        return self._stage.choose(options, carry_on, is_value)

    def end_run(self, result: "RunResult") -> None:
        """Let the current stage learn."""
        self._stage.end_run(result)

    def covered(self) -> str:
        """Say what is proved, or else what each stage has executed."""
        if self.proof.proved:
            return self.proof.covered()
        proof = "" if self._stage is self.near else self.proof.covered()
        return in_stages(self.near, proof, self.hunt.covered() if self._stage is self.hunt else "")

    def counted(self) -> tuple[int, int]:
        """Return how many orders that differ were executed for the proof, and how many states visited."""
        return self.proof.counted()

    def progress(self) -> Position | None:
        """Say how far the current stage is."""
        return None if isinstance(self._stage, Hunt) else self._stage.progress()


def in_stages(near: "Levels", proof: str, hunt: str) -> str:
    """Say which orders each stage has executed; `proof` and `hunt` are what those say, or empty if not come to."""
    count = sum(near.counts)
    orders = f"{count} order" + ("" if count == 1 else "s")
    if near.exhausted:
        return f"all {orders}"
    whole = near.finished > NEAR
    which = f"all with at most {NEAR} preemption or fault" if whole else "fewest preemptions first"
    parts = [f"near by: {orders}, {which}"]
    if proof:
        parts.append(f"towards a proof: {proof}")
    if hunt:
        parts.append(f"hunting: {hunt}")
    return "; ".join(parts)
