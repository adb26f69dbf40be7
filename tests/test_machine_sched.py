"""The machine: who may run, how a run ends, and what it tells whoever uses it wrongly."""

import signal
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from notifierlab import events
from notifierlab.explore.interrupts import stoppable
from notifierlab.machine.carriers import new_machine, run_machine
from notifierlab.machine.locks import SpinLock
from notifierlab.machine.sched import Decide, LabError, Machine
from tests.toys import run_tasks, Toy

CARRIERS = pytest.mark.parametrize("carrier", ["bare", "trio"])
Body = Callable[[Machine], Coroutine[Any, Any, object]]


def always(index: int) -> Decide:
    return lambda options, *_: min(index, options - 1)


def of_type(toy: Toy, kind: type[events.Event]) -> list[Any]:
    return [event for event in toy.events if type(event) is kind]


async def steps(machine: Machine, n: int) -> None:
    for _ in range(n):
        await machine.step()


@CARRIERS
def test_option_0_lets_the_current_task_carry_on(carrier: str) -> None:
    async def main(machine: Machine) -> None:
        await machine.join(machine.start(steps, machine, 2, name="a"), machine.start(steps, machine, 2, name="b"))

    toy = run_tasks(main, carrier=carrier)
    assert toy.ended == "complete"
    assert [event.task for event in of_type(toy, events.TaskEnded)] == ["a", "b", "main"]
    assert set(toy.choices) == {0}


@CARRIERS
def test_options_are_the_current_task_and_then_the_others_in_the_order_they_started(carrier: str) -> None:
    ran: list[str] = []

    async def note(machine: Machine) -> None:
        ran.append(machine.current.name)
        await machine.step()

    async def main(machine: Machine) -> None:
        await machine.join(*[machine.start(note, machine, name=name) for name in "abc"])

    run_tasks(main, always(9), carrier=carrier)
    assert ran == ["c", "b", "a"]


@CARRIERS
def test_options_are_negative_where_nobody_can_carry_on(carrier: str) -> None:
    async def main(machine: Machine) -> None:
        await machine.join(*[machine.start(steps, machine, 1, name=name) for name in "ab"])

    toy = run_tasks(main, carrier=carrier)
    # main waits, a may carry on; then a has ended and only b is left.
    assert toy.options == (-2, 2)


@CARRIERS
def test_a_step_with_a_condition_lasts_until_it_holds(carrier: str) -> None:
    box: list[int] = []

    async def waiter(machine: Machine) -> None:
        await machine.step(lambda: len(box) >= 2, "the box")
        box.append(99)

    async def filler(machine: Machine) -> None:
        for n in range(3):
            box.append(n)
            await machine.step()

    async def main(machine: Machine) -> None:
        await machine.join(machine.start(waiter, machine, name="w"), machine.start(filler, machine, name="f"))

    run_tasks(main, carrier=carrier)
    assert box == [0, 1, 2, 99]


@CARRIERS
def test_who_tries_again_lets_another_task_run_first(carrier: str) -> None:
    tries: list[int] = []

    async def main(machine: Machine) -> None:
        open_windows = 1

        async def retry() -> None:
            while open_windows:
                machine.trying()
                tries.append(open_windows)
                await machine.relax()

        async def close() -> None:
            nonlocal open_windows
            await machine.step()
            await machine.step()
            open_windows = 0

        await machine.join(machine.start(retry, name="r"), machine.start(close, name="c"))

    assert run_tasks(main, carrier=carrier).ended == "complete"
    assert tries == [1]
    tries.clear()
    assert run_tasks(main, always(1), carrier=carrier).ended == "complete"
    assert 1 <= len(tries) <= 3


@CARRIERS
def test_who_was_overtaken_during_a_try_may_try_again_at_once(carrier: str) -> None:
    order: list[str] = []

    async def main(machine: Machine) -> None:
        open_windows = 1

        async def retry() -> None:
            while True:
                machine.trying()
                order.append(f"sees {open_windows}")
                await machine.step()
                if not open_windows:
                    return
                order.append("fails")
                await machine.relax()

        async def close() -> None:
            nonlocal open_windows
            for _ in range(9):
                order.append("elsewhere")
                await machine.step()
            open_windows = 0

        await machine.join(machine.start(retry, name="r"), machine.start(close, name="c"))

    # To `c` and back in the middle of the first try, and then carry on.
    taken = iter((0, 1, 1))
    assert run_tasks(main, lambda *_: next(taken, 0), carrier=carrier).ended == "complete"
    assert order[:5] == ["sees 1", "elsewhere", "fails", "sees 1", "fails"]


@CARRIERS
def test_who_tries_again_alone_goes_on_to_the_step_bound(carrier: str) -> None:
    async def main(machine: Machine) -> None:
        while True:
            await machine.relax()

    assert run_tasks(main, carrier=carrier, steps_max=20).ended == "livelock"


