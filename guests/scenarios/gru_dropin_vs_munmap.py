"""A GRU is given translations while its process unmaps the pages (K 6.5)."""

from drivers.gru_hardware import Chiplet
from guests.programs import gather
from guests.scene import fill
from notifierlab import Host


async def gru_dropin_vs_munmap(
    host: Host, *, pages: int = 1, contexts: int = 1, interrupts: bool = True, reuse: bool = False
) -> None:
    """Contexts of a GRU gather from pages that their process unmaps.

    Without `interrupts` every miss waits for the user's call; `reuse` is as in
    kvm-fault-vs-munmap.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    chiplet = Chiplet(host, contexts=contexts)
    opened = [await host.driver("gru").open(mm, chiplet, interrupts=interrupts) for _ in range(contexts)]
    loaded = [context for context in opened if context is not None]

    async def unmap() -> None:
        await mm.munmap(area.start, area.end)
        if reuse:
            await fill(mm, list((await mm.mmap(pages, at=area.end)).pages))

    async with host.together() as tasks:
        tasks.start(unmap, name="unmapper")
        for context in loaded:
            tasks.start(context.run, gather, list(area.pages), contents, name=context.name)
    for context in loaded:
        await context.close()
    await mm.exit()
