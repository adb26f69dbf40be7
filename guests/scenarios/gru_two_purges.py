"""Two processes on one chiplet lose pages at the same time (K 6.4): there is one handle to purge with."""

from drivers.gru_hardware import Chiplet
from guests.programs import gather
from guests.scene import fill
from notifierlab import Host


async def gru_two_purges(host: Host, *, pages: int = 1) -> None:
    """Contexts of two processes have cached pages, which both processes give back at the same time."""
    mms = [host.new_mm(), host.new_mm("other")]
    areas = [await mm.mmap(pages) for mm in mms]
    contents = [await fill(mm, list(area.pages)) for mm, area in zip(mms, areas, strict=True)]
    chiplet = Chiplet(host)
    opened = [await host.driver("gru").open(mm, chiplet, interrupts=False) for mm in mms]
    loaded = [(n, context) for n, context in enumerate(opened) if context is not None]
    for n, context in loaded:
        await context.run(gather, list(areas[n].pages), contents[n], always=True)
    async with host.together() as tasks:
        for n, _ in loaded:
            tasks.start(mms[n].madvise_dontneed, areas[n].start, areas[n].end, name=f"madviser{n}")
    for n, context in loaded:
        await context.run(gather, list(areas[n].pages), contents[n], may_vanish=True, always=True)
        await context.close()
    for mm in mms:
        await mm.exit()
