"""Reclaim finds a page of a process that is exiting (K 4.5)."""

from guests.device import closed, ended, new_device, opened, reclaim_all, units
from guests.programs import touch
from guests.scene import fill
from notifierlab import Host, needs


@needs()
async def device_reclaim_vs_exit(host: Host, *, pages: int = 1, atomic: bool = False) -> None:
    """A process with a device exits while the host reclaims the pages that the device has mapped.

    The device is closed last: release alone makes it let go in time.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    device = new_device(host, mm, atomic=atomic)

    async def reclaim() -> None:
        await reclaim_all(host, mm, area.pages)

    if await opened(host, device):
        (unit,) = units(host, mm, device, 1)
        await unit.run(touch, area.start, pages, contents=contents)
        # The device's use was the last: reclaim takes a page only when it finds it old.
        await reclaim()
        async with host.together() as tasks:
            tasks.start(mm.exit, name="exit")
            tasks.start(reclaim, name="kswapd")
        await closed(host, device)
    else:
        await mm.exit()
    ended(host, mm)
