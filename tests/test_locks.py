"""Locks exclude whom they should, and their switches stand before a take and after a drop."""

from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from notifierlab import events
from notifierlab.explore.strategies import Bounded
from notifierlab.machine.locks import BitLock, Mutex, Rcu, RwSem, SpinLock, WaitQueue
from notifierlab.machine.sched import Machine
from tests.toys import run_tasks, Toy

Body = Callable[[Machine], Coroutine[Any, Any, object]]


def every_order(body: Body) -> list[Toy]:
    """Run `body` in every order."""
    return _search(body, Bounded(50), exhausted=True)


def within(body: Body, bound: int) -> list[Toy]:
    """Run `body` in every order with at most `bound` preemptions."""
    return _search(body, Bounded(bound), exhausted=False)


def _search(body: Body, strategy: Bounded, *, exhausted: bool) -> list[Toy]:
    runs: list[Toy] = []
    while strategy.new_run():
        strategy.begin_run(cast(Machine, None))
        runs.append(run_tasks(body, strategy.choose))
        strategy.end_run(cast(Any, runs[-1]))
    assert strategy.exhausted == exhausted
    return runs


def sleeps(toy: Toy) -> list[str]:
    return [event.what for event in toy.events if isinstance(event, events.MightSleep)]


def notes(toy: Toy) -> list[str]:
    """What tasks noted by `bug`, in order."""
    return [event.what for event in toy.events if isinstance(event, events.BugHit)]


@pytest.mark.parametrize("kind", [SpinLock, Mutex, BitLock])
def test_two_tasks_are_never_inside_a_lock_at_once(kind: type[SpinLock]) -> None:
    async def main(machine: Machine) -> None:
        lock = kind(machine, "l", "toy")
        inside = 0

        async def work() -> None:
            nonlocal inside
            async with lock:
                assert lock.held_by_current()
                inside += 1
                assert inside == 1
                await machine.step()
                inside -= 1

        await machine.join(*[machine.start(work, name=name) for name in "ab"])

    runs = every_order(main)
    assert len(runs) > 2
    assert {run.ended for run in runs} == {"complete"}
    assert {run.error for run in runs} == {None}


def test_others_may_run_before_a_take_and_after_a_drop() -> None:
    async def main(machine: Machine) -> None:
        lock = SpinLock(machine, "l", "toy")

        async def taker() -> None:
            machine.bug("", "before")
            await lock.acquire()
            machine.bug("", "inside")
            await lock.release()
            machine.bug("", "after")

        async def other() -> None:
            machine.bug("", "other")

        await machine.join(machine.start(taker, name="t"), machine.start(other, name="o"))

    places = {notes(run).index("other") for run in every_order(main)}
    assert places == {0, 1, 2, 3}


def test_try_acquire_says_whether_it_took_the_lock() -> None:
    async def main(machine: Machine) -> None:
        lock = SpinLock(machine, "l", "toy")

        async def holder() -> None:
            async with lock:
                await machine.step()

        async def trier() -> None:
            taken = await lock.try_acquire()
            assert taken == lock.held_by_current()
            machine.bug("", f"taken {taken}")
            if taken:
                await lock.release()

        await machine.join(machine.start(holder, name="h"), machine.start(trier, name="t"))

    runs = every_order(main)
    assert {notes(run)[0] for run in runs} == {"taken True", "taken False"}
    assert {run.error for run in runs} == {None}


def test_releasing_what_nobody_holds_is_a_bug_that_is_reported() -> None:
    async def main(machine: Machine) -> None:
        await SpinLock(machine, "l", "toy").release()

    (run,) = every_order(main)
    assert notes(run) == ["l is released and nobody holds it"]


