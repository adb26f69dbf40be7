"""Why the locks of mm_take_all_locks come in two passes (K 2.6)."""

from guests.scene import boot, fill
from notifierlab import Host, PAGE_SIZE, Va


async def fork_abba(host: Host, *, pages: int = 2) -> None:
    """A VM registers with a process while its child, which shares file and anon_vma, splits a vma.

    The child takes i_mmap_lock, then the anon_vma's lock. The parent has two vmas of the
    same file and anon_vma, so each of its locks is met twice.
    """
    parent = host.new_mm("parent")
    file = host.new_file(pages)
    area = await parent.mmap(pages, file=file)
    await fill(parent, list(area.pages))
    await parent.mprotect(area.start, Va(area.start + PAGE_SIZE), writable=False)
    child = await parent.fork("child")
    vm = host.driver("kvm")(parent)

    booted = []

    async def register() -> None:
        if await boot(vm, area.start, pages):
            booted.append(vm)

    async def change_child() -> None:
        await child.mprotect(area.start, area.end, writable=False)
        await child.exit()

    async with host.together() as tasks:
        tasks.start(register, name="vm")
        tasks.start(change_child, name="child")
    for vm in booted:
        await vm.close()
    await parent.exit()
