"""A guest drops a translation that it has used: the host must learn both (K 4.6, K 5.5)."""

from guests.programs import touch
from guests.scene import boot, fill
from notifierlab import Content, Host


async def invlpg_vs_ageing(host: Host) -> None:
    """A guest uses a page and invalidates it; then the host asks whether the page is in use.

    What it has dropped no vCPU may find any more. That it was used is known to the entry
    alone, which goes: so the page is told.
    """
    mm = host.new_mm()
    area = await mm.mmap(1)
    contents = await fill(mm, list(area.pages))
    va = area.start
    vm = host.driver("kvm")(mm)
    if await boot(vm, va, 1):
        vcpu = vm.vcpus[0]
        await vcpu.run(touch, va, contents=contents)
        # It finds the page young, for it was looked up and used. Then the guest uses it again, without a fault.
        await host.reclaim(mm, va)
        await vcpu.run(touch, va, contents=contents)
        await vcpu.invlpg(va)
        left = int(vcpu.tlb.has(va, write=False))
        vcpu.tlb.check(va, Content("invlpg", 0, left), Content("invlpg", 0, 0))
        taken = int(await host.reclaim(mm, va))
        vcpu.tlb.check(va, Content("ageing", 0, taken), Content("ageing", 0, 0))
        await vm.close()
    await mm.exit()
