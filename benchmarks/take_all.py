"""What a registration costs for an mm of 1, 10, ..., 10 000 vmas; it should be linear.

Half of the vmas map files of their own, half are anonymous with an anon_vma of their own:
no lock is shared, so each vma is one more lock. Run as `python benchmarks/take_all.py`.
"""

import time
from collections.abc import Sequence
from typing import Any

from timing import table, target

from notifierlab.explore.run import run_once, RunSpec
from notifierlab.explore.strategies import Calm
from notifierlab.host import Host
from notifierlab.machine.carriers import new_machine, run_machine
from notifierlab.mm.callbacks import MmuNotifier
from notifierlab.mm.profile import Profile
from notifierlab.mm.registration import mmu_notifier_register, mmu_notifier_unregister

SIZES = (1, 10, 100, 1000, 10_000)
PASSES = 3
STEPS_MAX = 10_000_000


async def register(host: Host, *, vmas: int, seconds: list[float], steps: list[int]) -> None:
    """Make an mm with `vmas` vmas, then time registrations."""
    mm = host.new_mm()
    for n in range(vmas):
        if n % 2:
            # Nothing lies beside it, so that it stays a vma of its own.
            await mm.mmap(1, file=host.new_file(1))
        else:
            await mm.write((await mm.mmap(1)).start, n)
    assert len(mm.vmas) == vmas
    for n in range(PASSES):
        mn = MmuNotifier()
        mn.name = f"mn{n}"
        before = host.machine.steps
        began = time.process_time()
        await mmu_notifier_register(mm, mn)
        seconds.append(time.process_time() - began)
        steps.append(host.machine.steps - before)
        await mmu_notifier_unregister(mm, mn)
    await mm.exit()


def measure(vmas: int, *, checked: bool) -> tuple[float, int]:
    """Return the shortest time of a registration, and its steps."""
    seconds: list[float] = []
    steps: list[int] = []
    params: dict[str, Any] = {"vmas": vmas, "seconds": seconds, "steps": steps}
    if checked:
        spec = RunSpec(name="register", scenario=register, params=params, steps_max=STEPS_MAX)
        result = run_once(spec, Calm())
        assert not result.violations, result.violations[0]
    else:
        machine = new_machine("bare", lambda *_: 0, steps_max=STEPS_MAX)
        run_machine(machine, lambda: register(Host(machine, Profile()), **params))
        if machine.error is not None:
            raise machine.error
    return min(seconds), steps[0]


def main() -> None:
    """Measure and print."""
    rows: list[Sequence[object]] = []
    costs = {}
    for vmas in SIZES:
        plain, steps = measure(vmas, checked=False)
        checked, _ = measure(vmas, checked=True)
        costs[vmas] = checked / vmas
        note = "the kernel's preempt count would overflow" if vmas > 255 else ""
        rows.append((f"{vmas:,}", steps, plain * 1e3, plain / vmas * 1e6, checked * 1e3, checked / vmas * 1e6, note))
    columns = ("vmas", "steps", "ms", "us a vma", "ms checked", "us a vma checked", "")
    table("one registration (mm_take_all_locks and mm_drop_all_locks)", columns, rows)
    growth = costs[10_000] / costs[100]
    target(f"linear: a vma of 10 000 costs {growth:.2f} times one of 100", met=growth < 2)


if __name__ == "__main__":
    main()
