"""A process opens one more GRU context while the host takes pages from the first (K 6.4, 6.7)."""

from drivers.gru_hardware import Chiplet
from guests.programs import gather
from guests.scene import fill
from notifierlab import Host


async def gru_open_vs_reclaim(host: Host, *, pages: int = 1) -> None:
    """A context has cached pages that the host reclaims, which needs no mmap_sem, while a second one is opened.

    Who purges goes through all contexts of the mm.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    chiplet = Chiplet(host)
    first = await host.driver("gru").open(mm, chiplet, interrupts=False)
    if first is not None:
        await first.run(gather, list(area.pages), contents, always=True)
        opened = []

        async def reclaim() -> None:
            # Two tries: the first finds the page young.
            for va in (*area.pages, *area.pages):
                await host.reclaim(mm, va)

        async def open_another() -> None:
            opened.append(await host.driver("gru").open(mm, chiplet, interrupts=False))

        async with host.together() as tasks:
            tasks.start(reclaim, name="kswapd")
            tasks.start(open_another, name="opener")
        for context in (first, *opened):
            if context is not None:
                await context.run(gather, list(area.pages), contents, always=True)
                await context.close()
    await mm.exit()
