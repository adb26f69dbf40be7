"""A truncate breaks off in the midst of a vma, because somebody waits for the lock (K 3.1 R3)."""

from guests.programs import page_at, touch
from guests.scene import boot, fill
from notifierlab import Host


async def truncate_lock_break(host: Host, *, pages: int = 9) -> None:
    """A file of more pages than unmapping does in one block is truncated while a guest reads the last one.

    Each time it breaks off it ends its window, for the whole range, and begins another.
    """
    mm = host.new_mm()
    file = host.new_file(pages)
    area = await mm.mmap(pages, file=file)
    contents = await fill(mm, list(area.pages))
    vm = host.driver("kvm")(mm)
    if await boot(vm, area.start, pages):
        vcpu = vm.vcpus[0]
        async with host.together() as tasks:
            tasks.start(host.vmtruncate, file, 0, name="truncator")
            tasks.start(vcpu.run, touch, page_at(area.start, pages - 1), contents=contents[-1:], name=vcpu.name)
        await vm.close()
    await mm.exit()
