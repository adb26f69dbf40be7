"""Memory slots come and go while a guest faults (K 5.1, K 4.8p)."""

from guests.programs import finds_nothing, touch
from guests.scene import boot, fill
from notifierlab import Host


async def slots_vs_guest(host: Host, *, pages: int = 1) -> None:
    """A VM gets one slot and loses another, which two managers delete, while a vCPU faults that in.

    What the fault installs must be gone with the slot: the guest has no memory there any
    more, and no callback finds it when the process unmaps the pages.
    """
    mm = host.new_mm()
    area, more = await mm.mmap(pages), await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    vm = host.driver("kvm")(mm)

    async def manage() -> None:
        await vm.create_slot(pages, more.start, pages)
        await vm.delete_slot(area.start)

    if await boot(vm, area.start, pages):
        vcpu = vm.vcpus[0]
        async with host.together() as tasks:
            tasks.start(vcpu.run, touch, area.start, pages, contents=contents, name=vcpu.name)
            tasks.start(manage, name="manager0")
            tasks.start(vm.delete_slot, area.start, name="manager1")
        await vcpu.run(finds_nothing, area.start)
        await mm.munmap(area.start, area.end)
        await vm.close()
    await mm.exit()