@CARRIERS
def test_a_deadlock_names_who_waits_for_what_and_who_holds_it(carrier: str) -> None:
    async def main(machine: Machine) -> None:
        a, b = SpinLock(machine, "a.lock", "toy"), SpinLock(machine, "b.lock", "toy")

        async def both(first: SpinLock, second: SpinLock) -> None:
            async with first:
                await machine.step()
                async with second:
                    pass

        one = machine.start(both, a, b, name="one")
        two = machine.start(both, b, a, name="two")
        await machine.join(one, two)

    toy = run_tasks(main, always(1), carrier=carrier)
    assert toy.ended == "deadlock"
    (deadlock,) = of_type(toy, events.Deadlocked)
    assert [(each.task, each.waits_for, each.held_by) for each in deadlock.waiting] == [
        ("main", "the end of one, two", ("one", "two")),
        ("one", "b.lock", ("two",)),
        ("two", "a.lock", ("one",)),
    ]
    assert toy.events[-1] is deadlock


@CARRIERS
def test_a_run_without_end_is_a_livelock_at_its_step_bound(carrier: str) -> None:
    async def spin(machine: Machine) -> None:
        while True:
            await machine.step()

    async def main(machine: Machine) -> None:
        await machine.join(machine.start(spin, machine, name="spinner"))

    toy = run_tasks(main, carrier=carrier, steps_max=50)
    assert (toy.ended, toy.steps) == ("livelock", 50)
    (exhausted,) = of_type(toy, events.StepsExhausted)
    assert [(each.task, each.waits_for) for each in exhausted.waiting] == [
        ("main", "the end of spinner"),
        ("spinner", ""),
    ]


@CARRIERS
def test_a_driver_that_raises_ends_the_run_with_error_and_place(carrier: str) -> None:
    unwound: list[str] = []

    async def other(machine: Machine) -> None:
        try:
            await machine.step(lambda: False, "nothing")
        finally:
            # A clean-up may take steps: they return at once and nobody else runs.
            await machine.step()
            unwound.append("other")

    async def broken(machine: Machine) -> None:
        await machine.step()
        raise KeyError("no such slot")

    async def main(machine: Machine) -> None:
        await machine.join(machine.start(other, machine, name="o"), machine.start(broken, machine, name="b"))

    toy = run_tasks(main, carrier=carrier)
    assert toy.ended == "raised"
    assert toy.error is None
    (raised,) = of_type(toy, events.TaskRaised)
    assert raised.task == "b"
    assert raised.error == "KeyError: 'no such slot'"
    assert raised.where.startswith("test_machine_sched.py:")
    assert toy.events[-1] is raised
    if carrier == "trio":
        assert unwound == ["other"]


@CARRIERS
def test_what_was_raised_is_told_in_a_line_that_is_the_same_every_time(carrier: str) -> None:
    async def broken(machine: Machine) -> None:
        await machine.step()
        raise ValueError(f"{object()} stands at 0x1000\nand more of it")

    toy = run_tasks(broken, carrier=carrier)
    (raised,) = of_type(toy, events.TaskRaised)
    assert raised.error == "ValueError: <object object> stands at 0x1000"


@CARRIERS
def test_what_counts_as_a_failure_of_the_run_can_be_said(carrier: str) -> None:
    class Outcome(BaseException):
        """What a test tool raises."""

    async def fails(machine: Machine) -> None:
        machine.is_failure = lambda error: isinstance(error, Outcome)
        await machine.step()
        raise Outcome("failed")

    async def skips(machine: Machine) -> None:
        machine.is_failure = lambda _: False
        await machine.step()
        raise KeyError("skipped")

    toy = run_tasks(fails, carrier=carrier)
    assert toy.error is None
    assert [event.error for event in of_type(toy, events.TaskRaised)] == ["Outcome: failed"]
    toy = run_tasks(skips, carrier=carrier)
    assert isinstance(toy.error, KeyError)
    assert of_type(toy, events.TaskRaised) == []


@CARRIERS
def test_wrong_use_of_the_bench_is_handed_to_the_caller_not_to_the_rules(carrier: str) -> None:
    async def main(machine: Machine) -> None:
        machine.start(steps, machine, 1, name="twin")
        machine.start(steps, machine, 1, name="twin")

    toy = run_tasks(main, carrier=carrier)
    assert isinstance(toy.error, LabError)
    assert str(toy.error) == "a task named 'twin' runs already; give this one another name"
    assert of_type(toy, events.TaskRaised) == []


def test_a_task_with_a_thousand_children_is_told_to_start_fewer() -> None:
    async def main(machine: Machine) -> None:
        for n in range(1000):
            machine.start(steps, machine, 0, name=f"child{n}")

    toy = run_tasks(main)
    assert isinstance(toy.error, LabError)
    assert "started 1000 tasks" in str(toy.error)


