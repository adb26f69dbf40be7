"""A device reads memory that nobody has touched, and then the process writes it (K 4.8q)."""

from guests.device import closed, ended, new_device, opened, units
from guests.programs import touch
from guests.scene import fill
from notifierlab import Host, needs, ZERO


@needs()
async def device_zero_page(host: Host, *, pages: int = 1, atomic: bool = False) -> None:
    """A device reads untouched pages; the process writes them; the device reads again.

    A look-up that answered with the zero page and left no pte is never told about the
    page that takes its place.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    device = new_device(host, mm, atomic=atomic)
    if await opened(host, device):
        (unit,) = units(host, mm, device, 1)
        await unit.run(touch, area.start, pages, contents=[ZERO] * pages)
        contents = await fill(mm, list(area.pages))
        await unit.run(touch, area.start, pages, contents=contents)
        await closed(host, device)
    await mm.exit()
    ended(host, mm)
