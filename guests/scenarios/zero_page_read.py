"""A device reads memory that nobody has touched, and then the process writes it (K 4.8q)."""

from drivers.gru_hardware import Chiplet
from guests.programs import gather
from guests.scene import fill
from notifierlab import Host, ZERO


async def zero_page_read(host: Host, *, pages: int = 1) -> None:
    """A GRU context reads untouched pages; the process writes them; the context reads again.

    A look-up that answered with the zero page and left no pte is never told about the
    page that takes its place.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    context = await host.driver("gru").open(mm, Chiplet(host), interrupts=False)
    if context is not None:
        await context.run(gather, list(area.pages), [ZERO] * pages)
        contents = await fill(mm, list(area.pages))
        await context.run(gather, list(area.pages), contents)
        await context.close()
    await mm.exit()
