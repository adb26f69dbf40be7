"""A task on trio may wait for trio itself; the others go on meanwhile."""

import signal

import trio
import trio.lowlevel
import trio.testing

from notifierlab import events
from notifierlab.explore.interrupts import stoppable
from notifierlab.machine.carriers import new_machine, run_machine
from notifierlab.machine.locks import Mutex
from notifierlab.machine.sched import Machine
from tests.test_machine_sched import always, of_type, steps
from tests.toys import run_tasks


async def nap(machine: Machine, seconds: float = 0.001) -> None:
    await machine.step()
    await trio.sleep(seconds)
    machine.emit(events.MightSleep, "back")
    await machine.step()


def test_a_task_on_trio_may_wait_for_trio_while_others_run() -> None:
    async def main(machine: Machine) -> None:
        await machine.join(machine.start(nap, machine, name="napper"), machine.start(steps, machine, 3, name="worker"))

    toy = run_tasks(main, carrier="trio")
    assert toy.ended == "complete"
    (returned,) = of_type(toy, events.TaskReturned)
    assert returned.task == "napper"
    order = [(type(event).__name__, event.task) for event in toy.events]
    assert order.index(("TaskEnded", "worker")) < order.index(("TaskReturned", "napper"))


def test_everybody_may_wait_for_trio_at_once() -> None:
    async def main(machine: Machine) -> None:
        await machine.join(*[machine.start(nap, machine, 0.001 * n, name=f"n{n}") for n in range(1, 4)])

    toy = run_tasks(main, carrier="trio")
    assert toy.ended == "complete"
    assert len(of_type(toy, events.TaskReturned)) == 3


def test_who_comes_back_beside_a_running_task_gives_way_to_it() -> None:
    async def busy(machine: Machine) -> None:
        await machine.step()
        await trio.lowlevel.checkpoint()
        machine.emit(events.MightSleep, "one")
        await machine.step()

    async def main(machine: Machine) -> None:
        await machine.join(*[machine.start(busy, machine, name=f"b{n}") for n in range(3)])

    for index in (0, 1, 2):
        toy = run_tasks(main, always(index), carrier="trio")
        assert toy.ended == "complete"
        assert sorted(event.task for event in of_type(toy, events.MightSleep)) == ["b0", "b1", "b2"]


def test_a_lock_stays_taken_while_its_holder_waits_for_trio() -> None:
    inside: list[str] = []

    async def main(machine: Machine) -> None:
        lock = Mutex(machine, "m", "toy")

        async def hold() -> None:
            async with lock:
                inside.append("in")
                await trio.sleep(0.001)
                inside.append("out")

        await machine.join(*[machine.start(hold, name=f"h{n}") for n in range(3)])

    assert run_tasks(main, carrier="trio").ended == "complete"
    assert inside == ["in", "out"] * 3


def test_ctrl_c_ends_a_run_in_which_everybody_waits_for_trio() -> None:
    machine = new_machine("trio", always(0))

    async def main() -> None:
        # Nobody of the machine runs when the key is pressed.
        trio.lowlevel.spawn_system_task(press)
        await trio.sleep(60)

    async def press() -> None:
        await trio.testing.wait_all_tasks_blocked()
        signal.raise_signal(signal.SIGINT)

    with stoppable() as stop:
        stop.machine = machine
        run_machine(machine, main)
    assert machine.ended == "interrupted"


async def test_a_cancelled_test_ends_the_run_and_stays_cancelled() -> None:
    machine = new_machine("trio", always(0))
    lock = Mutex(machine, "m", "toy")

    async def holder() -> None:
        async with lock:
            await trio.sleep(60)

    async def main() -> None:
        await machine.join(machine.start(holder, name="h"), machine.start(lock.acquire, name="w"))

    with trio.move_on_after(0.01) as scope:
        await machine.run(main())  # type: ignore[misc]  # a TrioMachine's run is a coroutine
    assert scope.cancelled_caught
    assert machine.ended == "interrupted"
