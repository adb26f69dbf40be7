"""A copy-on-write takes the old page away from a device that reads it (K 3.2 P6, K 4.8l)."""

from drivers.gru_hardware import Chiplet
from guests.programs import gather
from guests.scene import fill
from notifierlab import Content, Host


async def cow_vs_guest_read(host: Host, *, pages: int = 1) -> None:
    """A process that shares its pages with a child writes to them while a GRU context reads them.

    The first to write gets a copy; a device that still reads the old page misses what
    the process wrote, and once the child is gone as well, reads a free page.
    """
    parent = host.new_mm("parent")
    area = await parent.mmap(pages)
    await fill(parent, list(area.pages))
    child = await parent.fork("child")
    context = await host.driver("gru").open(parent, Chiplet(host), interrupts=False)
    new: list[Content] = []

    async def write() -> None:
        new.extend(await fill(parent, list(area.pages)))
        await child.exit()

    async with host.together() as tasks:
        tasks.start(write, name="writer")
        if context is not None:
            tasks.start(context.run, gather, list(area.pages), name=context.name)
    if context is not None:
        await context.run(gather, list(area.pages), new)
        await context.close()
    await parent.exit()
