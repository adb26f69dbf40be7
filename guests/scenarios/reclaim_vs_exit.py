"""Reclaim finds a page of a process that is exiting (K 4.5): a hole until 2012."""

from guests.programs import touch
from guests.scene import boot, fill
from notifierlab import Host


async def reclaim_vs_exit(host: Host, *, pages: int = 1) -> None:
    """A process with a VM exits while the host reclaims the pages that its guest has mapped.

    Where the notifier leaves the list before it is released, reclaim takes a page away in
    between and tells nobody.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    vm = host.driver("kvm")(mm)

    async def reclaim() -> None:
        for va in area.pages:
            await host.reclaim(mm, va)

    if await boot(vm, area.start, pages):
        await vm.vcpus[0].run(touch, area.start, pages, contents=contents)
        # The guest's use was the last: reclaim takes a page only when it finds it old.
        await reclaim()
        async with host.together() as tasks:
            tasks.start(mm.exit, name="exit")
            tasks.start(reclaim, name="kswapd")
        await vm.close()
    else:
        await mm.exit()
