"""A GRU is given translations while the host reclaims the page (K 6.5, K 3.2 P1).

Its look-up takes no lock and no reference, so it may see a pte in the very moment before
that is cleared; only an invalidate after the clearing can void it.
"""

from drivers.gru_hardware import Chiplet
from guests.programs import gather
from guests.scene import fill
from notifierlab import Host


async def gru_dropin_vs_reclaim(host: Host, *, pages: int = 1, tries: int = 2, interrupts: bool = True) -> None:
    """A GRU context gathers from pages that the host reclaims."""
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    context = await host.driver("gru").open(mm, Chiplet(host), interrupts=interrupts)

    async def reclaim() -> None:
        for _ in range(tries):
            for va in area.pages:
                await host.reclaim(mm, va)

    async with host.together() as tasks:
        tasks.start(reclaim, name="kswapd")
        if context is not None:
            tasks.start(context.run, gather, list(area.pages), contents, name=context.name)
    if context is not None:
        await context.close()
    await mm.exit()
