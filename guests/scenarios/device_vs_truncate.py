"""A file is cut short while a device uses its pages (K 3.1 R3)."""

from guests.device import closed, ended, new_device, opened, units
from guests.programs import touch
from guests.scene import fill
from notifierlab import Host, needs


@needs()
async def device_vs_truncate(host: Host, *, pages: int = 1, shared: bool = False, atomic: bool = False) -> None:
    """A device reads pages of a file, or private copies of them, while the file is truncated.

    A truncate takes no mmap_sem, so its window may open and close in the midst of a
    look-up.
    """
    mm = host.new_mm()
    file = host.new_file(pages)
    area = await mm.mmap(pages, file=file, shared=shared)
    contents = await fill(mm, list(area.pages))
    device = new_device(host, mm, atomic=atomic)
    if await opened(host, device):
        (unit,) = units(host, mm, device, 1, always=False)
        async with host.together() as tasks:
            tasks.start(host.vmtruncate, file, 0, name="truncator")
            tasks.start(unit.run, touch, area.start, pages, contents=contents, name=unit.name)
        await closed(host, device)
    await mm.exit()
    ended(host, mm)
