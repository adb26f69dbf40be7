"""fork copies memory, shares anon_vmas, and tells the parent's drivers alone."""

from notifierlab.events import (
    BugHit,
    CpuTlbFlushed,
    MmForked,
    PageAllocated,
    PageFreed,
    PteDowngraded,
    PteSet,
    WindowClosed,
    WindowOpened,
)
from notifierlab.host import Host
from notifierlab.mm.reclaim import shrink_page
from tests.scene import listen, play, Prefer, va


async def _fork(host: Host) -> None:
    mm = host.new_mm()
    area = await mm.mmap(2)
    mine = [await mm.write(page, n) for n, page in enumerate(area.pages)]
    listener = await listen(mm)
    child = await mm.fork()
    assert child.mmu_notifier_mm is None or host.mutated("fork-inherits-notifiers")
    assert [vma.anon_vma for vma in child.vmas] == [vma.anon_vma for vma in mm.vmas]
    theirs = await child.write(area.start, 9)
    assert await mm.read(area.start) == mine[0]
    assert await child.read(area.start) == theirs
    assert await child.read(area.pages[1]) == mine[1]
    if not host.mutants:
        assert listener.heard == [f"{when} {va(0):#x}-{va(2):#x}" for when in ("start", "end")]
    await child.exit()
    await mm.exit()


def test_the_childs_memory_is_a_copy_and_its_doings_are_its_own() -> None:
    run = play(_fork)
    assert [forked.notifiers for forked in run.of(MmForked)] == [False]
    assert len(run.of(PageAllocated)) == len(run.of(PageFreed)) == 3
    assert not run.of(BugHit)


def test_the_parents_ptes_lose_write_permission_inside_a_window() -> None:
    run = play(_fork)
    assert run.names(WindowOpened, PteDowngraded, WindowClosed)[:4] == [
        "WindowOpened",
        "PteDowngraded",
        "PteDowngraded",
        "WindowClosed",
    ]
    assert {(window.mm, window.site) for window in run.of(WindowOpened)} >= {("mm0", "R7")}
    assert {pte.notify for pte in run.of(PteDowngraded)} == {"window"}


def test_the_parents_cpus_are_flushed_after_every_window() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        for writable in (True, False, True):
            area = await mm.mmap(1)
            await mm.write(area.start)
            await mm.mprotect(area.start, area.end, writable=writable)
        before = len(list(mm.page_table.present()))
        assert before == 3
        await mm.fork()

    names = play(scene).names(WindowOpened, WindowClosed, CpuTlbFlushed)
    assert names[-7:] == ["WindowOpened", "WindowClosed"] * 3 + ["CpuTlbFlushed"]


def test_shared_mappings_open_no_window_and_stay_writable() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1, file=host.new_file(1), shared=True)
        await mm.write(area.start)
        child = await mm.fork()
        assert len(area.pages) == len(list(mm.page_table.present()))
        # A fault can make it anew, so no pte was copied.
        assert not list(child.page_table.present())

    run = play(scene)
    assert not run.of(WindowOpened)
    assert not run.of(PteDowngraded)


def test_a_child_is_found_by_reclaim_in_both_page_tables() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1)
        await mm.write(area.start, 1)
        child = await mm.fork()
        pte = mm.page_table.peek(area.start)
        assert pte is not None
        assert pte.page is not None
        for _ in range(3):
            await shrink_page(host, pte.page)
        assert not list(mm.page_table.present())
        assert not list(child.page_table.present())

    assert not play(scene).of(BugHit)


def test_mutants_of_fork_inherit_or_keep_silent() -> None:
    run = play(_fork, mutants=["fork-without-window"])
    assert {pte.notify for pte in run.of(PteDowngraded)} == {"none"}
    assert not [window for window in run.of(WindowOpened) if window.site == "R7"]
    run = play(_fork, mutants=["fork-inherits-notifiers"])
    assert [forked.notifiers for forked in run.of(MmForked)] == [True]


def test_a_fork_against_faults_and_a_second_fork() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(2)
        await mm.write(area.start, 1)

        async def breed(name: str) -> None:
            child = await mm.fork(name)
            await child.write(area.start, 5)
            await child.exit()

        async with host.together() as tasks:
            tasks.start(breed, "c1", name="one")
            tasks.start(breed, "c2", name="two")
            tasks.start(mm.write, area.start, 3, name="writer")
        await mm.exit()

    for step in range(15, 120, 4):
        run = play(scene, decide=Prefer("writer" if step % 8 == 3 else "two", step))
        assert len(run.of(PageAllocated)) == len(run.of(PageFreed))
        assert not run.of(BugHit)
        assert run.of(PteSet)
