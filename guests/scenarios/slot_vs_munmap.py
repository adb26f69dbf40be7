"""A memory slot goes while the pages behind it do (K 4.8p)."""

from guests.programs import touch
from guests.scene import boot, fill
from notifierlab import Host


async def slot_vs_munmap(host: Host, *, pages: int = 1) -> None:
    """A VM loses a slot while its process unmaps that memory and a vCPU faults it in.

    The entries must go before the slot: without it no callback finds them any more.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    vm = host.driver("kvm")(mm)

    async def delete_and_unmap() -> None:
        await vm.delete_slot(area.start)
        await mm.munmap(area.start, area.end)

    if await boot(vm, area.start, pages):
        vcpu = vm.vcpus[0]
        async with host.together() as tasks:
            tasks.start(vcpu.run, touch, area.start, pages, contents=contents, name=vcpu.name)
            tasks.start(delete_and_unmap, name="manager")
        await vm.close()
    await mm.exit()
