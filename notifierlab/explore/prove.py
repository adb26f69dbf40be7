"""The proof: two searches that have little in common take turns until one has seen all.

`dpor` executes each order that differs, `states` visits each state. Which of them ends
sooner depends on the program: tasks that conflict make many orders of few states, tasks
that have nothing to do with each other many states of few orders. So they take turns,
each turn of both twice as long as the one before, and the first to end issues the
certificate. The other may then go on for a quarter of what the first has cost, or until it has cost
`CHECK_STEPS`: where it ends too, both must have seen the same final states, modulo
declared symmetry. If they have not, one of them is wrong, and nothing is claimed.

What they cost is counted in steps executed, which do not depend on the machine.

Neither claims anything for a scenario that does not record all that its tasks share, or
if a run did not end by itself.
"""

import hashlib
import inspect
import json
from collections.abc import Callable
from typing import Final, TYPE_CHECKING

from notifierlab.explore.dpor import Dpor
from notifierlab.explore.estimate import Position
from notifierlab.explore.fingerprint import Numbers, Portrait, State, state_of
from notifierlab.explore.graces import without_graces
from notifierlab.explore.states import States
from notifierlab.machine.sched import Machine

if TYPE_CHECKING:
    from notifierlab.explore.run import RunResult, RunSpec

SLICE_STEPS: Final = 1000
"""How many steps each may execute in the first turn."""

CHECK_STEPS: Final = 20_000
"""How many steps the second may execute in any case: about a second."""


AGREED: Final = "; both ways come to the same final states"
"""What a certificate says where both have ended."""


class Disagreement(AssertionError):
    """Both searches came to their end, and to different final states: an error of the bench."""


class _Turns:
    """How many steps one of the two has executed, and how many it may by now."""

    def __init__(self, strategy: "Dpor | States") -> None:
        self.strategy = strategy
        self.steps = 0
        self.may = SLICE_STEPS

    @property
    def ended(self) -> bool:
        return self.strategy.exhausted


