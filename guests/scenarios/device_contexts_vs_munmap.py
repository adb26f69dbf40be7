"""A process unmaps pages that several processors of a device have cached (K 4.7)."""

from guests.device import closed, ended, new_device, opened, units
from guests.programs import touch
from guests.scene import fill
from notifierlab import Host, needs


@needs("contexts")
async def device_contexts_vs_munmap(host: Host, *, pages: int = 1, contexts: int = 2, atomic: bool = False) -> None:
    """Every processor of a device has the pages in its TLB when their process unmaps them; one reads on.

    Whoever unmaps must reach all of them, those that do nothing as well.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    device = new_device(host, mm, contexts=contexts, atomic=atomic)
    if await opened(host, device):
        processors = units(host, mm, device, contexts, always=False)
        for unit in processors:
            await unit.run(touch, area.start, pages, contents=contents)
        async with host.together() as tasks:
            tasks.start(mm.munmap, area.start, area.end, name="unmapper")
            for unit in processors[1:]:
                tasks.start(unit.run, touch, area.start, pages, contents=contents, name=unit.name)
        await closed(host, device)
    await mm.exit()
    ended(host, mm)
