"""Pages reach the freelist after the CPU TLB flush, when K 3.3 says, and all of them do."""

import pytest

from notifierlab.events import (
    CbEntered,
    CpuTlbFlushed,
    MightSleep,
    PageFreed,
    PreemptDisabled,
    PreemptEnabled,
    PteCleared,
    WindowClosed,
    WindowOpened,
)
from notifierlab.host import Host
from notifierlab.mm.profile import Profile
from notifierlab.mm.unmap import unmap_all, unmap_region, zap_page_range
from notifierlab.mm.vma import MmStruct
from tests.scene import fault_anon, listen, new_vma, play, Run, va


def _unmap(pages: int, profile: Profile, *mutants: str, mapped: int | None = None) -> Run:
    async def scene(host: Host) -> None:
        mm = MmStruct(host, "mm0")
        vma = new_vma(mm, pages)
        for n in range(pages if mapped is None else mapped):
            await fault_anon(vma, va(n))
        await mm.mmap_sem.acquire_write()
        mm.vmas.remove(vma)
        await unmap_region(mm, [vma], vma.start, vma.end)
        await mm.mmap_sem.release_write()
        assert list(mm.page_table.present()) == []

    return play(scene, profile=profile, mutants=mutants)


def _order(run: Run) -> str:
    """The run in letters: S start, c clear, F flush, f free, E end."""
    letters = {WindowOpened: "S", WindowClosed: "E", PteCleared: "c", CpuTlbFlushed: "F", PageFreed: "f"}
    return "".join(letters[type(event)] for event in run.events if type(event) in letters)


def test_a_small_unmap_frees_after_the_end() -> None:
    assert _order(_unmap(3, Profile())) == "ScccEFfff"


def test_a_full_block_is_flushed_and_freed_inside_the_window() -> None:
    assert _order(_unmap(9, Profile())) == "S" + "c" * 8 + "F" + "f" * 8 + "cEFf"
    assert _order(_unmap(8, Profile())) == "S" + "c" * 8 + "F" + "f" * 8 + "E"


def test_a_full_batch_is_freed_inside_the_window_with_the_pte_lock_held() -> None:
    run = _unmap(507, Profile(preemptible=False))
    assert _order(run) == "S" + "c" * 506 + "F" + "f" * 506 + "cEFf"
    assert _order(_unmap(506, Profile(preemptible=False))) == "S" + "c" * 506 + "F" + "f" * 506 + "E"


def test_with_one_cpu_each_page_is_freed_at_once() -> None:
    assert _order(_unmap(3, Profile(smp=False))) == "ScfcfcfEF"


def test_with_free_after_end_nothing_is_freed_inside_the_window() -> None:
    for smp in (True, False):
        profile = Profile(free_after_end=True, batch_pages=4, smp=smp)
        assert _order(_unmap(20, profile)) == "S" + "c" * 20 + "EF" + "f" * 20


def test_empty_ptes_cost_next_to_nothing_and_holes_are_announced_all_the_same() -> None:
    run = _unmap(2000, Profile(), mapped=2)
    assert _order(run) == "SccEFff"
    assert (run.of(WindowOpened)[0].start, run.of(WindowOpened)[0].end) == (va(0), va(2000))


def test_preemption_is_off_from_gather_to_finish_and_nothing_sleeps_meanwhile() -> None:
    run = _unmap(20, Profile())
    depth = 0
    for event in run.events:
        depth += isinstance(event, PreemptDisabled) - isinstance(event, PreemptEnabled)
        assert not (depth and isinstance(event, MightSleep))
    assert depth == 0
    assert len(run.of(PreemptDisabled)) == 3


def test_the_mutant_frees_before_the_flush() -> None:
    assert _order(_unmap(2, Profile(), "free-before-flush")) == "SccEffF"


@pytest.mark.parametrize(
    ("mutant", "order"),
    [("unmap-without-window", "ccFff"), ("end-before-zap", "SEccFff"), ("zap-before-start", "SccEFff")],
)
def test_the_mutants_of_the_window(mutant: str, order: str) -> None:
    assert _order(_unmap(2, Profile(), mutant)) == order


def test_the_mutant_clears_its_first_pte_before_the_start_is_delivered() -> None:
    async def scene(host: Host) -> None:
        mm = MmStruct(host, "mm0")
        vma = new_vma(mm, 2)
        await fault_anon(vma, va(0))
        await fault_anon(vma, va(1))
        await listen(mm)
        await unmap_region(mm, [vma], vma.start, vma.end)

    run = play(scene, mutants=["zap-before-start"])
    assert run.names(WindowOpened, PteCleared, CbEntered, WindowClosed)[:4] == [
        *("WindowOpened", "PteCleared", "CbEntered", "PteCleared")
    ]


def test_each_clear_names_the_window_it_was_done_under() -> None:
    run = _unmap(2, Profile())
    assert {event.win for event in run.of(PteCleared)} == {run.of(WindowOpened)[0].win}
    assert {event.notify for event in run.of(PteCleared)} == {"window"}


def test_one_window_covers_all_vmas_and_the_listener_hears_start_and_end_once() -> None:
    heard: list[str] = []

    async def scene(host: Host) -> None:
        mm = MmStruct(host, "mm0")
        vmas = [new_vma(mm, 2), new_vma(mm, 2, at=6)]
        for vma in vmas:
            await fault_anon(vma, vma.start)
        listener = await listen(mm)
        await unmap_region(mm, vmas, va(1), va(7))
        heard.extend(listener.heard)

    run = play(scene)
    assert heard == [f"start {va(1):#x}-{va(7):#x}", f"end {va(1):#x}-{va(7):#x}"]
    assert [event.va for event in run.of(PteCleared)] == [va(6)]


def test_madvise_leaves_the_vma_and_its_rmap_standing() -> None:
    async def scene(host: Host) -> None:
        mm = MmStruct(host, "mm0")
        vma = new_vma(mm, 4)
        page = await fault_anon(vma, va(2))
        async with mm.mmap_sem.read():
            assert await zap_page_range(vma, va(1), va(3)) == va(3)
        assert page.refs == 0
        assert vma.anon_vma is not None
        assert not vma.anon_vma.freed

    assert _order(play(scene)) == "ScEFf"


def test_exit_unmaps_the_whole_address_space_and_frees_the_anon_vma() -> None:
    async def scene(host: Host) -> None:
        mm = MmStruct(host, "mm0")
        vma = new_vma(mm, 4)
        await fault_anon(vma, va(0))
        await unmap_all(mm)
        assert vma.anon_vma is not None
        assert vma.anon_vma.freed

    run = play(scene)
    assert _order(run) == "ScEFf"
    assert (run.of(WindowOpened)[0].start, run.of(WindowOpened)[0].end) == (0, 1 << 47)


def test_a_page_of_two_mms_is_freed_by_the_last() -> None:
    async def scene(host: Host) -> None:
        one, two = MmStruct(host, "mm0"), MmStruct(host, "mm1")
        first = new_vma(one, 1)
        page = await fault_anon(first, va(0))
        second = new_vma(two, 1)
        second.anon_vma = first.anon_vma
        assert first.anon_vma is not None
        first.anon_vma.add_tail(second)
        await host.memory.get(page, "mm1")
        page.mapcount += 1
        async with two.page_table.ptl(va(0)):
            await two.page_table.set(va(0), page, False)
        await unmap_all(one)
        assert (page.refs, page.mapcount) == (1, 1)
        await unmap_all(two)
        assert first.anon_vma.freed

    assert len(play(scene).of(PageFreed)) == 1
