"""A guest writes again what was in the dirty log already, and where nothing is logged (K 5.5)."""

from guests.scene import fill
from notifierlab import Content, Host


async def dirty_log_again(host: Host, *, rounds: int = 2) -> None:
    """A vCPU writes one page, over and over, and each time the dirty log is asked for it.

    It has the page in its TLB all the time: if that is not flushed, it is not caught again.
    Of a slot without a log nothing is told.
    """
    mm = host.new_mm()
    area = await mm.mmap(2)
    logged, silent = area.pages
    await fill(mm, list(area.pages))
    vm = host.driver("kvm")(mm)
    if await vm.create() == 0:
        await vm.create_slot(0, logged, 1)
        await vm.create_slot(1, silent, 1, log_dirty=False)
        vcpu = vm.vcpus[0]
        for value in range(rounds):
            for va in area.pages:
                await vcpu.write(va, value)
            dirty = await vm.get_dirty_log()
            for n, (va, expected) in enumerate(((logged, 1), (silent, 0))):
                vcpu.tlb.check(va, Content("dirty-log", n, int(n in dirty)), Content("dirty-log", n, expected))
        await vm.close()
    await mm.exit()
