"""The search over states finds every state and every end that trying all orders finds."""

from collections.abc import Hashable, Sequence
from itertools import permutations

import pytest
from hypothesis import given, settings, strategies as st

from guests.scenarios.yardstick import yardstick
from notifierlab.explore.fingerprint import Numbers, Portrait, State
from notifierlab.explore.run import run_once, RunSpec
from notifierlab.explore.search import explore
from notifierlab.explore.states import States
from notifierlab.host import Host
from notifierlab.machine.sched import LabError
from tests.small_programs import bodies, every_order, Program, programs, runs_of, spec_of, Watching

ORDERS_MAX = 150
EXAMPLES = 25


class Seen:
    """What all orders of a program show: its states by their portraits, and those at an end."""

    def __init__(
        self, program: Program, numbers: Numbers, *, declared: bool = False, alike: Sequence[str] = ()
    ) -> None:
        self.portraits: dict[State, None] = {}
        self.final: dict[State, None] = {}
        self.whole = True
        self._worlds: dict[State, Hashable] = {}
        self._numbers = numbers
        self._alike = alike
        watching = Watching(every_order())
        spec = spec_of(program, watching, declared=declared, alike=alike)
        runs = 0
        while self.whole and watching.new_run():
            self._run(spec, watching)
            runs += 1
            self.whole = runs < ORDERS_MAX

    def _run(self, spec: RunSpec, watching: Watching) -> None:
        run_once(spec, watching)
        machine = watching.machine
        assert machine is not None
        portrait = Portrait(self._numbers)
        portraits = []
        for _ in machine.trace:
            portrait.take(machine)
            portraits.append(portrait.state())
        self.portraits.update(dict.fromkeys(portraits))
        self.final[portraits[-1]] = None
        for at, world in watching.at_choices:
            world = without_names(world, self._alike)
            assert self._worlds.setdefault(portraits[at - 1], world) == world


def without_names(world: Hashable, alike: Sequence[str]) -> str:
    """Return the least text of a state under any exchange of the names of `alike`."""
    texts = []
    for names in permutations(alike):
        other = dict(zip(alike, names, strict=True))
        texts.append(repr(renamed(world, other)))
    return min(texts)


def renamed(thing: Hashable, other: dict[str, str]) -> Hashable:
    if isinstance(thing, tuple):
        items = tuple(renamed(item, other) for item in thing)
        return tuple(sorted(items, key=repr)) if items and all(is_place(item) for item in items) else items
    return other.get(thing, thing) if isinstance(thing, str) else thing


def is_place(item: Hashable) -> bool:
    return isinstance(item, tuple) and bool(item) and isinstance(item[0], str) and item[0].startswith("t")


def agree(program: Program, *, declared: bool = False, alike: Sequence[str] = ()) -> None:
    numbers = Numbers()
    seen = Seen(program, numbers, declared=declared, alike=alike)
    if not seen.whole:
        return
    for every_state in (True, False):
        states = States(numbers, every_state=every_state)
        runs = sum(1 for _ in runs_of(spec_of(program, declared=declared, alike=alike), states))
        assert runs <= 2 * ORDERS_MAX
        assert states.proved
        assert states.final == seen.final
        if every_state:
            assert dict.fromkeys(states.known()) == seen.portraits
        else:
            assert all(state in seen.portraits for state in states.known())


@settings(max_examples=EXAMPLES, deadline=None)
@given(programs())
def test_every_state_and_every_end_is_found(program: Program) -> None:
    agree(program)


@settings(max_examples=EXAMPLES, deadline=None)
@given(programs())
def test_what_a_scenario_declares_merges_states_and_loses_none(program: Program) -> None:
    agree(program, declared=True)


@settings(max_examples=EXAMPLES, deadline=None)
@given(bodies(1), bodies(1), st.integers(2, 3), st.booleans())
def test_of_interchangeable_tasks_every_state_is_found_once(
    body: Sequence[str], other: Sequence[str], times: int, declared: bool
) -> None:
    agree([body] * times + [other], declared=declared, alike=[f"t{n}" for n in range(times)])


async def _unrecorded_wait(host: Host) -> None:
    others: list[str] = []
    await host.machine.step(lambda: not others)


