"""mmap, munmap, mprotect and madvise keep the list of vmas, rmap and the windows right."""

import errno
import itertools

import pytest

from notifierlab.events import (
    LockAcquired,
    PageFreed,
    PteCleared,
    PteDowngraded,
    PteUpgraded,
    Va,
    VmaChanged,
    VmaLinked,
    VmaUnlinked,
    WindowClosed,
    WindowOpened,
)
from notifierlab.host import Host
from notifierlab.machine.sched import LabError
from notifierlab.mm.mm import Area, Mm, MMAP_BASE
from tests.scene import listen, play, Prefer, va

PAGE = 0x1000


def borders(mm: Mm) -> list[tuple[int, int]]:
    """The vmas in pages from the base."""
    return [((vma.start - MMAP_BASE) // PAGE, (vma.end - MMAP_BASE) // PAGE) for vma in mm.vmas]


def permissions(mm: Mm) -> str:
    """A letter for each page: w(ritable), r(ead-only) or . (nothing)."""
    end = (mm.vmas[-1].end - MMAP_BASE) // PAGE
    vmas = [mm.find_vma(va(page)) for page in range(end)]
    return "".join("." if vma is None else "w" if vma.writable else "r" for vma in vmas)


# --- mmap ---------------------------------------------------------------------------


def test_mmap_gives_the_lowest_hole_and_merges_fresh_memory() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        assert await mm.mmap(2) == Area(va(0), va(2))
        assert await mm.mmap(3) == Area(va(2), va(5))
        assert borders(mm) == [(0, 5)]
        await mm.munmap(va(1), va(3))
        assert await mm.mmap(2, writable=False) == Area(va(1), va(3))
        assert await mm.mmap(1) == Area(va(5), va(6))
        assert borders(mm) == [(0, 1), (1, 3), (3, 6)]

    play(scene)


def test_a_file_is_merged_where_its_pages_follow_each_other() -> None:
    async def scene(host: Host) -> None:
        mm, file = host.new_mm(), host.new_file(9)
        await mm.mmap(2, file=file)
        await mm.mmap(2, file=file, pgoff=2)
        await mm.mmap(2, file=file, pgoff=7)
        await mm.mmap(2, file=file, shared=True)
        assert borders(mm) == [(0, 4), (4, 6), (6, 8)]
        assert [(vma.pgoff, vma.pages) for vma in file.i_mmap()] == [(0, 4), (0, 2), (7, 2)]

    play(scene)


def test_mmap_between_two_of_its_kind_makes_one() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        await mm.mmap(5)
        await mm.munmap(va(2), va(3))
        assert borders(mm) == [(0, 2), (3, 5)]
        await mm.mmap(1, at=va(2))
        assert borders(mm) == [(0, 5)]

    play(scene)


def test_mmap_at_a_place_unmaps_what_stands_there() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(4)
        await mm.write(area.start)
        await mm.mmap(2, at=area.start, file=host.new_file(2))
        assert borders(mm) == [(0, 2), (2, 4)]

    run = play(scene)
    assert [window.site for window in run.of(WindowOpened)] == ["R1"]
    assert len(run.of(PageFreed)) == 1


def test_shared_fresh_memory_is_shared_with_a_child() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1, shared=True)
        child = await mm.fork()
        written = await child.write(area.start, 7)
        assert await mm.read(area.start) == written

    play(scene)


def test_vma_link_takes_i_mmap_before_anon_vma_locks() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(4, file=host.new_file(4))
        await mm.write(area.start)
        await mm.munmap(va(1), va(2))

    locks = [lock.cls for lock in play(scene).of(LockAcquired) if lock.cls in ("i_mmap_lock", "anon_vma_lock")]
    # mmap; two splits; leaving both.
    assert locks == ["i_mmap_lock", *["i_mmap_lock", "anon_vma_lock"] * 2, "anon_vma_lock", "i_mmap_lock"]


@pytest.mark.parametrize("call", ["mmap", "at", "munmap", "empty"])
def test_what_is_no_range_of_pages_is_refused(call: str) -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        if call == "mmap":
            await mm.mmap(0)
        elif call == "at":
            await mm.mmap(1, at=Va(17))
        else:
            await mm.munmap(va(0), Va(va(0) + 7) if call == "munmap" else va(0))

    with pytest.raises(LabError, match=r"at least one|multiple"):
        play(scene)


# --- munmap -------------------------------------------------------------------------


def test_munmap_of_a_middle_leaves_two_vmas_with_one_anon_vma() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(6)
        kept = [await mm.write(page, 1) for page in area.pages]
        await mm.munmap(va(2), va(4))
        assert borders(mm) == [(0, 2), (4, 6)]
        assert mm.vmas[0].anon_vma is mm.vmas[1].anon_vma
        assert [await mm.read(page) for page in area.pages] == [*kept[:2], None, None, *kept[4:]]

    run = play(scene)
    assert len(run.of(PageFreed)) == 2
    assert run.names(VmaUnlinked, WindowOpened, PteCleared, WindowClosed) == [
        "VmaUnlinked",
        "WindowOpened",
        "PteCleared",
        "PteCleared",
        "WindowClosed",
    ]


def test_munmap_of_several_vmas_and_holes_is_one_window() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        await mm.mmap(2)
        await mm.mmap(2, file=host.new_file(2))
        await mm.mmap(2, at=va(8))
        listener = await listen(mm)
        await mm.munmap(va(1), va(9))
        assert borders(mm) == [(0, 1), (9, 10)]
        assert listener.heard == [f"{when} {va(1):#x}-{va(9):#x}" for when in ("start", "end")]

    play(scene)


def test_munmap_of_nothing_is_nothing() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        await mm.mmap(1)
        await mm.munmap(va(4), va(6))

    assert not play(scene).of(WindowOpened)


# --- mprotect -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        # The cases of vma_merge: a middle, a head, a tail, then back again.
        ([(2, 4, "r")], "wwrrww"),
        ([(0, 2, "r")], "rrwwww"),
        ([(4, 6, "r")], "wwwwrr"),
        ([(0, 2, "r"), (2, 4, "r")], "rrrrww"),
        ([(4, 6, "r"), (2, 4, "r")], "wwrrrr"),
        ([(0, 2, "r"), (4, 6, "r"), (2, 4, "r")], "rrrrrr"),
        ([(2, 4, "r"), (2, 4, "w")], "wwwwww"),
        ([(2, 4, "r"), (0, 3, "r")], "rrrrww"),
        ([(2, 4, "r"), (3, 6, "w")], "wwrwww"),
        ([(0, 3, "r"), (1, 2, "w"), (0, 6, "w")], "wwwwww"),
        ([(0, 6, "r"), (1, 2, "w"), (4, 5, "w"), (0, 6, "r")], "rrrrrr"),
    ],
)
@pytest.mark.parametrize("kind", ["fresh", "file"])
def test_mprotect_splits_and_merges(steps: list[tuple[int, int, str]], expected: str, kind: str) -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(6, file=host.new_file(6) if kind == "file" else None)
        written = [await mm.write(page, 1) for page in area.pages]
        for start, end, permission in steps:
            assert await mm.mprotect(va(start), va(end), writable=permission == "w") == 0
        assert permissions(mm) == expected
        assert len(mm.vmas) == 1 + sum(a != b for a, b in itertools.pairwise(expected))
        assert len({vma.anon_vma for vma in mm.vmas}) == 1
        # rmap finds each page where it stands, and it can still be written, or not.
        for page, letter in zip(area.pages, expected, strict=True):
            assert await mm.read(page) == written[(page - area.start) // PAGE]
            assert (await mm.write(page, 2) is not None) == (letter == "w")
        await mm.exit()

    run = play(scene)
    assert run.of(VmaLinked)
    assert len(run.of(PageFreed)) == 6


def test_mprotect_announces_before_the_first_pte_changes() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(3)
        for page in area.pages[:2]:
            await mm.write(page)
        await mm.mprotect(area.start, area.end, writable=False)

    run = play(scene)
    assert run.names(WindowOpened, PteDowngraded, WindowClosed) == [
        "WindowOpened",
        "PteDowngraded",
        "PteDowngraded",
        "WindowClosed",
    ]
    assert {(pte.win, pte.notify) for pte in run.of(PteDowngraded)} == {("win0.1", "window")}


def test_mprotect_to_what_it_is_announces_nothing() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(3)
        await mm.mprotect(area.start, area.end, writable=True)

    run = play(scene)
    assert not run.of(WindowOpened)
    assert not run.of(VmaChanged)


def test_mprotect_over_a_hole_changes_what_lies_before_it() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        await mm.mmap(2)
        await mm.mmap(1, at=va(4))
        assert await mm.mprotect(va(1), va(5), writable=False) == -errno.ENOMEM
        assert permissions(mm) == "wr..w"

    play(scene)


def test_permission_comes_back_at_once_for_a_dirty_shared_page_only() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        shared = await mm.mmap(1, file=host.new_file(1), shared=True)
        private = await mm.mmap(1)
        for area in (shared, private):
            await mm.write(area.start)
            await mm.mprotect(area.start, area.end, writable=False)
            await mm.mprotect(area.start, area.end, writable=True)

    assert [pte.va for pte in play(scene).of(PteUpgraded)] == [va(0)]


# --- madvise ------------------------------------------------------------------------


def test_madvise_dontneed_gives_pages_back_and_keeps_the_mapping() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(2)
        await mm.write(area.start, 5)
        await mm.madvise_dontneed(area.start, area.end)
        content = await mm.read(area.start)
        assert content is not None
        assert content.value == 0

    run = play(scene)
    assert [window.site for window in run.of(WindowOpened)] == ["R2"]
    assert len(run.of(PageFreed)) == 1


def test_madvise_runs_beside_faults_but_not_beside_mmap() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(4)
        for page in area.pages:
            await mm.write(page)

        async def touch() -> None:
            for page in area.pages:
                await mm.write(page, 2)

        async with host.together() as tasks:
            tasks.start(mm.madvise_dontneed, area.start, area.end, name="madvise")
            tasks.start(touch, name="touch")
            tasks.start(mm.munmap, va(2), va(4), name="munmap")
        await mm.exit()

    for step in range(40, 140, 3):
        run = play(scene, decide=Prefer("munmap" if step % 2 else "touch", step))
        # No window of munmap opens while madvise's is open.
        assert run.names(WindowOpened, WindowClosed) == ["WindowOpened", "WindowClosed"] * 3
