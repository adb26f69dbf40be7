"""A process exits and leaves a GRU instruction running (K 6.6)."""

from drivers.gru_context import InFlight
from drivers.gru_hardware import Chiplet
from guests.programs import gather
from guests.scene import fill
from notifierlab import Host


async def gru_in_flight_vs_exit(host: Host, *, pages: int = 1) -> None:
    """Instructions of a GRU context run on while their process exits.

    They need no thread: a miss raises an interrupt, and the dying mm's mmap_sem is free.
    Only the release callback can stop them before the pages go.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    context = await host.driver("gru").open(mm, Chiplet(host))
    if context is None:
        await mm.exit()
        return
    # Loaded, with the first page in its TLB.
    await context.run(gather, [area.start], contents[:1])
    async with host.together() as tasks:
        tasks.start(mm.exit, name="exit")
        tasks.start(gather, InFlight(context), list(area.pages), contents, name="instruction")
    await context.close(exiting=True)
