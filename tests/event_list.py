"""A tiny builder of event lists, for tests of the checker: what a run would have said.

A `Log` stamps events with a rising step and the task that `by` names. Its methods are the
passages that a correct host and driver make; a test that wants one of them wrong writes
its events one by one.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Concatenate, ParamSpec

from notifierlab import events as ev
from notifierlab.checker import Checker
from notifierlab.events import ADDRESS_MAX, Event, PAGE_SIZE, Va

P = ParamSpec("P")

VA = Va(0x10000)
END = Va(VA + PAGE_SIZE)
PFN = 7
PTL = "mm0.ptl0"


class Log:
    """The events so far. It begins with mm0, one vma of file0 and av0, and page 7 at VA."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.task = "host"
        self._names = 0
        self(ev.MmCreated, "mm0")
        self(ev.VmaLinked, "mm0", "vma0", VA, Va(VA + 16 * PAGE_SIZE), "file0", "av0")
        self(ev.PageAllocated, PFN, 1, "mm0")
        self(ev.PteSet, "mm0", VA, PFN, True)

    def __call__(self, make: Callable[Concatenate[int, str, P], Event], *args: P.args, **kwargs: P.kwargs) -> None:
        """Adds one event."""
        self.events.append(make(len(self.events), self.task, *args, **kwargs))

    @contextmanager
    def by(self, task: str) -> Iterator[None]:
        """What follows inside is done by `task`."""
        before, self.task = self.task, task
        yield
        self.task = before

    def fresh(self, kind: str) -> str:
        self._names += 1
        return f"{kind}{self._names}"

    # --- locks ---

    def take(self, lock: str, cls: str = "", mode: str = "write", how: str = "wait") -> None:
        self(ev.LockAcquired, lock, cls or class_of(lock), mode, how)

    def drop(self, lock: str, cls: str = "", mode: str = "write") -> None:
        self(ev.LockReleased, lock, cls or class_of(lock), mode)

    @contextmanager
    def holding(self, lock: str, cls: str = "", mode: str = "write", how: str = "wait") -> Iterator[None]:
        self.take(lock, cls, mode, how)
        yield
        self.drop(lock, cls, mode)

    # --- registration ---

    def take_all(self) -> None:
        self(ev.TakeAllBegun, "mm0")
        self.take("mm_all_locks_mutex")
        self(ev.TagSet, "file0", "file0.i_mmap_lock")
        self.take("file0.i_mmap_lock", how="nest")
        self.take("av0.lock", how="nest")
        self(ev.TagSet, "av0", "av0.lock")

    def drop_all(self) -> None:
        self(ev.TagCleared, "av0", "av0.lock")
        self.drop("av0.lock")
        self.drop("file0.i_mmap_lock")
        self(ev.TagCleared, "file0", "file0.i_mmap_lock")
        self.drop("mm_all_locks_mutex")

    def register(self, mmu: str = "kvm0", counter: str = "", pinned: bool = False, count: int = 2) -> None:
        self(ev.RegisterBegun, "mm0", mmu, counter, pinned)
        with self.holding("mm0.mmap_sem"):
            self.take_all()
            self(ev.TakeAllDone, "mm0")
            self(ev.MmCountChanged, "mm0", count)
            with self.holding("mm0.mmu_notifier_lock"):
                self(ev.NotifierAdded, "mm0", mmu)
            self.drop_all()
            self(ev.TakeAllDropped, "mm0")
        self(ev.RegisterDone, "mm0", mmu, 0)

    def unregister(self, mmu: str = "kvm0", count: int = 1) -> None:
        self(ev.UnregisterBegun, "mm0", mmu)
        self.call("release", mmu, Va(0), ADDRESS_MAX)
        self(ev.NotifierRemoved, "mm0", mmu, "unregister")
        self(ev.UnregisterDone, "mm0", mmu)
        self(ev.MmCountChanged, "mm0", count)

    # --- what the host tells ---

    def enter(self, callback: str, mmu: str = "kvm0", start: Va = VA, end: Va = END, win: str = "") -> None:
        self(ev.CbEntered, "mm0", mmu, callback, start, end, win)

    def leave(
        self, callback: str, mmu: str = "kvm0", start: Va = VA, end: Va = END, win: str = "", result: int = 0
    ) -> None:
        self(ev.CbLeft, "mm0", mmu, callback, start, end, win, result)

    def call(self, callback: str, mmu: str = "kvm0", start: Va = VA, end: Va = END, win: str = "") -> None:
        self.enter(callback, mmu, start, end, win)
        self.leave(callback, mmu, start, end, win)

    def walk(self, callback: str, *mmus: str, start: Va = VA, end: Va = END, win: str = "") -> None:
        self(ev.WalkBegun, "mm0", callback, True)
        for mmu in mmus:
            self.call(callback, mmu, start, end, win)
        self(ev.WalkEnded, "mm0", callback)

    def open(self, *mmus: str, win: str = "win1", end: Va = END) -> None:
        """A window over [VA, end), told to `mmus`."""
        self(ev.WindowOpened, win, "mm0", VA, end, "R1")
        self.walk("start", *mmus, end=end, win=win)

    def close(self, *mmus: str, win: str = "win1", end: Va = END) -> None:
        self.walk("end", *mmus, end=end, win=win)
        self(ev.WindowClosed, win, "mm0", VA, end)

    def clear(self, win: str = "win1", notify: str = "window", pfn: int = PFN) -> None:
        """The pte at VA goes, under its lock; the CPUs are flushed."""
        with self.holding(PTL):
            self(ev.PteCleared, "mm0", VA, pfn, win, notify, PTL)
        self(ev.CpuTlbFlushed, "mm0", VA, END)

    def free(self, pfn: int = PFN, gen: int = 1) -> None:
        self(ev.PagePut, pfn, 0, "mm0")
        self(ev.PageFreed, pfn, gen)

    # --- what the device does ---

    def look_up(self, mmu: str = "kvm0", pfn: int = PFN, write: bool = True) -> str:
        lookup = self.fresh("lookup")
        self(ev.LookupBegun, mmu, lookup, "mm0", VA, write)
        self(ev.LookupDone, mmu, lookup, VA, pfn)
        return lookup

    def map(self, mmu: str = "kvm0", pfn: int = PFN, tlb: bool = False, write: bool = True) -> None:
        """The device looks VA up and maps it, with a TLB entry if asked."""
        lookup = self.look_up(mmu, pfn, write)
        with self.holding(f"{mmu}.mmu_lock"):
            self(ev.SpteSet, mmu, VA, pfn, write, lookup)
        if tlb:
            self(ev.TlbFilled, mmu, "cpu0", VA, pfn, write, "")

    def unmap(self, mmu: str = "kvm0", pfn: int = PFN, tlb: bool = False) -> None:
        with self.holding(f"{mmu}.mmu_lock"):
            self(ev.SpteCleared, mmu, VA, pfn)
            if tlb:
                self.flush(mmu, pfn)

    def flush(self, mmu: str = "kvm0", pfn: int = PFN) -> None:
        flush = self.fresh("flush")
        self(ev.TlbFlushBegun, mmu, flush, VA, END)
        self(ev.TlbDropped, mmu, "cpu0", VA, pfn)
        self(ev.TlbFlushDone, mmu, flush, VA, END)

    def use(self, mmu: str = "kvm0", pfn: int = PFN, write: bool = False) -> None:
        self(ev.SecAccessed, mmu, "cpu0", VA, pfn, write)


def class_of(lock: str) -> str:
    """The lock class, from a lock's name."""
    last = lock.rpartition(".")[2]
    return {"ptl0": "pte_lock", "lock": "anon_vma_lock"}.get(last, last)


def spoken(
    log: Log,
    *,
    complete: bool = True,
    strict: bool = False,
    disabled: tuple[str, ...] = (),
    **switches: bool | int | str,
) -> list[str]:
    """The rules that the checker finds broken, each once, in the order in which they spoke."""
    checker = Checker(switches, strict=strict, disabled=disabled)
    for event in log.events:
        checker.feed(event)
    return list(dict.fromkeys(violation.rule for violation in checker.finish(complete=complete)))
