"""Only a device uses a page: reclaim must find that out (K 3.5, K 8.4)."""

from guests.device import closed, ended, new_device, opened, reclaim_all, units
from guests.programs import touch
from guests.scene import fill
from notifierlab import Host, needs


@needs("young")
async def device_ageing(host: Host, *, pages: int = 1, tries: int = 2, atomic: bool = False) -> None:
    """The host asks again and again whether pages were used, while a device uses them."""
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    device = new_device(host, mm, atomic=atomic)

    async def age() -> None:
        await reclaim_all(host, mm, area.pages, tries=tries)

    if await opened(host, device):
        (unit,) = units(host, mm, device, 1)
        await unit.run(touch, area.start, pages, contents=contents)
        await reclaim_all(host, mm, area.pages)
        async with host.together() as tasks:
            tasks.start(unit.run, touch, area.start, pages, contents=contents, name=unit.name)
            tasks.start(age, name="kswapd")
        await unit.run(touch, area.start, pages, contents=contents)
        await closed(host, device)
    await mm.exit()
    ended(host, mm)
