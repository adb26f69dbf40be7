"""Two notifiers for one page: the second finds no entry, and believes the TLBs (K 4.6)."""

from guests.programs import touch
from guests.scene import boot, fill
from notifierlab import Host


async def flush_skip(host: Host) -> None:
    """One task gives a page back, another reclaims it, a guest has it in its TLB.

    Who removes the entry must flush before the other can find it gone.
    """
    mm = host.new_mm()
    area = await mm.mmap(1)
    contents = await fill(mm, list(area.pages))
    vm = host.driver("kvm")(mm)

    async def reclaim() -> None:
        # The first try finds it used.
        await host.reclaim(mm, area.start)
        await host.reclaim(mm, area.start)

    if await boot(vm, area.start, 1):
        vcpu = vm.vcpus[0]
        await vcpu.run(touch, area.start, contents=contents)
        # It grows old; then the guest uses it again, and has it in its TLB.
        await host.reclaim(mm, area.start)
        await vcpu.run(touch, area.start, contents=contents)
        async with host.together() as tasks:
            tasks.start(mm.madvise_dontneed, area.start, area.end, name="madviser")
            tasks.start(reclaim, name="kswapd")
            tasks.start(vcpu.run, touch, area.start, contents=contents, may_vanish=True, name=vcpu.name)
        await vm.close()
    await mm.exit()
