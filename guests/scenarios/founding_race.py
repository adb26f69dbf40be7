"""The race for which mm_take_all_locks was written (K 4.1)."""

from guests.programs import touch
from guests.scene import boot, fill
from notifierlab import Host


async def founding_race(host: Host, *, pages: int = 1, vcpus: int = 1, shared: bool = False) -> None:
    """A VM registers while a file of its process is truncated, then its guest touches the pages.

    `shared` maps the file itself; otherwise the process has private copies, which the
    truncate's unmap frees. Without exclusion the window of the truncate opens before the
    driver can hear it, the guest maps a page whose pte still stands, and the page goes.
    """
    mm = host.new_mm()
    file = host.new_file(pages)
    area = await mm.mmap(pages, file=file, shared=shared)
    contents = await fill(mm, list(area.pages))
    booted = []
    vm = host.driver("kvm")(mm, vcpus=vcpus)

    async def register_and_run() -> None:
        if await boot(vm, area.start, pages):
            booted.append(vm)
            async with host.together() as guest:
                for vcpu in vm.vcpus[1:]:
                    guest.start(vcpu.run, touch, area.start, pages, contents=contents, name=vcpu.name)
                await vm.vcpus[0].run(touch, area.start, pages, contents=contents)

    async with host.together() as tasks:
        tasks.start(host.vmtruncate, file, 0, name="truncator")
        tasks.start(register_and_run, name="vm")
    for vm in booted:
        await vm.close()
    await mm.exit()
