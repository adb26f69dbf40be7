"""KVM: what a guest sees, what the host hears of it, and what a VM leaves behind."""

import errno

import pytest

from drivers.kvm import KvmMmu
from guests.programs import touch
from guests.scene import boot, fill
from notifierlab import Host, Mm, PAGE_SIZE, Range, Va
from notifierlab.events import (
    BugHit,
    CbEntered,
    CbLeft,
    DriverFreed,
    FaultRetried,
    PageDirtied,
    PageFreed,
    PageGot,
    PagePut,
    SpteCleared,
    SpteSet,
    TlbFlushBegun,
)
from notifierlab.explore.dpor import Dpor
from notifierlab.explore.run import run_once
from notifierlab.mm.profile import PRESETS, Profile
from notifierlab.request import Request
from tests.scene import play, Prefer

PINNED = Profile(kvm_pinned_sptes=True)


async def test_a_guest_sees_what_its_process_wrote_and_the_other_way_round(mm: Mm, kvm: KvmMmu) -> None:
    area = await mm.mmap(1)
    (content,) = await fill(mm, list(area.pages))
    assert await boot(kvm, area.start, 1)
    assert await kvm.vcpus[0].read(area.start) == content
    written = await kvm.vcpus[0].write(area.start, 7)
    assert await mm.read(area.start) == written
    assert written is not None
    assert written.value == 7


async def test_a_guest_has_no_memory_outside_its_slots(mm: Mm, kvm: KvmMmu) -> None:
    area = await mm.mmap(2)
    await fill(mm, list(area.pages))
    assert await boot(kvm, area.start, 1)
    assert await kvm.vcpus[0].read(area.start) is not None
    assert await kvm.vcpus[0].read(Va(area.start + PAGE_SIZE)) is None


@pytest.mark.interleave(bound=1)
async def test_a_guest_has_no_memory_where_its_process_has_none(host: Host, mm: Mm, kvm: KvmMmu) -> None:
    area = await mm.mmap(1)
    if not await boot(kvm, area.start, 1):
        return
    async with host.together() as tasks:
        tasks.start(mm.munmap, area.start, area.end, name="unmapper")
        tasks.start(kvm.vcpus[0].read, area.start, name="vcpu")
    assert await kvm.vcpus[0].read(area.start) is None


def test_a_second_fault_at_a_page_leaves_the_entry_that_stands() -> None:
    # A new one in its place would not know that the guest used the page.
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1)
        await fill(mm, list(area.pages))
        vm = KvmMmu(mm, vcpus=2)
        assert await boot(vm, area.start, 1)
        await vm.vcpus[0].read(area.start)
        spte = vm.sptes.entries[area.start]
        assert await vm.page_fault(area.start)
        assert vm.sptes.entries[area.start] is spte
        assert spte.accessed

    assert len(play(scene).of(SpteSet)) == 1


def test_two_vcpus_in_the_same_pages_differ_in_who_came_first_only() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(2)
        contents = await fill(mm, list(area.pages))
        vm = KvmMmu(mm, vcpus=2)
        if await boot(vm, area.start, 2):
            async with host.together() as guest:
                for vcpu in vm.vcpus:
                    guest.start(vcpu.run, touch, area.start, 2, contents=contents, name=vcpu.name)

    search, spec = Dpor(), Request(scenario="two vCPUs").around(scene)
    while search.new_run():
        assert not run_once(spec, search).violations
    # Who sets the accessed bit, and whose entry for the same page it is, makes no order: it were 439.
    assert (search.proved, search.traces) == (True, 55)


def test_an_unmap_takes_the_entry_away_before_the_page_is_freed() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1)
        await fill(mm, list(area.pages))
        vm = KvmMmu(mm)
        assert await boot(vm, area.start, 1)
        await vm.vcpus[0].read(area.start)
        await mm.munmap(area.start, area.end)
        assert vm.mmu_notifier_count == 0
        assert not vm.sptes.entries
        assert not vm.vcpus[0].tlb.entries

    run = play(scene)
    assert run.names(SpteSet, SpteCleared, PageFreed) == ["SpteSet", "SpteCleared", "PageFreed"]


