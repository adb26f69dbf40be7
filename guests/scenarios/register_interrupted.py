"""A signal comes while mm_take_all_locks is half way (K 2.2 T5, K 4.8e)."""

from guests.programs import touch
from guests.scene import boot, fill
from notifierlab import Host


async def register_interrupted(host: Host, *, pages: int = 2) -> None:
    """A registration is interrupted between any two locks while the file is truncated; a second one follows.

    The file is mapped twice, so each of its locks is met twice and must be taken once.
    """
    mm = host.new_mm()
    file = host.new_file(pages)
    area = await mm.mmap(pages, file=file)
    second = await mm.mmap(pages, file=file, shared=True)
    contents = await fill(mm, list(area.pages))
    await mm.read(second.start)

    async def register() -> None:
        for attempt in range(2):
            vm = host.driver("kvm")(mm, f"kvm{attempt}")
            if await boot(vm, area.start, pages):
                await vm.vcpus[0].run(touch, area.start, pages, contents=contents)
                await vm.close()

    async with host.together() as tasks:
        tasks.start(register, name="vm")
        tasks.start(host.vmtruncate, file, 0, name="truncator")
    await mm.exit()
