"""The last user of an mm takes its memory down: release first, then the pages."""

import pytest

from notifierlab.events import (
    BugHit,
    CbEntered,
    ExitBegun,
    ExitDone,
    MmFreed,
    MmUsersChanged,
    PageFreed,
    VmaUnlinked,
    WindowOpened,
)
from notifierlab.host import Host
from notifierlab.mm.profile import Profile
from notifierlab.mm.truncate import vmtruncate
from tests.scene import listen, Listener, play, Prefer


async def _live_and_die(host: Host) -> None:
    mm = host.new_mm()
    area = await mm.mmap(2)
    for page in area.pages:
        await mm.write(page)
    listener = await listen(mm)
    await mm.exit()
    assert not mm.vmas
    assert not list(mm.page_table.present())
    assert mm.mm_count == (0 if host.mutated("register-skips-mm-count") else 1)
    await mm.unregister(listener)


KINDS = (ExitBegun, CbEntered, WindowOpened, PageFreed, VmaUnlinked, ExitDone, MmFreed)


def test_release_comes_before_the_first_page_is_freed_and_nobody_hears_the_window() -> None:
    assert play(_live_and_die).names(*KINDS) == [
        "ExitBegun",
        "CbEntered",
        "WindowOpened",
        "PageFreed",
        "PageFreed",
        "VmaUnlinked",
        "ExitDone",
        "MmFreed",
    ]


def test_the_mutants_of_exit_release_late_or_never() -> None:
    late = play(_live_and_die, mutants=["release-after-unmap"])
    # Still on the list, it hears the window of the exit itself.
    assert [call.callback for call in late.of(CbEntered)] == ["start", "end", "release"]
    never = play(_live_and_die, mutants=["exit-skips-release"])
    assert [call.callback for call in never.of(CbEntered)] == ["start", "end", "release"]
    assert never.names(ExitDone, CbEntered) == ["CbEntered", "CbEntered", "ExitDone", "CbEntered"]


def test_the_memory_lives_as_long_as_it_has_a_user() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1)
        await mm.mmget()
        await mm.exit()
        assert await mm.write(area.start) is not None
        assert await mm.mmget_not_zero()
        await mm.mmput()
        await mm.mmput()
        assert not await mm.mmget_not_zero()

    run = play(scene)
    assert [change.users for change in run.of(MmUsersChanged)] == [2, 1, 2, 1, 0]
    assert len(run.of(MmFreed)) == 1


def test_mmget_of_a_dead_mm_is_a_bug() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        await mm.mmgrab()
        await mm.exit()
        await mm.mmget()

    assert [bug.where for bug in play(scene).of(BugHit)] == ["mmget"]


def test_an_empty_mm_ends_without_a_window() -> None:
    async def scene(host: Host) -> None:
        await host.new_mm().exit()

    run = play(scene)
    assert run.names(ExitBegun, ExitDone, MmFreed) == ["ExitBegun", "ExitDone", "MmFreed"]
    assert not run.of(WindowOpened)


@pytest.mark.parametrize("profile", [Profile(), Profile(unlink_before_release=True)])
def test_unregister_against_exit_releases_and_frees_once(profile: Profile) -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1)
        await mm.write(area.start)
        listener = Listener()
        await mm.register(listener)
        async with host.together() as tasks:
            tasks.start(mm.exit, name="exit")
            tasks.start(mm.unregister, listener, name="leaver")

    most = 0
    for step in range(30, 80):
        run = play(scene, profile=profile, decide=Prefer("leaver", step))
        released = [call for call in run.of(CbEntered) if call.callback == "release"]
        most = max(most, len(released))
        first = run.events.index(released[0])
        assert first < run.events.index(run.of(PageFreed)[0])
        assert len(run.of(MmFreed)) == 1
        assert not run.of(BugHit)
    # Calling before unlinking has its price.
    assert most == (1 if profile.unlink_before_release else 2)


def test_a_truncate_beside_an_exit_frees_each_page_once() -> None:
    async def scene(host: Host) -> None:
        file = host.new_file(3)
        mm = host.new_mm()
        area = await mm.mmap(3, file=file)
        for page in area.pages:
            await mm.write(page)
        async with host.together() as tasks:
            tasks.start(mm.exit, name="exit")
            tasks.start(vmtruncate, file, 0, name="truncate")

    for step in range(70, 200, 5):
        run = play(scene, decide=Prefer("truncate", step))
        assert len({(page.pfn, page.gen) for page in run.of(PageFreed)}) == len(run.of(PageFreed)) == 6
        assert not run.of(BugHit)
