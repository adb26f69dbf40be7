"""A GRU is given translations while a file is cut short: windows that a drop-in meets.

A window that needs mmap_sem for write never meets a drop-in, which holds it for read; a
truncate holds the i_mmap_lock alone, so only here does `ms_range_active` matter (K 8.3).
"""

from drivers.gru_hardware import Chiplet
from guests.programs import gather
from guests.scene import fill
from notifierlab import Host


async def gru_dropin_vs_truncate(host: Host, *, pages: int = 1, contexts: int = 1, interrupts: bool = True) -> None:
    """Contexts of a GRU gather from private copies of a file's pages while the file is truncated."""
    mm = host.new_mm()
    file = host.new_file(pages)
    area = await mm.mmap(pages, file=file)
    contents = await fill(mm, list(area.pages))
    chiplet = Chiplet(host, contexts=contexts)
    opened = [await host.driver("gru").open(mm, chiplet, interrupts=interrupts) for _ in range(contexts)]
    loaded = [context for context in opened if context is not None]
    async with host.together() as tasks:
        tasks.start(host.vmtruncate, file, 0, name="truncator")
        for context in loaded:
            tasks.start(context.run, gather, list(area.pages), contents, name=context.name)
    for context in loaded:
        await context.close()
    await mm.exit()
