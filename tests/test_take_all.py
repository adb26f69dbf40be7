"""mm_take_all_locks holds every lock of the mm once, or nothing."""

import errno

import pytest

from notifierlab.events import (
    BugHit,
    LockAcquired,
    LockReleased,
    TagCleared,
    TagSet,
    TakeAllDone,
    TakeAllDropped,
    TakeAllInterrupted,
)
from notifierlab.host import Host
from notifierlab.mm.mm import Mm
from notifierlab.mm.profile import Profile
from notifierlab.mm.take_all import mm_drop_all_locks, mm_take_all_locks
from tests.scene import play, Prefer, Run

FOUNDING = Profile(single_pass_take_all=True)


async def _family(host: Host) -> Mm:
    """Four vmas: two of one file, the first with an anon_vma, and two that share another."""
    mm = host.new_mm()
    file = host.new_file(8)
    private = await mm.mmap(2, file=file)
    shared = await mm.mmap(2, file=file, shared=True)
    fresh = await mm.mmap(2)
    for area in (shared, private, fresh):
        await mm.write(area.start)
    # The split makes two vmas with one anon_vma.
    await mm.mprotect(fresh.start, fresh.pages[1], writable=False)
    assert len(mm.vmas) == 4
    return mm


async def _take_and_drop(host: Host) -> None:
    mm = await _family(host)
    await mm.mmap_sem.acquire_write()
    if await mm_take_all_locks(mm) == 0:
        locks = [vma.file.i_mmap_lock for vma in mm.vmas if vma.file is not None]
        locks += [vma.anon_vma.lock for vma in mm.vmas if vma.anon_vma is not None]
        assert all(lock.held_by_current() for lock in locks)
        await mm_drop_all_locks(mm)
    for vma in mm.vmas:
        if vma.file is not None:
            assert vma.file.i_mmap_lock.is_free()
            assert not vma.file.all_locks
        if vma.anon_vma is not None:
            assert vma.anon_vma.lock.is_free()
            assert not vma.anon_vma.tagged
    assert host.mm_all_locks_mutex.is_free()
    await mm.mmap_sem.release_write()


def _nested(run: Run) -> list[str]:
    return [event.cls for event in run.of(LockAcquired) if event.how == "nest"]


def test_each_lock_is_taken_once_files_first() -> None:
    run = play(_take_and_drop)
    assert _nested(run) == ["i_mmap_lock", "anon_vma_lock", "anon_vma_lock"]
    assert len(run.of(TagSet)) == len(run.of(TagCleared)) == 3
    assert run.names(TakeAllDone, TakeAllDropped) == ["TakeAllDone", "TakeAllDropped"]


def test_the_founding_commit_takes_an_anon_vma_before_a_file() -> None:
    assert _nested(play(_take_and_drop, profile=FOUNDING)) == ["anon_vma_lock", "i_mmap_lock", "anon_vma_lock"]


def test_a_files_tag_stands_around_its_lock_and_an_anon_vmas_inside() -> None:
    classes = ("i_mmap_lock", "anon_vma_lock")
    events = play(_take_and_drop).events
    kinds = TagSet | TagCleared | LockAcquired | LockReleased
    seen = [
        (type(event).__name__, event.lock)
        for event in events
        if isinstance(event, kinds) and getattr(event, "cls", classes[0]) in classes
    ]
    first = next(i for i, (what, _) in enumerate(seen) if what == "TagSet")
    file = seen[first][1]
    anon = next(lock for what, lock in seen[first:] if what == "LockAcquired" and lock != file)
    of = {lock: [what for what, name in seen[first:] if name == lock] for lock in (file, anon)}
    assert of[file] == ["TagSet", "LockAcquired", "LockReleased", "TagCleared"]
    assert of[anon] == ["LockAcquired", "TagSet", "TagCleared", "LockReleased"]


@pytest.mark.parametrize("when", range(8))
def test_a_signal_before_any_vma_of_any_pass_unwinds_everything(when: int) -> None:
    run = play(_take_and_drop, answers={"signal-pending": [False] * when + [True]})
    assert len(run.of(TakeAllInterrupted)) == 1
    assert not run.of(TakeAllDone)


def test_a_signal_after_the_last_look_is_too_late() -> None:
    assert play(_take_and_drop, answers={"signal-pending": [False] * 8 + [True]}).of(TakeAllDone)


