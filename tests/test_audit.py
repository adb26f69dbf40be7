"""State that tasks share and nobody records is named, with both lines; what is nobody else's is free."""

import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from notifierlab.explore.audit import audited, is_ours, Unrecorded
from notifierlab.explore.run import run_once
from notifierlab.explore.search import explore
from notifierlab.explore.strategies import RandomWalk
from notifierlab.host import Host
from notifierlab.machine import reach
from notifierlab.machine.locks import SpinLock
from notifierlab.machine.shared import Atomic, shared, SharedState
from notifierlab.request import Request
from tests.test_search import spec_of

HERE = Path(__file__)
HEARD: list[str] = []
COUNT = 0


def line_of(text: str) -> int:
    return next(n for n, line in enumerate(HERE.read_text().splitlines(), 1) if line.strip() == text)


def audit(scenario: Callable[[Host], Awaitable[None]], strategy: str = "dpor") -> str:
    """What a search says that is left to find it by itself."""
    with pytest.raises(Unrecorded) as caught:
        explore(spec_of(scenario), strategy)  # type: ignore[arg-type]  # a coroutine function, as all of these
    return str(caught.value)


class Driver(SharedState):
    """Keeps translations in a dict, and who asked in a class attribute."""

    asked: dict[str, int] = {}  # noqa: RUF012 - what the audit is there to find

    def __init__(self, host: Host) -> None:
        super().__init__(host.machine, "d0")
        self.cache: dict[int, str] = {}
        self.total = Total()
        self.mine: list[Total] = []

    async def map(self, page: int) -> None:
        await self.machine.step()
        self.cache[page] = "mapped in the constructor's dict"

    async def look(self, page: int) -> bool:
        await self.machine.step()
        return page in self.cache

    async def add(self) -> None:
        await self.machine.step()
        self.total.pages += 1

    async def ask(self) -> None:
        await self.machine.step()
        self.asked["pages"] = self.asked.get("pages", 0) + 1


class Total:
    """A plain object that helps."""

    def __init__(self) -> None:
        self.pages = 0


async def dict_in_the_constructor(host: Host) -> None:
    driver = Driver(host)
    async with host.together() as tasks:
        tasks.start(driver.map, 3, name="vcpu")
        tasks.start(driver.look, 3, name="unmapper")


async def helper_object(host: Host) -> None:
    driver = Driver(host)
    async with host.together() as tasks:
        tasks.start(driver.add, name="one")
        tasks.start(driver.add, name="two")


async def class_attribute(host: Host) -> None:
    driver = Driver(host)
    async with host.together() as tasks:
        tasks.start(driver.ask, name="one")
        tasks.start(driver.ask, name="two")
    Driver.asked.clear()


async def closed_over(host: Host) -> None:
    seen: list[str] = []

    async def guest(name: str) -> None:
        await host.machine.step()
        seen.append(name)

    async with host.together() as tasks:
        tasks.start(guest, "a", name="a")
        tasks.start(guest, "b", name="b")


async def rebound(host: Host) -> None:
    last = ""

    async def guest(name: str) -> None:
        nonlocal last
        await host.machine.step()
        last = last + name

    async with host.together() as tasks:
        tasks.start(guest, "a", name="a")
        tasks.start(guest, "b", name="b")


async def _hears(host: Host, name: str) -> None:
    await host.machine.step()
    HEARD.append(name + " into the global list")


async def global_list(host: Host) -> None:
    HEARD.clear()
    async with host.together() as tasks:
        tasks.start(_hears, host, "a", name="a")
        tasks.start(_hears, host, "b", name="b")


async def _counts(host: Host) -> None:
    global COUNT  # noqa: PLW0603 - what the audit is there to find
    await host.machine.step()
    COUNT = COUNT + 1


async def global_number(host: Host) -> None:
    global COUNT  # noqa: PLW0603 - as above
    COUNT = 0
    async with host.together() as tasks:
        tasks.start(_counts, host, name="a")
        tasks.start(_counts, host, name="b")


async def _collects(host: Host, name: str, found: list[str] = []) -> None:  # noqa: B006 - the point
    await host.machine.step()
    found.append(name + " into the default")


async def default_argument(host: Host) -> None:
    assert _collects.__defaults__ is not None
    _collects.__defaults__[0].clear()
    async with host.together() as tasks:
        tasks.start(_collects, host, "a", name="a")
        tasks.start(_collects, host, "b", name="b")


async def passed_to_both(host: Host) -> None:
    async def guest(work: dict[str, list[int]], n: int) -> None:
        await host.machine.step()
        work["pages"].append(n)

    work: dict[str, list[int]] = {"pages": []}
    async with host.together() as tasks:
        tasks.start(guest, work, 1, name="a")
        tasks.start(guest, work, 2, name="b")


