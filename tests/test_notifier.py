"""Drivers join, are told in order, and leave; nobody is called who has left."""

import errno
from typing import Any

import pytest

from notifierlab.events import (
    BugHit,
    CbEntered,
    MmCountChanged,
    MmFreed,
    NotifierAdded,
    NotifierRemoved,
    PageNotifyDone,
    RcuSyncBegun,
    RegisterDone,
    UnregisterDone,
    Va,
    WalkBegun,
    WindowClosed,
    WindowOpened,
)
from notifierlab.host import Host
from notifierlab.mm.callbacks import MmuNotifier, MmuNotifierMm, Range
from notifierlab.mm.mm import Mm
from notifierlab.mm.notifier import (
    mmu_notifier_change_pte,
    mmu_notifier_clear_flush_young,
    mmu_notifier_invalidate_page,
    mmu_notifier_invalidate_range_end,
    mmu_notifier_invalidate_range_start,
)
from notifierlab.mm.page import Page
from notifierlab.mm.profile import PRESETS, Profile
from notifierlab.mm.registration import (
    find_notifier,
    mmu_notifier_register,
    mmu_notifier_release,
    mmu_notifier_unregister,
    register_locked,
)
from notifierlab.mm.vma import MmStruct
from tests.scene import Listener, play, Prefer, va

OLD_ORDER = Profile(unlink_before_release=True)


def test_the_last_to_register_is_called_first_for_start_and_end() -> None:
    async def scene(host: Host) -> None:
        mm = Mm(host, "mm0")
        for name in ("first", "second", "third"):
            assert await mmu_notifier_register(mm, Listener(name)) == 0
        window = await mmu_notifier_invalidate_range_start(mm, va(0), va(2), "R1")
        await mmu_notifier_invalidate_range_end(mm, window)

    calls = [(call.callback, call.mmu) for call in play(scene).of(CbEntered)]
    assert calls == [(when, name) for when in ("start", "end") for name in ("third", "second", "first")]


def test_a_window_opens_before_anybody_is_told_and_closes_after() -> None:
    async def scene(host: Host) -> None:
        mm = Mm(host, "mm0")
        await mmu_notifier_register(mm, Listener())
        window = await mmu_notifier_invalidate_range_start(mm, va(0), va(1), "R2")
        assert list(window.pages) == [va(0)]
        await mmu_notifier_invalidate_range_end(mm, window)

    run = play(scene)
    assert run.names(WindowOpened, CbEntered, WindowClosed) == [
        "WindowOpened",
        "CbEntered",
        "CbEntered",
        "WindowClosed",
    ]
    assert [(call.win, call.start, call.end) for call in run.of(CbEntered)] == [("win0.1", va(0), va(1))] * 2


def test_without_notifiers_nothing_is_walked_and_the_window_still_stands_in_the_log() -> None:
    async def scene(host: Host) -> None:
        mm = Mm(host, "mm0")
        window = await mmu_notifier_invalidate_range_start(mm, va(0), va(1), "R1")
        await mmu_notifier_invalidate_range_end(mm, window)
        await mmu_notifier_invalidate_page(mm, va(0))
        assert not await mmu_notifier_clear_flush_young(mm, va(0))

    run = play(scene)
    assert run.names(WindowOpened, WindowClosed, PageNotifyDone) == ["WindowOpened", "WindowClosed", "PageNotifyDone"]
    assert not run.of(WalkBegun)


def test_young_is_true_if_any_driver_says_so_and_every_one_is_asked() -> None:
    async def scene(host: Host) -> None:
        mm = Mm(host, "mm0")
        one, two = Listener("one", young=True), Listener("two")
        await mmu_notifier_register(mm, one)
        await mmu_notifier_register(mm, two)
        assert await mmu_notifier_clear_flush_young(mm, va(3))
        assert one.heard == two.heard == [f"young {va(3):#x}"]

    play(scene)


def test_a_driver_without_change_pte_gets_invalidate_page_instead() -> None:
    class Changes(MmuNotifier):
        name = "changes"

        async def change_pte(self, mm: MmStruct, address: Va, page: Page, write: bool) -> None:
            heard.append((address, page.pfn, write))

    heard: list[tuple[Va, int, bool]] = []

    async def scene(host: Host) -> None:
        mm = Mm(host, "mm0")
        await mmu_notifier_register(mm, Changes())
        await mmu_notifier_register(mm, Listener())
        await mmu_notifier_change_pte(mm, va(1), host.memory.zero_page, write=True)

    run = play(scene)
    assert [(call.mmu, call.callback) for call in run.of(CbEntered)] == [
        ("listener", "page"),
        ("changes", "change_pte"),
    ]
    assert heard == [(va(1), 0, True)]
    assert len(run.of(PageNotifyDone)) == 1