async def _one_step(host: Host) -> None:
    await host.machine.step()


def test_who_is_declared_interchangeable_and_is_not_is_found_out() -> None:
    program = [["set x"], ["see x", "see x"], ["set y"]]
    with pytest.raises(LabError, match=r"interchangeable|one state"):
        for _ in runs_of(spec_of(program, alike=["t0", "t1"]), States()):
            pass


def test_a_declaration_that_forgets_what_matters_is_found_out() -> None:
    async def forgetful(host: Host) -> None:
        host.all_touches_declared()
        machine = host.machine
        flag = [False]

        def is_set() -> bool:
            machine.touch("flag", machine.mode.READ)
            return flag[0]

        async def setter() -> None:
            await machine.step()
            machine.touch("flag", machine.mode.WRITE)
            flag[0] = True

        async def seer() -> None:
            await machine.step()
            seen = is_set()
            machine.at("seen")
            await machine.step(is_set, "the flag")
            if not seen:
                machine.touch("late", machine.mode.WRITE)

        async with host.together() as tasks:
            tasks.start(setter, name="setter")
            tasks.start(seer, name="seer")

    with pytest.raises(LabError, match="one state and did not go on alike"):
        explore(RunSpec(name="forgetful", scenario=forgetful), strategy="states")


def test_nothing_is_proved_of_a_scenario_that_does_not_record_all() -> None:
    async def silent(host: Host) -> None:
        async with host.together() as tasks:
            tasks.start(_one_step, host, name="one")
            tasks.start(_unrecorded_wait, host, name="two")

    result = explore(RunSpec(name="silent", scenario=silent), strategy="states")
    assert result.verdict == "no-violation-within"
    assert "as far as the touches recorded" in result.bound


def test_a_step_without_touches_is_not_tried_in_both_orders() -> None:
    async def apart(host: Host) -> None:
        host.all_touches_declared()
        async with host.together() as tasks:
            tasks.start(_one_step, host, name="one")
            tasks.start(_one_step, host, name="two")

    result = explore(RunSpec(name="apart", scenario=apart), strategy="states")
    assert result.verdict == "proved"
    assert result.runs < 6


EVERY_STATE = {1: (479, 5), 2: (3741, 9)}
YARDSTICK = {1: (185, 5), 2: (813, 9), 3: (3048, 14)}


@pytest.mark.parametrize("guests", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_yardstick_has_as_many_states_as_ever(guests: int) -> None:
    states = States(every_state=True)
    result = explore(_yardstick(guests), strategy=states)
    assert result.verdict == "proved"
    assert (states.states, len(states.final)) == EVERY_STATE[guests]


@pytest.mark.parametrize("guests", [1, 2, 3])
def test_most_states_of_the_yardstick_are_passed_by_steps_that_concern_nobody_else(guests: int) -> None:
    states = States()
    result = explore(_yardstick(guests), strategy=states)
    assert result.verdict == "proved"
    assert (states.states, len(states.final)) == YARDSTICK[guests]


def test_tasks_that_have_nothing_to_do_with_each_other_do_not_multiply_states() -> None:
    counts = {}
    for unrelated in (1, 2, 4):
        states = States()
        explore(RunSpec(name="yardstick", scenario=yardstick, params={"unrelated": unrelated}), strategy=states)
        assert states.proved
        counts[unrelated] = states.states
    assert counts[4] - counts[2] == 2 * (counts[2] - counts[1])


def _yardstick(guests: int) -> RunSpec:
    return RunSpec(name="yardstick", scenario=yardstick, params={"guests": guests})


@pytest.mark.parametrize(
    ("mutant", "rule"),
    [
        ("yardstick-a", "window-count"),
        ("yardstick-b", "freed-while-reachable"),
        ("yardstick-c", "freed-while-reachable"),
        ("yardstick-d", "freed-while-reachable"),
        ("yardstick-e", "freed-while-reachable"),
    ],
)
def test_each_bug_of_the_yardstick_is_found(mutant: str, rule: str) -> None:
    spec = RunSpec(name="yardstick", scenario=yardstick, mutants=frozenset([mutant]))
    result = explore(spec, strategy="states", rules=[rule], shrinking=False)
    assert result.verdict == "violated"
    assert result.findings[0].violation.rule == rule
