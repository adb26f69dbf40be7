"""Two windows on the same page at the same time (K 1.3, K 4.8j)."""

from guests.device import closed, ended, new_device, opened, units
from guests.programs import touch
from guests.scene import fill
from notifierlab import Host, needs


@needs()
async def device_overlapping_windows(host: Host, *, pages: int = 1, windows: int = 2, atomic: bool = False) -> None:
    """Tasks give the same pages back at the same time while a device reads them.

    Nothing may be mapped until the last of the windows is closed; and a window may close
    while another is open on pages that are still there.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    device = new_device(host, mm, atomic=atomic)
    if await opened(host, device):
        (unit,) = units(host, mm, device, 1)
        async with host.together() as tasks:
            for n in range(windows):
                tasks.start(mm.madvise_dontneed, area.start, area.end, name=f"madviser{n}")
            tasks.start(unit.run, touch, area.start, pages, contents=contents, may_vanish=True, name=unit.name)
        await closed(host, device)
    await mm.exit()
    ended(host, mm)
