"""A guest drops translations that it has used: the host must learn both (K 4.6, K 5.5)."""

from guests.programs import touch
from guests.scene import boot, fill
from notifierlab import Content, Host


async def invlpg_vs_ageing(host: Host) -> None:
    """A guest has a page at two addresses, uses it at one and invalidates both; then the host wants the page.

    What it has dropped no vCPU may find any more. That the page was used is known to an
    entry alone, which goes: so the page is told, and remembers it when the other goes.
    """
    mm = host.new_mm()
    file = host.new_file(1)
    used, idle = [(await mm.mmap(1, file=file, shared=True)).start for _ in range(2)]
    contents = await fill(mm, [used])
    vm = host.driver("kvm")(mm)
    if await boot(vm, used, 1):
        await vm.create_slot(1, idle, 1)
        vcpu = vm.vcpus[0]
        for va in (used, idle):
            await vcpu.run(touch, va, contents=contents)
        # It finds the page young, for it was looked up and used. Then the guest uses it again, without a fault.
        await host.reclaim(mm, used)
        await vcpu.run(touch, used, contents=contents)
        for va in (used, idle):
            await vcpu.invlpg(va)
            left = int(vcpu.tlb.has(va, write=False))
            vcpu.tlb.check(va, Content("invlpg", 0, left), Content("invlpg", 0, 0))
        taken = int(await host.reclaim(mm, used))
        vcpu.tlb.check(used, Content("ageing", 0, taken), Content("ageing", 0, 0))
        await vm.close()
    await mm.exit()
