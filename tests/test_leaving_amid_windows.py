"""Who leaves the list beside a window: the order shows only where somebody still waits for its end.

A window that opens, and one that is over and of which everybody heard the end, change places
with a removal from the list; so a search need not try both orders. Where a host forgets
an end, it must: whoever left before is owed nothing, whoever leaves behind it was forgotten.
"""

import pytest

from notifierlab import Host
from notifierlab.events import WindowClosed
from notifierlab.explore.dpor import Dpor
from notifierlab.explore.run import run_once, RunSpec
from notifierlab.mm.notifier import mmu_notifier_invalidate_range_end, mmu_notifier_invalidate_range_start
from notifierlab.request import Request
from tests.gate import differences, harm


def beside(*, told: bool) -> RunSpec:
    """A VM is closed while a window of its mm opens and, with its end `told` or not, is over."""

    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1)
        vm = host.driver("kvm")(mm)
        if await vm.create():
            return

        async def zap() -> None:
            async with mm.mmap_sem.read():
                window = await mmu_notifier_invalidate_range_start(mm, area.start, area.end, "R2")
                if told:
                    await mmu_notifier_invalidate_range_end(mm, window)
                else:
                    await host.machine.step()
                    host.machine.emit(WindowClosed, window.win, mm.name, window.start, window.end)

        async with host.together() as tasks:
            tasks.start(zap, name="zapper")
            tasks.start(vm.close, name="closer")
        await mm.exit()

    return Request(scenario="beside").around(scene)


def searched(spec: RunSpec) -> tuple[int, set[str]]:
    """Return how many orders there are, and all rules that one of them breaks."""
    search, broken = Dpor(), set()
    while search.new_run():
        broken |= {violation.rule for violation in run_once(spec, search).violations}
    assert search.proved
    return search.traces, broken


def test_where_everybody_heard_the_end_only_what_walkers_see_makes_orders() -> None:
    orders, broken = searched(beside(told=True))
    assert broken == set()
    # A walker looks at the list twice, and the closed VM is released once. It were 14 orders if a
    # window that opens, or is over, stood before or behind the removal as well.
    assert orders == 10


def test_an_end_that_was_forgotten_is_seen_whoever_is_first() -> None:
    _, broken = searched(beside(told=False))
    assert "start-never-ended" in broken


@pytest.mark.parametrize("told", [True, False])
def test_what_is_declared_independent_changes_places(told: bool) -> None:
    spec = beside(told=told)
    assert [what for seed in range(60) for what in differences(spec, seed, 40)] == []


def test_who_is_on_the_list_matters_where_somebody_waits() -> None:
    spec = beside(told=False)
    assert any(harm(spec, seed, "rule:list") for seed in range(200))