@pytest.mark.parametrize(
    ("give_back", "says"),
    [
        (RwSem.release_read, "s is released by main, which does not read"),
        (RwSem.release_write, "s is released and nobody writes"),
    ],
)
def test_giving_an_rwsem_back_that_was_not_taken_is_a_bug_that_is_reported(
    give_back: Callable[[RwSem], Coroutine[Any, Any, None]], says: str
) -> None:
    async def main(machine: Machine) -> None:
        await give_back(RwSem(machine, "s", "toy"))

    (run,) = every_order(main)
    assert notes(run) == [says]


def test_mutexes_and_page_locks_sleep_and_spinlocks_do_not() -> None:
    async def main(machine: Machine) -> None:
        for lock in (
            SpinLock(machine, "spin", "mmu_lock"),
            Mutex(machine, "mutex", "toy"),
            BitLock(machine, "page", "page_lock"),
            BitLock(machine, "handle", "tgh_lock"),
        ):
            async with lock:
                pass

    assert sleeps(run_tasks(main)) == ["mutex", "page"]


def test_an_rwsem_admits_readers_together_and_a_writer_alone() -> None:
    together: set[int] = set()

    async def main(machine: Machine) -> None:
        sem = RwSem(machine, "s", "toy")
        readers = writers = 0

        async def read() -> None:
            nonlocal readers
            async with sem.read():
                assert sem.held_for_read()
                assert not sem.held_for_write()
                readers += 1
                together.add(readers)
                assert not writers
                await machine.step()
                readers -= 1

        async def write() -> None:
            nonlocal writers
            async with sem.write():
                assert sem.held_for_write()
                assert not sem.held_for_read()
                writers += 1
                assert (readers, writers) == (0, 1)
                await machine.step()
                writers -= 1

        await machine.join(
            machine.start(read, name="r1"), machine.start(read, name="r2"), machine.start(write, name="w")
        )

    runs = within(main, 3)
    assert {run.ended for run in runs} == {"complete"}
    assert {run.error for run in runs} == {None}
    assert together == {1, 2}


def test_a_reader_may_read_twice_and_a_writer_waits_for_both() -> None:
    async def main(machine: Machine) -> None:
        sem = RwSem(machine, "s", "toy")
        await sem.acquire_read()
        await sem.acquire_read()
        await sem.release_read()
        assert not sem.is_free()
        assert not await sem.try_write()
        await sem.release_read()
        assert sem.is_free()
        assert await sem.try_write()
        assert not await sem.try_read()
        await sem.release_write()
        assert await sem.try_read()
        await sem.release_read()

    assert run_tasks(main).error is None


def test_downgrade_lets_readers_in_and_no_writer_between() -> None:
    async def main(machine: Machine) -> None:
        sem = RwSem(machine, "s", "toy")
        value = 0

        async def changer() -> None:
            nonlocal value
            await sem.acquire_write()
            value = 1
            await sem.downgrade()
            assert value == 1, "nobody wrote since"
            assert sem.held_for_read()
            await sem.release_read()

        async def writer() -> None:
            nonlocal value
            async with sem.write():
                value = 2

        async def reader() -> None:
            async with sem.read():
                machine.bug("", f"read {value}, {len(sem.readers)} inside")

        await machine.join(*[machine.start(fn, name=fn.__name__) for fn in (changer, writer, reader)])

    runs = within(main, 2)
    assert {run.error for run in runs} == {None}
    assert {run.ended for run in runs} == {"complete"}
    assert "read 1, 2 inside" in {notes(run)[0] for run in runs}


def test_a_wake_up_that_comes_before_the_sleep_is_not_lost() -> None:
    async def main(machine: Machine) -> None:
        queue = WaitQueue(machine, "q")
        ready = False

        async def waiter() -> None:
            await queue.wait(lambda: ready)

        async def waker() -> None:
            nonlocal ready
            await machine.step()
            ready = True
            await queue.wake_all()

        await machine.join(machine.start(waiter, name="w"), machine.start(waker, name="k"))

    assert {run.ended for run in every_order(main)} == {"complete"}


