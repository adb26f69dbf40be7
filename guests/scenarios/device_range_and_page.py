"""A range and a single page of it are taken at the same time (K 1.3, K 4.6)."""

from guests.device import closed, ended, new_device, opened, reclaim_all, units
from guests.programs import touch
from guests.scene import fill
from notifierlab import Host, needs


@needs()
async def device_range_and_page(host: Host, *, atomic: bool = False) -> None:
    """One task gives a page back, another reclaims it, and a device has it in its TLB.

    Whoever removes the translation must have flushed before the other can find it gone.
    """
    mm = host.new_mm()
    area = await mm.mmap(1)
    contents = await fill(mm, list(area.pages))
    device = new_device(host, mm, atomic=atomic)

    async def reclaim() -> None:
        await reclaim_all(host, mm, area.pages, tries=2)

    if await opened(host, device):
        (unit,) = units(host, mm, device, 1)
        await unit.run(touch, area.start, contents=contents)
        # It grows old; then the device uses it again, and has it in its TLB.
        await reclaim_all(host, mm, area.pages)
        await unit.run(touch, area.start, contents=contents)
        async with host.together() as tasks:
            tasks.start(mm.madvise_dontneed, area.start, area.end, name="madviser")
            tasks.start(reclaim, name="kswapd")
            tasks.start(unit.run, touch, area.start, contents=contents, may_vanish=True, name=unit.name)
        await closed(host, device)
    await mm.exit()
    ended(host, mm)
