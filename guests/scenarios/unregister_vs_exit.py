"""The VM's file descriptor and the process go at the same time (K 4.8h)."""

from guests.scene import vm_in_use
from notifierlab import Host


async def unregister_vs_exit(host: Host, *, pages: int = 1) -> None:
    """A VM is destroyed by one task while its process exits in another.

    Exactly one of them makes the release count; neither may go on before it has returned.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    vm = await vm_in_use(host, mm, area.pages)
    async with host.together() as tasks:
        tasks.start(mm.exit, name="exit")
        if vm is not None:
            tasks.start(vm.close, name="destroy")
