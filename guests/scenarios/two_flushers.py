"""Two flushers, and a guest that both must interrupt (K 4.7)."""

from guests.programs import touch
from guests.scene import boot, fill
from notifierlab import Host, PAGE_SIZE, Va


async def two_flushers(host: Host) -> None:
    """Two tasks give back a page each while a guest reads the second.

    The one that finds the vCPU's request bit set must not return before the one who set
    it has sent the interrupt.
    """
    mm = host.new_mm()
    area = await mm.mmap(2)
    contents = await fill(mm, list(area.pages))
    second = Va(area.start + PAGE_SIZE)
    vm = host.driver("kvm")(mm)
    if await boot(vm, area.start, 2):
        vcpu = vm.vcpus[0]
        await vcpu.run(touch, area.start, 2, contents=contents)
        async with host.together() as tasks:
            tasks.start(vcpu.run, touch, second, contents=contents[1:], may_vanish=True, name=vcpu.name)
            tasks.start(mm.madvise_dontneed, area.start, second, name="flusher0")
            tasks.start(mm.madvise_dontneed, second, area.end, name="flusher1")
        await vm.close()
    await mm.exit()
