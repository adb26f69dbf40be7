"""A flush for the dirty log meets a flush for a page that goes (K 4.7)."""

from guests.programs import touch
from guests.scene import boot, fill
from notifierlab import Host


async def dirty_log_flush_vs_madvise(host: Host) -> None:
    """A VM's dirty log is read, and a page of it given back, while its guest reads that page.

    The log's flush holds no mmu_lock, so the two flushers overlap. Whoever finds the vCPU's
    request bit set must not return before the one who set it has sent the interrupt.
    """
    mm = host.new_mm()
    area = await mm.mmap(1)
    contents = await fill(mm, list(area.pages))
    vm = host.driver("kvm")(mm)
    if await boot(vm, area.start, 1):
        vcpu = vm.vcpus[0]
        await vcpu.run(touch, area.start, 1, contents=contents)
        async with host.together() as tasks:
            tasks.start(vcpu.run, touch, area.start, 1, contents=contents, may_vanish=True, name=vcpu.name)
            tasks.start(vm.get_dirty_log, name="monitor")
            tasks.start(mm.madvise_dontneed, area.start, area.end, name="madviser")
        await vm.close()
    await mm.exit()
