"""A process takes the write permission of its memory away while a device writes (K 3.1 R8)."""

from guests.device import closed, ended, new_device, opened, units
from guests.programs import checksum
from guests.scene import fill
from notifierlab import Host, needs


@needs("writes")
async def device_vs_mprotect(host: Host, *, pages: int = 1, atomic: bool = False) -> None:
    """A device writes pages that its process makes read-only; what stands in them then stays.

    The look-up for writing finds no memory from then on.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    await fill(mm, list(area.pages))
    device = new_device(host, mm, atomic=atomic)

    async def protect() -> None:
        await mm.mprotect(area.start, area.end, writable=False)
        before = [await mm.read(va) for va in area.pages]
        for va, content in zip(area.pages, before, strict=True):
            got = await mm.read(va)
            assert content is not None
            assert got is not None
            unit.tlb.check(va, got, content)

    if await opened(host, device):
        (unit,) = units(host, mm, device, 1, always=False)
        await unit.run(checksum, area.start, pages)
        async with host.together() as tasks:
            tasks.start(protect, name="protector")
            tasks.start(unit.run, checksum, area.start, pages, name=unit.name)
        await closed(host, device)
    await mm.exit()
    ended(host, mm)
