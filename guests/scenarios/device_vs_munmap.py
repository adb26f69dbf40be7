"""A process unmaps pages that a device uses (K 3.1 R1)."""

from guests.device import closed, ended, new_device, opened, units
from guests.programs import touch
from guests.scene import fill
from notifierlab import Host, needs


@needs(rounds=2, reuse=True)
async def device_vs_munmap(
    host: Host, *, pages: int = 1, rounds: int = 1, reuse: bool = False, atomic: bool = False
) -> None:
    """A device reads pages, `rounds` times each, that their process unmaps.

    With `reuse` the process maps fresh memory afterwards and writes to it, which takes
    the frames just freed: a device that still reaches them reads another's data.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    device = new_device(host, mm, atomic=atomic)

    async def unmap() -> None:
        await mm.munmap(area.start, area.end)
        if reuse:
            await fill(mm, list((await mm.mmap(pages, at=area.end)).pages))

    if await opened(host, device):
        (unit,) = units(host, mm, device, 1, always=False)
        async with host.together() as tasks:
            tasks.start(unmap, name="unmapper")
            tasks.start(unit.run, touch, area.start, pages, rounds=rounds, contents=contents, name=unit.name)
        await closed(host, device)
    await mm.exit()
    ended(host, mm)
