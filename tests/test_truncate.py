"""vmtruncate: size first, two passes of unmapping, and the pages freed in between."""

from notifierlab.events import (
    BugHit,
    LockReleased,
    MightSleep,
    PageFreed,
    PagePut,
    PteCleared,
    WindowClosed,
    WindowOpened,
)
from notifierlab.host import Host
from notifierlab.mm.page import Content, Page
from notifierlab.mm.profile import Profile
from notifierlab.mm.rmap import anon_vma_prepare, page_add_new_anon_rmap
from notifierlab.mm.truncate import vmtruncate
from notifierlab.mm.unmap import unmap_mapping_range
from notifierlab.mm.vma import MmStruct, Vma
from tests.scene import fault_anon, fault_file, listen, new_vma, play, va


async def _private_copy(vma: Vma, page: int) -> Page:
    """A page that was copied on write in a private file mapping."""
    await anon_vma_prepare(vma)
    new = await vma.mm.host.memory.alloc(vma.mm.name)
    async with vma.mm.page_table.ptl(va(page)):
        page_add_new_anon_rmap(new, vma, va(page))
        await vma.mm.page_table.set(va(page), new, True, dirty=True)
    return new


def test_a_truncate_unmaps_frees_and_unmaps_again() -> None:
    async def scene(host: Host) -> None:
        file = host.new_file(4)
        mm = MmStruct(host, "mm0")
        vma = new_vma(mm, 4, file=file, shared=True)
        for n in range(4):
            await fault_file(vma, va(n))
        listener = await listen(mm)
        await vmtruncate(file, 1)
        assert file.size == 1
        assert list(file.pages) == [0]
        assert [address for address, _ in mm.page_table.present()] == [va(0)]
        span = f"{va(1):#x}-{va(4):#x}"
        assert listener.heard == [f"start {span}", f"end {span}"] * 2
        assert await fault_file(vma, va(2)) is None

    run = play(scene)
    assert run.names(WindowOpened, PteCleared, WindowClosed, PageFreed) == [
        *("WindowOpened", "PteCleared", "PteCleared", "PteCleared", "WindowClosed"),
        *("PageFreed", "PageFreed", "PageFreed"),
        *("WindowOpened", "WindowClosed"),
    ]
    assert [event.holder for event in run.of(PagePut)][-2:] == ["cache", "truncate"]
    assert not run.of(BugHit)


def test_the_windows_of_a_truncate_are_under_the_i_mmap_lock_and_finished_there() -> None:
    async def scene(host: Host) -> None:
        file = host.new_file(1)
        vma = new_vma(MmStruct(host, "mm0"), 1, file=file)
        await _private_copy(vma, 0)
        await vmtruncate(file, 0)

    run = play(scene)
    names = run.names(WindowOpened, WindowClosed, PageFreed, LockReleased, MightSleep)
    first = names[names.index("WindowOpened") :]
    # The pte lock, the page freed by the finish, and only then the i_mmap_lock.
    assert first[:4] == ["WindowOpened", "LockReleased", "WindowClosed", "PageFreed"]
    assert [event.lock for event in run.of(LockReleased) if event.cls == "i_mmap_lock"] == ["file0.i_mmap_lock"] * 2


def test_a_truncate_takes_private_copies_too_and_other_unmaps_spare_them() -> None:
    async def scene(host: Host) -> None:
        file = host.new_file(2)
        vma = new_vma(MmStruct(host, "mm0"), 2, file=file)
        copy = await _private_copy(vma, 0)
        await unmap_mapping_range(file, 0, 1, even_cows=False)
        assert copy.mapcount == 1
        await unmap_mapping_range(file, 0, 1, even_cows=True)
        assert copy.refs == 0

    play(scene)


def test_a_lock_break_ends_the_window_frees_and_goes_on_where_it_stopped() -> None:
    async def scene(host: Host) -> None:
        file = host.new_file(12)
        mm = MmStruct(host, "mm0")
        vma = new_vma(mm, 12, file=file)
        for n in range(12):
            await _private_copy(vma, n)
        listener = await listen(mm)
        await vmtruncate(file, 0)
        whole, rest = f"{va(0):#x}-{va(12):#x}", f"{va(8):#x}-{va(12):#x}"
        assert listener.heard == [
            *(f"start {whole}", f"end {whole}", f"start {rest}", f"end {rest}"),
            *(f"start {whole}", f"end {whole}"),
        ]
        assert list(mm.page_table.present()) == []

    run = play(scene, answers={"lock-break": [True]})
    locks = [event for event in run.of(LockReleased) if event.cls == "i_mmap_lock"]
    # One of the registration, then three of the truncate.
    assert len(locks) == 4
    # The pages of the first block are freed before the window ends.
    first = run.names(WindowOpened, WindowClosed, PageFreed)
    assert first[:10] == ["WindowOpened", *["PageFreed"] * 8, "WindowClosed"]
    assert len(run.of(PageFreed)) == 12


