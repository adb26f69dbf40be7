"""A GRU's registration fails, and the process goes on (K 6.6)."""

from drivers.gru_hardware import Chiplet
from guests.programs import gather
from guests.scene import fill
from notifierlab import Host


async def gru_register_interrupted(host: Host, *, pages: int = 1) -> None:
    """A process opens a GRU context, which a signal may spoil, gathers, and gives the pages back.

    A driver that works on without a registration is never told that the pages went.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    context = await host.driver("gru").open(mm, Chiplet(host), interrupts=False)
    if context is not None:
        await context.run(gather, list(area.pages), contents)
        await mm.madvise_dontneed(area.start, area.end)
        await context.run(gather, list(area.pages), contents, may_vanish=True)
        await context.close()
    await mm.exit()
