"""The dirty log write-protects entries while one of them goes (K 4.8u)."""

from guests.programs import touch
from guests.scene import boot, fill
from notifierlab import Host


async def dirty_log_vs_madvise(host: Host, *, pages: int = 1) -> None:
    """Somebody asks for a VM's dirty log while pages that its guest has mapped are given back.

    An entry that is read, changed and written back without the lock stands again after it
    was removed, where no callback finds it.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    vm = host.driver("kvm")(mm)
    if await boot(vm, area.start, pages):
        vcpu = vm.vcpus[0]
        await vcpu.run(touch, area.start, pages, contents=contents)
        async with host.together() as tasks:
            tasks.start(vm.get_dirty_log, name="monitor")
            tasks.start(mm.madvise_dontneed, area.start, area.end, name="madviser")
        await vcpu.run(touch, area.start, pages, contents=contents, may_vanish=True)
        await vm.close()
    await mm.exit()
