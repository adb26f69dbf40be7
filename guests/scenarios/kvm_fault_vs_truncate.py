"""A guest faults pages in while the file behind them is cut short (K 4.4)."""

from guests.programs import touch
from guests.scene import boot, fill
from notifierlab import Host


async def kvm_fault_vs_truncate(host: Host, *, pages: int = 1, vcpus: int = 1, shared: bool = False) -> None:
    """Guests read pages of a file, or private copies of them, while the file is truncated.

    A truncate takes no mmap_sem, so its window may open and close in the midst of a
    look-up.
    """
    mm = host.new_mm()
    file = host.new_file(pages)
    area = await mm.mmap(pages, file=file, shared=shared)
    contents = await fill(mm, list(area.pages))
    vm = host.driver("kvm")(mm, vcpus=vcpus)
    if await boot(vm, area.start, pages):
        async with host.together() as tasks:
            tasks.start(host.vmtruncate, file, 0, name="truncator")
            for vcpu in vm.vcpus:
                tasks.start(vcpu.run, touch, area.start, pages, contents=contents, name=vcpu.name)
        await vm.close()
    await mm.exit()
