"""More GRU contexts than the chiplet has: they steal from each other (K 6.7)."""

from drivers.gru_hardware import ASID_FIRST, Chiplet
from guests.programs import scatter
from guests.scene import fill
from notifierlab import Host


async def gru_steal(host: Host, *, pages: int = 1, processes: int = 2, asids: int = 16) -> None:
    """Threads of several processes share one context of a chiplet that soon runs out of ASIDs."""
    chiplet = Chiplet(host, contexts=1, asid_limit=ASID_FIRST * (asids + 1))
    mms = [host.new_mm() for _ in range(processes)]
    areas = [await mm.mmap(pages) for mm in mms]
    contexts = [await host.driver("gru").open(mm, chiplet, interrupts=False) for mm in mms]
    for mm, area in zip(mms, areas, strict=True):
        await fill(mm, list(area.pages))
    async with host.together() as tasks:
        for n, context in enumerate(contexts):
            if context is not None:
                tasks.start(context.run, scatter, list(areas[n].pages), value=n, name=context.name)
    for context in contexts:
        if context is not None:
            await context.close()
    for mm in mms:
        await mm.exit()