@pytest.mark.parametrize(("answers", "result"), [("enomem", -errno.ENOMEM), ("signal-pending", -errno.EINTR)])
def test_a_failed_registration_leaves_nothing_behind(answers: str, result: int) -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        await mm.mmap(1)
        assert await mm.register(Listener()) == result
        assert mm.mmu_notifier_mm is None
        assert mm.mm_count == 1
        assert mm.mmap_sem.is_free()
        assert host.mm_all_locks_mutex.is_free()

    run = play(scene, answers={answers: [True]})
    assert [done.result for done in run.of(RegisterDone)] == [result]
    assert not run.of(NotifierAdded)


def test_register_locked_leaves_mmap_sem_with_its_caller() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        async with mm.mmap_sem.write():
            assert await register_locked(mm, Listener()) == 0
            assert mm.mmap_sem.held_for_write()

    play(scene)


def test_each_registration_pins_the_struct_until_its_unregister() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        one, two = Listener("one"), Listener("two")
        await mm.register(one)
        await mm.register(two)
        assert mm.mm_count == 3
        await mm.exit()
        assert mm.mm_count == 2
        await mm.unregister(one)
        await mm.unregister(two)

    run = play(scene)
    assert [change.count for change in run.of(MmCountChanged)] == [2, 3, 2, 1, 0]
    assert [freed.notifiers_left for freed in run.of(MmFreed)] == [0]


def test_the_structure_stays_when_the_list_is_empty_and_is_used_again() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        one = Listener("one")
        await mm.register(one)
        structure = mm.mmu_notifier_mm
        await mm.unregister(one)
        assert mm.mmu_notifier_mm is structure
        assert structure is not None
        assert len(structure) == 0
        await mm.register(one)
        assert mm.mmu_notifier_mm is structure
        assert await find_notifier(mm, Listener) is one

    play(scene)


def test_unregister_calls_release_and_then_waits_for_readers() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        one = Listener("one")
        await mm.register(one)
        await mm.unregister(one)

    kinds = (NotifierRemoved, CbEntered, RcuSyncBegun, UnregisterDone)
    assert play(scene).names(*kinds) == ["CbEntered", "NotifierRemoved", "RcuSyncBegun", "UnregisterDone"]
    old = play(scene, profile=OLD_ORDER)
    assert old.names(*kinds) == ["NotifierRemoved", "CbEntered", "RcuSyncBegun", "UnregisterDone"]


def test_release_at_exit_empties_the_list_in_either_order() -> None:
    async def scene(host: Host) -> None:
        mm = Mm(host, "mm0")
        for name in ("one", "two"):
            await mmu_notifier_register(mm, Listener(name))
        await mmu_notifier_release(mm)
        assert mm.mmu_notifier_mm is not None
        assert len(mm.mmu_notifier_mm) == 0

    def order(profile: Profile) -> list[str]:
        run = play(scene, profile=profile)
        seen = [event for event in run.events if isinstance(event, CbEntered | NotifierRemoved)]
        return [f"{'call' if isinstance(event, CbEntered) else 'unlink'} {event.mmu}" for event in seen]

    assert order(Profile()) == ["call two", "call one", "unlink two", "unlink one"]
    assert order(OLD_ORDER) == ["unlink two", "call two", "unlink one", "call one"]


@pytest.mark.parametrize("profile", [Profile(), OLD_ORDER])
def test_unregister_after_exit_does_not_release_again(profile: Profile) -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        one = Listener()
        await mm.register(one)
        await mm.exit()
        await mm.unregister(one)

    assert [call.callback for call in play(scene, profile=profile).of(CbEntered)] == ["release"]


def test_a_second_unregister_hits_poison_in_the_order_of_2008() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        one = Listener()
        await mm.register(one)
        await mm.unregister(one)
        await mm.unregister(one)

    assert [bug.where for bug in play(scene, profile=OLD_ORDER).of(BugHit)] == ["mmu_notifier_unregister"]


def test_unregister_of_one_who_never_registered_is_a_bug() -> None:
    async def scene(host: Host) -> None:
        await mmu_notifier_unregister(host.new_mm(), Listener())

    assert [bug.where for bug in play(scene).of(BugHit)] == ["mmu_notifier_unregister"]


def test_registration_with_a_dying_mm_is_a_bug() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        await mm.mmgrab()
        await mm.exit()
        await mm.register(Listener())

    assert {bug.where for bug in play(scene).of(BugHit)} == {"mmu_notifier_register"}