async def by_a_computed_name(host: Host) -> None:
    total = Total()

    async def guest(n: int, name: str) -> None:
        await host.machine.step()
        setattr(total, name, n)

    async with host.together() as tasks:
        tasks.start(guest, 1, "pages", name="a")
        tasks.start(guest, 2, "pages", name="b")


async def deep_inside(host: Host) -> None:
    queues = [{"free": deque([1, 2])}]

    async def numbers(queue: deque[int]) -> AsyncIterator[int]:
        while queue:
            await host.machine.step()
            yield queue.pop()

    async def guest() -> None:
        async for _ in numbers(queues[0]["free"]):
            await host.machine.step()

    async with host.together() as tasks:
        tasks.start(guest, name="a")
        tasks.start(guest, name="b")


async def in_a_generator_given_up(host: Host) -> None:
    """Python 3.13.0 frees what the frame of a generator shows that is dropped before its end."""
    pages: dict[int, str] = {}

    async def guest(n: int) -> None:
        await host.machine.step()
        for page in (pages.setdefault(n + page, "mapped in a generator") for page in range(1000)):
            assert page
            break

    async with host.together() as tasks:
        tasks.start(guest, 1, name="a")
        tasks.start(guest, 1, name="b")


async def a_look_by_hand(host: Host) -> None:
    """Recorded by hand as a look, and changed."""
    total = Total()
    machine = host.machine

    async def work() -> None:
        await machine.step()
        machine.touch("total", machine.mode.READ)
        total.pages = total.pages + 2
        await machine.step()

    async with host.together() as tasks:
        tasks.start(work, name="a")
        tasks.start(work, name="b")


async def under_a_lock(host: Host) -> None:
    """What a lock protects is to be declared like any field."""
    lock = SpinLock(host.machine, "l", "mmu_lock")
    table: dict[str, int] = {}

    async def work(name: str) -> None:
        async with lock:
            table[name] = len(table)

    async with host.together() as tasks:
        tasks.start(work, "a", name="a")
        tasks.start(work, "b", name="b")


FOUND = {
    a_look_by_hand: ("`Total.pages`", "total.pages = total.pages + 2"),
    under_a_lock: ("`table['a']`, a variable of under_a_lock", "table[name] = len(table)"),
    by_a_computed_name: ("`Total.pages`", "setattr(total, name, n)"),
    deep_inside: ("`queues[0]['free']`, a variable of deep_inside", "yield queue.pop()"),
    dict_in_the_constructor: ("`Driver.cache[3]`", 'self.cache[page] = "mapped in the constructor\'s dict"'),
    helper_object: ("`Total.pages`", "self.total.pages += 1"),
    class_attribute: (
        "the class attribute `Driver.asked['pages']`",
        'self.asked["pages"] = self.asked.get("pages", 0) + 1',
    ),
    closed_over: ("`seen`, a variable of closed_over", "seen.append(name)"),
    rebound: ("`last`, a variable of rebound", "last = last + name"),
    global_list: ("the global `HEARD` of tests.test_audit", 'HEARD.append(name + " into the global list")'),
    global_number: ("the global `COUNT` of tests.test_audit", "COUNT = COUNT + 1"),
    default_argument: ("the default of `found` in _collects", 'found.append(name + " into the default")'),
    in_a_generator_given_up: (
        "`pages[1]`, a variable of in_a_generator_given_up",
        'for page in (pages.setdefault(n + page, "mapped in a generator") for page in range(1000)):',
    ),
    passed_to_both: ("`work['pages']`, a variable of passed_to_both", 'work["pages"].append(n)'),
}


@pytest.mark.parametrize("scenario", FOUND, ids=lambda scenario: scenario.__name__)
def test_a_change_that_nobody_recorded_is_named_with_its_line(scenario: Callable[[Host], Awaitable[None]]) -> None:
    what, line = FOUND[scenario]  # type: ignore[index]  # a function, as its keys
    told = audit(scenario)
    assert what in told
    assert f"{HERE}:{line_of(line)}\n" in told.split("changed  ")[1]
    assert "used     " in told


@pytest.mark.parametrize("strategy", ["states", "prove", "dpor-random"])
def test_whoever_leaves_orders_out_is_audited(strategy: str) -> None:
    assert "`Driver.cache[3]`" in audit(dict_in_the_constructor, strategy)


def test_the_tasks_are_named_and_what_to_do() -> None:
    told = audit(dict_in_the_constructor)
    assert "task vcpu changed" in told
    assert "unmapper" in told.split("used     ")[1]
    assert "`cache: tuple = shared(())`" in told


# --- what is no such thing ------------------------------------------------------------


