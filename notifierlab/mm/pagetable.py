"""The page table of an mm: its ptes, and one pte lock for each 2 MiB.

Looking at a pte and changing it are the finest things the host does, so each is a point
where others may run before it. Whoever changes a pte holds its pte lock (ptl).

Model: page-table pages are never freed before the mm is.
Model: accessed and dirty bits are set at the moment the CPU uses a translation.
"""

from collections.abc import Iterator
from typing import Final

from notifierlab.events import PteCleared, PteDowngraded, PteSet, PteUpgraded, Va
from notifierlab.machine.locks import SpinLock
from notifierlab.machine.sched import Machine
from notifierlab.machine.watched import lab_dict, watch, Watched
from notifierlab.mm.page import Page

PMD_SHIFT: Final = 21
"""A pte lock covers `1 << PMD_SHIFT` bytes."""

PMD_SIZE: Final = 1 << PMD_SHIFT


class Pte(Watched):
    """A page table entry: a present page, a swap slot, or neither (none).

    The object is the slot in the table, so whoever keeps it sees later changes.
    """

    WATCHED = ("dirty", "page", "swap", "write", "young")
    __slots__ = ("dirty", "page", "swap", "write", "young")

    def __init__(self, page: Page | None, *, write: bool = False, dirty: bool = False, swap: int | None = None) -> None:
        self.page = page
        self.write = write
        self.dirty = dirty
        # The CPU is about to use what was faulted in.
        self.young = page is not None
        self.swap = swap

    def __repr__(self) -> str:
        if self.page is None:
            return f"<pte swap {self.swap}>"
        return f"<pte pfn {self.page.pfn}{' w' * self.write}{' d' * self.dirty}{' y' * self.young}>"


class PageTable:
    """The ptes of one mm.

    Whoever changes a pte holds its pte lock. `read` and every change let others run
    before; `peek` does not, and is for those who hold the lock: nobody else can change
    the pte then, so a switch there would show nothing.
    """

    __slots__ = ("_locks", "_tables", "machine", "mm_name")

    def __init__(self, machine: Machine, mm_name: str) -> None:
        self.machine = machine
        self.mm_name = mm_name
        # By pmd: the ptes of 2 MiB, by address. No key, no page-table page.
        self._tables: dict[int, dict[int, Pte]] = lab_dict(machine, f"{mm_name}.pmds")
        self._locks: dict[int, SpinLock] = {}

    def ptl(self, va: Va) -> SpinLock:
        """The pte lock that covers `va`."""
        pmd = va >> PMD_SHIFT
        lock = self._locks.get(pmd)
        if lock is None:
            lock = self._locks[pmd] = SpinLock(self.machine, f"{self.mm_name}.ptl{pmd:x}", "pte_lock")
        return lock

    async def read(self, va: Va) -> Pte | None:
        """Look at the pte, with or without its lock."""
        await self.machine.step()
        return self.peek(va)

    def peek(self, va: Va) -> Pte | None:
        """Look at the pte without letting others run: the caller holds its lock."""
        table = self._tables.get(va >> PMD_SHIFT)
        return None if table is None else table.get(va)

    def has_table(self, va: Va) -> bool:
        """Tell whether a page-table page covers `va` (the pmd is not none)."""
        return (va >> PMD_SHIFT) in self._tables

    async def set(self, va: Va, page: Page, write: bool, dirty: bool = False) -> Pte:
        """Make a none or swap pte present, young from the start."""
        await self.machine.step()
        table = self._table(va)
        old = table.get(va)
        assert old is None or old.page is None, f"{self.mm_name} {va:#x} is present already: {old}"
        pte = table[va] = self._pte(va, Pte(page, write=write, dirty=dirty))
        self.machine.emit(PteSet, self.mm_name, va, page.pfn, write)
        return pte

    async def set_swap(self, va: Va, slot: int) -> None:
        """Put a swap entry where nothing is present."""
        await self.machine.step()
        self._table(va)[va] = self._pte(va, Pte(None, swap=slot))

    async def clear(self, va: Va, win: str, notify: str) -> Pte:
        """ptep_get_and_clear: take a present pte away and return it."""
        await self.machine.step()
        pmd = va >> PMD_SHIFT
        pte = self._tables[pmd].pop(va)
        assert pte.page is not None
        self.machine.emit(PteCleared, self.mm_name, va, pte.page.pfn, win, notify, self._locks[pmd].name)
        return pte

    async def clear_swap(self, va: Va) -> int:
        """pte_clear_not_present: take a swap entry away and return its slot."""
        await self.machine.step()
        slot = self._tables[va >> PMD_SHIFT].pop(va).swap
        assert slot is not None
        return slot

    async def downgrade(self, va: Va, win: str, notify: str) -> None:
        """ptep_set_wrprotect: a present, writable pte becomes read-only."""
        await self.machine.step()
        pte = self._present(va)
        assert pte.page is not None
        pte.write = False
        self.machine.emit(PteDowngraded, self.mm_name, va, pte.page.pfn, win, notify, self.ptl(va).name)

    async def upgrade(self, va: Va) -> None:
        """ptep_set_access_flags: a present pte becomes writable, dirty and young."""
        await self.machine.step()
        pte = self._present(va)
        assert pte.page is not None
        pte.write = pte.dirty = pte.young = True
        self.machine.emit(PteUpgraded, self.mm_name, va, pte.page.pfn)

    async def test_and_clear_young(self, va: Va) -> bool:
        """ptep_test_and_clear_young: tell whether the CPU used it, and forget it."""
        await self.machine.step()
        pte = self._present(va)
        young, pte.young = pte.young, False
        return young

    def touch(self, va: Va, write: bool) -> None:
        """What the CPU itself does when it uses a translation: accessed, dirty."""
        pte = self._present(va)
        pte.young = True
        if write:
            assert pte.write
            pte.dirty = True

    def present(self) -> Iterator[tuple[Va, Pte]]:
        """Every present pte by address, for tests and for reports; no switch."""
        for pmd in sorted(self._tables):
            table = self._tables[pmd]
            for va in sorted(table):
                if table[va].page is not None:
                    yield Va(va), table[va]

    def _table(self, va: Va) -> dict[int, Pte]:
        """The page-table page that covers `va`, made when it is first needed."""
        pmd = va >> PMD_SHIFT
        table = self._tables.get(pmd)
        if table is None:
            table = self._tables[pmd] = lab_dict(self.machine, f"{self.mm_name}.pt{pmd:x}")
        return table

    def _pte(self, va: Va, pte: Pte) -> Pte:
        return watch(pte, self.machine, f"{self.mm_name}.pte{va:x}")

    def _present(self, va: Va) -> Pte:
        pte = self._tables[va >> PMD_SHIFT][va]
        assert pte.page is not None, f"{self.mm_name} {va:#x} is not present"
        return pte
