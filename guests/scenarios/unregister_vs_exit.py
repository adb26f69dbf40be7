"""The VM's file descriptor and the process go at the same time (K 4.8h)."""

from guests.programs import touch
from guests.scene import boot, fill
from notifierlab import Host


async def unregister_vs_exit(host: Host, *, pages: int = 1) -> None:
    """A VM is destroyed by one task while its process exits in another.

    Exactly one of them makes the release count; neither may go on before it has returned.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    vm = host.driver("kvm")(mm)
    booted = await boot(vm, area.start, pages)
    if booted:
        await vm.vcpus[0].run(touch, area.start, pages, contents=contents)
    async with host.together() as tasks:
        tasks.start(mm.exit, name="exit")
        if booted:
            tasks.start(vm.close, name="destroy")
