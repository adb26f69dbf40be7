"""The rules of the family driver: a driver orders what it shares, and does not raise."""

from collections.abc import Callable

import pytest

from notifierlab import events as ev
from tests.event_list import Log, spoken

Order = Callable[[Log], None]


def write(log: Log, task: str) -> None:
    with log.by(task):
        log(ev.FieldWritten, "kvm0", "running", "1")


def read(log: Log, task: str) -> None:
    with log.by(task):
        log(ev.FieldRead, "kvm0", "running")


def between(first: Order, order: Order, second: Order) -> list[str]:
    """What is said of one access, something, and another access."""
    log = Log()
    with log.by("main"):
        log(ev.TaskStarted, "a", "process")
        log(ev.TaskStarted, "b", "process")
    first(log)
    order(log)
    second(log)
    return spoken(log)


def nothing(log: Log) -> None:
    del log


def lock(first: str = "write", second: str = "write") -> Order:
    def order(log: Log) -> None:
        with log.by("a"):
            log.drop("kvm0.mmu_lock", mode=first)
        with log.by("b"):
            log.take("kvm0.mmu_lock", mode=second)

    return order


def other_lock(log: Log) -> None:
    with log.by("a"):
        log.drop("kvm0.mmu_lock")
    with log.by("b"):
        log.take("kvm1.mmu_lock")


def by_a_third(log: Log) -> None:
    with log.by("a"):
        log.drop("kvm0.mmu_lock")
    with log.by("c"):
        log.take("kvm0.mmu_lock")
        log.drop("kvm1.mmu_lock")
    with log.by("b"):
        log.take("kvm1.mmu_lock")


def queue(log: Log) -> None:
    with log.by("a"):
        log(ev.QueueWoken, "q")
    with log.by("c"):
        log(ev.QueueWoken, "q")
    with log.by("b"):
        log(ev.QueueWaited, "q")


def atomic(read_first: bool) -> Order:
    def order(log: Log) -> None:
        with log.by("a"):
            if read_first:
                log(ev.AtomicRead, "kvm0", "seq", "0")
            else:
                log(ev.AtomicWritten, "kvm0", "seq", "1")
        with log.by("b"):
            log(ev.AtomicRead, "kvm0", "seq", "1")

    return order


def join(log: Log) -> None:
    with log.by("a"):
        log(ev.TaskEnded)
    with log.by("b"):
        log(ev.TaskJoined, "a")


def start(log: Log) -> None:
    with log.by("a"):
        log(ev.TaskStarted, "b", "process")


def downgrade(log: Log) -> None:
    with log.by("a"):
        log(ev.LockDowngraded, "kvm0.slots_lock", "slots_lock")
    with log.by("b"):
        log.take("kvm0.slots_lock", mode="read")


def grace_period(log: Log) -> None:
    with log.by("b"):
        log(ev.RcuSyncBegun)
    with log.by("a"):
        log(ev.RcuReadLeft)
    with log.by("b"):
        log(ev.RcuSyncDone)


def section_before(log: Log) -> None:
    with log.by("a"):
        log(ev.RcuReadLeft)
    with log.by("b"):
        log(ev.RcuSyncBegun)
        log(ev.RcuSyncDone)


def section_after(log: Log) -> None:
    with log.by("a"):
        log(ev.RcuSyncBegun)
    with log.by("b"):
        log(ev.RcuReadEntered)


def in_section(log: Log) -> None:
    with log.by("a"):
        log(ev.RcuReadEntered)
    write(log, "a")


def a_writes(log: Log) -> None:
    write(log, "a")


def a_reads(log: Log) -> None:
    read(log, "a")


def b_writes(log: Log) -> None:
    write(log, "b")


def b_reads(log: Log) -> None:
    read(log, "b")


@pytest.mark.parametrize(("first", "second"), [(a_writes, b_writes), (a_writes, b_reads), (a_reads, b_writes)])
def test_accesses_that_nothing_orders_are_a_race(first: Order, second: Order) -> None:
    assert between(first, nothing, second) == ["data-race"]
    assert between(first, lock(), second) == []


def test_two_reads_are_no_race() -> None:
    assert between(a_reads, nothing, b_reads) == []


@pytest.mark.parametrize(
    "order",
    [by_a_third, queue, atomic(read_first=False), join, start, downgrade, section_after, lock("write", "read")],
)
def test_synchronisation_orders(order: Order) -> None:
    assert between(a_writes, order, b_writes) == []


@pytest.mark.parametrize("order", [grace_period, section_before])
def test_a_grace_period_orders_after_the_sections_it_waited_for(order: Order) -> None:
    assert between(in_section, order, b_writes) == []


def test_a_section_that_still_runs_is_not_ordered() -> None:
    assert between(in_section, nothing, b_writes) == ["data-race"]


@pytest.mark.parametrize("order", [other_lock, atomic(read_first=True), lock("read", "read")])
def test_what_looks_like_synchronisation_does_not_always_order(order: Order) -> None:
    assert between(a_writes, order, b_writes) == ["data-race"]


def test_a_writer_comes_after_every_reader() -> None:
    log = Log()
    for reader in ("a", "b"):
        with log.by(reader), log.holding("kvm0.slots_lock", mode="read"):
            log(ev.FieldRead, "kvm0", "running")
    with log.by("c"), log.holding("kvm0.slots_lock"):
        log(ev.FieldWritten, "kvm0", "running", "1")
    with log.by("a"), log.holding("kvm0.slots_lock", mode="read"):
        log(ev.FieldRead, "kvm0", "running")
    assert spoken(log, disabled=("sleep-in-atomic",)) == []


def test_a_count_lowered_under_the_lock_and_read_without_it_is_a_race() -> None:
    log = Log()
    log.register()
    with log.by("host"), log.holding("kvm0.mmu_lock"):
        log(ev.FieldWritten, "kvm0", "count", "0")
    with log.by("vcpu"):
        log(ev.FieldRead, "kvm0", "count")
    assert spoken(log) == ["data-race"]


def test_a_driver_that_raises_is_found() -> None:
    log = Log()
    log(ev.TaskRaised, "KeyError: 3", "drivers/mine.py:7")
    assert spoken(log, complete=False) == ["driver-raised"]
