"""What an mm is made of: vmas, file mappings, anon_vmas. Plain data.

    Vma           a stretch of an mm, of a file mapping and/or with an anon_vma
    AddressSpace  a file: its page cache, and `i_mmap`, every vma that maps it
    AnonVma       every vma in which an anonymous page of it can stand

Nothing here walks, waits or decides. The lock that protects a field stands beside it in
the comments. The page table has a room of its own.

Model: `i_mmap` is an ordered list, not a priority tree; walks see the same vmas.
Model: no huge pages, no nonlinear vmas, no memory policies.
"""

import bisect
from collections.abc import Iterator
from typing import ClassVar, Final, Protocol, TYPE_CHECKING, TypeVar

from notifierlab.events import ADDRESS_MAX, CpuTlbFlushed, HeadRead, PAGE_SIZE, Va
from notifierlab.machine.locks import Mutex, Rcu, RwSem, SpinLock
from notifierlab.machine.sched import Machine
from notifierlab.machine.watched import lab_dict, lab_list, watch, Watched
from notifierlab.mm.page import Content, Memory, Page, PageOwner, ZERO
from notifierlab.mm.pagetable import PageTable
from notifierlab.mm.profile import Profile

if TYPE_CHECKING:
    from notifierlab.mm.callbacks import MmuNotifierMm

T = TypeVar("T")

_ADDRESS_MIN: Final = Va(0)


class HostServices(Protocol):
    """What the rooms of `mm` ask of the host they belong to."""

    @property
    def machine(self) -> Machine:
        """The machine that runs the tasks."""

    @property
    def memory(self) -> Memory:
        """All page frames."""

    @property
    def profile(self) -> Profile:
        """Which kernel is modelled."""

    @property
    def rcu(self) -> Rcu:
        """Read sections and grace periods of this machine."""

    @property
    def mm_all_locks_mutex(self) -> Mutex:
        """The one lock that lets a task tag the locks of an mm as taken."""

    @property
    def swap(self) -> "SwapSpace":
        """The swap device and its cache."""

    def mutated(self, name: str) -> bool:
        """Tell whether the mutant `name` is in force."""

    def choose(self, name: str, *values: T) -> T:
        """Take one of `values` as a choice of the run; the first is the calm one."""


class MmStruct(Watched):
    """struct mm_struct, as far as the rmap and the unmapping paths see it."""

    WATCHED = ("_free_area_cache", "mm_count", "mm_users", "mmu_notifier_mm")

    def __init__(self, host: HostServices, name: str) -> None:
        machine = host.machine
        self.host = host
        self.name = name
        # Protects `vmas`, and each vma's borders.
        self.mmap_sem = RwSem(machine, f"{name}.mmap_sem", "mmap_sem")
        # Protects a vma's anon_vma against another thread's fault.
        self.page_table_lock = SpinLock(machine, f"{name}.page_table_lock", "page_table_lock")
        self.page_table = PageTable(machine, name)
        # By address.
        self.vmas: list[Vma] = lab_list(machine, f"{name}.vmas")
        # Who may use the memory, and who may look at the struct (`mm/notifier.py`).
        self.mm_users = 1
        self.mm_count = 1
        # None until the first registration ever; read without a lock.
        self.mmu_notifier_mm: MmuNotifierMm | None = None

    async def flush_cpu_tlb(self, start: Va = _ADDRESS_MIN, end: Va = ADDRESS_MAX) -> None:
        """flush_tlb_mm, flush_tlb_range, flush_tlb_page: no host CPU keeps a stale entry.

        Model: the CPUs' TLBs themselves are not modelled, only that they were flushed.
        """
        await self.host.machine.step()
        self.host.machine.emit(CpuTlbFlushed, self.name, start, end)

    def __repr__(self) -> str:
        return f"<{self.name}>"


class Vma(Watched):
    """struct vm_area_struct: `[start, end)` of `mm`, beginning at page `pgoff`.

    For anonymous memory `pgoff` is the linear index `start / PAGE_SIZE` at the time of
    mmap; together with a page's index it gives the page's address.
    """

    WATCHED = ("anon_vma", "end", "pgoff", "start", "truncate_count", "writable")
    __slots__ = (
        "anon_vma",
        "end",
        "file",
        "mm",
        "name",
        "pgoff",
        "shared",
        "start",
        "truncate_count",
        "writable",
    )

    def __init__(
        self,
        name: str,
        mm: MmStruct,
        start: Va,
        end: Va,
        *,
        pgoff: int,
        file: "AddressSpace | None" = None,
        shared: bool = False,
        writable: bool = True,
    ) -> None:
        assert (start | end) % PAGE_SIZE == 0
        assert start < end
        self.name = name
        self.mm = mm
        self.start = start
        self.end = end
        self.pgoff = pgoff
        self.file = file
        self.shared = shared
        self.writable = writable
        # Written under the mm's page_table_lock (and the anon_vma's lock).
        self.anon_vma: AnonVma | None = None
        # Which unmap_mapping_range was here last, or where it broke off (an address,
        # negative); under the file's i_mmap_lock.
        self.truncate_count = 0
        watch(self, mm.host.machine, name)

    @property
    def pages(self) -> int:
        """How many pages it is long (vma_pages)."""
        return (self.end - self.start) // PAGE_SIZE

    def contains(self, va: Va) -> bool:
        """Tell whether `va` lies in it."""
        return self.start <= va < self.end

    def linear_page_index(self, va: Va) -> int:
        """The page's index in the file, or in the anonymous memory, at `va`."""
        return self.pgoff + (va - self.start) // PAGE_SIZE

    def address_of(self, index: int) -> Va | None:
        """vma_address: where the page of that index stands, or None if not in here."""
        va = self.start + (index - self.pgoff) * PAGE_SIZE
        return Va(va) if self.start <= va < self.end else None

    def __repr__(self) -> str:
        return f"<{self.name} {self.start:#x}-{self.end:#x}>"


