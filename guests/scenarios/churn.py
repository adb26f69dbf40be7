"""Everything at once: a seeded mixture of what hosts, guests and drivers do.

Each process has memory of its own for each of its writers, so that every guest knows what
it must read; besides that, all processes map one file together. Their threads come and
go; the last one takes the mm down, and a VM or a GRU context may outlive it.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from drivers.gru_context import GruContext
from drivers.gru_hardware import Chiplet
from drivers.kvm import KvmMmu
from guests.lcg import Lcg
from guests.programs import checksum, page_at, scatter, stream, touch, walk_dirty_log, zipf
from notifierlab import Host, Va

Op = Callable[["_Process", Lcg], Awaitable[object]]


async def churn(host: Host, *, ops: int = 24, mms: int = 2, pages: int = 3, seed: int = 0) -> None:
    """Processes with VMs and GRU contexts do whatever `seed` says, `ops` things in all.

    `mms` is how many processes there are, `pages` how long each of their mappings is.
    """
    world = _World(host, pages)
    processes = [_Process(world, n) for n in range(mms)]
    for process in processes:
        await process.set_up()
    share = max(1, ops // (3 * mms + 2))
    async with host.together() as tasks:
        for n, process in enumerate(processes):
            for kind, body in (("cpu", process.compute), ("vm", process.virtualise), ("gru", process.offload)):
                # A thread is one of the mm's users from its start.
                await process.mm.mmget()
                tasks.start(process.thread, body, Lcg(seed * 1000 + 10 * n + len(kind)), share, name=f"{kind}{n}")
        tasks.start(world.reclaim, processes, Lcg(seed * 1000 + 997), share, name="kswapd")
        tasks.start(world.truncate, Lcg(seed * 1000 + 998), share, name="truncator")
        for process in processes:
            await process.mm.exit()
    for process in processes:
        await process.bury()


class _World:
    """What the processes share: two files and a chiplet with less contexts than users."""

    def __init__(self, host: Host, pages: int) -> None:
        self.host = host
        self.pages = pages
        self.chiplet = Chiplet(host, contexts=1)
        # One is mapped private, so only its truncation is seen; one shared, and written.
        self.program = host.new_file(pages, "program")
        self.data = host.new_file(pages, "data")

    async def reclaim(self, processes: "list[_Process]", numbers: Lcg, ops: int) -> None:
        """Reclaim pages, and write dirty ones back."""
        for _ in range(ops):
            process = numbers.pick(processes)
            va = page_at(numbers.pick(process.areas), numbers.below(self.pages))
            if numbers.chance(3):
                await self.host.writeback(self.data, numbers.below(self.pages))
            # Once to make it old, once to take it.
            await self.host.reclaim(process.mm, va)
            await self.host.reclaim(process.mm, va)

    async def truncate(self, numbers: Lcg, ops: int) -> None:
        """Cut a file short, and let it grow again."""
        for _ in range(ops):
            file = numbers.pick((self.program, self.data))
            await self.host.vmtruncate(file, numbers.below(self.pages))
            await self.host.vmtruncate(file, self.pages)


class _Process:
    """A process, what it maps, and the devices it uses."""

    def __init__(self, world: _World, n: int) -> None:
        self.world = world
        self.host = world.host
        self.n = n
        self.mm = self.host.new_mm()
        self.areas: list[Va] = []
        self.vms: list[KvmMmu] = []
        self.contexts: list[GruContext] = []

    async def set_up(self) -> None:
        """Map one area for each writer, and the shared file."""
        world, mm = self.world, self.mm
        for file, shared in ((None, False), (world.program, False), (None, False), (world.data, True)):
            # A hole between them keeps neighbours apart; half of the time they may merge.
            at = None if not self.areas else page_at(self.areas[-1], world.pages + self.n % 2)
            self.areas.append((await mm.mmap(world.pages, file=file, shared=shared, at=at)).start)
        self.for_cpu, self.for_vm, self.for_gru, self.for_all = self.areas

    async def thread(self, body: Callable[[Lcg, int], Awaitable[None]], numbers: Lcg, ops: int) -> None:
        """One thread of the process; the last to end takes the mm down."""
        await body(numbers, ops)
        await self.mm.mmput()

    async def bury(self) -> None:
        """Close what outlived the process."""
        for vm in self.vms:
            await vm.close()
        for context in self.contexts:
            await context.close(exiting=True)

    # --- what its threads do --------------------------------------------------------

    async def compute(self, numbers: Lcg, ops: int) -> None:
        """Use memory, and change how it is mapped."""
        for _ in range(ops):
            await numbers.pick(_CPU_OPS)(self, numbers)

    async def virtualise(self, numbers: Lcg, ops: int) -> None:
        """Run a guest, or two at a time."""
        kind: type[Any] = self.host.driver("kvm")
        vm: KvmMmu = kind(self.mm, f"kvm{self.n}", vcpus=2)
        if await vm.create():
            return
        self.vms.append(vm)
        for n, start in enumerate(self.areas):
            await vm.create_slot(n * self.world.pages, start, self.world.pages)
        for _ in range(ops):
            await numbers.pick(_VM_OPS)(self, numbers)
        if numbers.chance(2):
            self.vms.remove(vm)
            await vm.close()

    async def offload(self, numbers: Lcg, ops: int) -> None:
        """Give instructions to a GRU."""
        interrupts = numbers.chance(2)
        context = await self.host.driver("gru").open(self.mm, self.world.chiplet, interrupts=interrupts)
        if context is None:
            return
        self.contexts.append(context)
        for _ in range(ops):
            await numbers.pick(_GRU_OPS)(self, numbers)
        if numbers.chance(2):
            self.contexts.remove(context)
            await context.close()


# --- what the process does ----------------------------------------------------------


async def _use(process: _Process, numbers: Lcg) -> None:
    va = page_at(process.for_cpu, numbers.below(process.world.pages))
    await process.mm.write(va, numbers.below(100))
    await process.mm.read(page_at(numbers.pick(process.areas), numbers.below(process.world.pages)))


async def _write_shared(process: _Process, numbers: Lcg) -> None:
    await process.mm.write(page_at(process.for_all, numbers.below(process.world.pages)), numbers.below(100))


async def _advise(process: _Process, numbers: Lcg) -> None:
    start = numbers.pick(process.areas)
    first = numbers.below(process.world.pages)
    await process.mm.madvise_dontneed(page_at(start, first), page_at(start, process.world.pages))


async def _map_anew(process: _Process, numbers: Lcg) -> None:
    world = process.world
    start, file = numbers.pick(((process.for_gru, None), (process.for_cpu, None), (process.for_vm, world.program)))
    end = page_at(start, world.pages)
    if numbers.chance(2):
        await process.mm.munmap(start, end)
    await process.mm.mmap(world.pages, file=file, at=start)


async def _protect(process: _Process, numbers: Lcg) -> None:
    start = numbers.pick(process.areas)
    end = page_at(start, 1 + numbers.below(process.world.pages))
    await process.mm.mprotect(start, end, writable=False)
    await process.mm.mprotect(start, end, writable=True)


async def _fork(process: _Process, numbers: Lcg) -> None:
    child = await process.mm.fork()
    for start in process.areas:
        # Each write is a copy, or makes the parent's next one be one.
        if numbers.chance(2):
            await child.write(start, numbers.below(100))
    await child.exit()


_CPU_OPS: Final[tuple[Op, ...]] = (_use, _use, _write_shared, _advise, _map_anew, _protect, _fork)


# --- what its guest does ------------------------------------------------------------


async def _guest_zipf(process: _Process, numbers: Lcg) -> None:
    vcpu = numbers.pick(process.vms[-1].vcpus)
    await vcpu.run(zipf, process.for_vm, process.world.pages, accesses=4, numbers=numbers, may_vanish=True)


async def _guest_stream(process: _Process, numbers: Lcg) -> None:
    vcpu = numbers.pick(process.vms[-1].vcpus)
    await vcpu.run(stream, process.for_vm, process.world.pages, rounds=2, may_vanish=True)


async def _guest_checksum(process: _Process, numbers: Lcg) -> None:
    vcpu = numbers.pick(process.vms[-1].vcpus)
    await vcpu.run(checksum, process.for_vm, process.world.pages, may_vanish=True)


async def _guest_touches_all(process: _Process, numbers: Lcg) -> None:
    vcpu = numbers.pick(process.vms[-1].vcpus)
    for start in process.areas:
        await vcpu.run(touch, start, process.world.pages)


async def _guests_beside_each_other(process: _Process, _: Lcg) -> None:
    first, second = process.vms[-1].vcpus
    machine = process.host.machine
    beside = machine.start(
        second.run, touch, process.for_all, process.world.pages, name=machine.fresh(f"{second.name}.")
    )
    await first.run(stream, process.for_vm, process.world.pages, may_vanish=True)
    await machine.join(beside)


async def _walk_dirty_log(process: _Process, _: Lcg) -> None:
    vcpu = process.vms[-1].vcpus[0]
    await vcpu.run(walk_dirty_log, process.for_vm, process.world.pages)


async def _replace_slot(process: _Process, _: Lcg) -> None:
    vm = process.vms[-1]
    await vm.delete_slot(process.for_all)
    await vm.create_slot(3 * process.world.pages, process.for_all, process.world.pages)


_VM_OPS: Final[tuple[Op, ...]] = (
    _guest_zipf,
    _guest_stream,
    _guest_checksum,
    _guest_touches_all,
    _guests_beside_each_other,
    _walk_dirty_log,
    _replace_slot,
)


# --- what its GRU does --------------------------------------------------------------


async def _gru_scatter(process: _Process, numbers: Lcg) -> None:
    context = process.contexts[-1]
    addresses = [page_at(process.for_gru, numbers.below(process.world.pages))]
    await context.run(scatter, addresses, value=numbers.below(100), may_vanish=True)


async def _gru_stream(process: _Process, _: Lcg) -> None:
    context = process.contexts[-1]
    await context.run(stream, process.for_gru, process.world.pages, rounds=2, may_vanish=True)


async def _gru_touches_all(process: _Process, numbers: Lcg) -> None:
    context = process.contexts[-1]
    await context.run(touch, numbers.pick(process.areas), process.world.pages)


_GRU_OPS: Final[tuple[Op, ...]] = (_gru_scatter, _gru_stream, _gru_touches_all)
