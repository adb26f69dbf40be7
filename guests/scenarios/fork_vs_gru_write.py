"""A fork takes write permission away from a device that writes (K 3.1 R7)."""

from drivers.gru_hardware import Chiplet
from guests.programs import scatter
from guests.scene import fill
from notifierlab import Host


async def fork_vs_gru_write(host: Host, *, pages: int = 1) -> None:
    """A process forks while a GRU context writes its pages, and the context writes on.

    Without a fault the device would write to the page that the child reads as well.
    """
    parent = host.new_mm("parent")
    area = await parent.mmap(pages)
    await fill(parent, list(area.pages))
    context = await host.driver("gru").open(parent, Chiplet(host), interrupts=False)

    async def fork() -> None:
        child = await parent.fork("child")
        await child.exit()

    if context is not None:
        await context.run(scatter, list(area.pages), value=1)
        async with host.together() as tasks:
            tasks.start(context.run, scatter, list(area.pages), value=2, name=context.name)
            tasks.start(fork, name="fork")
        await context.close()
    await parent.exit()