def test_a_forgotten_wake_up_leaves_the_waiter_asleep_in_some_orders() -> None:
    async def main(machine: Machine) -> None:
        queue = WaitQueue(machine, "q")
        ready = False

        async def waiter() -> None:
            await queue.wait(lambda: ready)

        async def forgetful() -> None:
            nonlocal ready
            await machine.step()
            ready = True

        await machine.join(machine.start(waiter, name="w"), machine.start(forgetful, name="f"))

    runs = every_order(main)
    assert {run.ended for run in runs} == {"complete", "deadlock"}
    stuck = next(run for run in runs if run.ended == "deadlock").events[-1]
    assert isinstance(stuck, events.Deadlocked)
    assert stuck.waiting[1].waits_for == "a wake-up of q"


def test_a_wake_up_before_the_condition_holds_is_looked_at_and_slept_on() -> None:
    async def main(machine: Machine) -> None:
        queue = WaitQueue(machine, "q")
        n = 0

        async def waiter() -> None:
            await queue.wait(lambda: n == 2)
            assert n == 2

        async def waker() -> None:
            nonlocal n
            for _ in range(2):
                n += 1
                await queue.wake_all()

        await machine.join(machine.start(waiter, name="w"), machine.start(waker, name="k"))

    runs = every_order(main)
    assert {(run.ended, run.error) for run in runs} == {("complete", None)}


def test_a_grace_period_lasts_as_long_as_every_section_open_at_its_begin() -> None:
    async def main(machine: Machine) -> None:
        rcu = Rcu(machine)

        async def reader() -> None:
            rcu.read_enter()
            rcu.read_enter()
            await machine.step()
            rcu.read_exit()
            await machine.step()
            rcu.read_exit()

        await machine.join(machine.start(reader, name="r"), machine.start(rcu.synchronize, name="s"))

    waited = []
    for run in every_order(main):
        kinds = [type(event).__name__ for event in run.events]
        entered, left = kinds.index("RcuReadEntered"), len(kinds) - 1 - kinds[::-1].index("RcuReadLeft")
        begun, done = kinds.index("RcuSyncBegun"), kinds.index("RcuSyncDone")
        waited.append(entered < begun < left)
        assert not waited[-1] or left < done
    assert any(waited)


def test_a_grace_period_does_not_wait_for_sections_that_begin_later() -> None:
    async def main(machine: Machine) -> None:
        rcu = Rcu(machine)

        async def reader() -> None:
            for _ in range(2):
                rcu.read_enter()
                await machine.step()
                rcu.read_exit()

        await machine.join(machine.start(reader, name="r"), machine.start(rcu.synchronize, name="s"))

    runs = every_order(main)
    assert {run.ended for run in runs} == {"complete"}
    inside_second = []
    for run in runs:
        kinds = [type(event).__name__ for event in run.events]
        inside_second.append(kinds[: kinds.index("RcuSyncDone")].count("RcuReadEntered") == 2)
    assert any(inside_second)


def test_synchronize_rcu_inside_a_read_section_never_returns() -> None:
    async def main(machine: Machine) -> None:
        rcu = Rcu(machine)
        rcu.read_enter()
        await rcu.synchronize()

    run = run_tasks(main)
    assert run.ended == "deadlock"
    stuck = run.events[-1]
    assert isinstance(stuck, events.Deadlocked)
    assert stuck.waiting[0].held_by == ("main",)


def test_a_deadlock_on_an_rwsem_names_all_its_readers() -> None:
    async def main(machine: Machine) -> None:
        sem = RwSem(machine, "s", "toy")

        async def reader() -> None:
            await sem.acquire_read()

        await machine.join(machine.start(reader, name="r1"), machine.start(reader, name="r2"))
        await sem.acquire_write()

    stuck = run_tasks(main).events[-1]
    assert isinstance(stuck, events.Deadlocked)
    assert stuck.waiting[0].held_by == ("r1", "r2")
