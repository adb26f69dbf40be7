"""A VM goes while a file of its process is truncated: who walks its list holds no lock of the mm but i_mmap_lock."""

from guests.scene import vm_in_use
from notifierlab import Host


async def unregister_vs_truncate(host: Host, *, pages: int = 1) -> None:
    """A VM is destroyed, and its object freed, in or between the two windows of a truncate.

    It leaves the list without any lock that a walker takes: what keeps its object alive
    until the last walker is gone is RCU.
    """
    mm = host.new_mm()
    file = host.new_file(pages)
    area = await mm.mmap(pages, file=file)
    vm = await vm_in_use(host, mm, area.pages)
    async with host.together() as tasks:
        tasks.start(host.vmtruncate, file, 0, name="truncator")
        if vm is not None:
            tasks.start(vm.close, name="destroy")
    await mm.exit()
