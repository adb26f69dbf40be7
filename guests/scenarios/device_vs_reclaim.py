"""The host reclaims pages under a device (K 3.2 P1)."""

from guests.device import closed, ended, fill_chain, new_device, opened, reclaim_all, units
from guests.programs import chase
from notifierlab import Host, needs


@needs()
async def device_vs_reclaim(host: Host, *, pages: int = 1, tries: int = 2, atomic: bool = False) -> None:
    """The host takes pages away one by one while a device follows a chain of pointers through them.

    What was taken comes back from swap, and the chain must still lead where it led.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill_chain(mm, area.start, pages)
    device = new_device(host, mm, atomic=atomic)

    async def reclaim() -> None:
        await reclaim_all(host, mm, area.pages, tries=tries)

    if await opened(host, device):
        (unit,) = units(host, mm, device, 1)
        async with host.together() as tasks:
            tasks.start(reclaim, name="kswapd")
            tasks.start(unit.run, chase, area.start, contents, hops=pages, name=unit.name)
        await unit.run(chase, area.start, contents, hops=pages)
        await closed(host, device)
    await mm.exit()
    ended(host, mm)
