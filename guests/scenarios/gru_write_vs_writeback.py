"""What a device writes to a file must reach its disk (K 3.5)."""

from drivers.gru_hardware import Chiplet
from guests.programs import scatter
from notifierlab import Host


async def gru_write_vs_writeback(host: Host, *, pages: int = 1) -> None:
    """A GRU context writes the pages of a shared file that the process has only read.

    The GRU tells nobody what it wrote: only a pte that was dirty before the drop-in makes
    the host write the page back before it reclaims it.
    """
    mm = host.new_mm()
    file = host.new_file(pages)
    area = await mm.mmap(pages, file=file, shared=True)
    for va in area.pages:
        await mm.read(va)
    context = await host.driver("gru").open(mm, Chiplet(host), interrupts=False)

    async def reclaim() -> None:
        # Two tries: the first finds the page young.
        for va in (*area.pages, *area.pages):
            await host.reclaim(mm, va)

    async with host.together() as tasks:
        if context is not None:
            tasks.start(context.run, scatter, list(area.pages), value=2, name=context.name)
        tasks.start(reclaim, name="kswapd")
    if context is not None:
        await context.close()
    await mm.exit()
