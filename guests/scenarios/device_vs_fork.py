"""A fork takes write permission away from a device that writes (K 3.1 R7)."""

from guests.device import closed, ended, new_device, opened, units
from guests.programs import checksum
from guests.scene import fill
from notifierlab import Host, needs


@needs("writes")
async def device_vs_fork(host: Host, *, pages: int = 1, atomic: bool = False) -> None:
    """A device writes pages that its process shares with a new child, and has them mapped for writing.

    The child must never see what the device wrote after the fork, and hears of nothing.
    """
    parent = host.new_mm("parent")
    area = await parent.mmap(pages)
    await fill(parent, list(area.pages))
    device = new_device(host, parent, atomic=atomic)

    async def fork() -> None:
        child = await parent.fork("child")
        before = [await child.read(va) for va in area.pages]
        # Each page is the child's own view: nothing that others write may show in it.
        again = [await child.read(va) for va in area.pages]
        for va, first, second in zip(area.pages, before, again, strict=True):
            assert first is not None
            assert second is not None
            unit.tlb.check(va, second, first)
        await child.exit()

    if await opened(host, device):
        (unit,) = units(host, parent, device, 1)
        await unit.run(checksum, area.start, pages)
        async with host.together() as tasks:
            tasks.start(fork, name="fork")
            tasks.start(unit.run, checksum, area.start, pages, name=unit.name)
        await closed(host, device)
    await parent.exit()
    ended(host, parent)
