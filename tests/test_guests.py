"""Guests: their numbers, and that a program notices when it reads what is not its own."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from drivers.kvm import KvmMmu
from guests.lcg import Lcg
from guests.programs import (
    chain,
    chase,
    checksum,
    gather,
    page_at,
    pattern,
    scatter,
    stream,
    touch,
    walk_dirty_log,
    zipf,
)
from guests.scene import boot, fill
from notifierlab import Content, Host, Tlb, Va, ZERO
from notifierlab.events import DataChecked
from tests.scene import BASE, play, Run

START = Va(BASE)
PAGES = 4


class Memory:
    """A processor with memory of its own; `spoil` says what becomes of what it stores."""

    def __init__(self, host: Host, *, pages: int = PAGES, spoil: Callable[[Content], Content] = lambda stored: stored):
        self.tlb = Tlb(host.machine, "fake", "fake.cpu0")
        self.spoil = spoil
        self.contents = {page_at(START, n): ZERO for n in range(pages)}
        self.accesses = 0

    async def read(self, va: Va) -> Content | None:
        self.accesses += 1
        return self.contents.get(va)

    async def write(self, va: Va, value: int) -> Content | None:
        self.accesses += 1
        if va not in self.contents:
            return None
        stored = Content("fake", self.accesses, value)
        self.contents[va] = self.spoil(stored)
        return stored


def lost(_: Content) -> Content:
    return ZERO


def foreign(stored: Content) -> Content:
    return stored._replace(writer="somebody else")


PROGRAMS: dict[str, Callable[[Memory], Awaitable[None]]] = {
    "stream": lambda memory: stream(memory, START, PAGES, rounds=2),
    "checksum": lambda memory: checksum(memory, START, PAGES),
    "zipf": lambda memory: zipf(memory, START, PAGES, accesses=30, numbers=Lcg(1)),
    "scatter": lambda memory: scatter(memory, [page_at(START, n) for n in (2, 0, 3)], value=10),
}


def run(program: Callable[[Memory], Awaitable[None]], **how: Any) -> tuple[Run, Memory]:
    made = []

    async def scene(host: Host) -> None:
        made.append(Memory(host, **how))
        await program(made[0])

    return play(scene), made[0]


def wrong(done: Run) -> list[DataChecked]:
    return [event for event in done.of(DataChecked) if event.expected != event.got]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_is_content_with_memory_that_keeps_what_it_stored(program: str) -> None:
    done, _ = run(PROGRAMS[program])
    assert done.of(DataChecked)
    assert not wrong(done)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("spoil", [lost, foreign])
def test_a_program_says_so_when_it_reads_something_else(program: str, spoil: Callable[[Content], Content]) -> None:
    done, _ = run(PROGRAMS[program], spoil=spoil)
    assert wrong(done)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_ends_where_there_is_no_memory(program: str) -> None:
    done, memory = run(PROGRAMS[program], pages=1)
    assert memory.accesses < 30
    assert not wrong(done)


def test_zeros_pass_only_where_a_page_may_vanish() -> None:
    strict, _ = run(lambda memory: checksum(memory, START, PAGES), spoil=lost)
    lenient, _ = run(lambda memory: checksum(memory, START, PAGES, may_vanish=True), spoil=lost)
    assert wrong(strict)
    assert not wrong(lenient)


def test_touch_knows_what_the_host_left() -> None:
    contents = [Content("main", n, n) for n in range(PAGES)]

    async def program(memory: Memory) -> None:
        memory.contents = {page_at(START, n): content for n, content in enumerate(contents)}
        await touch(memory, START, PAGES, contents=contents, rounds=2)
        await touch(memory, START, 2, contents=contents[2:])

    done, _ = run(program)
    assert len(done.of(DataChecked)) == 2 * PAGES + 2
    assert len(wrong(done)) == 2


def test_a_gather_of_unknown_contents_checks_nothing() -> None:
    done, memory = run(lambda memory: gather(memory, [START]))
    assert memory.accesses == 1
    assert not done.of(DataChecked)


def test_a_chain_visits_every_page_and_comes_back() -> None:
    links = chain(PAGES, 3)
    assert sorted(links) == list(range(PAGES))

    async def program(memory: Memory) -> None:
        contents = [Content("main", n, link) for n, link in enumerate(links)]
        memory.contents = {page_at(START, n): content for n, content in enumerate(contents)}
        await chase(memory, START, contents, hops=PAGES)

    done, _ = run(program)
    assert [event.va for event in done.of(DataChecked)] == [page_at(START, n) for n in (0, 3, 2, 1)]
    assert not wrong(done)


def test_a_pattern_has_no_equal_neighbours() -> None:
    assert all(pattern(n) != pattern(n + 1) for n in range(1000))


def test_the_dirty_log_has_every_page_that_the_guest_wrote() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(PAGES)
        await fill(mm, list(area.pages))
        vm = KvmMmu(mm)
        assert await boot(vm, area.start, PAGES)
        await vm.vcpus[0].run(walk_dirty_log, area.start, PAGES, rounds=3)

    done = play(scene)
    assert len(done.of(DataChecked)) == 6
    assert not wrong(done)


# --- numbers ------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_numbers() -> None:
    first, second, other = Lcg(5), Lcg(5), Lcg(6)
    numbers = [first.below(1000) for _ in range(50)]
    assert [second.below(1000) for _ in range(50)] == numbers
    assert [other.below(1000) for _ in range(50)] != numbers


def test_neighbouring_seeds_do_not_look_alike() -> None:
    assert len({Lcg(seed).below(1 << 16) for seed in range(100)}) > 90


def test_numbers_reach_everything_in_their_range() -> None:
    numbers = Lcg(0)
    assert {numbers.below(7) for _ in range(200)} == set(range(7))
    assert {numbers.skewed_below(7) for _ in range(500)} == set(range(7))
    assert {numbers.pick("abc") for _ in range(50)} == set("abc")
    assert {numbers.chance(3) for _ in range(50)} == {True, False}


def test_skewed_numbers_are_mostly_small() -> None:
    numbers = Lcg(0)
    drawn = [numbers.skewed_below(100) for _ in range(1000)]
    assert sum(n < 10 for n in drawn) > 2 * sum(n >= 50 for n in drawn)
