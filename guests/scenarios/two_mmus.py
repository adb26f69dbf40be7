"""KVM and GRU on one mm: each hears of every window, whoever else is on the list."""

from drivers.gru_hardware import Chiplet
from guests.programs import gather, touch
from guests.scene import boot, fill
from notifierlab import Host


async def two_mmus(host: Host, *, pages: int = 1) -> None:
    """A vCPU and a GRU context read pages that their process gives back by madvise."""
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    vm = host.driver("kvm")(mm)
    context = await host.driver("gru").open(mm, Chiplet(host), interrupts=False)
    booted = await boot(vm, area.start, pages)
    async with host.together() as tasks:
        tasks.start(mm.madvise_dontneed, area.start, area.end, name="madviser")
        if booted:
            vcpu = vm.vcpus[0]
            tasks.start(vcpu.run, touch, area.start, pages, contents=contents, may_vanish=True, name=vcpu.name)
        if context is not None:
            tasks.start(context.run, gather, list(area.pages), contents, may_vanish=True, name=context.name)
    if context is not None:
        await context.close()
    if booted:
        await vm.close()
    await mm.exit()
