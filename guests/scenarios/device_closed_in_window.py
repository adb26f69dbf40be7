"""A device is closed in the middle of a window (K 1.5, K 4.8f): it hears a start, and never an end."""

from guests.device import closed, ended, new_device, opened, units
from guests.programs import touch
from guests.scene import fill
from notifierlab import Host, needs


@needs()
async def device_closed_in_window(host: Host, *, pages: int = 1, atomic: bool = False) -> None:
    """A device is closed, and its driver freed, while its process unmaps pages that it has mapped."""
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    device = new_device(host, mm, atomic=atomic)
    is_open = await opened(host, device)
    if is_open:
        (unit,) = units(host, mm, device, 1)
        await unit.run(touch, area.start, pages, contents=contents)
    async with host.together() as tasks:
        tasks.start(mm.munmap, area.start, area.end, name="unmapper")
        if is_open:
            tasks.start(closed, host, device, name="closer")
    await mm.exit()
    ended(host, mm)
