"""What a device writes to a file must reach its disk (K 3.2 P4, K 4.8m)."""

from guests.device import closed, ended, new_device, opened, reclaim_all, units
from guests.programs import stream
from guests.scene import fill
from notifierlab import Host, needs


@needs("writes")
async def device_vs_writeback(host: Host, *, pages: int = 1, rounds: int = 1, atomic: bool = False) -> None:
    """A device writes the pages of a shared file; the host cleans them, reclaims them, and reads.

    After page_mkclean the device must fault before it writes again, or what it wrote is
    on no disk.
    """
    mm = host.new_mm()
    file = host.new_file(pages)
    area = await mm.mmap(pages, file=file, shared=True)
    await fill(mm, list(area.pages))
    device = new_device(host, mm, atomic=atomic)

    async def write_back() -> None:
        for index in range(pages):
            await host.writeback(file, index)

    if await opened(host, device):
        (unit,) = units(host, mm, device, 1)
        await unit.run(stream, area.start, pages)
        async with host.together() as tasks:
            tasks.start(unit.run, stream, area.start, pages, rounds=rounds, name=unit.name)
            tasks.start(write_back, name="pdflush")
        last = [await mm.read(va) for va in area.pages]
        # Two tries: the first finds the page young. Whatever is reclaimed comes from disk.
        await reclaim_all(host, mm, area.pages, tries=2)
        for va, content in zip(area.pages, last, strict=True):
            got = await mm.read(va)
            assert got is not None
            assert content is not None
            unit.tlb.check(va, got, content)
        await closed(host, device)
    await mm.exit()
    ended(host, mm)
