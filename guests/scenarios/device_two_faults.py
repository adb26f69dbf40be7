"""Two processors of a device fault on the same page while it is reclaimed (K 4.4)."""

from guests.device import closed, ended, new_device, opened, reclaim_all, units
from guests.programs import touch
from guests.scene import fill
from notifierlab import Host, needs


@needs("contexts")
async def device_two_faults(host: Host, *, pages: int = 1, contexts: int = 2, atomic: bool = False) -> None:
    """Several processors of a device read pages for the first time while the host reclaims them.

    One of them installs what the other has looked up as well, before or after the page went.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    device = new_device(host, mm, contexts=contexts, atomic=atomic)

    async def reclaim() -> None:
        await reclaim_all(host, mm, area.pages, tries=2)

    if await opened(host, device):
        async with host.together() as tasks:
            tasks.start(reclaim, name="kswapd")
            for unit in units(host, mm, device, contexts):
                tasks.start(unit.run, touch, area.start, pages, contents=contents, name=unit.name)
        await closed(host, device)
    await mm.exit()
    ended(host, mm)