@pytest.mark.parametrize(("profile", "held"), [(Profile(), 0), (PINNED, 1)])
def test_a_translation_holds_a_page_reference_only_when_pinned(profile: Profile, held: int) -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1)
        await fill(mm, list(area.pages))
        vm = KvmMmu(mm, vcpus=2)
        assert await boot(vm, area.start, 1)
        for vcpu in vm.vcpus:
            await vcpu.read(area.start)
        assert vm.sptes.entries[area.start].page.refs == 1 + held
        await vm.close()
        await mm.exit()

    run = play(scene, profile=profile)
    got = [event for event in run.of(PageGot) if event.holder == "kvm0"]
    put = [event for event in run.of(PagePut) if event.holder == "kvm0"]
    assert len(got) == len(put) > 0


@pytest.mark.parametrize(("choice", "result"), [("signal-pending", -errno.EINTR), ("enomem", -errno.ENOMEM)])
def test_a_vm_that_cannot_register_is_freed_and_says_why(choice: str, result: int) -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        await mm.mmap(1)
        vm = KvmMmu(mm)
        assert await vm.create() == result
        await mm.exit()

    run = play(scene, answers={choice: [True]})
    assert [event.mmu for event in run.of(DriverFreed)] == ["kvm0"]
    assert not run.of(CbEntered)


def test_the_last_descriptor_destroys_the_vm() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        vm = KvmMmu(mm)
        assert await vm.create() == 0
        assert await vm.get()
        await vm.close()
        assert mm.mm_count == 3  # the users, the registration, the VM's own
        await vm.put()
        assert mm.mm_count == 1

    assert len(play(scene).of(DriverFreed)) == 1


def test_release_drops_every_entry_and_flushes() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(2)
        vm = KvmMmu(mm)
        assert await boot(vm, area.start, 2)
        for va in area.pages:
            await vm.vcpus[0].write(va, 1)
        await mm.exit()
        assert not vm.sptes.entries
        assert not vm.vcpus[0].tlb.entries
        await vm.close()

    run = play(scene)
    releases = [event.step for event in run.of(CbLeft) if event.callback == "release"]
    assert all(event.step < releases[0] for event in run.of(SpteCleared))
    assert all(event.step > releases[0] for event in run.of(PageFreed))


def test_the_2_6_27_driver_keeps_its_entries_until_it_is_destroyed() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1)
        vm = KvmMmu(mm)
        assert await boot(vm, area.start, 1)
        await vm.vcpus[0].write(area.start, 1)
        await mm.exit()
        assert list(vm.sptes.entries) == [area.start]
        await vm.close()
        assert not vm.sptes.entries

    play(scene, profile=PRESETS["v2_6_27"])


def test_a_writable_entry_makes_the_page_dirty_when_it_goes() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        file = host.new_file(1)
        area = await mm.mmap(1, file=file, shared=True)
        vm = KvmMmu(mm)
        assert await boot(vm, area.start, 1)
        await vm.vcpus[0].write(area.start, 1)
        page = vm.sptes.entries[area.start].page
        page.dirty = False
        await mm.madvise_dontneed(area.start, area.end)
        assert page.dirty

    run = play(scene)
    assert "kvm0" in [event.by for event in run.of(PageDirtied)]


def test_ageing_says_once_that_the_guest_used_a_page() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1)
        vm = KvmMmu(mm)
        assert await boot(vm, area.start, 1)
        await vm.vcpus[0].read(area.start)
        assert await vm.clear_flush_young(mm, area.start)
        assert not await vm.clear_flush_young(mm, area.start)
        await vm.vcpus[0].read(area.start)
        assert await vm.clear_flush_young(mm, area.start)

    play(scene)


def test_with_ept_every_page_is_old() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1)
        vm = KvmMmu(mm)
        assert await boot(vm, area.start, 1)
        await vm.vcpus[0].read(area.start)
        assert not await vm.clear_flush_young(mm, area.start)

    play(scene, profile=Profile(kvm_ept_ageing=True))