async def own_state(host: Host) -> None:
    """Each task has lists, objects and closures of its own, made by one function."""

    async def work() -> None:
        mine: list[int] = []
        total = Total()

        def note(n: int) -> None:
            mine.append(n)
            total.pages += n

        for n in range(3):
            await host.machine.step()
            note(n)

    async with host.together() as tasks:
        tasks.start(work, name="a")
        tasks.start(work, name="b")


async def handed_back(host: Host) -> None:
    """What a task leaves is read when it was waited for."""
    results: list[int] = []

    async def work() -> None:
        await host.machine.step()
        results.append(1)

    async def idle() -> None:
        await host.machine.step()

    async with host.together() as tasks:
        tasks.start(work, name="a")
        tasks.start(idle, name="b")
    assert results == [1]


async def before_the_start(host: Host) -> None:
    """What was made before the tasks were is constant then."""
    table: dict[int, int] = {}
    for n in range(3):
        await host.machine.step()
        table[n] = n

    async def work(n: int) -> None:
        await host.machine.step()
        assert table[n] == n

    async with host.together() as tasks:
        tasks.start(work, 1, name="a")
        tasks.start(work, 2, name="b")


class Declared(SharedState):
    """Says what it shares."""

    cache: tuple[int, ...] = shared(())
    count: Atomic[int] = shared(0, atomic=True)


async def declared(host: Host) -> None:
    state = Declared(host.machine, "s0")
    lock = SpinLock(host.machine, "l", "mmu_lock")

    async def work(n: int) -> None:
        async with lock:
            state.cache = (*state.cache, n)
        await state.count.add(1)

    async with host.together() as tasks:
        tasks.start(work, 1, name="a")
        tasks.start(work, 2, name="b")


async def by_hand(host: Host) -> None:
    """A plain object whose changes are recorded by hand."""
    total = Total()
    machine = host.machine

    async def work() -> None:
        await machine.step()
        total.pages += 1
        machine.touch("total", machine.mode.WRITE)
        await machine.step()

    async with host.together() as tasks:
        tasks.start(work, name="a")
        tasks.start(work, name="b")


async def two_parts_of_one(host: Host) -> None:
    """Two tasks use two attributes of one object."""
    total = Total()

    async def one() -> None:
        await host.machine.step()
        total.pages += 1

    async def other() -> None:
        await host.machine.step()
        assert total.__class__ is Total

    async with host.together() as tasks:
        tasks.start(one, name="a")
        tasks.start(other, name="b")


FREE = (own_state, handed_back, before_the_start, declared, by_hand, two_parts_of_one)


@pytest.mark.parametrize("scenario", FREE, ids=lambda scenario: scenario.__name__)
def test_what_no_two_tasks_can_disturb_is_free(scenario: Callable[[Host], Awaitable[None]]) -> None:
    assert explore(spec_of(scenario), "dpor").verdict == "proved"  # type: ignore[arg-type]  # as above


def test_too_much_to_look_at_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "OBJECTS_MAX", 3)
    assert "the audit saw only a part" in explore(spec_of(handed_back), "dpor").bound
    monkeypatch.undo()
    assert "audit" not in explore(spec_of(handed_back), "dpor").bound


def test_a_profiler_is_left_in_peace_and_that_is_said() -> None:
    heard: list[str] = []
    sys.setprofile(lambda _frame, event, _of: heard.append(event))
    try:
        result = explore(spec_of(closed_over), "dpor")
        assert sys.getprofile() is not None
    finally:
        sys.setprofile(None)
    assert result.bound.endswith("; not audited, for it is profiled")
    assert heard


def test_whose_code_is_new_is_looked_at_more_often() -> None:
    assert is_ours(Request(scenario="founding-race").resolve())
    assert is_ours(Request(scenario="founding-race", driver="drivers.broken:KvmStartNeverClears").resolve())
    assert not is_ours(Request(scenario="founding-race").around(handed_back))
    assert not is_ours(Request(scenario="founding-race", driver=f"{HERE}:Driver").resolve())


def test_an_audit_makes_the_same_run_and_looks_once_a_step() -> None:
    spec = Request(scenario="kvm-fault-vs-munmap").resolve()
    walk = RandomWalk(3)
    walk.new_run()
    result = run_once(spec, walk)
    machine = audited(spec, result.choices)
    assert (tuple(machine.choices), machine.steps, machine.ended) == (result.choices, result.steps, result.ended)
    assert [segment.task for segment in machine.segments] == [step.task for step in machine.trace]


def test_a_search_that_leaves_no_order_out_need_not_know() -> None:
    assert explore(spec_of(dict_in_the_constructor), bound=50).verdict == "proved"


def test_it_can_be_left_out() -> None:
    assert explore(spec_of(dict_in_the_constructor), "dpor", audit_every=0).verdict == "proved"
