"""A VM goes in the middle of a window (K 4.8f): it hears a start, and never an end."""

from guests.programs import touch
from guests.scene import boot, fill
from notifierlab import Host


async def unregister_vs_munmap(host: Host, *, pages: int = 1) -> None:
    """A VM is destroyed, and its object freed, while its process unmaps pages it has mapped."""
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    vm = host.driver("kvm")(mm)
    booted = await boot(vm, area.start, pages)
    if booted:
        await vm.vcpus[0].run(touch, area.start, pages, contents=contents)
    async with host.together() as tasks:
        tasks.start(mm.munmap, area.start, area.end, name="unmapper")
        if booted:
            tasks.start(vm.close, name="destroy")
    await mm.exit()
