"""Reclaim takes a page away from under a guest that uses it (K 3.2 P1, K 4.4 f and g)."""

from guests.programs import chain, chase
from guests.scene import boot, fill
from notifierlab import Host


async def reclaim_vs_guest(host: Host, *, pages: int = 1, tries: int = 2, rounds: int = 1) -> None:
    """The host reclaims pages while a guest follows a chain of pointers through them.

    What was taken comes back from swap, and the chain must still lead where it led.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages), chain(pages, 1))
    vm = host.driver("kvm")(mm)

    async def reclaim() -> None:
        for _ in range(tries):
            for va in area.pages:
                await host.reclaim(mm, va)

    if await boot(vm, area.start, pages):
        async with host.together() as tasks:
            tasks.start(reclaim, name="kswapd")
            vcpu = vm.vcpus[0]
            tasks.start(vcpu.run, chase, area.start, contents, hops=rounds * pages, name=vcpu.name)
        await vm.vcpus[0].run(chase, area.start, contents, hops=pages)
        await vm.close()
    await mm.exit()
