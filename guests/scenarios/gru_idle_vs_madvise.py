"""Pages of a GRU context go while it is not loaded (K 6.2, 6.4): nobody runs, so nothing is purged."""

from drivers.gru_hardware import Chiplet
from guests.programs import gather
from guests.scene import fill
from notifierlab import Host


async def gru_idle_vs_madvise(host: Host, *, pages: int = 1) -> None:
    """A context has cached pages and loses its hardware to another; its process gives them back.

    Loaded again under its old ASID it would find them in its TLB: that must be retired.
    """
    mm, other = host.new_mm(), host.new_mm("other")
    area, theirs = await mm.mmap(pages), await other.mmap(pages)
    contents = await fill(mm, list(area.pages))
    await fill(other, list(theirs.pages))
    chiplet = Chiplet(host, contexts=1)
    context, thief = [await host.driver("gru").open(each, chiplet, interrupts=False) for each in (mm, other)]
    if context is not None and thief is not None:
        await context.run(gather, list(area.pages), contents, always=True)
        await thief.run(gather, list(theirs.pages))
        async with host.together() as tasks:
            tasks.start(mm.madvise_dontneed, area.start, area.end, name="madviser")
            tasks.start(
                context.run, gather, list(area.pages), contents, may_vanish=True, always=True, name=context.name
            )
    for each in (context, thief):
        if each is not None:
            await each.close()
    for each_mm in (mm, other):
        await each_mm.exit()
