"""A process with a guest forks while the guest writes (K 3.1 R7, K 4.8k)."""

from guests.programs import checksum
from guests.scene import boot, fill
from notifierlab import Host


async def fork_vs_guest_write(host: Host, *, pages: int = 1) -> None:
    """The guest writes pages that its process shares with a new child.

    The child must never see what the guest wrote after the fork, and hears of nothing.
    """
    parent = host.new_mm("parent")
    area = await parent.mmap(pages)
    await fill(parent, list(area.pages))
    vm = host.driver("kvm")(parent)

    async def fork() -> None:
        child = await parent.fork("child")
        before = [await child.read(va) for va in area.pages]
        # Each page is the child's own view: nothing that others write may show in it.
        again = [await child.read(va) for va in area.pages]
        for va, first, second in zip(area.pages, before, again, strict=True):
            assert first is not None
            assert second is not None
            vm.vcpus[0].tlb.check(va, second, first)
        await child.exit()

    if await boot(vm, area.start, pages):
        async with host.together() as tasks:
            tasks.start(fork, name="fork")
            tasks.start(vm.vcpus[0].run, checksum, area.start, pages, name=vm.vcpus[0].name)
        await vm.close()
    await parent.exit()
