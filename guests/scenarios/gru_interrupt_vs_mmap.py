"""A GRU's miss raises an interrupt, which takes mmap_sem if it can (K 6.5)."""

from drivers.gru_context import InFlight
from drivers.gru_hardware import Chiplet
from guests.programs import gather
from guests.scene import fill
from notifierlab import Host


async def gru_interrupt_vs_mmap(host: Host, *, pages: int = 2) -> None:
    """An instruction without a thread misses pages that are there, once with nobody near, once while a mmap goes on.

    What needs no more than a look the interrupt must do by itself; and if it cannot have
    mmap_sem, it must not give it back.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    context = await host.driver("gru").open(mm, Chiplet(host))
    if context is not None:
        # Loaded, with the first page in its TLB.
        await context.run(gather, [area.start], contents, always=True)
        await gather(InFlight(context), list(area.pages), contents, always=True)
        await mm.madvise_dontneed(area.start, area.end)
        contents = await fill(mm, list(area.pages))
        async with host.together() as tasks:
            tasks.start(mm.mmap, 1, name="mapper")
            tasks.start(gather, InFlight(context), list(area.pages), contents, name="instruction")
        await context.close()
    await mm.exit()