def test_an_empty_mm_cannot_be_interrupted() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        await mm.mmap_sem.acquire_write()
        assert await mm_take_all_locks(mm) == 0
        await mm_drop_all_locks(mm)
        await mm.mmap_sem.release_write()

    play(scene, answers={"signal-pending": [True]})


def test_without_mmap_sem_for_write_it_is_a_bug_and_goes_on() -> None:
    async def scene(host: Host) -> None:
        mm = await _family(host)
        async with mm.mmap_sem.read():
            assert await mm_take_all_locks(mm) == 0
            await mm_drop_all_locks(mm)

    assert [bug.where for bug in play(scene).of(BugHit)] == ["mm_take_all_locks", "mm_drop_all_locks"]


def test_forgotten_tags_and_locks_stay() -> None:
    async def scene(host: Host) -> None:
        mm = await _family(host)
        await mm.mmap_sem.acquire_write()
        assert await mm_take_all_locks(mm) == -errno.EINTR
        file, anon_vma = mm.vmas[0].file, mm.vmas[-1].anon_vma
        assert file is not None
        assert anon_vma is not None
        assert file.all_locks == host.mutated("unwind-forgets-tags")
        assert file.i_mmap_lock.is_free() == host.mutated("unwind-forgets-tags")
        await mm.mmap_sem.release_write()

    for mutant in ("unwind-forgets-tags", "unwind-forgets-locks"):
        run = play(scene, answers={"signal-pending": [False] * 7 + [True]}, mutants=[mutant])
        assert not run.of(BugHit)


@pytest.mark.parametrize(
    ("mutant", "nested"),
    [
        ("no-take-all-locks", []),
        ("no-i-mmap-phase", ["anon_vma_lock", "anon_vma_lock"]),
        ("no-anon-vma-phase", ["i_mmap_lock"]),
    ],
)
def test_mutants_leave_their_phase_out_and_still_claim_success(mutant: str, nested: list[str]) -> None:
    async def scene(host: Host) -> None:
        mm = await _family(host)
        await mm.mmap_sem.acquire_write()
        assert await mm_take_all_locks(mm) == 0
        await mm_drop_all_locks(mm)
        await mm.mmap_sem.release_write()

    run = play(scene, mutants=[mutant])
    assert _nested(run) == nested
    assert run.of(TakeAllDone)


def test_without_the_tag_test_the_second_visit_waits_for_itself() -> None:
    with pytest.raises(AssertionError, match="deadlock"):
        play(_take_and_drop, mutants=["no-tag-test"])


def test_two_mms_that_share_everything_take_turns() -> None:
    async def scene(host: Host) -> None:
        parent = await _family(host)
        child = await parent.fork()

        async def take(mm: Mm) -> None:
            async with mm.mmap_sem.write():
                assert await mm_take_all_locks(mm) == 0
                assert all(vma.file is None or vma.file.i_mmap_lock.held_by_current() for vma in mm.vmas)
                await mm_drop_all_locks(mm)

        async with host.together() as tasks:
            tasks.start(take, parent, name="parent")
            tasks.start(take, child, name="child")

    for step in range(150, 400, 5):
        run = play(scene, decide=Prefer("child", step))
        assert not run.of(BugHit)


async def _abba(host: Host) -> None:
    """K 2.6: a registration on the parent against an mprotect in the child."""
    parent = host.new_mm()
    area = await parent.mmap(2, file=host.new_file(2))
    await parent.write(area.start)
    child = await parent.fork()

    async def take() -> None:
        async with parent.mmap_sem.write():
            assert await mm_take_all_locks(parent) == 0
            await mm_drop_all_locks(parent)

    async def protect() -> None:
        await child.mprotect(area.start, area.pages[1], writable=False)

    async with host.together() as tasks:
        tasks.start(take, name="taker")
        tasks.start(protect, name="child")


def _deadlocks(profile: Profile, step: int) -> bool:
    try:
        play(_abba, profile=profile, decide=Prefer("child", step))
    except AssertionError as error:
        assert "deadlock" in str(error)
        return True
    return False


def test_the_single_pass_deadlocks_against_vma_adjust_in_a_relative_and_two_passes_do_not() -> None:
    steps = range(40, 200)
    assert any(_deadlocks(FOUNDING, step) for step in steps)
    assert not any(_deadlocks(Profile(), step) for step in steps)
