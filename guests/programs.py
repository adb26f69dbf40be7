"""What runs on the far side of a secondary MMU. Each program verifies what it reads.

A program is given a processor (a vCPU, a GRU context) and addresses; an access that
answers None found no memory there, and ends it. Where nobody but the program writes,
what it reads must be what it wrote last; where the host wrote, what the host wrote. A
page may be gone and come back empty (madvise, a truncate of shared memory): `may_vanish`
then lets zeros pass as well. Where there is `always` memory, to find none is to read wrong.
"""

from collections.abc import Sequence
from typing import Protocol, TYPE_CHECKING

from guests.lcg import Lcg
from notifierlab import Content, PAGE_SIZE, Tlb, Va, ZERO

if TYPE_CHECKING:
    from drivers.kvm_vcpu import VCpu


NOTHING = Content("nobody", 0, 0)
"""What is said to stand where a device finds no memory."""


class Processor(Protocol):
    """Whatever runs a program: it loads and stores through a secondary MMU."""

    tlb: Tlb

    async def read(self, va: Va) -> Content | None:
        """Load; None says that there is no memory."""

    async def write(self, va: Va, value: int) -> Content | None:
        """Store `value`; return the content as it is in memory now."""


def page_at(start: Va, n: int) -> Va:
    """The address of the `n`-th page from `start`."""
    return Va(start + n * PAGE_SIZE)


async def touch(
    processor: Processor,
    start: Va,
    pages: int = 1,
    *,
    rounds: int = 1,
    contents: Sequence[Content] = (),
    may_vanish: bool = False,
) -> None:
    """Read each page; `contents` is what the host left in them, if that is known."""
    machine = processor.tlb.machine
    begun = machine.mark()
    for turn in range(rounds):
        for n in range(pages):
            machine.forget(begun, turn, n)
            va = page_at(start, n)
            got = await processor.read(va)
            if got is None:
                return
            if contents:
                processor.tlb.check(va, got, contents[n], *((ZERO,) if may_vanish else ()))


async def stream(processor: Processor, start: Va, pages: int, *, rounds: int = 1, may_vanish: bool = False) -> None:
    """Write every page in order, a round at a time, reading each first: it still holds
    what the round before wrote."""
    written: list[Content | None] = [None] * pages
    for value in range(1, rounds + 1):
        for n in range(pages):
            va = page_at(start, n)
            if not await _still_holds(processor, va, written[n], may_vanish=may_vanish):
                return
            written[n] = await processor.write(va, value)
            if written[n] is None:
                return


async def _still_holds(processor: Processor, va: Va, written: Content | None, *, may_vanish: bool) -> bool:
    if written is None:
        return True
    got = await processor.read(va)
    if got is None:
        return False
    processor.tlb.check(va, got, written, *((ZERO,) if may_vanish else ()))
    return True


async def checksum(processor: Processor, start: Va, pages: int, *, may_vanish: bool = False) -> None:
    """Write a pattern over all pages, then read it all again."""
    written = []
    for n in range(pages):
        content = await processor.write(page_at(start, n), pattern(n))
        if content is None:
            return
        written.append(content)
    await touch(processor, start, pages, contents=written, may_vanish=may_vanish)


def pattern(n: int) -> int:
    """What `checksum` writes to its `n`-th page: no two neighbours are alike."""
    return (n * 40503 + 1) % 65536


def chain(pages: int, stride: int) -> list[int]:
    """For `chase`: what stands in each page, the number of the next one.

    With a stride that has no divisor in common with `pages`, the chain visits them all.
    """
    return [(n + stride) % pages for n in range(pages)]


async def chase(processor: Processor, start: Va, contents: Sequence[Content], *, hops: int) -> None:
    """Follow pointers: each page's value is the number of the page to read next."""
    at = 0
    for _ in range(hops):
        va = page_at(start, at)
        got = await processor.read(va)
        if got is None:
            return
        processor.tlb.check(va, got, contents[at])
        # A stale page would lead astray, perhaps outside: the walk itself stays on course.
        at = contents[at].value


async def zipf(
    processor: Processor, start: Va, pages: int, *, accesses: int, numbers: Lcg, may_vanish: bool = False
) -> None:
    """Read and write pages at random, a few of them often and most of them seldom."""
    written: list[Content | None] = [None] * pages
    for _ in range(accesses):
        n = numbers.skewed_below(pages)
        va = page_at(start, n)
        if not await _still_holds(processor, va, written[n], may_vanish=may_vanish):
            return
        if written[n] is None or numbers.chance(2):
            written[n] = await processor.write(va, numbers.below(1 << 16))
            if written[n] is None:
                return


async def gather(
    processor: Processor,
    addresses: Sequence[Va],
    contents: Sequence[Content] = (),
    *,
    may_vanish: bool = False,
    always: bool = False,
) -> None:
    """One GRU instruction: load from many addresses."""
    for n, va in enumerate(addresses):
        got = await processor.read(va)
        if got is None:
            if always:
                processor.tlb.check(va, NOTHING, contents[n])
            return
        if contents:
            processor.tlb.check(va, got, contents[n], *((ZERO,) if may_vanish else ()))


async def finds_nothing(processor: Processor, va: Va) -> None:
    """Load where there must be no memory."""
    got = await processor.read(va)
    processor.tlb.check(va, NOTHING if got is None else got, NOTHING)


async def scatter(processor: Processor, addresses: Sequence[Va], *, value: int, may_vanish: bool = False) -> None:
    """One GRU instruction: store to many addresses; then gather what was stored."""
    stored = []
    for n, va in enumerate(addresses):
        content = await processor.write(va, value + n)
        if content is None:
            return
        stored.append(content)
    await gather(processor, addresses, stored, may_vanish=may_vanish)


async def walk_dirty_log(vcpu: "VCpu", start: Va, pages: int, *, rounds: int = 2) -> None:
    """Write every other page, ask for the dirty log, and find all of them in it."""
    for value in range(rounds):
        written = []
        for n in range(value % 2, pages, 2):
            if await vcpu.write(page_at(start, n), value) is None:
                return
            written.append(n)
        slot = vcpu.vm.slot_at(start)
        assert slot is not None
        dirty = await vcpu.vm.get_dirty_log()
        for n in written:
            va = page_at(start, n)
            # Which page of the guest it is, the guest knows by itself.
            logged = slot.base_gfn + (va - slot.start) // PAGE_SIZE in dirty
            vcpu.tlb.check(va, Content("dirty-log", n, int(logged)), Content("dirty-log", n, 1))
