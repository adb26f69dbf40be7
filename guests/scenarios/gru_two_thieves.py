"""Two threads steal the same GRU context (K 6.7): the second must see that it is gone."""

from drivers.gru_hardware import Chiplet
from guests.programs import gather
from guests.scene import fill
from notifierlab import Host


async def gru_two_thieves(host: Host, *, thieves: int = 2) -> None:
    """Somebody is loaded into the only context of a chiplet, and others want it at the same time."""
    chiplet = Chiplet(host, contexts=1)
    mms = [host.new_mm(name) for name in ("victim", *(f"thief{n}" for n in range(thieves)))]
    areas = [await mm.mmap(1) for mm in mms]
    contents = [await fill(mm, list(area.pages)) for mm, area in zip(mms, areas, strict=True)]
    opened = [await host.driver("gru").open(mm, chiplet, interrupts=False) for mm in mms]
    contexts = [(n, context) for n, context in enumerate(opened) if context is not None]
    if len(contexts) == len(mms):
        n, victim = contexts[0]
        await victim.run(gather, list(areas[n].pages), contents[n], always=True)
        async with host.together() as tasks:
            for n, thief in contexts[1:]:
                tasks.start(thief.run, gather, list(areas[n].pages), contents[n], always=True, name=thief.name)
    for _, context in contexts:
        await context.close()
    for mm in mms:
        await mm.exit()
