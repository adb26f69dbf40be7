"""A process faults while a VM registers with it (K 2.3): a lock that was not there before."""

from guests.programs import touch
from guests.scene import boot
from notifierlab import Host


async def register_vs_fault(host: Host, *, pages: int = 1) -> None:
    """A VM registers while its process touches fresh memory for the first time.

    The first fault gives the vma its anon_vma. Were it not kept out by mmap_sem, that
    lock would join the mm after mm_take_all_locks has passed the vma.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    booted = []
    vm = host.driver("kvm")(mm)

    async def register_and_run() -> None:
        if await boot(vm, area.start, pages):
            booted.append(vm)
            await vm.vcpus[0].run(touch, area.start, pages)

    async def use() -> None:
        for va in area.pages:
            await mm.write(va, 1)

    async with host.together() as tasks:
        tasks.start(register_and_run, name="vm")
        tasks.start(use, name="process")
    for vm in booted:
        await vm.close()
    await mm.exit()
