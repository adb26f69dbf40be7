"""A guest writes, and its dirty log must tell so (K 5.5)."""

from guests.programs import stream, walk_dirty_log
from guests.scene import boot, fill
from notifierlab import Content, Host


async def dirty_log_vs_guest(host: Host, *, pages: int = 2, rounds: int = 2) -> None:
    """One vCPU writes and asks which pages are dirty, another writes beside it."""
    mm = host.new_mm()
    area = await mm.mmap(pages)
    await fill(mm, list(area.pages))
    vm = host.driver("kvm")(mm, vcpus=2)
    if await boot(vm, area.start, pages):
        async with host.together() as tasks:
            tasks.start(vm.vcpus[0].run, walk_dirty_log, area.start, pages, rounds=rounds, name=vm.vcpus[0].name)
            tasks.start(vm.vcpus[1].run, stream, area.start, pages, name=vm.vcpus[1].name)
        await vm.get_dirty_log()
        # Nobody has written since.
        left = len(await vm.get_dirty_log())
        vm.vcpus[0].tlb.check(area.start, Content("dirty-log", 0, left), Content("dirty-log", 0, 0))
        await vm.close()
    await mm.exit()
