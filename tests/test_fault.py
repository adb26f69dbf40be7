"""Faults make pages present, copies happen once, and the secondary side is told of each."""

import pytest

from notifierlab.events import (
    BugHit,
    CbEntered,
    CpuTlbFlushed,
    PageAllocated,
    PageFreed,
    PageNotifyDone,
    PagePut,
    PteCleared,
    PteSet,
    PteUpgraded,
)
from notifierlab.host import Host
from notifierlab.mm.fault import follow_page_atomic, get_user_page, handle_mm_fault, VM_FAULT_MINOR, VM_FAULT_SIGBUS
from notifierlab.mm.mm import Mm
from notifierlab.mm.page import Content, ZERO
from notifierlab.mm.profile import PRESETS, Profile
from notifierlab.mm.reclaim import shrink_page
from notifierlab.mm.truncate import vmtruncate
from tests.scene import listen, play, Prefer, va


async def new_area(host: Host, pages: int = 1) -> Mm:
    mm = host.new_mm()
    await mm.mmap(pages)
    return mm


# --- fresh memory -------------------------------------------------------------------


def test_a_write_fault_gives_a_page_of_its_own() -> None:
    async def scene(host: Host) -> None:
        mm = await new_area(host)
        assert await mm.write(va(0), 5) == Content("main", 1, 5)
        pte = mm.page_table.peek(va(0))
        assert pte is not None
        assert pte.page is not None
        assert (pte.write, pte.dirty, pte.page.anon, pte.page.mapcount, pte.page.refs) == (True, True, True, 1, 1)

    play(scene)


def test_a_read_shows_the_zero_page_until_somebody_writes() -> None:
    async def scene(host: Host) -> None:
        mm = await new_area(host)
        listener = await listen(mm)
        assert await mm.read(va(0)) == ZERO
        assert [pte.page for _, pte in mm.page_table.present()] == [host.memory.zero_page]
        await mm.write(va(0), 1)
        assert listener.heard == [f"page {va(0):#x}"]
        assert host.memory.zero_page.refs == 1
        await mm.exit()

    run = play(scene)
    assert [(pte.pfn, pte.write) for pte in run.of(PteSet)] == [(0, False), (1, True)]
    assert not run.of(BugHit)


def test_before_the_zero_page_came_back_a_read_allocates() -> None:
    async def scene(host: Host) -> None:
        mm = await new_area(host)
        assert await mm.read(va(0)) == ZERO

    run = play(scene, profile=Profile(zero_page_read_lookup=True))
    assert [pte.write for pte in run.of(PteSet)] == [True]
    assert len(run.of(PageAllocated)) == 1


def test_no_mapping_and_no_permission_are_answered_by_nothing() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1, writable=False)
        assert await mm.read(va(7)) is None
        assert await mm.write(area.start) is None
        assert await mm.read(area.start) == ZERO
        assert mm.mmap_sem.is_free()

    play(scene)


def test_two_faults_at_once_leave_one_page() -> None:
    async def scene(host: Host) -> None:
        mm = await new_area(host)
        async with host.together() as tasks:
            tasks.start(mm.write, va(0), 1, name="one")
            tasks.start(mm.write, va(0), 2, name="two")
        await mm.exit()

    for step in range(8, 40):
        run = play(scene, decide=Prefer("two", step))
        assert len(run.of(PteSet)) == 1
        assert len(run.of(PageAllocated)) == len(run.of(PageFreed))
        assert not run.of(BugHit)


# --- files --------------------------------------------------------------------------


def test_a_file_page_is_shared_and_a_private_write_copies_it() -> None:
    async def scene(host: Host) -> None:
        file = host.new_file(1)
        mm = host.new_mm()
        shared = await mm.mmap(1, file=file, shared=True)
        private = await mm.mmap(1, file=file)
        written = await mm.write(shared.start, 3)
        assert await mm.read(private.start) == written
        own = await mm.write(private.start, 4)
        assert await mm.read(shared.start) == written
        assert await mm.read(private.start) == own
        page = file.pages[0]
        assert (page.mapcount, page.refs, page.dirty) == (1, 2, True)
        await mm.exit()
        assert (page.mapcount, page.refs) == (0, 1)

    run = play(scene)
    assert [(pte.va, pte.notify) for pte in run.of(PteCleared)][:1] == [(va(1), "page")]


