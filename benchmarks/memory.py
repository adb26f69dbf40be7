"""A guest of 256 Ki pages (1 GiB): mapped, used by the guest, unmapped, and checked, in seconds and bytes.

Run as `python benchmarks/memory.py [PAGES]`.
"""

import resource
import sys
import time
from typing import Any

from timing import table, target

from notifierlab.events import Event, PAGE_SIZE, Va
from notifierlab.explore.run import run_once, RunSpec
from notifierlab.explore.strategies import Calm
from notifierlab.host import Host
from notifierlab.request import Request

PAGES = 256 * 1024
SECONDS_MAX, MEGABYTES_MAX = 60, 600


def megabytes() -> float:
    """The largest the process has been."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def guest(host: Host, *, pages: int, marks: dict[str, float]) -> None:
    """A guest writes each of its pages once; then the process unmaps them all."""

    async def touch_all(vcpu: Any) -> None:
        for n in range(pages):
            await vcpu.write(Va(area.start + n * PAGE_SIZE), n)

    def mark(what: str) -> None:
        marks[what] = time.process_time()
        marks[what + ", MB"] = megabytes()

    mm = host.new_mm()
    vm = host.driver("kvm")(mm)
    await vm.create()
    area = await mm.mmap(pages)
    await vm.create_slot(0, area.start, pages, log_dirty=False)
    mark("start")
    await vm.vcpus[0].run(touch_all)
    mark("mapped")
    await mm.munmap(area.start, area.end)
    mark("unmapped")
    await vm.close()
    await mm.exit()
    mark("end")


def main() -> None:
    """Measure and print."""
    pages = int(sys.argv[1]) if len(sys.argv) > 1 else PAGES
    marks: dict[str, float] = {}
    freed = 0

    def count(event: Event) -> None:
        nonlocal freed
        freed += type(event).__name__ == "PageFreed"

    drivers = Request(scenario="founding-race").resolve().drivers
    params = {"pages": pages, "marks": marks}
    spec = RunSpec(name="guest", scenario=guest, params=params, drivers=drivers, steps_max=1_000 * pages + 10_000)
    result = run_once(spec, Calm(), sink=count)
    assert not result.violations, result.violations[0]
    assert freed >= pages, f"{freed} pages were freed"
    mapping = marks["mapped"] - marks["start"]
    unmapping = marks["unmapped"] - marks["mapped"]
    total = marks["end"] - marks["start"]
    grown = marks["end, MB"] - marks["start, MB"]
    rows = [
        ("mapped by the guest", mapping, mapping / pages * 1e6, (marks["mapped, MB"] - marks["start, MB"])),
        ("unmapped and freed", unmapping, unmapping / pages * 1e6, (marks["unmapped, MB"] - marks["mapped, MB"])),
        ("in all", total, total / pages * 1e6, grown),
    ]
    title = f"{pages:,} pages, {result.steps:,} steps, {result.events:,} events, checked live"
    table(title, ("what", "seconds", "us a page", "MB more"), rows)
    print(f"  {grown * 1024 * 1024 / pages:.0f} bytes a mapped page, {unmapping / pages * 1e6:.1f} us a freed page")
    target(f"at most {SECONDS_MAX} s: {total:.1f}", met=total <= SECONDS_MAX)
    target(f"at most {MEGABYTES_MAX} MB: {marks['end, MB']:.0f}", met=marks["end, MB"] <= MEGABYTES_MAX)


if __name__ == "__main__":
    main()
