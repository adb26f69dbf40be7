"""A step that concerns nobody else is known by what others were seen to do; belief that proves wrong is given up."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings, strategies as st

from notifierlab.explore.fingerprint import Numbers
from notifierlab.explore.privacy import Privacy
from notifierlab.explore.run import RunSpec
from notifierlab.explore.states import States
from notifierlab.host import Host
from notifierlab.machine.access import Access, Mode
from tests.small_programs import Program, runs_of, spec_of

LOCKED = (("l", "write"),)
READING = (("s", "read"),)

BLOCKS = (
    ["set x"],
    ["see x"],
    ["add y"],
    ["see y"],
    ["wait x"],
    ["pick", "set y"],
    ["try l", "add y"],
    ["drop l"],
    ["take l", "set x", "drop l"],
    ["take l", "if x", "set y", "drop l"],
    ["take l", "take m", "set x", "drop m", "drop l"],
    ["take m", "set y", "drop m"],
    ["read s", "see x", "drop-read s"],
    ["read s", "set y", "drop-read s"],
    ["write s", "set x", "drop-write s"],
    ["write s", "take l", "set y", "drop l", "drop-write s"],
)
"""Also what is no good style: a lock given back by nobody who had it, or kept for ever, and fields half protected."""


def step(*touches: tuple[str, Mode]) -> tuple[Access, ...]:
    return tuple(Access(*touch) for touch in touches)


def test_what_all_others_touch_under_a_lock_is_private_to_who_has_it() -> None:
    privacy = Privacy()
    privacy.saw("b", step(("x", Mode.WRITE)), LOCKED)
    assert privacy.private("a", step(("x", Mode.READ)), LOCKED, ())
    assert not privacy.private("a", step(("x", Mode.READ)), (), ())
    privacy.saw("b", step(("x", Mode.WRITE)), ())
    assert not privacy.private("a", step(("x", Mode.READ)), LOCKED, ())


def test_a_lock_taken_by_the_step_itself_protects_it() -> None:
    privacy = Privacy()
    privacy.saw("b", step(("l", Mode.ACQUIRE), ("x", Mode.WRITE)), ())
    assert privacy.private("a", step(("x", Mode.WRITE)), LOCKED, ())


def test_readers_exclude_writers_and_not_each_other() -> None:
    privacy = Privacy()
    privacy.saw("b", step(("x", Mode.WRITE)), READING)
    assert not privacy.private("a", step(("x", Mode.READ)), READING, ())
    assert privacy.private("a", step(("x", Mode.READ)), (("s", "write"),), ())


def test_giving_a_lock_back_is_private_unless_somebody_attempts_it() -> None:
    privacy = Privacy()
    privacy.saw("b", step(("l", Mode.ACQUIRE)), ())
    privacy.saw("b", step(("l", Mode.RELEASE)), LOCKED)
    assert privacy.private("a", step(("l", Mode.RELEASE)), LOCKED, ())
    assert not privacy.private("a", step(("l", Mode.ACQUIRE)), (), ())
    privacy.saw("b", step(("l", Mode.TEST)), ())
    assert not privacy.private("a", step(("l", Mode.RELEASE)), LOCKED, ())


def test_a_lock_that_was_given_back_by_another_protects_nothing() -> None:
    privacy = Privacy()
    privacy.saw("b", step(("x", Mode.WRITE)), LOCKED)
    assert privacy.private("a", step(("x", Mode.WRITE)), LOCKED, (), rely=True)
    privacy.saw("c", step(("l", Mode.RELEASE)), ())
    assert privacy.broken
    assert not privacy.private("a", step(("x", Mode.WRITE)), LOCKED, ())


def test_what_only_tasks_touched_that_have_ended_is_private() -> None:
    privacy = Privacy()
    privacy.saw("b", step(("x", Mode.WRITE)), ())
    assert not privacy.private("a", step(("x", Mode.READ)), (), ())
    assert privacy.private("a", step(("x", Mode.READ)), (), ("b",))


def test_what_one_of_several_interchangeable_tasks_does_the_others_can_do() -> None:
    privacy = Privacy()
    privacy.know({"a": "a", "b": "a"})
    privacy.saw("a", step(("x", Mode.WRITE)), ())
    assert not privacy.private("a", step(("x", Mode.WRITE)), (), ())
    assert not privacy.private("c", step(("x", Mode.WRITE)), (), ("a",))


def test_only_what_was_relied_upon_makes_a_search_begin_anew() -> None:
    privacy = Privacy()
    assert privacy.private("a", step(("x", Mode.READ)), (), (), rely=True)
    assert privacy.private("a", step(("y", Mode.READ)), (), ())
    privacy.saw("b", step(("y", Mode.WRITE)), ())
    assert not privacy.broken
    privacy.saw("b", step(("x", Mode.WRITE)), ())
    assert privacy.broken


def test_of_two_puts_each_is_the_last_in_some_order() -> None:
    async def putting(host: Host) -> None:
        host.all_touches_declared()
        machine = host.machine
        refs = [2]

        async def put() -> None:
            await machine.step()
            refs[0] -= 1
            machine.touch("refs", machine.mode.ADD if refs[0] else machine.mode.WRITE)

        async with host.together() as tasks:
            tasks.start(put, name="one")
            tasks.start(put, name="other")

    for every_state in (True, False):
        states = States(every_state=every_state)
        for _ in runs_of(RunSpec(name="putting", scenario=putting), states):
            pass
        assert states.proved
        assert len(states.final) == 2


def same_ends(program: Program, *, declared: bool, alike: Sequence[str] = (), most: int = 150) -> bool:
    """Compare with a search of every state; false if that is long."""
    numbers = Numbers()
    every, fewer = States(numbers, every_state=True), States(numbers)
    for n, _ in enumerate(runs_of(spec_of(program, declared=declared, alike=alike), every)):
        if n > most:
            return False
    for _ in runs_of(spec_of(program, declared=declared, alike=alike), fewer):
        pass
    assert fewer.proved
    assert fewer.final == every.final
    return True


def bodies(blocks: int) -> st.SearchStrategy[list[str]]:
    parts = st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=blocks)
    return parts.map(lambda chosen: [op for part in chosen for op in part])


@settings(max_examples=10, deadline=None)
@given(st.lists(bodies(2), min_size=2, max_size=3), st.booleans())
def test_no_end_is_lost(program: Program, declared: bool) -> None:
    same_ends(program, declared=declared)


@settings(max_examples=10, deadline=None)
@given(bodies(2), bodies(2), st.booleans())
def test_no_end_is_lost_among_interchangeable_tasks(body: list[str], other: list[str], declared: bool) -> None:
    same_ends([body, body, other], declared=declared, alike=["t0", "t1"])


@pytest.mark.parametrize(
    "program",
    [
        # A lock that another gives back protects nothing.
        [["take l", "if x", "set y", "drop l"], ["drop l"], ["take l", "set x", "set y", "drop l"]],
        # What an attempt touches where it fails has no lock.
        [["take l", "set y", "drop l"], ["try l", "add y"], ["see y"]],
    ],
)
def test_no_end_is_lost_where_locks_are_not_kept_to(program: Program) -> None:
    assert same_ends(program, declared=False, most=1000)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_no_end_is_lost_in_many_programs(seed: int) -> None:
    draw = random.Random(seed)
    compared = 0
    while compared < 60:
        pool = draw.sample(BLOCKS, draw.choice([3, 5, 8]))
        tasks = draw.choice([2, 3, 3, 4])
        program = [[op for _ in range(draw.randint(1, 3)) for op in draw.choice(pool)] for _ in range(tasks)]
        alike = ["t0", "t1"] if draw.random() < 0.3 else []
        if alike:
            program[1] = program[0]
        compared += same_ends(program, declared=draw.random() < 0.5, alike=alike)


def test_a_step_is_private_only_if_it_is_for_every_value_chosen_in_it() -> None:
    async def choosing(host: Host) -> None:
        host.all_touches_declared()
        machine = host.machine
        field = [0]

        async def chooser() -> None:
            await machine.step()
            if machine.choose("write", False, True):
                machine.touch("x", machine.mode.WRITE)
                field[0] = 1

        async def seer() -> None:
            await machine.step()
            machine.touch("x", machine.mode.READ)
            machine.at("saw", field[0])

        async with host.together() as tasks:
            tasks.start(chooser, name="chooser")
            tasks.start(seer, name="seer")

    numbers = Numbers()
    searches = [States(numbers), States(numbers, every_state=True)]
    for states in searches:
        for _ in runs_of(RunSpec(name="choosing", scenario=choosing), states):
            pass
    # Not written, written and not seen, written and seen.
    assert [len(states.final) for states in searches] == [3, 3]


def test_a_task_that_runs_in_a_circle_does_not_put_others_off_for_ever() -> None:
    async def circling(host: Host) -> None:
        host.all_touches_declared()
        machine = host.machine
        done = [False]

        async def circler() -> None:
            while not done[0]:
                machine.at("circling")
                await machine.step()
                machine.touch("own", machine.mode.WRITE)
                machine.holds("own", 0)
                machine.touch("done", machine.mode.READ)
            machine.at("out")

        async def other() -> None:
            await machine.step()
            machine.touch("done", machine.mode.WRITE)
            machine.holds("done", True)
            done[0] = True

        async with host.together() as tasks:
            tasks.start(circler, name="circler")
            tasks.start(other, name="other")

    states = States()
    for _ in runs_of(RunSpec(name="circling", scenario=circling, steps_max=200), states):
        pass
    assert len(states.final) == 1
