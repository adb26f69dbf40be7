"""Only a guest uses a page: reclaim must find that out (K 3.5, K 8.4)."""

from guests.programs import touch
from guests.scene import boot, fill
from notifierlab import Host


async def aging_vs_guest(host: Host, *, pages: int = 1, tries: int = 2) -> None:
    """The host asks again and again whether pages were used, while a guest uses them."""
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    vm = host.driver("kvm")(mm)

    async def age() -> None:
        for _ in range(tries):
            for va in area.pages:
                await host.reclaim(mm, va)

    if await boot(vm, area.start, pages):
        vcpu = vm.vcpus[0]
        await vcpu.run(touch, area.start, pages, contents=contents)
        await host.reclaim(mm, area.start)
        async with host.together() as tasks:
            tasks.start(vcpu.run, touch, area.start, pages, contents=contents, name=vcpu.name)
            tasks.start(age, name="kswapd")
        await vcpu.run(touch, area.start, pages, contents=contents)
        await vm.close()
    await mm.exit()
