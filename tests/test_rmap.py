"""The services of rmap.h: from a page to its ptes, with their results and their order."""

import pytest

from notifierlab.events import (
    BugHit,
    CpuTlbFlushed,
    HeadRead,
    LockAcquired,
    LockReleased,
    PageDirtied,
    PageNotifyDone,
    PagePut,
    PteCleared,
    PteSet,
)
from notifierlab.host import Host
from notifierlab.mm.page import Page
from notifierlab.mm.rmap import (
    __anon_vma_merge,
    anon_vma_link,
    anon_vma_lock,
    anon_vma_prepare,
    anon_vma_unlink,
    anon_vma_unlock,
    page_add_anon_rmap,
    page_address_in_vma,
    page_check_address,
    page_dup_rmap,
    page_lock_anon_vma,
    page_mkclean,
    page_referenced,
    page_remove_rmap,
    page_unlock_anon_vma,
    SWAP_AGAIN,
    SWAP_FAIL,
    SWAP_SUCCESS,
    try_to_unmap,
)
from notifierlab.mm.swap import add_to_swap
from notifierlab.mm.vma import MmStruct, Vma
from tests.scene import fault_anon, fault_file, listen, new_vma, play, va


def _age(vma: Vma, page: int = 0) -> None:
    pte = vma.mm.page_table.peek(va(page))
    assert pte is not None
    pte.young = False


async def _swappable(host: Host, page: Page) -> None:
    await page.lock_of(host.machine).acquire()
    await add_to_swap(host, page)


# --- anon_vma -----------------------------------------------------------------------


def test_a_vma_gets_one_anon_vma_and_neighbours_that_could_merge_share_it() -> None:
    async def scene(host: Host) -> None:
        mm = MmStruct(host, "mm0")
        first, second, far = new_vma(mm, 2), new_vma(mm, 2, at=2), new_vma(mm, 2, at=9)
        second.writable = False
        for vma in (second, first, far, first):
            await anon_vma_prepare(vma)
        assert first.anon_vma is second.anon_vma
        assert far.anon_vma is not first.anon_vma
        assert first.anon_vma is not None
        assert first.anon_vma.vmas() == (second, first)

    play(scene)


def test_two_threads_prepare_and_one_anon_vma_remains() -> None:
    async def scene(host: Host) -> None:
        vma = new_vma(MmStruct(host, "mm0"), 2)
        async with host.together() as tasks:
            for name in ("one", "two"):
                tasks.start(anon_vma_prepare, vma, name=name)
        assert vma.anon_vma is not None
        assert vma.anon_vma.vmas() == (vma,)

    play(scene)


def test_the_last_vma_to_leave_frees_the_anon_vma() -> None:
    async def scene(host: Host) -> None:
        one = new_vma(MmStruct(host, "mm0"), 1)
        await anon_vma_prepare(one)
        anon_vma = one.anon_vma
        assert anon_vma is not None
        two = new_vma(MmStruct(host, "mm1"), 1)
        two.anon_vma = anon_vma
        await anon_vma_link(two)
        await anon_vma_unlink(one)
        assert not anon_vma.freed
        await anon_vma_unlink(two)
        assert anon_vma.freed

    play(scene)


def test_every_read_of_a_list_head_is_under_its_lock() -> None:
    async def scene(host: Host) -> None:
        vma = new_vma(MmStruct(host, "mm0"), 1)
        page = await fault_anon(vma, va(0))
        await page_referenced(page, is_locked=True)
        await _swappable(host, page)
        await try_to_unmap(page)
        await anon_vma_unlink(vma)

    held: list[str] = []
    reads = 0
    for event in play(scene).events:
        if isinstance(event, LockAcquired):
            held.append(event.lock)
        elif isinstance(event, LockReleased):
            held.remove(event.lock)
        elif isinstance(event, HeadRead):
            reads += 1
            assert event.lock in held
    assert reads == 3


