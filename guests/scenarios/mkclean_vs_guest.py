"""A file is written back while a guest writes to it (K 3.2 P4, K 4.8m)."""

from guests.programs import stream
from guests.scene import boot, fill
from notifierlab import Host


async def mkclean_vs_guest(host: Host, *, pages: int = 1, rounds: int = 1) -> None:
    """A guest writes the pages of a shared file; the host cleans them, reclaims them, and reads.

    After page_mkclean the guest must fault before it writes again, or what it wrote is
    on no disk.
    """
    mm = host.new_mm()
    file = host.new_file(pages)
    area = await mm.mmap(pages, file=file, shared=True)
    await fill(mm, list(area.pages))
    vm = host.driver("kvm")(mm)

    async def write_back() -> None:
        for index in range(pages):
            await host.writeback(file, index)

    if await boot(vm, area.start, pages):
        vcpu = vm.vcpus[0]
        async with host.together() as tasks:
            tasks.start(vcpu.run, stream, area.start, pages, rounds=rounds, name=vcpu.name)
            tasks.start(write_back, name="pdflush")
        last = [await mm.read(va) for va in area.pages]
        # Two tries: the first finds the page young. Whatever is reclaimed comes from disk.
        for va in (*area.pages, *area.pages):
            await host.reclaim(mm, va)
        for va, content in zip(area.pages, last, strict=True):
            got = await mm.read(va)
            assert got is not None
            assert content is not None
            vcpu.tlb.check(va, got, content)
        await vm.close()
    await mm.exit()
