"""Two runs that came to the same state, and what comes next: it must be the same.

Runs at random are grouped by the states they pass. Of two that came to one state in different
ways, both are repeated up to it and then go on by the same draws: who runs next is drawn by name, from those
that have something new to do. Then all must be alike: who may run, what happens, and what is broken.
"""

import random
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from notifierlab.events import Event
from notifierlab.explore.fingerprint import Numbers, Portrait, State, state_of
from notifierlab.explore.mirror import on_offer
from notifierlab.explore.run import run_once, RunResult, RunSpec
from notifierlab.explore.search import explore
from notifierlab.explore.states import States
from notifierlab.machine.sched import Machine

STAYS: Final = (0.0, 0.8, 0.95)
# What such names are counted by, says how often something was tried.
MINTED: Final = re.compile(r"(win|lookup|flush)\d+\.\d+")
# They go by more than a state keeps (`explore/fingerprint.py`), and are seen to in another way.
OTHERWISE: Final = ("data-race", "livelock", "lock-order")


class Came(NamedTuple):
    """How a run came to a state: by which choices, in how many steps."""

    choices: tuple[int, ...]
    steps: int


class Draws:
    """The strategy: begins as told and goes on at random; notes the states it passes, by value and by history."""

    name = "draws"
    records = True

    def __init__(self, numbers: Numbers, seed: int, begin: Sequence[int] = ()) -> None:
        self.passed: list[tuple[State, State, Came]] = []
        self.offers: list[tuple[int, tuple[str, ...]]] = []
        self._choices: list[int] = []
        self._begin = begin
        self._random = random.Random(seed)
        self._stays = STAYS[seed % len(STAYS)]
        self._last = ""
        self._by_value, self._by_history = Portrait(numbers, values=True), Portrait(numbers)
        self._machine: Machine | None = None

    def new_run(self) -> bool:
        return True

    def begin_run(self, machine: Machine) -> None:
        self._machine = machine

    def end_run(self, result: RunResult) -> None:
        pass

    def choose(self, options: int, carry_on: bool, is_value: bool) -> int:
        at = len(self._choices)
        if at < len(self._begin):
            taken = self._begin[at]
        elif is_value:
            taken = self._random.randrange(options) if self._random.random() < 0.5 else 0
        else:
            taken = self._draw(carry_on)
        self._choices.append(taken)
        return taken

    def _draw(self, carry_on: bool) -> int:
        machine = self._machine
        assert machine is not None
        awake = tuple(sorted(task.name for task in machine.awake))
        self._note(machine, awake)
        stays, name = self._random.random() < self._stays, self._random.choice(awake)
        self._last = self._last if stays and self._last in awake else name
        return on_offer(machine, carry_on).index(self._last)

    def _note(self, machine: Machine, awake: tuple[str, ...]) -> None:
        self.offers.append((len(machine.trace), awake))
        if self._begin:
            return
        while self._by_value.taken < len(machine.trace):
            self._by_value.take(machine)
            self._by_history.take(machine)
        assert self._by_value.by_value
        came = Came(tuple(self._choices), len(machine.trace))
        self.passed.append((state_of(self._by_value, machine, awake), self._by_history.state(), came))


def proved_by_states(scenario: object) -> States:
    """Have a toy proved by a search over states; return that."""
    states = States()
    result = explore(RunSpec(name="toy", scenario=scenario), states)  # type: ignore[arg-type]  # an async function of a host
    assert result.verdict == "proved", result.bound
    return states


class Future(NamedTuple):
    """What came after a state, by steps from there: who could run and had something new to do, what happened, what
    was broken, and how it ended."""

    offers: list[tuple[int, tuple[str, ...]]]
    events: list[tuple[int, str]]
    broken: list[str]


class Compared(NamedTuple):
    """How many pairs of runs were compared, and what the first of them did that the other did not."""

    pairs: int
    differences: list[str]


def compare_futures(spec: RunSpec, *, runs: int, pairs: int, seeds: int = 2) -> Compared:
    """Compare what comes after up to `pairs` states to which different histories led, as often as there are seeds."""
    numbers = Numbers()
    ways: dict[State, dict[State, Came]] = {}
    for seed in range(runs):
        draws = Draws(numbers, seed)
        result = run_once(spec, draws)
        # What is broken already is not told again.
        broken = min((violation.step for violation in result.violations), default=result.steps + 1)
        for state, history, came in draws.passed:
            if came.steps < broken:
                ways.setdefault(state, {}).setdefault(history, came)
    merged = [list(came.values()) for came in ways.values() if len(came) > 1]
    random.Random(0).shuffle(merged)
    compared = Compared(min(len(merged), pairs), [])
    for first, *_, last in merged[:pairs]:
        for seed in range(seeds):
            one, other = (_future(spec, numbers, came, seed) for came in (first, last))
            difference = _difference(one, other)
            if difference:
                compared.differences.append(difference)
    return compared


def _difference(one: Future, other: Future) -> str:
    """Return what is not alike, empty if all is.

    One of two may know sooner that a try is worth nothing: what it looked at was changed and changed back for the
    other. That try would end as the last one, so from there on nothing is compared.
    """
    until = None
    for (at, mine), (_, theirs) in zip(one.offers, other.offers, strict=False):
        if mine != theirs:
            if not (set(mine) < set(theirs) or set(theirs) < set(mine)):
                return f"{mine} | {theirs}"
            until = at
            break
    events = [[event for event in future.events if until is None or event[0] < until] for future in (one, other)]
    if until is None and (one.broken, len(one.events)) != (other.broken, len(other.events)):
        return f"{one.broken} | {other.broken}"
    return next((f"{a} | {b}" for a, b in zip(*events, strict=False) if a != b), "")


def _future(spec: RunSpec, numbers: Numbers, came: Came, seed: int) -> Future:
    """Return what happens after a run came to a state, and what is broken then."""
    events: list[Event] = []
    draws = Draws(numbers, seed, came.choices)
    result = run_once(spec, draws, sink=events.append)
    told = []
    names: dict[str, str] = {}
    for event in events:
        if event.step >= came.steps:
            fields = [str(getattr(event, field)) for field in event.__struct_fields__ if field != "step"]
            text = " ".join([type(event).__name__, *fields])
            text = MINTED.sub(lambda name: names.setdefault(name[0], str(len(names))), text)
            told.append((event.step - came.steps, text))
    broken = [
        MINTED.sub("?", f"{violation.rule} {violation.objects}")
        for violation in result.violations
        if violation.step >= came.steps and violation.rule not in OTHERWISE
    ]
    return Future([(at - came.steps, awake) for at, awake in draws.offers], told, [*broken, result.ended])
