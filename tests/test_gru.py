"""GRU: drop-ins, what voids them, ASIDs, and contexts that come, go and are stolen."""

import pytest

from drivers.gru import GruMmu
from drivers.gru_context import Dropin, GruContext, InFlight
from drivers.gru_hardware import ASID_FIRST, Cch, Chiplet
from guests.scene import fill
from notifierlab import Host, Mm, PAGE_SIZE, Va
from notifierlab.events import (
    BugHit,
    DriverFreed,
    DropinIgnored,
    NotifierAdded,
    NotifierRemoved,
    PageGot,
    QueueWaited,
    TaskStarted,
    TlbDropped,
    TlbFilled,
    WindowOpened,
)
from notifierlab.explore.dpor import Dpor
from notifierlab.explore.run import run_once
from notifierlab.mm.profile import Profile
from notifierlab.request import Request
from tests.scene import play, Prefer


async def open_context(mm: Mm, chiplet: Chiplet, *, interrupts: bool = False) -> GruContext:
    context = await GruMmu.open(mm, chiplet, interrupts=interrupts)
    assert context is not None
    return context


@pytest.mark.parametrize("interrupts", [True, False])
def test_a_context_sees_what_its_process_wrote_and_the_other_way_round(interrupts: bool) -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1)
        (content,) = await fill(mm, list(area.pages))
        context = await open_context(mm, Chiplet(host), interrupts=interrupts)
        assert await context.read(area.start) == content
        written = await context.write(area.start, 7)
        assert await mm.read(area.start) == written

    play(scene)


def test_a_context_has_no_memory_where_its_process_has_none() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1)
        context = await open_context(mm, Chiplet(host))
        assert await context.read(Va(area.end + PAGE_SIZE)) is None

    play(scene)


@pytest.mark.slow
@pytest.mark.interleave(bound=1)
async def test_a_context_reads_nothing_that_its_process_gave_up(host: Host, mm: Mm, gru: GruMmu) -> None:
    area = await mm.mmap(1)
    await fill(mm, list(area.pages))
    if await mm.register(gru):
        return
    context = await gru.add_context(interrupts=True)
    async with host.together() as tasks:
        tasks.start(mm.munmap, area.start, area.end, name="unmapper")
        tasks.start(context.read, area.start, name="context")
    assert await context.read(area.start) is None
    await context.close()
    await mm.exit()


def test_no_page_reference_outlives_a_drop_in() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1)
        context = await open_context(mm, Chiplet(host))
        # Untouched: only the look-up that sleeps finds a page, by making one.
        assert await context.write(area.start, 1) is not None
        assert context.tlb.entries[area.start].page.refs == 1

    assert "gru0.mm0" in [event.holder for event in play(scene).of(PageGot)]


def test_contexts_of_one_mm_share_one_registration() -> None:
    async def scene(host: Host) -> None:
        mm, chiplet = host.new_mm(), Chiplet(host)
        first = await open_context(mm, chiplet)
        second = await open_context(mm, chiplet)
        assert first.gms is second.gms
        await first.close()
        assert await mm.find_notifier(GruMmu) is first.gms
        await second.close()
        assert await mm.find_notifier(GruMmu) is None

    run = play(scene)
    assert len(run.of(NotifierAdded)) == len(run.of(NotifierRemoved)) == len(run.of(DriverFreed)) == 1


def test_a_failed_registration_gives_no_context() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        assert await GruMmu.open(mm, Chiplet(host)) is None
        assert mm.mmap_sem.is_free()

    assert len(play(scene, answers={"enomem": [True]}).of(DriverFreed)) == 1


def test_the_2_6_27_driver_ignores_that_its_registration_failed() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        assert await GruMmu.open(mm, Chiplet(host)) is not None

    run = play(scene, profile=Profile(gru_ignores_register_error=True), answers={"enomem": [True]})
    assert not run.of(NotifierAdded)


def test_an_unmap_takes_translations_out_of_every_context() -> None:
    async def scene(host: Host) -> None:
        mm, chiplet = host.new_mm(), Chiplet(host)
        area = await mm.mmap(2)
        await fill(mm, list(area.pages))
        contexts = [await open_context(mm, chiplet) for _ in range(2)]
        for context in contexts:
            for va in area.pages:
                await context.read(va)
        await mm.madvise_dontneed(area.start, Va(area.start + PAGE_SIZE))
        for context in contexts:
            assert list(context.tlb.entries) == [area.start + PAGE_SIZE]
        assert contexts[0].gms.ms_range_active.peek() == 0

    play(scene)


def test_an_invalidate_voids_the_drop_in_that_it_overtakes() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1)
        await fill(mm, list(area.pages))
        context = await open_context(mm, Chiplet(host))
        async with host.together() as tasks:
            tasks.start(context.read, area.start, name="context")
            tasks.start(mm.madvise_dontneed, area.start, area.end, name="madviser")

    ignored = [len(play(scene, decide=Prefer("madviser", step)).of(DropinIgnored)) for step in range(120)]
    assert 0 in ignored
    assert 1 in ignored


