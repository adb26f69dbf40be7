"""What a device believes: its shadow entries, its processors' TLBs, its look-ups.

Nothing here asks whether a belief is still true; that is what the rules are for. Every
set, clear, fill and use is a switch and an event, and every use touches the content of
the very page frame the device remembers, whoever owns that frame by now.
"""

from collections.abc import Hashable
from typing import Final, NamedTuple

from notifierlab import events
from notifierlab.events import NO_PAGE, PAGE_SIZE, Va
from notifierlab.machine.plain import plain
from notifierlab.machine.sched import Machine
from notifierlab.machine.watched import lab_dict, watch, Watched
from notifierlab.mm.fault import follow_page_atomic, get_user_page
from notifierlab.mm.mm import Mm
from notifierlab.mm.page import Content, Page

_FEW_PAGES: Final = 8
"""Up to so many pages are looked up one by one; of more, all there are are gone through."""


class Lookup(NamedTuple):
    """An answer of the host: `page` stood at `va`, or None did. It may be stale at once.

    The sleeping look-up took a reference on `page` in the MMU's name, which whoever asked
    must put; the atomic one took none.
    """

    id: str
    va: Va
    page: Page | None


class Spte(Watched):
    """One shadow entry: `va` translates to `page`, by the answer to `lookup`."""

    WATCHED = ("accessed", "dirty", "write")
    MARKS = ("accessed", "dirty")
    __slots__ = ("accessed", "dirty", "lookup", "page", "va", "write")

    def __init__(self, va: Va, page: Page, *, write: bool, lookup: str) -> None:
        self.va = va
        self.page = page
        self.write = write
        self.lookup = lookup
        self.accessed = False
        self.dirty = False

    def as_value(self) -> Hashable:
        """Which entry it is, and to which page: by its name, since the one after it is another."""
        return "spte", getattr(self, "known_as", ""), plain(self.page)


class ShadowTable:
    """The shadow page table of one MMU, by host virtual address.

    `entries` is what the device walks; `rmap` is how its driver finds them from an
    address. They agree as long as every change goes through `set` and `clear`.
    """

    __slots__ = ("entries", "machine", "mmu", "rmap")

    def __init__(self, machine: Machine, mmu: str) -> None:
        self.machine = machine
        self.mmu = mmu
        self.entries: dict[Va, Spte] = lab_dict(machine, f"{mmu}.sptes")
        self.rmap: dict[Va, Spte] = lab_dict(machine, f"{mmu}.rmap")

    async def set(self, va: Va, page: Page, *, write: bool, lookup: str) -> Spte:
        """Translate `va` to `page` from now on; `lookup` is where that came from.

        Where it does so already, by another fault at the same address, nothing changes: the
        entry that stands keeps what it knows of its use (mmu_set_spte, `was_rmapped`).
        """
        await self.machine.step()
        standing = self.entries.get(va)
        if standing is not None and standing.page is page and standing.write == write:
            return standing
        spte = watch(Spte(va, page, write=write, lookup=lookup), self.machine, f"{self.mmu}.spte{va:x}")
        self.entries[va] = self.rmap[va] = spte
        self.machine.emit(events.SpteSet, self.mmu, va, page.pfn, write, lookup)
        return spte

    async def clear(self, va: Va) -> Spte | None:
        """Forget `va`; return what stood there."""
        if va not in self.entries:
            return None
        await self.machine.step()
        spte = self.entries.pop(va, None)
        self.rmap.pop(va, None)
        if spte is not None:
            self.machine.emit(events.SpteCleared, self.mmu, va, spte.page.pfn)
        return spte

    async def downgrade(self, va: Va) -> None:
        """Take the write permission of `va` away."""
        await self.machine.step()
        spte = self.entries.get(va)
        if spte is not None and spte.write:
            spte.write = False
            self.machine.emit(events.SpteDowngraded, self.mmu, va, spte.page.pfn)

    async def write_back(self, spte: Spte) -> None:
        """Store an entry that was read earlier, without its write permission.

        For a driver that changes an entry by reading and writing it without a lock: if it
        was cleared in between, it stands again, and the reverse map knows nothing of it.
        """
        await self.machine.step()
        spte.write = False
        if self.entries.get(spte.va) is spte:
            self.machine.emit(events.SpteDowngraded, self.mmu, spte.va, spte.page.pfn)
        else:
            self.entries[spte.va] = spte
            self.machine.emit(events.SpteSet, self.mmu, spte.va, spte.page.pfn, False, spte.lookup)

    def mapped(self, start: Va, end: Va) -> list[Va]:
        """Every address in `[start, end)` that the reverse map knows, in order."""
        if (end - start) // PAGE_SIZE <= _FEW_PAGES:
            return [Va(va) for va in range(start, end, PAGE_SIZE) if va in self.rmap]
        return sorted(va for va in self.rmap if start <= va < end)

    def everything(self) -> list[Va]:
        """Every address that is translated, found by walking the table itself."""
        return sorted(self.entries)


class TlbEntry:
    """A translation that one processor has cached; `spte` is None where it has no table."""

    __slots__ = ("page", "spte", "write")

    def __init__(self, page: Page, spte: Spte | None, *, write: bool) -> None:
        self.page = page
        self.spte = spte
        self.write = write

    def as_value(self) -> Hashable:
        """What it is to whoever compares states."""
        return "tlb entry", plain(self.page), None if self.spte is None else self.spte.as_value(), self.write


