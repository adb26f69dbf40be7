"""A registration while another thread touches memory for the first time (K 2.3)."""

from guests.scene import boot
from notifierlab import Host


async def register_vs_fault(host: Host, *, pages: int = 1) -> None:
    """A VM registers while its process faults in memory that nobody touched before.

    The first page gives the vma its anon_vma, and that one's lock would be missing among
    those that the registration holds: hence mmap_sem, for write against for read.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    booted = []
    vm = host.driver("kvm")(mm)

    async def register() -> None:
        if await boot(vm, area.start, pages):
            booted.append(vm)

    async def fault() -> None:
        for va in area.pages:
            await mm.write(va, 1)

    async with host.together() as tasks:
        tasks.start(register, name="vm")
        tasks.start(fault, name="process")
    for vm in booted:
        await vm.close()
    await mm.exit()
