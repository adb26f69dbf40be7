"""A copy-on-write takes the old page away from a device that reads it (K 3.2 P6, K 4.8l)."""

from guests.device import closed, ended, new_device, opened, units
from guests.programs import touch
from guests.scene import fill
from notifierlab import Content, Host, needs


@needs()
async def device_vs_cow(host: Host, *, pages: int = 1, atomic: bool = False) -> None:
    """A process that shares its pages with a child writes to them while a device reads them.

    The first to write gets a copy; a device that still reads the old page misses what
    the process wrote, and once the child is gone as well, reads a free page.
    """
    parent = host.new_mm("parent")
    area = await parent.mmap(pages)
    contents = await fill(parent, list(area.pages))
    child = await parent.fork("child")
    device = new_device(host, parent, atomic=atomic)
    new: list[Content] = []

    async def write() -> None:
        new.extend(await fill(parent, list(area.pages)))
        await child.exit()

    if await opened(host, device):
        (unit,) = units(host, parent, device, 1)
        await unit.run(touch, area.start, pages, contents=contents)
        async with host.together() as tasks:
            tasks.start(write, name="writer")
            tasks.start(unit.run, touch, area.start, pages, name=unit.name)
        await unit.run(touch, area.start, pages, contents=new)
        await closed(host, device)
    else:
        await child.exit()
    await parent.exit()
    ended(host, parent)