def test_a_write_to_a_shared_page_that_was_read_upgrades_in_place() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1, file=host.new_file(1), shared=True)
        await mm.read(area.start)
        await mm.write(area.start)

    run = play(scene)
    assert len(run.of(PteUpgraded)) == 1
    assert not run.of(PageNotifyDone)


def test_a_fault_behind_the_end_of_the_file_is_sigbus() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(2, file=host.new_file(1), shared=True)
        vma = mm.find_vma(area.start)
        assert vma is not None
        async with mm.mmap_sem.read():
            assert await handle_mm_fault(mm, vma, area.pages[0], write=False) == VM_FAULT_MINOR
            assert await handle_mm_fault(mm, vma, area.pages[1], write=False) == VM_FAULT_SIGBUS
        assert await mm.read(area.pages[1]) is None

    play(scene)


def test_a_fault_against_a_truncate_leaves_no_page_of_the_file_mapped() -> None:
    async def scene(host: Host) -> None:
        file = host.new_file(2)
        mm = host.new_mm()
        area = await mm.mmap(2, file=file, shared=True)
        await mm.write(area.pages[1])
        async with host.together() as tasks:
            tasks.start(vmtruncate, file, 0, name="truncate")
            tasks.start(mm.write, area.pages[1], name="fault")
            tasks.start(mm.read, area.pages[0], name="other")
        assert not list(mm.page_table.present())
        assert not file.pages
        await mm.exit()

    for step in range(20, 160, 4):
        run = play(scene, decide=Prefer("fault" if step % 8 else "other", step))
        assert len(run.of(PageAllocated)) == len(run.of(PageFreed))
        assert not run.of(BugHit)


# --- copy on write ------------------------------------------------------------------


async def _copy(host: Host) -> None:
    mm = await new_area(host)
    before = await mm.write(va(0), 1)
    child = await mm.fork()
    await listen(mm)
    await mm.write(va(0), 2)
    assert await child.read(va(0)) == before
    await child.exit()
    await mm.exit()


COPY_EVENTS = (PteCleared, CpuTlbFlushed, CbEntered, PteSet, PageNotifyDone, PagePut)


def _copy_order(profile: Profile, *mutants: str) -> list[str]:
    run = play(_copy, profile=profile, mutants=mutants)
    assert not run.of(BugHit)
    names = run.names(*COPY_EVENTS)
    begin = names.index("PteCleared")
    return names[begin : begin + 7]


def test_copy_on_write_tells_between_clearing_the_old_pte_and_setting_the_new_one() -> None:
    expected = ["PteCleared", "CpuTlbFlushed", "CbEntered", "PageNotifyDone", "PteSet", "PagePut", "PagePut"]
    assert _copy_order(PRESETS["intended"]) == expected


def test_with_change_pte_the_new_pte_stands_before_drivers_are_told() -> None:
    expected = ["PteCleared", "CpuTlbFlushed", "PteSet", "CbEntered", "PageNotifyDone", "PagePut", "PagePut"]
    assert _copy_order(PRESETS["v2_6_32"]) == expected


def test_copy_on_write_mutants_tell_nobody_or_too_late() -> None:
    assert "CbEntered" not in _copy_order(Profile(), "cow-without-notify")[:4]
    late = _copy_order(Profile(), "cow-notifies-last")
    assert late == ["PteCleared", "CpuTlbFlushed", "PteSet", "PagePut", "PagePut", "CbEntered", "PageNotifyDone"]


def test_the_last_one_who_shows_a_page_reuses_it() -> None:
    async def scene(host: Host) -> None:
        mm = await new_area(host)
        await mm.write(va(0), 1)
        child = await mm.fork()
        await child.exit()
        await mm.write(va(0), 2)

    run = play(scene)
    assert len(run.of(PteUpgraded)) == 1
    assert len(run.of(PageAllocated)) == 1


