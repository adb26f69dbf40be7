"""A memory slot goes while the host takes back a page behind it (K 4.8p)."""

from guests.programs import touch
from guests.scene import boot, fill
from notifierlab import Host


async def slot_vs_madvise(host: Host, *, pages: int = 1) -> None:
    """A VM loses a slot whose pages its guest has mapped, and the process gives one of them back.

    Callbacks find entries by the slots, and hold mmu_lock alone when they look.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    vm = host.driver("kvm")(mm)
    if await boot(vm, area.start, pages):
        await vm.vcpus[0].run(touch, area.start, pages, contents=contents)
        async with host.together() as tasks:
            tasks.start(vm.delete_slot, area.start, name="manager")
            tasks.start(mm.madvise_dontneed, area.start, area.end, name="madviser")
        await vm.close()
    await mm.exit()
