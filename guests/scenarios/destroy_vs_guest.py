"""A VM is to be destroyed while a vCPU of it still runs (K 5.7)."""

from guests.programs import touch
from guests.scene import boot, fill
from notifierlab import Host


async def destroy_vs_guest(host: Host, *, pages: int = 1) -> None:
    """The last descriptor but a running vCPU's is closed: destruction waits for the vCPU."""
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    vm = host.driver("kvm")(mm)
    vcpu = vm.vcpus[0]

    async def run() -> None:
        await vcpu.run(touch, area.start, pages, contents=contents)
        await vm.put()

    if await boot(vm, area.start, pages):
        # The thread has a descriptor of its own, so there is a VM when it begins.
        assert await vm.get(), "there is a VM, and it lets nobody use it"
        async with host.together() as tasks:
            tasks.start(run, name=vcpu.name)
            tasks.start(vm.close, name="close")
    await mm.exit()
