"""A pte gets another page, and the device is told which (K 1.2, since 2.6.32)."""

from guests.device import closed, ended, new_device, opened, units
from guests.programs import touch
from guests.scene import fill
from notifierlab import Content, Host, needs


@needs("change_pte", switches={"change_pte": True})
async def device_change_pte(host: Host, *, pages: int = 1, atomic: bool = False) -> None:
    """A process that shares its pages with a child writes to them; the device hears of it by change_pte.

    It must read the new page from then on, whether it re-points its translation or drops it.
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
