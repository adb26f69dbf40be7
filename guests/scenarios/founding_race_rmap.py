"""The same race on the rmap path (K 4.3): publication, not a freed page."""

from guests.programs import touch
from guests.scene import boot, fill
from notifierlab import Host


async def founding_race_rmap(host: Host, *, pages: int = 1, tries: int = 2) -> None:
    """A VM registers while its process's anonymous pages are reclaimed, then its guest touches them.

    Whoever asks whether there are notifiers does so after the pte is cleared, under a pte
    lock that a look-up needs as well: without the anon_vma locks a half-made list is
    read, but no page is freed that the guest still has.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    booted = []
    vm = host.driver("kvm")(mm)

    async def reclaim() -> None:
        for _ in range(tries):
            for va in area.pages:
                await host.reclaim(mm, va)

    async def register_and_run() -> None:
        if await boot(vm, area.start, pages):
            booted.append(vm)
            await vm.vcpus[0].run(touch, area.start, pages, contents=contents)

    async with host.together() as tasks:
        tasks.start(reclaim, name="kswapd")
        tasks.start(register_and_run, name="vm")
    for vm in booted:
        await vm.close()
    await mm.exit()
