"""A signal comes while mm_take_all_locks is half way (K 2.2 T5, K 4.8e)."""

from guests.programs import touch
from guests.scene import boot, fill
from notifierlab import Host


async def register_interrupted(host: Host, *, pages: int = 2) -> None:
    """A registration is interrupted between any two locks while a file is cut by half, and tried once more.

    The file is mapped twice, so each of its locks is met twice and must be taken once.
    Then the guest reads what is left. What runs beside a truncate is another story (`founding-race`).
    """
    mm = host.new_mm()
    file = host.new_file(pages)
    area = await mm.mmap(pages, file=file)
    second = await mm.mmap(pages, file=file, shared=True)
    contents = await fill(mm, list(area.pages))
    await mm.read(second.start)
    booted = []

    async def register() -> None:
        for attempt in range(2):
            vm = host.driver("kvm")(mm, f"kvm{attempt}")
            if await boot(vm, area.start, pages):
                booted.append(vm)
                break

    async with host.together() as tasks:
        tasks.start(register, name="vm")
        tasks.start(host.vmtruncate, file, pages // 2, name="truncator")
    for vm in booted:
        await vm.vcpus[0].run(touch, area.start, pages // 2, contents=contents)
        await vm.close()
    await mm.exit()