def test_the_mutant_reads_the_list_head_without_the_lock() -> None:
    async def scene(host: Host) -> None:
        page = await fault_anon(new_vma(MmStruct(host, "mm0"), 1), va(0))
        await page_referenced(page, is_locked=True)

    run = play(scene, mutants=["rmap-head-read-unlocked"])
    assert run.names(HeadRead, LockAcquired)[-5:-2] == ["LockAcquired", "HeadRead", "LockAcquired"]


def test_merge_takes_the_second_vma_off_the_list_and_checks_that_both_share() -> None:
    async def scene(host: Host) -> None:
        mm = MmStruct(host, "mm0")
        first, second, other = new_vma(mm, 1), new_vma(mm, 1, at=1), new_vma(mm, 1, at=5)
        for vma in (first, second, other):
            await anon_vma_prepare(vma)
        await anon_vma_lock(first)
        __anon_vma_merge(first, second)
        assert first.anon_vma is not None
        assert first.anon_vma.vmas() == (first,)
        __anon_vma_merge(first, other)
        await anon_vma_unlock(first)

    assert [event.where for event in play(scene).of(BugHit)] == ["__anon_vma_merge"]


def test_only_a_mapped_anonymous_page_leads_to_a_locked_anon_vma() -> None:
    async def scene(host: Host) -> None:
        mm = MmStruct(host, "mm0")
        vma = new_vma(mm, 1)
        page = await fault_anon(vma, va(0))
        anon_vma = await page_lock_anon_vma(page)
        assert anon_vma is not None
        assert anon_vma.lock.held_by_current()
        await page_unlock_anon_vma(anon_vma)
        page_remove_rmap(page, vma)
        assert await page_lock_anon_vma(page) is None
        page_add_anon_rmap(page, vma, va(0))
        assert await page_lock_anon_vma(await host.memory.alloc("a")) is None

    play(scene)


# --- mapcount -----------------------------------------------------------------------


def test_dup_rmap_checks_that_the_page_is_mapped_and_here() -> None:
    async def scene(host: Host) -> None:
        mm = MmStruct(host, "mm0")
        vma = new_vma(mm, 2)
        page = await fault_anon(vma, va(0))
        page_dup_rmap(page, vma, va(0))
        assert page.mapcount == 2
        page_dup_rmap(page, vma, va(1))
        page.mapcount = 0
        page_dup_rmap(page, vma, va(0))

    bugs = play(scene).of(BugHit)
    assert [event.where for event in bugs] == ["__page_check_anon_rmap", "page_dup_rmap"]


def test_an_anonymous_page_keeps_its_anon_vma_until_it_is_freed() -> None:
    async def scene(host: Host) -> None:
        vma = new_vma(MmStruct(host, "mm0"), 1)
        page = await fault_anon(vma, va(0))
        page_remove_rmap(page, vma)
        assert page.mapping is vma.anon_vma
        await host.memory.put(page, "mm0")
        assert page.mapping is None
        page_remove_rmap(page, vma)

    assert [event.where for event in play(scene).of(BugHit)] == ["page_remove_rmap"]


# --- where --------------------------------------------------------------------------


def test_a_page_has_an_address_only_in_a_vma_of_its_own_mapping() -> None:
    async def scene(host: Host) -> None:
        mm = MmStruct(host, "mm0")
        file = host.new_file(8)
        anon, mapped, other = new_vma(mm, 2), new_vma(mm, 2, at=4, file=file, pgoff=3), new_vma(mm, 2, at=8)
        page = await fault_anon(anon, va(1))
        assert page_address_in_vma(page, anon) == va(1)
        assert page_address_in_vma(page, mapped) is None
        assert page_address_in_vma(page, other) is None
        cached = await fault_file(mapped, va(5))
        assert cached is not None
        assert page_address_in_vma(cached, mapped) == va(5)
        assert page_address_in_vma(cached, anon) is None
        assert page_address_in_vma(await host.memory.alloc("a"), anon) is None

    play(scene)


def test_check_address_returns_the_lock_held_or_none() -> None:
    async def scene(host: Host) -> None:
        mm = MmStruct(host, "mm0")
        vma = new_vma(mm, 2)
        page = await fault_anon(vma, va(0))
        ptl = await page_check_address(page, mm, va(0))
        assert ptl is mm.page_table.ptl(va(0))
        assert ptl.held_by_current()
        await ptl.release()
        assert await page_check_address(page, mm, va(1)) is None
        assert await page_check_address(page, mm, va(1), sync=True) is None
        assert ptl.is_free()

    play(scene)


