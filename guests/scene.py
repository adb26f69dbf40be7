"""What many scenarios begin with: memory with known content, and a VM that sees it."""

from collections.abc import Sequence

from drivers.kvm import KvmMmu
from notifierlab import Content, Mm, Va


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
