"""A VM goes while a file of its process is truncated: who walks its list holds no lock of the mm but i_mmap_lock."""

from guests.programs import touch
from guests.scene import boot, fill
from notifierlab import Host


async def unregister_vs_truncate(host: Host, *, pages: int = 1) -> None:
    """A VM is destroyed, and its object freed, in or between the two windows of a truncate.

    It leaves the list without any lock that a walker takes: what keeps its object alive
    until the last walker is gone is RCU.
    """
    mm = host.new_mm()
    file = host.new_file(pages)
    area = await mm.mmap(pages, file=file)
    contents = await fill(mm, list(area.pages))
    vm = host.driver("kvm")(mm)
    booted = await boot(vm, area.start, pages)
    if booted:
        await vm.vcpus[0].run(touch, area.start, pages, contents=contents)
    async with host.together() as tasks:
        tasks.start(host.vmtruncate, file, 0, name="truncator")
        if booted:
            tasks.start(vm.close, name="destroy")
    await mm.exit()