# --- page_referenced ----------------------------------------------------------------


def test_page_referenced_counts_cpus_and_devices_and_forgets_both() -> None:
    async def scene(host: Host) -> None:
        mm = MmStruct(host, "mm0")
        vma = new_vma(mm, 1)
        page = await fault_anon(vma, va(0))
        page.referenced = True
        assert await page_referenced(page, is_locked=True) == 2
        assert await page_referenced(page, is_locked=True) == 0
        listener = await listen(mm, young=True)
        assert await page_referenced(page, is_locked=True) == 1
        assert listener.heard == [f"young {va(0):#x}"]

    # The CPU TLB is flushed only where the bit was set.
    assert len(play(scene).of(CpuTlbFlushed)) == 1


def test_page_referenced_asks_every_mapping_of_a_file_page() -> None:
    async def scene(host: Host) -> None:
        file = host.new_file(4)
        page = None
        for name in ("mm0", "mm1"):
            vma = new_vma(MmStruct(host, name), 2, file=file, shared=True)
            page = await fault_file(vma, va(1))
        assert page is not None
        assert page.mapcount == 2
        assert await page_referenced(page, is_locked=False) == 2
        await page.lock_of(host.machine).acquire()
        # Who cannot lock it takes it for used.
        assert await page_referenced(page, is_locked=False) == 1

    play(scene)


# --- try_to_unmap -------------------------------------------------------------------


def test_try_to_unmap_clears_flushes_tells_and_only_then_drops_the_reference() -> None:
    async def scene(host: Host) -> None:
        mm = MmStruct(host, "mm0")
        vma = new_vma(mm, 1)
        page = await fault_anon(vma, va(0))
        _age(vma)
        listener = await listen(mm)
        await _swappable(host, page)
        assert await try_to_unmap(page) == SWAP_SUCCESS
        assert listener.heard == [f"young {va(0):#x}", f"page {va(0):#x}"]
        pte = mm.page_table.peek(va(0))
        assert pte is not None
        assert pte.swap == page.swap_slot
        assert (page.refs, page.mapcount) == (1, 0)
        assert page.swap_slot is not None
        assert host.swap.slots[page.swap_slot].count == 2

    run = play(scene)
    order = run.names(PteCleared, CpuTlbFlushed, PageNotifyDone, PageDirtied, PagePut)
    # The first PageDirtied is add_to_swap's.
    assert order == ["PageDirtied", "PteCleared", "CpuTlbFlushed", "PageNotifyDone", "PageDirtied", "PagePut"]


def test_the_notification_of_a_page_happens_under_the_locks_of_p1() -> None:
    async def scene(host: Host) -> None:
        vma = new_vma(MmStruct(host, "mm0"), 1)
        page = await fault_anon(vma, va(0))
        _age(vma)
        await _swappable(host, page)
        await try_to_unmap(page)

    held: list[str] = []
    for event in play(scene).events:
        if isinstance(event, LockAcquired):
            held.append(event.cls)
        elif isinstance(event, LockReleased):
            held.remove(event.cls)
        elif isinstance(event, PageNotifyDone):
            assert held == ["page_lock", "anon_vma_lock", "pte_lock"]


@pytest.mark.parametrize(
    ("mutant", "order"),
    [
        ("notify-page-before-clear", ["PageNotifyDone", "PteCleared", "LockReleased"]),
        ("notify-page-after-unlock", ["PteCleared", "LockReleased", "PageNotifyDone"]),
        ("reclaim-skips-notify", ["PteCleared", "LockReleased"]),
    ],
)
def test_the_mutants_of_try_to_unmap(mutant: str, order: list[str]) -> None:
    async def scene(host: Host) -> None:
        vma = new_vma(MmStruct(host, "mm0"), 1, file=host.new_file(1), shared=True)
        page = await fault_file(vma, va(0))
        assert page is not None
        _age(vma)
        await page.lock_of(host.machine).acquire()
        await try_to_unmap(page)

    events = play(scene, mutants=[mutant]).events
    names = [
        type(event).__name__
        for event in events
        if isinstance(event, PteCleared | PageNotifyDone)
        or (isinstance(event, LockReleased) and event.cls == "pte_lock")
    ]
    # The first pte lock is the fault's.
    assert names[1:] == order


