"""The race for which mm_take_all_locks was written (K 4.1)."""

from typing import Any

from guests.programs import page_at, touch
from guests.scene import boot, fill
from notifierlab import Host


async def founding_race(
    host: Host, *, pages: int = 1, vcpus: int = 1, shared: bool = False, apart: bool = False
) -> None:
    """A VM registers while a file of its process is truncated, then its guest touches the pages.

    `shared` maps the file itself; otherwise the process has private copies, which the
    truncate's unmap frees. Each vCPU touches every page; if they are `apart`, each of them
    an equal share. Without exclusion the window of the truncate opens before the
    driver can hear it, the guest maps a page whose pte still stands, and the page goes.
    """
    mm = host.new_mm()
    file = host.new_file(pages)
    area = await mm.mmap(pages, file=file, shared=shared)
    contents = await fill(mm, list(area.pages))
    booted = []
    vm = host.driver("kvm")(mm, vcpus=vcpus)
    each = pages // vcpus if apart else pages

    async def use(vcpu: Any, n: int) -> None:
        first = n * each if apart else 0
        await vcpu.run(touch, page_at(area.start, first), each, contents=contents[first : first + each])

    async def register_and_run() -> None:
        if await boot(vm, area.start, pages):
            booted.append(vm)
            async with host.together() as guest:
                for n, vcpu in enumerate(vm.vcpus[1:], start=1):
                    guest.start(use, vcpu, n, name=vcpu.name)
                await use(vm.vcpus[0], 0)

    async with host.together() as tasks:
        tasks.start(host.vmtruncate, file, 0, name="truncator")
        tasks.start(register_and_run, name="vm")
    for vm in booted:
        await vm.close()
    await mm.exit()