def _i_mmap_key(vma: Vma) -> tuple[int, str, str]:
    return vma.pgoff, vma.mm.name, vma.name


class AddressSpace(PageOwner, Watched):
    """struct address_space: a file's page cache, and who maps it.

    A page of the cache is held by `cache`. What the file holds beyond the cache (its
    disk) is a content token a page.
    """

    WATCHED = ("all_locks", "size", "truncate_count")
    __slots__ = (
        "_i_mmap",
        "all_locks",
        "disk",
        "host",
        "i_mmap_lock",
        "i_mutex",
        "name",
        "pages",
        "size",
        "tree_lock",
        "truncate_count",
    )
    anon: ClassVar[bool] = False

    def __init__(self, host: HostServices, name: str, pages: int) -> None:
        machine = host.machine
        self.host = host
        self.name = name
        # i_size in pages; written under i_mutex, read without a lock.
        self.size = pages
        self.i_mutex = Mutex(machine, f"{name}.i_mutex", "i_mutex")
        # Protects `i_mmap` and `truncate_count`.
        self.i_mmap_lock = SpinLock(machine, f"{name}.i_mmap_lock", "i_mmap_lock")
        self._i_mmap: list[Vma] = lab_list(machine, f"{name}.i_mmap")
        self.truncate_count = 0
        # The bit AS_MM_ALL_LOCKS; under mm_all_locks_mutex.
        self.all_locks = False
        # Changes of `pages` are under the tree_lock.
        self.tree_lock = SpinLock(machine, f"{name}.tree_lock", "tree_lock")
        self.pages: dict[int, Page] = lab_dict(machine, f"{name}.pages")
        self.disk: dict[int, Content] = lab_dict(machine, f"{name}.disk")
        watch(self, machine, name)

    def i_mmap_insert(self, vma: Vma) -> None:
        """vma_prio_tree_insert; the caller holds `i_mmap_lock`."""
        bisect.insort(self._i_mmap, vma, key=_i_mmap_key)

    def i_mmap_remove(self, vma: Vma) -> None:
        """vma_prio_tree_remove; before the vma's `pgoff` changes."""
        place = bisect.bisect_left(self._i_mmap, _i_mmap_key(vma), key=_i_mmap_key)
        assert self._i_mmap[place] is vma
        del self._i_mmap[place]

    def i_mmap(self, first: int = 0, last: int | None = None) -> Iterator[Vma]:
        """Every vma that maps a page of index `first` to `last` inclusive, in order.

        The caller holds `i_mmap_lock` until it is through.
        """
        for vma in tuple(self._i_mmap):
            if last is not None and vma.pgoff > last:
                return
            if vma.pgoff + vma.pages > first:
                yield vma

    def on_disk(self, index: int) -> Content:
        """What reading the page from the file's disk gives."""
        return self.disk.get(index, ZERO)

    def __repr__(self) -> str:
        return f"<file {self.name}>"


class AnonVma(PageOwner, Watched):
    """struct anon_vma: the vmas in which its pages can stand, in list order.

    The list and the tag (the low bit of head.next) belong to `lock`: the list may be
    read only under it, because mm_take_all_locks keeps its tag in the very pointer.
    """

    WATCHED = ("freed", "tagged")
    __slots__ = ("_vmas", "freed", "host", "lock", "name", "tagged")
    anon: ClassVar[bool] = True

    def __init__(self, host: HostServices, name: str) -> None:
        self.host = host
        self.name = name
        self.lock = SpinLock(host.machine, f"{name}.lock", "anon_vma_lock")
        self.tagged = False
        # Its slab frees by RCU: whoever found it through a page may still lock it.
        self.freed = False
        self._vmas: list[Vma] = lab_list(host.machine, f"{name}.vmas")
        watch(self, host.machine, name)

    def vmas(self) -> tuple[Vma, ...]:
        """Follow head.next to the vmas; the caller holds `lock` until it is through."""
        self.host.machine.emit(HeadRead, self.name, self.lock.name, self.tagged)
        return tuple(self._vmas)

    def is_empty(self) -> bool:
        """list_empty: it, too, looks at head.next."""
        self.host.machine.emit(HeadRead, self.name, self.lock.name, self.tagged)
        return not self._vmas

    def add_tail(self, vma: Vma) -> None:
        """list_add_tail."""
        self._vmas.append(vma)

    def remove(self, vma: Vma) -> None:
        """list_del."""
        self._vmas.remove(vma)

    def __repr__(self) -> str:
        return f"<{self.name}>"


class SwapSlot(Watched):
    """One slot of the swap device: `count` swap ptes and caches refer to it."""

    WATCHED = ("content", "count", "page")
    __slots__ = ("content", "count", "page")

    def __init__(self) -> None:
        self.count = 0
        self.content = ZERO
        # The page in the swap cache, if any; under the swap space's tree_lock.
        self.page: Page | None = None


class SwapSpace:
    """The swap device and swapper_space, the cache in front of it. `mm/swap.py` works it."""

    def __init__(self, machine: Machine, memory: Memory) -> None:
        self.machine = machine
        self.memory = memory
        # Protects the counts of the slots.
        self.swap_lock = SpinLock(machine, "swap_lock", "swap_lock")
        # Protects which page is in the cache.
        self.tree_lock = SpinLock(machine, "swap.tree_lock", "tree_lock")
        self.slots: dict[int, SwapSlot] = lab_dict(machine, "swap")
        self.slots_made: dict[int, int] = {}