def test_a_lock_break_with_free_after_end_frees_after_the_end_under_the_lock() -> None:
    async def scene(host: Host) -> None:
        file = host.new_file(12)
        vma = new_vma(MmStruct(host, "mm0"), 12, file=file)
        for n in range(12):
            await _private_copy(vma, n)
        await vmtruncate(file, 0)

    run = play(scene, answers={"lock-break": [True]}, profile=Profile(free_after_end=True))
    assert run.names(WindowOpened, WindowClosed, PageFreed) == [
        *("WindowOpened", "WindowClosed", *["PageFreed"] * 8),
        *("WindowOpened", "WindowClosed", *["PageFreed"] * 4),
        *("WindowOpened", "WindowClosed"),
    ]


def test_a_break_after_a_finished_vma_does_not_unmap_it_again() -> None:
    async def scene(host: Host) -> None:
        file = host.new_file(1)
        vmas = [new_vma(MmStruct(host, name), 1, file=file, shared=True) for name in ("mm0", "mm1")]
        for vma in vmas:
            await fault_file(vma, va(0))
        await unmap_mapping_range(file, 0, None, even_cows=True)

    run = play(scene, answers={"lock-break": [True, True]})
    assert [event.mm for event in run.of(WindowOpened)] == ["mm0", "mm1"]


def test_the_mutant_forgets_the_end_at_a_lock_break() -> None:
    async def scene(host: Host) -> None:
        file = host.new_file(9)
        vma = new_vma(MmStruct(host, "mm0"), 9, file=file)
        for n in range(9):
            await _private_copy(vma, n)
        await unmap_mapping_range(file, 0, None, even_cows=True)

    run = play(scene, answers={"lock-break": [True]}, mutants=["end-lost-on-lock-break"])
    assert len(run.of(WindowOpened)) == 2
    assert len(run.of(WindowClosed)) == 1


def test_a_page_that_a_fault_mapped_after_the_first_pass_is_unmapped_under_its_lock() -> None:
    async def scene(host: Host) -> None:
        file = host.new_file(1)
        mm = MmStruct(host, "mm0")
        vma = new_vma(mm, 1, file=file, shared=True)
        page = await fault_file(vma, va(0))
        assert page is not None
        file.size = 0
        await page.lock_of(host.machine).acquire()

        async def truncate() -> None:
            from notifierlab.mm.truncate import truncate_inode_pages

            await truncate_inode_pages(file, 0)

        async with host.together() as tasks:
            tasks.start(truncate, name="truncate")
            for _ in range(20):
                await host.machine.step()
            # Whoever holds the page lock keeps the page in the cache.
            assert file.pages == {0: page}
            await page.lock_of(host.machine).release()
        assert file.pages == {}
        assert list(mm.page_table.present()) == []
        assert page.refs == 0

    run = play(scene)
    assert run.names(WindowOpened, WindowClosed, PageFreed) == ["WindowOpened", "WindowClosed", "PageFreed"]


def test_making_a_file_longer_unmaps_nothing() -> None:
    async def scene(host: Host) -> None:
        file = host.new_file(1)
        await vmtruncate(file, 3)
        vma = new_vma(MmStruct(host, "mm0"), 3, file=file)
        page = await fault_file(vma, va(2))
        assert page is not None
        assert page.content == Content("zero", 0, 0)

    assert not play(scene).of(WindowOpened)


def test_swap_entries_survive_a_truncate_of_the_file_beneath() -> None:
    async def scene(host: Host) -> None:
        file = host.new_file(1)
        mm = MmStruct(host, "mm0")
        vma = new_vma(mm, 1, file=file)
        async with mm.page_table.ptl(va(0)):
            await mm.page_table.set_swap(va(0), 7)
        await vmtruncate(file, 0)
        pte = mm.page_table.peek(va(0))
        assert pte is not None
        assert pte.swap == 7
        assert vma.truncate_count == file.truncate_count

    play(scene)


def test_anonymous_memory_is_none_of_a_truncates_business() -> None:
    async def scene(host: Host) -> None:
        mm = MmStruct(host, "mm0")
        page = await fault_anon(new_vma(mm, 1), va(0))
        await vmtruncate(host.new_file(1), 0)
        assert page.mapcount == 1

    play(scene)
