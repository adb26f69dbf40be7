"""What the scenarios for any driver begin with: a device that is opened, and its processors."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Concatenate, ParamSpec

from guests.programs import chain, page_at
from guests.scene import fill
from notifierlab import Abilities, Content, Device, events, Host, Mm, Tlb, Va

P = ParamSpec("P")


def new_device(host: Host, mm: Mm, *, contexts: int = 1, atomic: bool = False) -> Device:
    """Make a device of the kind under test for `mm`; it is not registered yet.

    A driver that is made in another way than by `Class(mm)` says how in `under_test`.
    """
    driver = host.driver("device")
    under_test = getattr(driver, "under_test", None)
    device: Device = driver(mm) if under_test is None else under_test(mm, contexts=contexts, atomic=atomic)
    return device


def outlives_process(host: Host) -> bool:
    """Whether the driver under test says that its accesses go on while the process exits."""
    said = getattr(host.driver("device"), "abilities", None)
    return isinstance(said, Abilities) and said.outlives_process


async def opened(host: Host, device: Device) -> bool:
    """Open the device; false if it could not be registered: nobody uses it then."""
    result = await device.open()
    if result:
        host.machine.emit(events.DriverFreed, device.name)
    return not result


async def closed(host: Host, device: Device) -> None:
    """Close the device. From then on whoever touches it uses freed memory."""
    await device.close()
    host.machine.emit(events.DriverFreed, device.name)


def ended(host: Host, mm: Mm) -> None:
    """Say that all is over: nobody has the process's mm any more, unless somebody forgot to give it back."""
    if mm.mm_count:
        host.machine.bug("mmu_notifier_mm_destroy", f"mm_count of {mm.name} is {mm.mm_count} in the end", mm.name)


class Unit:
    """One processor of a device: it runs programs.

    Where there is `always` memory, an access that finds none has read what is not there.
    """

    def __init__(self, host: Host, mm: Mm, device: Device, context: int, *, always: bool = True) -> None:
        self.name = f"{device.name}.unit{context}"
        # Says what was read, and what had to be there; it caches nothing itself.
        self.tlb = Tlb(host.machine, device.name, self.name)
        self.always = always
        self._host = host
        self._mm = mm
        self._device = device
        self._context = context

    async def read(self, va: Va) -> Content | None:
        """Load from `va`."""
        return self._through(va, await self._device.access(va, write=False, value=0, context=self._context))

    async def write(self, va: Va, value: int) -> Content | None:
        """Store `value` to `va`; return the content as it is in memory now."""
        return self._through(va, await self._device.access(va, write=True, value=value, context=self._context))

    def _through(self, va: Va, content: Content | None) -> Content | None:
        if content is None and self.always:
            self._host.machine.emit(events.DataChecked, self._device.name, va, "memory", "nothing")
        return content

    async def run(
        self, program: Callable[Concatenate["Unit", P], Awaitable[object]], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Run `program` by a thread of the process, so exit waits for it; not if the process is past its end."""
        if await self._mm.mmget_not_zero():
            await program(self, *args, **kwargs)
            await self._mm.mmput()

    async def run_on(
        self, program: Callable[Concatenate["Unit", P], Awaitable[object]], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Run `program` by nobody's thread: exit does not wait for it."""
        await program(self, *args, **kwargs)


def units(host: Host, mm: Mm, device: Device, contexts: int, *, always: bool = True) -> list[Unit]:
    """Every processor of the device; `always` says that there is memory wherever they look."""
    return [Unit(host, mm, device, n, always=always) for n in range(contexts)]


async def fill_chain(mm: Mm, start: Va, pages: int) -> list[Content]:
    """Let each page hold the number of the next, for a guest that follows them."""
    return await fill(mm, [page_at(start, n) for n in range(pages)], chain(pages, 1))


async def reclaim_all(host: Host, mm: Mm, pages: Sequence[Va], *, tries: int = 1) -> None:
    """Try to take every page away, `tries` times: the first try finds a page used, and lets it be."""
    for _ in range(tries):
        for va in pages:
            await host.reclaim(mm, va)