class Prove:
    """The strategy. `certificate` says what is proved, and is empty until something is."""

    name = "prove"
    records = True

    def __init__(self) -> None:
        numbers = Numbers()
        self.dpor = Dpor()
        self.states = States(numbers)
        # How the runs of `dpor` ended, and those of `states`.
        self.final: dict[State, None] = {}
        self.final_too: dict[State, None] = {}
        self.longest = 0
        self.model = ""
        self._numbers = numbers
        self._turns = (_Turns(self.states), _Turns(self.dpor))
        self._first: _Turns | None = None
        self._current = self._turns[0]
        self._machine: Machine | None = None

    @property
    def proved(self) -> bool:
        """Whether one of the two has seen all there is."""
        return self.dpor.proved or self.states.proved

    @property
    def agreed(self) -> bool:
        """Whether both have ended, and came to the same final states."""
        return self._both_ended and self.final == self.final_too

    @property
    def _both_ended(self) -> bool:
        return self.dpor.proved and self.states.proved

    @property
    def certificate(self) -> str:
        """What is proved, by whom, of which model; empty if nothing is."""
        if not self.proved:
            return ""
        parts = [turns.strategy.covered() for turns in self._turns if turns.strategy.proved]
        text = "; ".join(parts) + f"; no run longer than {self.longest} steps"
        if self.agreed:
            text += AGREED
        return text + (f" (model {self.model})" if self.model else "")

    def begin_search(self, spec: "RunSpec") -> None:
        """Note what is to be proved something of."""
        self.model = model_of(spec)

    def new_run(self) -> bool:
        """Let whoever's turn it is prepare a run; return false when no more is to be learnt."""
        while (turns := self._next()) is not None:
            self._current = turns
            if turns.strategy.new_run():
                return True
            self._end(turns)
        return False

    def begin_run(self, machine: Machine) -> None:
        """See the machine of the run that begins."""
        self._machine = machine
        self._current.strategy.begin_run(machine)
        # Each of the two says in which states its runs ended.
        machine.noting = True

    def choose(self, options: int, carry_on: bool, is_value: bool) -> int:
        """Let whoever's turn it is choose."""
        return self._current.strategy.choose(options, carry_on, is_value)

    def end_run(self, result: "RunResult") -> None:
        """Learn from a run that ended."""
        traces, final = self.dpor.traces, len(self.states.final)
        if not final:
            # It may have begun anew.
            self.final_too.clear()
        self._current.strategy.end_run(result)
        self._current.steps += result.steps
        self.longest = max(self.longest, result.steps)
        if self.dpor.traces > traces and self.dpor.declared and self.dpor.whole:
            self.final[self._end_of(result)] = None
        if len(self.states.final) > final:
            self.final_too[self._end_of(result)] = None

    def _end_of(self, result: "RunResult") -> State:
        """Return the state in which the run ended, with nothing of what `dpor` does not try in both orders."""
        assert self._machine is not None
        portrait = Portrait(self._numbers, values=True)
        for step in without_graces(result.trace):
            portrait.take(self._machine, step)
        return state_of(portrait, self._machine)

    def covered(self) -> str:
        """Say what is proved, or else how far both came."""
        if self.proved:
            return self.certificate
        return "; ".join(f"{turns.strategy.name}: {turns.strategy.covered()}" for turns in self._turns if turns.steps)

    def counted(self) -> tuple[int, int]:
        """Return how many orders that differ `dpor` executed, and how many states the other visited."""
        return self.dpor.traces, self.states.states

    def progress(self) -> Position:
        """Say how far the search over states is, which mostly ends first, or else `dpor`."""
        position = self.states.progress()
        return self.dpor.progress() if position.left is None else position

    # --- turns ----------------------------------------------------------------------

    def _next(self) -> _Turns | None:
        """Return whose turn it is; None if both have ended, or the second has had its chance."""
        left = [turns for turns in self._turns if not turns.ended]
        if not left:
            return None
        if self._first is not None:
            limited = self._first.strategy.proved
            return next((turns for turns in left if not limited or turns.steps < turns.may), None)
        if all(turns.steps >= turns.may for turns in left):
            most = max(turns.steps for turns in left)
            for turns in left:
                turns.may = max(2 * turns.may, most)
        return next((turns for turns in left if turns.steps < turns.may), left[0])

    def _end(self, turns: _Turns) -> None:
        if self._first is None and (turns.strategy.proved or not self.dpor.declared):
            self._first = turns
            for other in self._turns:
                other.may = max(other.steps + turns.steps // 4, CHECK_STEPS)
        if self._both_ended and not self.agreed:
            raise Disagreement(disagreement(len(self.final), self.dpor.traces, len(self.final_too), self.states.states))


def disagreement(ends: int, traces: int, ends_too: int, states: int) -> str:
    """Say that the two ways came to other ends."""
    return (
        f"dpor and states both ended and disagree: {ends} final states from {traces} "
        f"orders, {ends_too} from {states} states. This is an error of the bench, "
        "or of what the scenario declares (machine.touch, holds, at, forget, interchangeable); nothing is proved"
    )


def model_of(spec: "RunSpec") -> str:
    """Return a short text that changes with what is run: scenario, its source, parameters, profile, drivers."""
    drivers = dict(sorted(spec.drivers.items()))
    said = {
        "scenario": spec.name,
        "params": {name: str(value) for name, value in sorted(spec.params.items())},
        "switches": {name: str(value) for name, value in sorted(spec.profile.switches().items())},
        "mutants": sorted(spec.mutants),
        "drivers": {kind: driver.__qualname__ for kind, driver in drivers.items()},
        "sources": [_source(spec.scenario), *[_source(driver) for driver in drivers.values()]],
    }
    return hashlib.blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=8).hexdigest()


def _source(thing: "Callable[..., object] | type") -> str:
    """Return the source of the module in which something stands, empty where there is none."""
    module = inspect.getmodule(thing)
    try:
        return inspect.getsource(module) if module is not None else ""
    except (OSError, TypeError):
        return ""