class Slow(Listener):
    """A driver whose start takes a while, so that others can come in between."""

    async def invalidate_range_start(self, mm: MmStruct, range: Any) -> None:
        for _ in range_of(5):
            await mm.host.machine.step()
        await super().invalidate_range_start(mm, range)


def range_of(n: int) -> list[int]:
    """`range` is a parameter's name in callbacks."""
    return list(range(n))


async def _unregister_during_a_walk(host: Host) -> None:
    mm = host.new_mm()
    one = Slow()
    await mm.register(one)

    async def window() -> None:
        opened = await mmu_notifier_invalidate_range_start(mm, va(0), va(1), "R2")
        await mmu_notifier_invalidate_range_end(mm, opened)

    async with host.together() as tasks:
        tasks.start(window, name="window")
        tasks.start(mm.unregister, one, name="leaver")


@pytest.mark.parametrize("step", range(40))
def test_unregister_returns_only_when_no_callback_runs(step: int) -> None:
    run = play(_unregister_during_a_walk, decide=Prefer("leaver", step))
    done = run.events.index(run.of(UnregisterDone)[0])
    assert not [event for event in run.events[done:] if isinstance(event, CbEntered)]


def test_without_the_grace_period_a_callback_runs_after_unregister() -> None:
    def late(step: int) -> bool:
        run = play(_unregister_during_a_walk, mutants=["unregister-without-synchronize"], decide=Prefer("leaver", step))
        done = run.events.index(run.of(UnregisterDone)[0])
        return any(type(event).__name__ == "CbLeft" for event in run.events[done:])

    assert any(late(step) for step in range(40))


async def _walk_while_registering(host: Host) -> None:
    mm = host.new_mm()
    await mm.mmap(1)

    async def page() -> None:
        await mmu_notifier_invalidate_page(mm, va(0))

    async with host.together() as tasks:
        tasks.start(mm.register, Listener(), name="driver")
        tasks.start(page, name="walker")


def test_a_walker_without_any_lock_can_see_a_half_made_list() -> None:
    runs = [play(_walk_while_registering, decide=Prefer("walker", step)) for step in range(60)]
    assert {walk.ready for run in runs for walk in run.of(WalkBegun)} == {True, False}


def test_a_walker_goes_on_from_a_node_that_was_unlinked_under_it() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        one, two = Listener("one"), Listener("two")
        await mm.register(one)
        await mm.register(two)
        assert mm.mmu_notifier_mm is not None
        walk = mm.mmu_notifier_mm.walk()
        assert next(walk).mn is two
        mm.mmu_notifier_mm.unlink(mm.mmu_notifier_mm.nodes[two])
        assert next(walk).mn is one
        assert [node.mn for node in mm.mmu_notifier_mm.walk()] == [one]

    play(scene)


def test_registrations_of_one_mm_share_the_structure() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        async with host.together() as tasks:
            for name in ("one", "two", "three"):
                tasks.start(mm.register, Listener(name), name=name)
        assert isinstance(mm.mmu_notifier_mm, MmuNotifierMm)
        assert len(mm.mmu_notifier_mm) == 3
        assert mm.mm_count == 4

    for step in range(0, 40, 3):
        play(scene, decide=Prefer("three", step))


def test_a_struct_that_goes_with_a_notifier_on_its_list_is_a_bug() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        await mm.register(Listener())
        await mm.exit()

    run = play(scene, mutants=["register-skips-mm-count", "exit-skips-release"])
    assert [bug.where for bug in run.of(BugHit)] == ["mmu_notifier_mm_destroy"]
    assert [freed.notifiers_left for freed in run.of(MmFreed)] == [1]


def test_the_base_class_does_nothing() -> None:
    class Deaf(MmuNotifier):
        name = "deaf"

    async def scene(host: Host) -> None:
        mm = host.new_mm()
        deaf = Deaf()
        await mm.register(deaf)
        window = Range(va(0), va(1), "win")
        await deaf.invalidate_range_start(mm, window)
        await deaf.invalidate_range_end(mm, window)
        await deaf.change_pte(mm, va(0), host.memory.zero_page, write=False)
        assert not await mmu_notifier_clear_flush_young(mm, va(0))
        await mmu_notifier_invalidate_page(mm, va(0))
        await mm.unregister(deaf)

    for preset in PRESETS.values():
        # A young callback that is absent is not called; the others are no worse for it.
        assert [call.callback for call in play(scene, profile=preset).of(CbEntered)] == ["page", "release"]
