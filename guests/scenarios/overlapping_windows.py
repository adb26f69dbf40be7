"""Two windows on the same page at the same time (K 4.8j)."""

from guests.programs import touch
from guests.scene import boot, fill
from notifierlab import Host


async def overlapping_windows(host: Host, *, pages: int = 1, windows: int = 2) -> None:
    """Tasks give the same pages back at the same time while a guest reads them.

    Nothing may be mapped until the last of the windows is closed; and a window may close
    while another is open on pages that are still there.
    """
    mm = host.new_mm()
    area = await mm.mmap(pages)
    contents = await fill(mm, list(area.pages))
    vm = host.driver("kvm")(mm)
    if await boot(vm, area.start, pages):
        vcpu = vm.vcpus[0]
        async with host.together() as tasks:
            for n in range(windows):
                tasks.start(mm.madvise_dontneed, area.start, area.end, name=f"madviser{n}")
            tasks.start(vcpu.run, touch, area.start, pages, contents=contents, may_vanish=True, name=vcpu.name)
        await vm.close()
    await mm.exit()