def test_two_writers_copy_once_each_at_most_and_lose_nothing() -> None:
    async def scene(host: Host) -> None:
        mm = await new_area(host)
        before = await mm.write(va(0), 1)
        child = await mm.fork()
        async with host.together() as tasks:
            tasks.start(mm.write, va(0), 2, name="one")
            tasks.start(mm.write, va(0), 3, name="two")
        assert await child.read(va(0)) == before
        await child.exit()
        await mm.exit()

    for step in range(30, 80):
        run = play(scene, decide=Prefer("two", step))
        assert len(run.of(PageAllocated)) == len(run.of(PageFreed))
        assert not run.of(BugHit)


# --- swap ---------------------------------------------------------------------------


@pytest.mark.parametrize("write", [False, True])
def test_what_was_swapped_out_comes_back(write: bool) -> None:
    async def scene(host: Host) -> None:
        mm = await new_area(host)
        before = await mm.write(va(0), 1)
        pte = mm.page_table.peek(va(0))
        assert pte is not None
        assert pte.page is not None
        page = pte.page
        for _ in range(3):
            await shrink_page(host, page)
        gone = mm.page_table.peek(va(0))
        assert gone is not None
        assert gone.swap is not None
        if write:
            assert await mm.write(va(0), 2) == Content("main", 2, 2)
        else:
            assert await mm.read(va(0)) == before
        await mm.exit()
        assert not host.swap.slots

    run = play(scene)
    assert len(run.of(PageAllocated)) == len(run.of(PageFreed)) == 2
    assert not run.of(BugHit)


def test_parent_and_child_each_get_a_swapped_page_back() -> None:
    async def scene(host: Host) -> None:
        mm = await new_area(host)
        before = await mm.write(va(0), 1)
        pte = mm.page_table.peek(va(0))
        assert pte is not None
        assert pte.page is not None
        for _ in range(3):
            await shrink_page(host, pte.page)
        child = await mm.fork()
        assert await mm.write(va(0), 2) != before
        assert await child.read(va(0)) == before
        await child.exit()
        await mm.exit()
        assert not host.swap.slots

    assert not play(scene).of(BugHit)


# --- looking pages up ---------------------------------------------------------------


def test_a_sleeping_look_up_faults_the_page_in_and_takes_a_reference() -> None:
    async def scene(host: Host) -> None:
        mm = await new_area(host)
        async with mm.mmap_sem.read():
            page = await get_user_page(mm, va(0), write=True, by="kvm0")
            assert page is not None
            assert page.refs == 2
            assert await get_user_page(mm, va(5), write=False, by="kvm0") is None
        assert await host.memory.put(page, "kvm0") is False

    play(scene)


def test_a_write_look_up_breaks_copy_on_write_first() -> None:
    async def scene(host: Host) -> None:
        mm = await new_area(host)
        await mm.write(va(0), 1)
        child = await mm.fork()
        async with mm.mmap_sem.read(), child.mmap_sem.read():
            ours = await get_user_page(mm, va(0), write=True, by="kvm0")
            theirs = await get_user_page(child, va(0), write=False, by="kvm1")
        assert ours is not None
        assert theirs is not None
        assert ours is not theirs

    play(scene)


def test_a_read_look_up_of_untouched_memory_shows_the_zero_page_with_a_pte_or_without() -> None:
    async def scene(host: Host) -> None:
        mm = await new_area(host)
        async with mm.mmap_sem.read():
            page = await get_user_page(mm, va(0), write=False, by="gru0")
        assert page is host.memory.zero_page
        await host.memory.put(page, "gru0")
        await mm.write(va(0), 1)

    assert len(play(scene).of(PageNotifyDone)) == 1
    hole = play(scene, profile=PRESETS["v2_6_27"])
    assert not hole.of(PageNotifyDone)
    assert not hole.of(PteCleared)


def test_the_atomic_look_up_wants_a_dirty_pte_to_write_and_never_a_reference() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(2, file=host.new_file(2), shared=True)
        assert await follow_page_atomic(mm, area.start, write=False) is None
        await mm.read(area.start)
        page = await follow_page_atomic(mm, area.start, write=False)
        assert page is not None
        assert page.refs == 2
        assert await follow_page_atomic(mm, area.start, write=True) is None
        await mm.write(area.start)
        assert await follow_page_atomic(mm, area.start, write=True) is page

    play(scene)
