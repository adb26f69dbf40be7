"""A process exits and leaves its device running (K 6.6)."""

from guests.device import closed, ended, new_device, opened, outlives_process, units
from guests.programs import touch
from guests.scene import fill
from notifierlab import Host, needs


@needs("outlives_process")
async def device_in_flight_vs_exit(host: Host, *, pages: int = 1, atomic: bool = False) -> None:
    """Accesses of a device go on while its process exits: they need no thread of it.

    Only the release callback can stop them before the pages go; and a fault that is under
    way then must not bring anything back.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    device = new_device(host, mm, atomic=atomic)
    if await opened(host, device):
        (unit,) = units(host, mm, device, 1, always=False)
        # A device that needs a thread of the process is driven by one.
        run = unit.run_on if outlives_process(host) else unit.run
        async with host.together() as tasks:
            tasks.start(mm.exit, name="exit")
            tasks.start(run, touch, area.start, pages, rounds=2, contents=contents, name=unit.name)
        await closed(host, device)
    else:
        await mm.exit()
    ended(host, mm)
