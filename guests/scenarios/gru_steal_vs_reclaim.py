"""A GRU context loses its hardware while the host takes its pages (K 6.4, 6.7)."""

from drivers.gru_hardware import Chiplet
from guests.programs import gather
from guests.scene import fill
from notifierlab import Host


async def gru_steal_vs_reclaim(host: Host, *, pages: int = 1) -> None:
    """Somebody steals the only context of a chiplet from another, whose pages are reclaimed at that time.

    Reclaim needs no mmap_sem: it may find the victim running, or stopped with its pages
    still cached.
    """
    mm, other = host.new_mm(), host.new_mm("other")
    area, theirs = await mm.mmap(pages), await other.mmap(pages)
    contents = await fill(mm, list(area.pages))
    chiplet = Chiplet(host, contexts=1)
    victim, thief = [await host.driver("gru").open(each, chiplet, interrupts=False) for each in (mm, other)]
    if victim is not None and thief is not None:
        await victim.run(gather, list(area.pages), contents, always=True)

        async def reclaim() -> None:
            # Two tries: the first finds the page young.
            for va in (*area.pages, *area.pages):
                await host.reclaim(mm, va)

        async with host.together() as tasks:
            tasks.start(reclaim, name="kswapd")
            tasks.start(thief.run, gather, list(theirs.pages), name=thief.name)
        await victim.run(gather, list(area.pages), contents, always=True)
    for context in (victim, thief):
        if context is not None:
            await context.close()
    for each_mm in (mm, other):
        await each_mm.exit()