def test_the_dirty_log_has_what_was_written_since_it_was_last_asked() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(3)
        vm = KvmMmu(mm)
        assert await vm.create() == 0
        await vm.create_slot(100, area.start, 3)
        first, second, _ = area.pages
        await vm.vcpus[0].write(first, 1)
        assert await vm.get_dirty_log() == (100,)
        assert await vm.get_dirty_log() == ()
        await vm.vcpus[0].read(first)
        assert await vm.get_dirty_log() == ()
        await vm.vcpus[0].write(first, 2)
        await vm.vcpus[0].write(second, 2)
        assert await vm.get_dirty_log() == (100, 101)

    play(scene)


def test_entries_go_with_their_slot() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1)
        vm = KvmMmu(mm)
        assert await boot(vm, area.start, 1)
        await vm.vcpus[0].read(area.start)
        await vm.delete_slot(area.start)
        assert not vm.sptes.entries
        assert await vm.vcpus[0].read(area.start) is None

    play(scene)


def test_a_fault_gives_up_when_a_window_meets_it() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1)
        await fill(mm, list(area.pages))
        vm = KvmMmu(mm)
        assert await boot(vm, area.start, 1)
        async with host.together() as tasks:
            tasks.start(vm.vcpus[0].read, area.start, name="vcpu")
            tasks.start(mm.madvise_dontneed, area.start, area.end, name="madviser")
        # Whatever it has mapped in the end stands.
        ptes = dict(mm.page_table.present())
        assert all(ptes[va].page is spte.page for va, spte in vm.sptes.entries.items())

    retries = [len(play(scene, decide=Prefer("madviser", step)).of(FaultRetried)) for step in range(60)]
    assert 0 in retries
    assert 1 in retries


def test_a_flush_waits_until_a_vcpu_has_left_guest_mode() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1)
        vm = KvmMmu(mm)
        assert await boot(vm, area.start, 1)
        vcpu = vm.vcpus[0]
        await vcpu.read(area.start)
        await vcpu.in_guest.set(True)

        async def leave() -> None:
            assert vcpu.tlb.entries, "nobody else empties the TLB of a running vCPU"
            await vcpu.leave_guest()

        async with host.together() as tasks:
            tasks.start(vm.flush_remote_tlbs, name="flusher")
            tasks.start(leave, name="vcpu")
        assert not vcpu.tlb.entries

    assert len(play(scene).of(TlbFlushBegun)) == 1


def test_a_vcpu_flushes_before_it_enters_again() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1)
        vm = KvmMmu(mm)
        assert await boot(vm, area.start, 1)
        vcpu = vm.vcpus[0]
        await vcpu.read(area.start)
        assert not await vcpu.request_flush()
        assert await vcpu.request_flush()
        assert not vcpu.tlb.entries
        await vcpu.read(area.start)
        assert not vcpu.flush_requested.peek()

    play(scene)


def test_change_pte_drops_the_entry() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1)
        vm = KvmMmu(mm)
        assert await boot(vm, area.start, 1)
        await vm.vcpus[0].read(area.start)
        page = vm.sptes.entries[area.start].page
        await vm.change_pte(mm, area.start, page, True)
        assert not vm.sptes.entries

    play(scene)


def test_an_end_without_a_start_is_a_bug() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        vm = KvmMmu(mm)
        await vm.invalidate_range_end(mm, Range(Va(0), Va(PAGE_SIZE), "win0.1"))

    (bug,) = play(scene).of(BugHit)
    assert bug.where == "kvm_mmu_notifier_invalidate_range_end"


def test_a_vcpu_does_not_run_when_the_process_is_gone() -> None:
    async def scene(host: Host) -> None:
        mm = host.new_mm()
        area = await mm.mmap(1)
        vm = KvmMmu(mm)
        assert await boot(vm, area.start, 1)
        await mm.exit()

        async def program(*_: object) -> None:
            raise AssertionError("the guest runs")

        await vm.vcpus[0].run(program)
        await vm.close()

    play(scene)
