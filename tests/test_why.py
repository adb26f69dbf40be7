"""Why a run broke its rule: the choice after which nothing helps, the pair, the run that passes."""

import random
from collections.abc import Callable, Coroutine
from itertools import product
from typing import Any

import pytest

from notifierlab.events import Violation
from notifierlab.explore.run import run_once, RunResult, RunSpec
from notifierlab.explore.search import explore
from notifierlab.explore.strategies import Replay
from notifierlab.explore.why import explain
from notifierlab.host import Host
from notifierlab.machine.locks import SpinLock
from notifierlab.recheck import read_log
from notifierlab.report.reasons import Reasons, reasons_lines, Told
from notifierlab.request import request_of
from tests.story_book import HOME, log_of, STORIES

Scenario = Callable[[Host], Coroutine[Any, Any, None]]


async def opposite_locks(host: Host) -> None:
    """Two tasks take two locks in opposite orders."""
    a, b = SpinLock(host.machine, "a", "i_mmap_lock"), SpinLock(host.machine, "b", "i_mmap_lock")

    async def both(first: SpinLock, second: SpinLock) -> None:
        async with first:
            await second.acquire(nest=True)
            await second.release()

    async with host.together() as tasks:
        tasks.start(both, a, b, name="one")
        tasks.start(both, b, a, name="two")


async def fails_alone(host: Host) -> None:
    """A driver that cannot stand a failed allocation."""
    await host.machine.step()
    if host.choose("allocation-fails", False, True):
        raise MemoryError("no page")


async def always(host: Host) -> None:
    """Whoever goes first, somebody raises."""

    async def fail() -> None:
        await host.machine.step()
        raise ValueError("always")

    async with host.together() as tasks:
        tasks.start(fail, name="one")
        tasks.start(fail, name="two")


def found(scenario: Scenario, rule: str) -> tuple[RunSpec, tuple[int, ...], Violation]:
    spec = RunSpec(name=scenario.__name__, scenario=scenario, steps_max=1000)
    finding = explore(spec, rules=[rule]).findings[0]
    return spec, finding.schedules[0], finding.violation


def why(spec: RunSpec, choices: tuple[int, ...], violation: Violation, runs_max: int = 1000) -> Reasons:
    reasons = explain(lambda strategy, sink: run_once(spec, strategy, sink=sink), choices, violation, runs_max=runs_max)
    assert reasons is not None
    return reasons


def breaks(spec: RunSpec, choices: tuple[int, ...], rule: str) -> tuple[bool, RunResult]:
    result = run_once(spec, Replay(choices, strict=False))
    return rule in [violation.rule for violation in result.violations], result


def test_the_second_lock_of_a_deadlock_is_the_point_of_no_return() -> None:
    spec, choices, violation = found(opposite_locks, "deadlock")
    reasons = why(spec, choices, violation)

    assert reasons.whole
    assert reasons.no_return is not None
    assert reasons.second is not None
    taken, instead = reasons.no_return, reasons.second
    assert {taken.task, instead.task} == {"one", "two"}
    assert taken.text.startswith("takes ")
    assert instead.text.startswith("takes ")


def test_after_the_point_of_no_return_every_order_breaks_the_rule_and_before_it_one_passes() -> None:
    spec, choices, violation = found(opposite_locks, "deadlock")
    reasons = why(spec, choices, violation)
    _, base = breaks(spec, choices, "deadlock")
    passing, other = breaks(spec, reasons.choices, "deadlock")
    assert not passing
    parted = next(n for n, pair in enumerate(zip(base.choices, other.choices, strict=False)) if pair[0] != pair[1])

    left = len(base.choices) - parted - 1
    for tail in product(range(3), repeat=left):
        assert breaks(spec, (*base.choices[: parted + 1], *tail), "deadlock")[0], tail


def test_a_fault_that_decides_is_named() -> None:
    spec, choices, violation = found(fails_alone, "driver-raised")
    reasons = why(spec, choices, violation)

    assert reasons.fault
    assert reasons.no_return is not None
    assert reasons.no_return.text == "fault: allocation-fails = True"
    assert reasons.choices == ()
    assert "the fault: without it the rule holds" in "\n".join(reasons_lines(reasons))


def test_where_every_order_breaks_the_rule_there_is_no_point_of_no_return() -> None:
    spec, choices, violation = found(always, "driver-raised")
    reasons = why(spec, choices, violation)

    assert reasons.no_return is None
    assert reasons.whole
    assert f"all {reasons.orders} orders break the rule" in "\n".join(reasons_lines(reasons))


def test_what_its_runs_do_not_cover_is_not_claimed() -> None:
    spec, choices, violation = found(always, "driver-raised")
    reasons = why(spec, choices, violation, runs_max=2)

    assert not reasons.whole
    assert "tried" in "\n".join(reasons_lines(reasons))


def test_a_run_that_passes_has_no_reasons() -> None:
    spec, _, violation = found(opposite_locks, "deadlock")
    assert explain(lambda strategy, sink: run_once(spec, strategy, sink=sink), (), violation) is None


def test_explaining_twice_says_the_same() -> None:
    spec, choices, violation = found(opposite_locks, "deadlock")
    assert why(spec, choices, violation) == why(spec, choices, violation)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_reasons_are_no_wider_than_the_page(width: int) -> None:
    reasons = Reasons(
        rule="deadlock",
        no_return=Told(7, "one", "takes a lock with quite a long name, then does something under it " * 2),
        orders=12,
        changes=2,
        whole=False,
        second=Told(None, "two", "takes a lock"),
        passing=Told(7, "two", "takes a lock"),
        also=("lock-order", "data-race", "window-count"),
    )
    lines = reasons_lines(reasons, width=width)
    assert max(len(line) for line in lines) <= width
    assert "and more" in " ".join(lines)


class AfterPrefix(Replay):
    """Replays, then draws who goes; no fault strikes."""

    def __init__(self, choices: tuple[int, ...], seed: int) -> None:
        super().__init__(choices)
        self._until = len(choices)
        self._seen = 0
        self._draw = random.Random(seed).randrange

    def choose(self, options: int, carry_on: bool, is_value: bool) -> int:
        self._seen += 1
        if self._seen <= self._until:
            return super().choose(options, carry_on, is_value)
        return 0 if is_value else self._draw(options)


@pytest.mark.slow
@pytest.mark.parametrize("name", STORIES)
def test_no_random_order_gets_back_from_the_point_of_no_return_of_a_kept_story(name: str) -> None:
    rule = STORIES[name].rule
    reader, _ = read_log(str(HOME / log_of(name)))
    assert reader.verdict is not None
    spec, choices = request_of(reader.header).resolve(), reader.verdict.choices
    violation = next(each for each in reader.verdict.violations if each.rule == rule)
    reasons = why(spec, choices, violation)
    if reasons.no_return is None:
        assert breaks(spec, (), rule)[0]
        return

    broken, passing = breaks(spec, reasons.choices, rule)
    assert not broken
    parted = next(n for n, pair in enumerate(zip(choices, passing.choices, strict=False)) if pair[0] != pair[1])
    for seed in range(40):
        result = run_once(spec, AfterPrefix(choices[: parted + 1], seed))
        assert rule in [each.rule for each in result.violations], seed
