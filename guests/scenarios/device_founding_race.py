"""A driver registers while memory is taken away: why registration takes every lock (K 4.1)."""

from guests.device import closed, ended, new_device, opened, units
from guests.programs import touch
from guests.scene import fill
from notifierlab import Host, needs


@needs()
async def device_founding_race(host: Host, *, pages: int = 1, atomic: bool = False) -> None:
    """A device is opened and used while a file of its process is truncated.

    A registration that fails (a signal, no memory) leaves nothing behind: such a device
    is not used, and not closed.
    """
    mm = host.new_mm()
    file = host.new_file(pages)
    area = await mm.mmap(pages, file=file)
    contents = await fill(mm, list(area.pages))
    device = new_device(host, mm, atomic=atomic)
    running = []

    async def open_and_use() -> None:
        if await opened(host, device):
            running.append(device)
            (unit,) = units(host, mm, device, 1, always=False)
            await unit.run(touch, area.start, pages, contents=contents)

    async with host.together() as tasks:
        tasks.start(host.vmtruncate, file, 0, name="truncator")
        tasks.start(open_and_use, name="opener")
    for each in running:
        await closed(host, each)
    await mm.exit()
    ended(host, mm)