def test_a_user_waits_while_a_window_is_open() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1)
        await fill(mm, list(area.pages))
        context = await open_context(mm, Chiplet(host))
        gms = context.gms
        await gms.ms_range_active.add(1)

        async def close_window() -> None:
            assert not context.tlb.entries
            await gms.ms_range_active.add(-1)
            await gms.wake_waiters()

        async with host.together() as tasks:
            tasks.start(context.read, area.start, name="context")
            tasks.start(close_window, name="window")
        assert context.tlb.entries

    run = play(scene)
    assert len(run.of(QueueWaited)) == 1


def test_an_interrupt_gives_up_where_it_would_have_to_wait() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1)
        context = await open_context(mm, Chiplet(host))
        await context.read(area.start)
        gms = context.gms
        other = Va(area.end)
        async with mm.mmap_sem.write():
            assert await gms.interrupt(context, area.start, write=False) is Dropin.ASLEEP
        assert await gms.interrupt(context, other, write=False) is Dropin.ASLEEP
        await gms.ms_range_active.add(1)
        assert await gms.interrupt(context, area.start, write=False) is Dropin.RETRY

    play(scene)


def test_misses_are_resolved_in_interrupt_context() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(2)
        await fill(mm, list(area.pages))
        context = await open_context(mm, Chiplet(host), interrupts=True)
        for va in area.pages:
            await context.read(va)

    contexts = [event.context for event in play(scene).of(TaskStarted)]
    assert contexts == ["process", "interrupt", "interrupt"]


def test_release_leaves_nothing_that_an_instruction_could_use() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1)
        await fill(mm, list(area.pages))
        context = await open_context(mm, Chiplet(host))
        await context.read(area.start)
        await context.gms.release(mm)
        assert not context.tlb.entries
        assert await InFlight(context).read(area.start) is None

    play(scene)


def test_the_2_6_27_driver_uses_its_translations_after_release() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1)
        await fill(mm, list(area.pages))
        context = await open_context(mm, Chiplet(host))
        await context.read(area.start)
        await mm.exit()
        assert await InFlight(context).read(area.start) is not None

    play(scene, profile=Profile(gru_release_without_flush=True))


@pytest.mark.parametrize(("skips", "pins"), [(False, 0), (True, 1)])
def test_a_context_closed_after_exit_gives_the_registration_back(skips: bool, pins: int) -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        context = await open_context(mm, Chiplet(host))
        await mm.exit()
        await context.close(exiting=True)
        assert mm.mm_count == pins

    play(scene, profile=Profile(gru_skips_unregister=skips))


def test_a_stolen_context_is_loaded_again_with_its_translations() -> None:
    async def scene(host: Host) -> None:
        chiplet = Chiplet(host, contexts=1)
        mms = [host.new_mm(), host.new_mm()]
        areas = [await mm.mmap(1) for mm in mms]
        for mm, area in zip(mms, areas, strict=True):
            await fill(mm, list(area.pages))
        victim, thief = [await open_context(mm, chiplet) for mm in mms]
        await victim.read(areas[0].start)
        asid = victim.cch.asid
        await thief.read(areas[1].start)
        assert thief.is_loaded()
        assert not victim.is_loaded()
        await victim.read(areas[0].start)
        assert victim.cch.asid == asid != thief.cch.asid

    run = play(scene)
    assert [event.site for event in run.of(WindowOpened)] == ["R5", "R5"]
    assert [event.cpu for event in run.of(TlbFilled)] == ["gru0.mm0.ctx0", "gru0.mm1.ctx0"]


def test_an_unmap_while_unloaded_costs_the_mm_its_asid() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1)
        await fill(mm, list(area.pages))
        context = await open_context(mm, Chiplet(host))
        await context.read(area.start)
        before = context.cch.asid
        async with context.ts_ctxlock:
            await context.unload(zap=False)
        await mm.madvise_dontneed(area.start, area.end)
        assert not context.tlb.entries
        await context.read(area.start)
        assert context.cch.asid not in (0, before)

    play(scene)


def test_asids_begin_anew_in_another_generation_and_skip_those_in_use() -> None:
    async def scene(host: Host) -> None:
        chiplet = Chiplet(host, contexts=3, asid_limit=4 * ASID_FIRST)
        mm = host.new_mm()
        area = await mm.mmap(1)
        await fill(mm, list(area.pages))
        context = await open_context(mm, chiplet)
        await context.read(area.start)
        assert context.cch.asid == ASID_FIRST
        given = [await chiplet.new_asid() for _ in range(3)]
        assert given == [(2 * ASID_FIRST, 1), (3 * ASID_FIRST, 1), (2 * ASID_FIRST, 2)]
        assert not context.tlb.entries

    assert len(play(scene).of(TlbDropped)) == 1


