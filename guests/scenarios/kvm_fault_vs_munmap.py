"""A guest faults pages in while its process unmaps them (K 4.4)."""

from guests.programs import touch
from guests.scene import boot, fill
from notifierlab import Host


async def kvm_fault_vs_munmap(
    host: Host, *, pages: int = 1, vcpus: int = 1, rounds: int = 1, reuse: bool = False
) -> None:
    """Guests read pages, `rounds` times each, that their process unmaps.

    With `reuse` the process maps fresh memory afterwards and writes to it, which takes
    the frames just freed: a guest that still reaches them reads another's data.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    vm = host.driver("kvm")(mm, vcpus=vcpus)

    async def unmap() -> None:
        await mm.munmap(area.start, area.end)
        if reuse:
            await fill(mm, list((await mm.mmap(pages, at=area.end)).pages))

    if await boot(vm, area.start, pages):
        async with host.together() as tasks:
            tasks.start(unmap, name="unmapper")
            for vcpu in vm.vcpus:
                tasks.start(vcpu.run, touch, area.start, pages, rounds=rounds, contents=contents, name=vcpu.name)
        await vm.close()
    await mm.exit()
