"""What many scenarios begin with: memory with known content, and a VM that sees it."""

from collections.abc import Sequence

from drivers.kvm import KvmMmu
from guests.programs import touch
from notifierlab import Content, Host, Mm, Va


async def fill(mm: Mm, pages: Sequence[Va], values: Sequence[int] = ()) -> list[Content]:
    """Let the process write to every page, its number if there are no `values`; return what stands in each."""
    contents = []
    for n, va in enumerate(pages):
        content = await mm.write(va, values[n] if values else n)
        assert content is not None, f"the scenario writes at {va:#x}, where there is no memory"
        contents.append(content)
    return contents


async def boot(vm: KvmMmu, start: Va, pages: int) -> bool:
    """Create the VM with memory at `start`; false if it could not be registered."""
    if await vm.create():
        return False
    await vm.create_slot(0, start, pages)
    return True


async def vm_in_use(host: Host, mm: Mm, pages: Sequence[Va]) -> KvmMmu | None:
    """Fill neighbouring pages, and create a VM whose guest has read them all; None if it could not be registered."""
    contents = await fill(mm, pages)
    vm: KvmMmu = host.driver("kvm")(mm)
    if not await boot(vm, pages[0], len(pages)):
        return None
    await vm.vcpus[0].run(touch, pages[0], len(pages), contents=contents)
    return vm
