"""A guest drops a translation that another vCPU still has (K 4.6, and 8.5: rmap without flush)."""

from guests.programs import touch
from guests.scene import boot, fill
from notifierlab import Host


async def invlpg_vs_reclaim(host: Host) -> None:
    """One vCPU invalidates a page of the guest while the host reclaims it and another vCPU reads it.

    Once the entry is gone no callback finds it, so whoever removed it must have flushed.
    """
    mm = host.new_mm()
    area = await mm.mmap(1)
    contents = await fill(mm, list(area.pages))
    vm = host.driver("kvm")(mm, vcpus=2)
    first, second = vm.vcpus

    async def reclaim() -> None:
        for _ in range(2):
            await host.reclaim(mm, area.start)

    if await boot(vm, area.start, 1):
        await second.run(touch, area.start, contents=contents)
        async with host.together() as tasks:
            tasks.start(first.invlpg, area.start, name=first.name)
            tasks.start(reclaim, name="kswapd")
            tasks.start(second.run, touch, area.start, contents=contents, name=second.name)
        await vm.close()
    await mm.exit()