class Tlb(Watched):
    """The translations that processor `cpu` of an MMU has cached.

    While it is not `running` nothing hits; what is cached stays.
    """

    WATCHED = ("running", "writes")
    __slots__ = ("cpu", "entries", "machine", "mmu", "running", "writes")

    def __init__(self, machine: Machine, mmu: str, cpu: str) -> None:
        self.machine = machine
        self.mmu = mmu
        self.cpu = cpu
        self.entries: dict[Va, TlbEntry] = lab_dict(machine, f"{cpu}.tlb")
        self.running = True
        self.writes = 0
        watch(self, machine, cpu)

    def has(self, va: Va, *, write: bool) -> bool:
        """Tell whether an access would hit."""
        entry = self.entries.get(va)
        return entry is not None and (entry.write or not write)

    async def walk(self, table: ShadowTable, va: Va, *, write: bool) -> bool:
        """Resolve a miss by the shadow table; return whether that had an answer.

        Model: the hardware's walk and the fill of its TLB are one step.
        """
        await self.machine.step()
        spte = table.entries.get(va)
        if spte is None or (write and not spte.write):
            return False
        spte.accessed = True
        if write:
            spte.dirty = True
        self._put(va, TlbEntry(spte.page, spte, write=spte.write), "")
        return True

    def put(self, va: Va, page: Page, *, write: bool, lookup: str) -> None:
        """Cache a translation within the current step."""
        self._put(va, TlbEntry(page, None, write=write), lookup)

    async def use(self, va: Va, *, write: bool = False, value: int = 0) -> Content | None:
        """Read or write through the cached translation of `va`.

        Returns the content read (or written), or None for a miss. The access goes to the
        frame that was cached: if that frame is free or another's by now, so be it.
        """
        await self.machine.step()
        entry = self.hit(va, write=write)
        return None if entry is None else self.access(va, entry, write=write, value=value)

    def hit(self, va: Va, *, write: bool) -> TlbEntry | None:
        """The translation that an access would use now."""
        entry = self.entries.get(va)
        if not self.running or entry is None or (write and not entry.write):
            return None
        return entry

    def access(self, va: Va, entry: TlbEntry, *, write: bool, value: int) -> Content:
        """Read or write the frame of `entry`, within the current step."""
        page = entry.page
        if write:
            self.writes += 1
            page.content = Content(self.cpu, self.writes, value)
            if entry.spte is not None:
                entry.spte.dirty = True
        self.machine.emit(events.SecAccessed, self.mmu, self.cpu, va, page.pfn, write)
        return page.content

    def check(self, va: Va, got: Content, *allowed: Content) -> None:
        """Say what a guest read at `va`, and what must be there: one of `allowed`."""
        expected = got if got in allowed else allowed[0]
        self.machine.emit(events.DataChecked, self.mmu, va, str(expected), str(got))

    def drop(self, va: Va) -> None:
        """Forget the translation of `va`, within the current step."""
        entry = self.entries.pop(va, None)
        if entry is not None:
            self.machine.emit(events.TlbDropped, self.mmu, self.cpu, va, entry.page.pfn)

    def drop_range(self, start: Va, end: Va) -> None:
        """Forget every translation in `[start, end)`, within the current step."""
        few = (end - start) // PAGE_SIZE <= _FEW_PAGES
        for va in range(start, end, PAGE_SIZE) if few else sorted(va for va in self.entries if start <= va < end):
            self.drop(Va(va))

    def drop_all(self) -> None:
        """Forget everything, within the current step."""
        for va in list(self.entries):
            self.drop(va)

    def _put(self, va: Va, entry: TlbEntry, lookup: str) -> None:
        self.entries[va] = entry
        self.machine.emit(events.TlbFilled, self.mmu, self.cpu, va, entry.page.pfn, entry.write, lookup)


async def look_up(mmu: str, mm: Mm, va: Va, *, write: bool) -> Lookup:
    """Ask the host for the page at `va`, faulting it in (get_user_pages).

    The caller holds mmap_sem for read; may sleep. The page comes with a reference held
    by `mmu`.
    """
    lookup = mm.machine.fresh("lookup")
    mm.machine.emit(events.LookupBegun, mmu, lookup, mm.name, va, write)
    page = await get_user_page(mm, va, write=write, by=mmu)
    mm.machine.emit(events.LookupDone, mmu, lookup, va, NO_PAGE if page is None else page.pfn)
    return Lookup(lookup, va, page)


async def look_up_atomic(mmu: str, mm: Mm, va: Va, *, write: bool, lookup: str = "") -> Lookup:
    """Walk the primary page table without locks, references or sleeping (K 6.5).

    `lookup` continues a question that was begun earlier (the device read its miss address).
    """
    lookup = lookup or begin_lookup(mmu, mm, va, write=write)
    page = await follow_page_atomic(mm, va, write=write)
    mm.machine.emit(events.LookupDone, mmu, lookup, va, NO_PAGE if page is None else page.pfn)
    return Lookup(lookup, va, page)


def begin_lookup(mmu: str, mm: Mm, va: Va, *, write: bool) -> str:
    """Begin a question whose answer `look_up_atomic` gives later; return its name."""
    lookup = mm.machine.fresh("lookup")
    mm.machine.emit(events.LookupBegun, mmu, lookup, mm.name, va, write)
    return lookup


async def tlb_flush_begun(machine: Machine, mmu: str, start: Va, end: Va) -> str:
    """Say that a flush of `[start, end)` on every processor begins; return its name."""
    await machine.step()
    flush = machine.fresh("flush")
    machine.emit(events.TlbFlushBegun, mmu, flush, start, end)
    return flush


async def tlb_flush_done(machine: Machine, mmu: str, flush: str, start: Va, end: Va) -> None:
    """Say that the flush call returns: no processor has an old translation any more."""
    machine.emit(events.TlbFlushDone, mmu, flush, start, end)
    await machine.step()
