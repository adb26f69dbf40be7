"""The ASIDs of a chiplet begin anew while mms still remember theirs (K 6.4, 6.7)."""

from drivers.gru_context import GruContext
from drivers.gru_hardware import ASID_FIRST, Chiplet
from guests.programs import gather
from guests.scene import fill
from notifierlab import Host


async def gru_asid_wrap(host: Host) -> None:
    """Processes come by and take one ASID each, until they begin anew, and one gets that of another process.

    That one must take a new ASID if none of its contexts was running, for its old one is
    given away; and keep it if one was, for nobody else has got it.
    """
    mm, *others = [host.new_mm(name) for name in ("mm0", "passer0", "passer1", "passer2")]
    area = await mm.mmap(2)
    contents = await fill(mm, list(area.pages))
    # Two are given out, then they begin anew.
    chiplet = Chiplet(host, contexts=3, asid_limit=3 * ASID_FIRST)
    first, second, *passers = [
        await host.driver("gru").open(each, chiplet, interrupts=False) for each in (mm, mm, *others)
    ]
    if first is not None and second is not None:
        await first.run(gather, area.pages[:1], contents, always=True)
        await _unload(first)
        for passer in passers[:2]:
            await _pass_by(passer)
        # Nobody of the mm ran meanwhile.
        await first.run(gather, area.pages[:1], contents, always=True)
        for passer in passers[2:]:
            await _pass_by(passer)
        # The first one did, and goes on beside the second.
        await second.run(gather, area.pages, contents, always=True)
        await first.run(gather, area.pages, contents, always=True)
    for context in (first, second, *passers):
        if context is not None:
            await context.close()
    for each in (mm, *others):
        await each.exit()


async def _pass_by(context: GruContext | None) -> None:
    """Use a page at the same address, and give the hardware back."""
    if context is not None:
        area = await context.gms.mm.mmap(1)
        await context.run(gather, area.pages, await fill(context.gms.mm, area.pages), always=True)
        await _unload(context)


async def _unload(context: GruContext) -> None:
    """Take its hardware away, as a thief does."""
    async with context.gms.mm.mmap_sem.read(), context.ts_ctxlock:
        await context.unload()
