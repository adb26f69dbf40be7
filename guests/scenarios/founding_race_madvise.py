"""The same race against an unmap that holds mmap_sem for read only (K 2.3, 4.2)."""

from guests.programs import touch
from guests.scene import boot, fill
from notifierlab import Host


async def founding_race_madvise(host: Host, *, pages: int = 1) -> None:
    """A VM registers while its process gives pages back by madvise, then its guest touches them."""
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    booted = []
    vm = host.driver("kvm")(mm)

    async def register_and_run() -> None:
        if await boot(vm, area.start, pages):
            booted.append(vm)
            await vm.vcpus[0].run(touch, area.start, pages, contents=contents, may_vanish=True)

    async with host.together() as tasks:
        tasks.start(mm.madvise_dontneed, area.start, area.end, name="madviser")
        tasks.start(register_and_run, name="vm")
    for vm in booted:
        await vm.close()
    await mm.exit()