async def loaded_with_a_page(host: Host, chiplet: Chiplet) -> tuple[GruContext, Va]:
    mm = host.new_mm()
    area = await mm.mmap(1)
    await fill(mm, list(area.pages))
    context = await open_context(mm, chiplet)
    await context.read(area.start)
    return context, area.start


@pytest.mark.parametrize("purged", ["", "purge", "flush"])
def test_an_asid_that_is_given_again_matches_what_the_tlb_has_kept_under_it(purged: str) -> None:
    async def scene(host: Host) -> None:
        chiplet = Chiplet(host)
        context, va = await loaded_with_a_page(host, chiplet)
        other, _ = await loaded_with_a_page(host, chiplet)
        cch, asid = context.cch, context.cch.asid
        cch.stop()
        cch.retire()
        assert not context.tlb.entries
        if purged == "purge":
            await chiplet.purge(cch, asid, va, Va(va + PAGE_SIZE))
        elif purged == "flush":
            await cch.flush()
        page = other.tlb.entries[va].page
        chiplet.start(other.cch, asid)
        assert list(other.tlb.entries) == ([] if purged else [va])
        assert purged or other.tlb.entries[va].page is not page

    play(scene)


def test_instructions_whose_asid_is_taken_go_on_until_it_is_purged() -> None:
    async def scene(host: Host) -> None:
        chiplet = Chiplet(host)
        context, va = await loaded_with_a_page(host, chiplet)
        cch, asid = context.cch, context.cch.asid
        cch.retire()
        assert (await cch.read_tfh(va, write=False)).asid == 0
        assert list(context.tlb.entries) == [va]
        await chiplet.purge(cch, 0, va, Va(va + PAGE_SIZE))
        assert list(context.tlb.entries) == [va]
        await chiplet.purge(cch, asid, va, Va(va + PAGE_SIZE))
        assert not context.tlb.entries

    play(scene)


def test_a_context_that_is_given_back_twice_is_a_bug_that_is_reported() -> None:
    async def scene(host: Host) -> None:
        chiplet = Chiplet(host)
        context, _ = await loaded_with_a_page(host, chiplet)
        await chiplet.unassign(context)
        await chiplet.unassign(context)

    assert [event.where for event in play(scene).of(BugHit)] == ["gru_free_gru_context"]


def test_a_context_that_is_given_back_while_it_runs_is_a_bug_that_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(host: Host) -> None:
        context, _ = await loaded_with_a_page(host, Chiplet(host))
        monkeypatch.setattr(Cch, "stop", lambda _: None)
        async with context.gms.mm.mmap_sem.read(), context.ts_ctxlock:
            await context.unload()

    assert [event.where for event in play(scene).of(BugHit)] == ["gru_unload_context"]


def test_threads_wait_for_the_only_context() -> None:
    async def scene(host: Host) -> None:
        chiplet = Chiplet(host, contexts=1)
        mms = [host.new_mm() for _ in range(3)]
        areas = [await mm.mmap(2) for mm in mms]
        contexts = [await open_context(mm, chiplet) for mm in mms]

        async def use(n: int) -> None:
            for va in areas[n].pages:
                assert await contexts[n].write(va, n) is not None

        async with host.together() as tasks:
            for n in range(3):
                tasks.start(use, n, name=f"user{n}")

    for step in range(100, 300, 7):
        play(scene, decide=Prefer("user2", step))


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["gru-two-thieves", "gru-steal"])
def test_contexts_that_steal_from_each_other_all_get_their_turn(scenario: str) -> None:
    # Each could steal back what was stolen before anybody got something out of it, for ever.
    search, spec = Dpor(), Request(scenario=scenario).resolve()
    while search.new_run():
        assert run_once(spec, search).ended == "complete"
    assert search.proved


def turns(*contexts: GruContext) -> tuple[bool, ...]:
    """Return of each whether it has patience, and whether it is due."""
    return tuple(flag for context in contexts for flag in (context.is_patient, context.is_due))


def test_who_was_stolen_waits_until_the_thief_got_something_out_of_it() -> None:
    async def scene(host: Host) -> None:
        chiplet = Chiplet(host, contexts=1)
        mms = [host.new_mm() for _ in range(2)]
        areas = [await mm.mmap(1) for mm in mms]
        for mm, area in zip(mms, areas, strict=True):
            await fill(mm, list(area.pages))
        one, other = [await open_context(mm, chiplet) for mm in mms]
        await one.read(areas[0].start)
        assert turns(one) == (False, False)
        async with other.gms.mm.mmap_sem.read(), other.ts_ctxlock:
            assert await other.load()
        assert turns(one, other) == (True, False, False, True)
        async with one.gms.mm.mmap_sem.read(), one.ts_ctxlock:
            assert not await one.load()
        await other.read(areas[1].start)
        assert turns(other) == (False, False)
        await one.read(areas[0].start)
        assert turns(one, other) == (False, False, True, False)

    play(scene)