def test_names_are_counted_per_task_and_kind() -> None:
    names: list[str] = []

    async def name_two(machine: Machine) -> None:
        names.append(machine.fresh("win"))
        await machine.step()
        names.append(machine.fresh("win"))
        names.append(machine.fresh("flush"))

    async def main(machine: Machine) -> None:
        names.append(machine.fresh("win"))
        await machine.join(machine.start(name_two, machine, name="a"), machine.start(name_two, machine, name="b"))

    for index in (0, 1):
        names.clear()
        run_tasks(main, always(index))
        assert sorted(names) == ["flush1.1", "flush2.1", "win0.1", "win1.1", "win1.2", "win2.1", "win2.2"]


@CARRIERS
def test_a_choice_takes_a_value_and_is_an_event_only_where_it_is_not_calm(carrier: str) -> None:
    taken: list[object] = []

    async def main(machine: Machine) -> None:
        taken.append(machine.choose("signal-pending", False, True))
        taken.append(machine.choose("only", "this"))

    calm = run_tasks(main, carrier=carrier)
    assert (calm.choices, calm.options) == ((0,), (2,))
    assert of_type(calm, events.ChoiceMade) == []
    faulty = run_tasks(main, always(1), carrier=carrier)
    (made,) = of_type(faulty, events.ChoiceMade)
    assert (made.name, made.value, made.index) == ("signal-pending", "True", 1)
    assert taken == [False, "this", True, "this"]


@CARRIERS
def test_ctrl_c_in_the_middle_ends_the_run_with_every_event_so_far(carrier: str) -> None:
    async def main(machine: Machine) -> None:
        await machine.join(machine.start(presser, machine, name="presser"), machine.start(steps, machine, 5, name="x"))

    async def presser(machine: Machine) -> None:
        machine.emit(events.MightSleep, "before")
        signal.raise_signal(signal.SIGINT)
        machine.emit(events.MightSleep, "after, within the step")
        await machine.step()
        machine.emit(events.MightSleep, "never")

    seen: list[events.Event] = []
    machine = new_machine(carrier, always(0), seen.append)
    with stoppable() as stop:
        stop.machine = machine
        run_machine(machine, lambda: main(machine))
    assert stop.asked
    assert machine.ended == "interrupted"
    assert [event.what for event in seen if isinstance(event, events.MightSleep)] == [
        "before",
        "after, within the step",
    ]
    assert isinstance(seen[-1], events.Interrupted)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@CARRIERS
def test_a_second_ctrl_c_strikes_where_the_first_found_no_step(carrier: str) -> None:
    reached: list[str] = []

    async def main(machine: Machine) -> None:
        signal.raise_signal(signal.SIGINT)
        reached.append("first")
        signal.raise_signal(signal.SIGINT)
        reached.append("second")

    machine = new_machine(carrier, always(0))
    with stoppable() as stop:
        stop.machine = machine
        run_machine(machine, lambda: main(machine))
    assert reached == ["first"]
    assert machine.ended == "interrupted"


@CARRIERS
def test_ctrl_c_without_a_handler_of_ours_ends_the_run_as_well(carrier: str) -> None:
    async def main(machine: Machine) -> None:
        await machine.step()
        raise KeyboardInterrupt

    toy = run_tasks(main, carrier=carrier)
    assert toy.ended == "interrupted"
    assert isinstance(toy.events[-1], events.Interrupted)


def test_handlers_nest_and_the_outer_one_hears() -> None:
    with stoppable() as outer, stoppable() as inner:
        assert inner is outer


def test_the_bare_carrier_refuses_to_wait_for_anything_outside() -> None:
    async def impatient(machine: Machine) -> None:
        await machine.step()
        await Outside()

    async def main(machine: Machine) -> None:
        await machine.join(machine.start(impatient, machine, name="napper"))

    toy = run_tasks(main)
    assert isinstance(toy.error, LabError)
    assert "task 'napper' waits for something outside the machine" in str(toy.error)
    assert "--carrier trio" in str(toy.error)


class Outside:
    """An awaitable of somebody else's event loop."""

    def __await__(self) -> Any:
        yield "please wake me"


@CARRIERS
def test_an_assert_of_a_driver_is_the_drivers_and_one_of_the_bench_is_ours(carrier: str) -> None:
    async def theirs(machine: Machine) -> None:
        await machine.step()
        assert machine.steps < 0, "as the driver believed"

    toy = run_tasks(theirs, carrier=carrier)
    assert toy.error is None
    (raised,) = of_type(toy, events.TaskRaised)
    assert raised.error.startswith("AssertionError: as the driver believed")

    async def ours(machine: Machine) -> None:
        await machine.join(*[machine.start(steps, machine, 1, name=name) for name in "ab"])

    toy = run_tasks(ours, lambda *_: 99, carrier=carrier)
    assert isinstance(toy.error, AssertionError)


def test_an_unknown_carrier_is_refused_with_those_that_exist() -> None:
    with pytest.raises(LabError, match="bare, trio"):
        new_machine("asyncio", always(0))