def test_a_page_that_a_device_used_is_kept_and_nobody_is_told_to_drop_it() -> None:
    async def scene(host: Host) -> None:
        mm = MmStruct(host, "mm0")
        vma = new_vma(mm, 1)
        page = await fault_anon(vma, va(0))
        _age(vma)
        listener = await listen(mm, young=True)
        await _swappable(host, page)
        assert await try_to_unmap(page) == SWAP_FAIL
        assert listener.heard == [f"young {va(0):#x}"]
        assert page.mapcount == 1

    assert not play(scene).of(PteCleared)


def test_a_page_whose_pte_cannot_be_found_is_tried_again() -> None:
    async def scene(host: Host) -> None:
        vma = new_vma(MmStruct(host, "mm0"), 1)
        page = await fault_anon(vma, va(0))
        await anon_vma_unlink(vma)
        await page.lock_of(host.machine).acquire()
        assert await try_to_unmap(page) == SWAP_AGAIN

    play(scene)


def test_a_file_page_leaves_every_page_table_and_no_pte_behind() -> None:
    async def scene(host: Host) -> None:
        file = host.new_file(4)
        vmas = [new_vma(MmStruct(host, name), 4, file=file, shared=True) for name in ("mm0", "mm1")]
        page = None
        for vma in vmas:
            page = await fault_file(vma, va(2), write=vma is vmas[1])
            _age(vma, 2)
        assert page is not None
        await page.lock_of(host.machine).acquire()
        assert await try_to_unmap(page) == SWAP_SUCCESS
        assert page.dirty
        assert page.refs == 1
        assert all(vma.mm.page_table.peek(va(2)) is None for vma in vmas)

    play(scene)


# --- page_mkclean -------------------------------------------------------------------


def test_mkclean_makes_shared_ptes_clean_and_read_only_and_counts_them() -> None:
    async def scene(host: Host) -> None:
        file = host.new_file(4)
        mms = [MmStruct(host, name) for name in ("mm0", "mm1", "mm2")]
        page = None
        for mm in mms:
            vma = new_vma(mm, 4, file=file, shared=mm is not mms[2])
            page = await fault_file(vma, va(0), write=mm is mms[0])
        assert page is not None
        await page.lock_of(host.machine).acquire()
        listener = await listen(mms[0])
        assert await page_mkclean(page) == 1
        pte = mms[0].page_table.peek(va(0))
        assert pte is not None
        assert (pte.page, pte.write, pte.dirty, pte.young) == (page, False, False, True)
        assert page.mapcount == 3
        assert listener.heard == [f"page {va(0):#x}"]
        assert await page_mkclean(page) == 0

    run = play(scene)
    assert run.names(PteCleared, CpuTlbFlushed, PageNotifyDone, PteSet)[-4:] == [
        *("PteCleared", "CpuTlbFlushed", "PageNotifyDone", "PteSet")
    ]


def test_unmapping_or_cleaning_an_unlocked_page_is_a_bug() -> None:
    async def scene(host: Host) -> None:
        file = host.new_file(1)
        vma = new_vma(MmStruct(host, "mm0"), 1, file=file, shared=True)
        page = await fault_file(vma, va(0))
        assert page is not None
        await page_mkclean(page)
        await try_to_unmap(page)

    assert [event.where for event in play(scene).of(BugHit)] == ["page_mkclean", "try_to_unmap"]


def test_mkclean_of_an_anonymous_page_does_nothing() -> None:
    async def scene(host: Host) -> None:
        page = await fault_anon(new_vma(MmStruct(host, "mm0"), 1), va(0))
        assert await page_mkclean(page) == 0

    play(scene)
