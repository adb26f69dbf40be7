"""Registrations at the same time (K 4.8c and d): on one mm, and on two that share a file."""

from itertools import chain

from drivers.kvm import KvmMmu
from guests.programs import touch
from guests.scene import boot
from notifierlab import Host


async def two_registrations(host: Host, *, pages: int = 1, on_one_mm: int = 2, on_another: int = 1) -> None:
    """VMs register with two mms that map the same file; the global mutex keeps them apart."""
    file = host.new_file(pages)
    mms = [host.new_mm(), host.new_mm()]
    areas = [await mm.mmap(pages, file=file, shared=True) for mm in mms]
    kvm = host.driver("kvm")
    places = [0] * on_one_mm + [1] * on_another
    vms = [kvm(mms[place], f"kvm{n}") for n, place in enumerate(places)]

    # Who was booted is closed in the order of the VMs: that of the boots would be one that nobody records.
    booted: list[list[KvmMmu]] = [[] for _ in vms]

    async def register_and_run(n: int, mine: list[KvmMmu]) -> None:
        area = areas[places[n]]
        if await boot(vms[n], area.start, pages):
            mine.append(vms[n])
            await vms[n].vcpus[0].run(touch, area.start, pages)

    async with host.together() as tasks:
        for n in range(len(vms)):
            tasks.start(register_and_run, n, booted[n], name=f"vm{n}")
    for vm in chain.from_iterable(booted):
        await vm.close()
    for mm in mms:
        await mm.exit()
