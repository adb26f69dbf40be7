"""The contract as a driver sees it: what it is called with, when, and under what.

A secondary MMU subclasses `MmuNotifier` and overrides what it needs. Every callback runs
inside an RCU read section and mostly under spinlocks, so none may sleep, not even
`release`. The host calls them at these moments (K 1.2):

    invalidate_range_start   before the first pte of the range changes
    invalidate_range_end     after the last one did; pages may be freed by then, or later
    invalidate_page          after the pte was cleared and the CPUs flushed, pte lock held
    change_pte               the same for a pte that got another page (2.6.32)
    clear_flush_young        after the primary accessed bit was cleared, pte lock held
    release                  once, before exit frees the first page, or at unregister

The list a notifier hangs in stands here as well: plain links, as the walkers see them.
"""

from collections.abc import Iterator, Sequence
from typing import cast, ClassVar, NamedTuple

from notifierlab.events import PAGE_SIZE, Va
from notifierlab.machine.locks import SpinLock
from notifierlab.machine.watched import lab_dict, watch, Watched
from notifierlab.mm.page import Page
from notifierlab.mm.vma import MmStruct


class Range(NamedTuple):
    """What one window is about: `[start, end)` and the window's own name."""

    start: Va
    end: Va
    win: str

    @property
    def pages(self) -> Sequence[Va]:
        """The address of every page in it, mapped or not."""
        return cast(Sequence[Va], range(self.start, self.end, PAGE_SIZE))


class MmuNotifier:
    """struct mmu_notifier with its ops: what a secondary MMU is to the host.

    `name` identifies it in every event. `counter` names the shared field in which it
    counts open windows, if it does; `pinned` says that it keeps a page reference for
    each translation.
    """

    name: str
    counter: ClassVar[str] = ""
    pinned: bool = False

    async def invalidate_range_start(self, mm: MmStruct, range: Range) -> None:
        """Drop every translation in `range`, flush, and make none until the matching end.

        Held: mmap_sem or the i_mmap_lock, preemption off; never the pte lock. Windows
        of one mm overlap and nest, so a driver must count them.
        """

    async def invalidate_range_end(self, mm: MmStruct, range: Range) -> None:
        """Allow translations of `range` again, once no look-up in flight can be stale.

        It comes for each start that came, unless the notifier left the list in between.
        """

    async def invalidate_page(self, mm: MmStruct, address: Va) -> None:
        """Drop the translation of one page and flush, before returning.

        Held: the pte lock, with mmap_sem or an rmap lock. The page stays allocated until
        this returns.
        """

    async def change_pte(self, mm: MmStruct, address: Va, page: Page, write: bool) -> None:
        """Point the translation at `page`, or drop it. The new pte stands already, under
        the pte lock. A driver that does not override it gets invalidate_page instead."""

    async def clear_flush_young(self, mm: MmStruct, address: Va) -> bool:
        """Tell whether the device used the page since this was last asked, and forget it."""
        return False

    async def release(self, mm: MmStruct) -> None:
        """Drop every translation and make none any more: the mm is going away."""


class Node(Watched):
    """The link of one registration in its mm's list (an hlist_node).

    Unlinking leaves `next` alone: a walker that stands on the node goes on from there.
    `hashed` is what hlist_unhashed denies; a node that unregister took away is `poisoned`,
    and reads as hashed for ever.
    """

    WATCHED = ("hashed", "next", "poisoned", "ready")
    __slots__ = ("hashed", "mn", "next", "poisoned", "ready")

    def __init__(self, mn: MmuNotifier) -> None:
        self.mn = mn
        self.next: Node | None = None
        self.hashed = False
        self.poisoned = False
        # Whether its own links are written yet.
        self.ready = False


class MmuNotifierMm(Watched):
    """struct mmu_notifier_mm: an mm's list of notifiers and the lock of its writers."""

    WATCHED = ("first", "ready")
    __slots__ = ("first", "lock", "nodes", "ready")

    def __init__(self, mm: MmStruct) -> None:
        self.first: Node | None = None
        self.lock = SpinLock(mm.host.machine, f"{mm.name}.mmu_notifier_lock", "mmu_notifier_lock")
        # Whether list head and lock are initialised yet.
        self.ready = False
        # The node inside each driver object (container_of, the other way round).
        machine = mm.host.machine
        self.nodes: dict[MmuNotifier, Node] = lab_dict(machine, f"{mm.name}.nodes")
        watch(self, machine, f"{mm.name}.mmu_notifier_mm")

    def walk(self) -> Iterator[Node]:
        """Follow the links as they stand at each step (hlist_for_each_entry_rcu)."""
        node = self.first if self.ready else None
        while node is not None:
            yield node
            node = node.next

    def seen_complete(self) -> bool:
        """Tell whether a walker that begins now finds everything initialised."""
        return self.ready and (self.first is None or self.first.ready)

    def add_tail(self, node: Node) -> None:
        """Append `node`: the mutant `tail-insertion` alone does that."""
        nodes = list(self.walk())
        if nodes:
            nodes[-1].next = node
        else:
            self.first = node
        node.hashed = node.ready = True

    def unlink(self, node: Node) -> None:
        """Take `node` out of the list; its own link stays for those who stand on it."""
        if self.first is node:
            self.first = node.next
            return
        before = self.first
        while before is not None and before.next is not node:
            before = before.next
        if before is not None:
            before.next = node.next

    def __len__(self) -> int:
        return sum(1 for _ in self.walk())
