"""A stolen GRU context opens a window on its victim's mm (K 6.7)."""

from drivers.gru_hardware import Chiplet
from guests.programs import gather, touch
from guests.scene import boot, fill
from notifierlab import Host


async def steal_vs_register(host: Host, *, pages: int = 1) -> None:
    """A process steals the context of another, with which a VM registers at that moment.

    Unloading the victim opens a window on its mm. With none of that mm's locks held, the
    registration can fall into it.
    """
    victim, thief = host.new_mm("victim"), host.new_mm("thief")
    areas = [await mm.mmap(pages) for mm in (victim, thief)]
    contents = [await fill(mm, list(area.pages)) for mm, area in zip((victim, thief), areas, strict=True)]
    chiplet = Chiplet(host, contexts=1)
    gru = host.driver("gru")
    contexts = [await gru.open(mm, chiplet, interrupts=False) for mm in (victim, thief)]
    booted = []
    vm = host.driver("kvm")(victim)

    async def register_and_run() -> None:
        if await boot(vm, areas[0].start, pages):
            booted.append(vm)
            await vm.vcpus[0].run(touch, areas[0].start, pages, contents=contents[0])

    if contexts[0] is not None:
        await contexts[0].run(gather, list(areas[0].pages), contents[0])
    async with host.together() as tasks:
        if contexts[1] is not None:
            tasks.start(contexts[1].run, gather, list(areas[1].pages), contents[1], name="thief")
        tasks.start(register_and_run, name="vm")
    for context in contexts:
        if context is not None:
            await context.close()
    for vm in booted:
        await vm.close()
    for mm in (victim, thief):
        await mm.exit()
