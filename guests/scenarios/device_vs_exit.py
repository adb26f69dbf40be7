"""The device is closed and its process goes at the same time (K 1.5, K 4.8h)."""

from guests.device import closed, ended, new_device, opened, units
from guests.programs import touch
from guests.scene import fill
from notifierlab import Host, needs


@needs()
async def device_vs_exit(host: Host, *, pages: int = 1, atomic: bool = False) -> None:
    """A device is closed by one task while its process exits in another.

    Exactly one of them makes the release count; neither may go on before it has returned.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    device = new_device(host, mm, atomic=atomic)
    is_open = await opened(host, device)
    if is_open:
        (unit,) = units(host, mm, device, 1)
        await unit.run(touch, area.start, pages, contents=contents)
    async with host.together() as tasks:
        tasks.start(mm.exit, name="exit")
        if is_open:
            tasks.start(closed, host, device, name="closer")
    ended(host, mm)
