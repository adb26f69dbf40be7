"""The ASIDs of a chiplet begin anew while mms still remember theirs (K 6.4, 6.7)."""

from drivers.gru_context import GruContext
from drivers.gru_hardware import ASID_FIRST, Chiplet
from guests.programs import gather
from guests.scene import fill
from notifierlab import Host


async def gru_asid_wrap(host: Host, *, rounds: int = 2) -> None:
    """A process takes one ASID after the other, until they begin anew, and gets that of another process.

    The other must take a new one if none of its contexts was running, for its old one is
    given away; and keep it if one was, for nobody else has got it.
    """
    mm, other = host.new_mm(), host.new_mm("other")
    area, theirs = await mm.mmap(rounds), await other.mmap(1)
    contents = await fill(mm, list(area.pages))
    await fill(other, list(theirs.pages))
    # Two are given out, then they begin anew.
    chiplet = Chiplet(host, contexts=3, asid_limit=3 * ASID_FIRST)
    first, second, greedy = [await host.driver("gru").open(each, chiplet, interrupts=False) for each in (mm, mm, other)]
    if first is not None and second is not None and greedy is not None:
        await first.run(gather, [area.start], contents, always=True)
        await greedy.run(gather, list(theirs.pages))
        await _unload(first)
        for n in range(rounds):
            # Pages go while nobody runs: the ASID is retired, and the next load takes another.
            await _unload(greedy)
            await other.madvise_dontneed(theirs.start, theirs.end)
            await greedy.run(gather, list(theirs.pages))
            # First nobody runs, then the first context, which goes on.
            for context in (first, second)[: n + 1]:
                await context.run(gather, list(area.pages[: n + 1]), contents, always=True)
        await first.run(gather, list(area.pages), contents, always=True)
    for each in (first, second, greedy):
        if each is not None:
            await each.close()
    for each_mm in (mm, other):
        await each_mm.exit()


async def _unload(context: GruContext) -> None:
    """Take its hardware away, as a thief does."""
    async with context.gms.mm.mmap_sem.read(), context.ts_ctxlock:
        await context.unload()
