"""A VM goes in the middle of a window (K 4.8f): it hears a start, and never an end."""

from guests.scene import vm_in_use
from notifierlab import Host


async def unregister_vs_munmap(host: Host, *, pages: int = 1) -> None:
    """A VM is destroyed, and its object freed, while its process unmaps pages it has mapped."""
    mm = host.new_mm()
    area = await mm.mmap(pages)
    vm = await vm_in_use(host, mm, area.pages)
    async with host.together() as tasks:
        tasks.start(mm.munmap, area.start, area.end, name="unmapper")
        if vm is not None:
            tasks.start(vm.close, name="destroy")
    await mm.exit()
