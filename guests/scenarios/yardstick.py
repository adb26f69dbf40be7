"""The yardstick: registrar, truncate and guests in the fewest steps that show the protocol.

It is a model beside the host, not of it: no mm, no driver, only the protocol, in the
steps of the Promela model that other tools were measured with, so that counts of traces
and states can be compared with those of SPIN, TLC and Nidhugg. Every step touches what
is recorded in it and nothing else.

    registrar           truncate                    guest
    mmap_sem (write)    i_mmap                      leave if none is registered
    i_mmap              if registered, mmu_lock:    s = seq
    registered = 1        count += 1, drop spte     mmap_sem (read), pte lock:
                        pte lock: drop pte            get the page, if there is one
                        put page                    mmu_lock:
                        if registered, mmu_lock:      set spte if count == 0, seq == s
                          count -= 1, seq += 1      put page; once more if it was not set

Declared: gets and puts of a page commute, though the put that frees reads the shadow
entry. No order that matters hides behind that: whoever changes the entry does so before
a put of its own, so it stands the same when the last put comes, whoever's that is.
"""

from typing import Any, Final

from notifierlab import events, Host, Mutant, PAGE_SIZE, Va

_MMU: Final = "smmu"
_VA: Final = 0x10000


async def yardstick(
    host: Host, *, guests: int = 1, pages: int = 1, wait: bool = False, commute: bool = True, unrelated: int = 0
) -> None:
    """A registrar, a truncate and `guests` that fault, in the steps of the Promela model.

    A guest leaves when no MMU is registered, or with `wait` it blocks until one is.
    Without `commute`, gets and puts of a page conflict and a get is a step of its own.
    `unrelated` tasks take as many steps that touch nothing of this.
    """
    world = _World(host, pages, wait=wait, commute=commute)
    for page in range(pages):
        host.machine.interchangeable(*[f"guest{n}" for n in range(page, guests, pages)])
    async with host.together() as tasks:
        tasks.start(world.registrar, name="registrar")
        tasks.start(world.truncate, name="truncate")
        for n in range(guests):
            tasks.start(world.guest, n % pages, name=f"guest{n}")
        for n in range(unrelated):
            tasks.start(world.bystander, n, name=f"bystander{n}")


class _Lock:
    """A lock with one holder or, where asked for, many readers; each move is a step."""

    __slots__ = ("held", "machine", "name", "readers")

    def __init__(self, host: Host, name: str) -> None:
        self.machine = host.machine
        self.name = name
        self.held = False
        self.readers = 0
        # Who had it before matters to nobody here.
        self.machine.holds(name, None)

    # Taken and dropped more often than anything else is done here: so they look first
    # whether anybody wants to know what they touch.

    async def take(self) -> None:
        machine = self.machine
        if machine.recording:
            machine.want(self.name, machine.mode.ACQUIRE)
        await machine.step(self._is_free, self.name)
        self.held = True
        if machine.recording:
            machine.touch(self.name, machine.mode.ACQUIRE)

    async def drop(self) -> None:
        machine = self.machine
        await machine.step()
        self.held = False
        if machine.recording:
            self._given_back(machine.mode.RELEASE)

    async def take_read(self) -> None:
        machine = self.machine
        if machine.recording:
            machine.want(self.name, machine.mode.ACQUIRE_READ)
        await machine.step(self._no_writer, self.name)
        self.readers += 1
        if machine.recording:
            machine.touch(self.name, machine.mode.ACQUIRE_READ)

    async def drop_read(self) -> None:
        machine = self.machine
        await machine.step()
        self.readers -= 1
        if machine.recording:
            self._given_back(machine.mode.RELEASE_READ)

    def _given_back(self, mode: Any) -> None:
        self.machine.touch(self.name, mode)
        self.machine.holds(self.name, None)

    def _is_free(self) -> bool:
        return not self.held and not self.readers

    def _no_writer(self) -> bool:
        return not self.held


class _Page:
    """A page of the range, its pte, its shadow entry and the lock of its page table."""

    __slots__ = ("lock", "n", "present", "pte_name", "refs", "refs_name", "spte", "spte_name", "va")

    def __init__(self, host: Host, n: int) -> None:
        self.n = n
        self.pte_name, self.spte_name, self.refs_name = f"pte{n}", f"spte{n}", f"ref{n}"
        self.va = Va(_VA + n * PAGE_SIZE)
        self.lock = _Lock(host, f"ptl{n}")
        self.present = True
        self.refs = 1
        self.spte = False
        host.machine.emit(events.PageAllocated, n + 1, 1, "mm")


class _World:
    """What the tasks share."""

    def __init__(self, host: Host, pages: int, *, wait: bool, commute: bool) -> None:
        host.all_touches_declared()
        self.host = host
        self.machine = host.machine
        self.wait = wait
        self.commute = commute
        self.take_all = not (host.mutated("yardstick-a") or host.mutated("yardstick-e"))
        self.counts = not host.mutated("yardstick-e")
        self.checks_count = not (host.mutated("yardstick-b") or host.mutated("yardstick-d"))
        self.checks_seq = not (host.mutated("yardstick-b") or host.mutated("yardstick-c"))
        self.i_mmap = _Lock(host, "i_mmap")
        self.mmap_sem = _Lock(host, "mmap_sem")
        self.mmu_lock = _Lock(host, "mmu_lock")
        self.registered = False
        self.count = 0
        self.seq = 0
        host.machine.emit(events.RegisterBegun, "mm", _MMU, "count", False)
        self.pages = [_Page(host, n) for n in range(pages)]

    async def registrar(self) -> None:
        await self.mmap_sem.take()
        if self.take_all:
            await self.i_mmap.take()
        machine = self.machine
        await machine.step()
        self.registered = True
        if machine.recording:
            machine.touch("registered", machine.mode.WRITE)
            machine.holds("registered", True)
        machine.emit(events.RegisterDone, "mm", _MMU, 0)
        if self.take_all:
            await self.i_mmap.drop()
        await self.mmap_sem.drop()

    async def truncate(self) -> None:
        machine = self.machine
        await self.i_mmap.take()
        if await self._has_notifier():
            await self._range_start()
        for page in self.pages:
            await page.lock.take()
            await machine.step()
            page.present = False
            if machine.recording:
                machine.touch(page.pte_name, machine.mode.WRITE)
                machine.holds(page.pte_name, False)
            await page.lock.drop()
        for page in self.pages:
            await self._put(page)
        if await self._has_notifier():
            await self._range_end()
        await self.i_mmap.drop()

    async def guest(self, n: int) -> None:
        machine = self.machine
        if self.wait:
            await machine.step(self._is_registered, "a registration")
        else:
            if machine.recording:
                machine.touch("registered", machine.mode.READ)
            if not self.registered:
                return
        for attempt in range(2):
            if await self._fault(self.pages[n], attempt):
                break

    async def bystander(self, n: int) -> None:
        """Does what concerns nobody: it takes a lock of its own and changes what is its own."""
        lock = _Lock(self.host, f"own lock {n}")
        for _ in range(3):
            await lock.take()
            await self.machine.step()
            self.machine.touch(f"own {n}", self.machine.mode.WRITE)
            await lock.drop()

    # --- the steps ------------------------------------------------------------------

    async def _has_notifier(self) -> bool:
        machine = self.machine
        await machine.step()
        if machine.recording:
            machine.touch("registered", machine.mode.READ)
        return self.registered

    def _is_registered(self) -> bool:
        self.machine.touch("registered", self.machine.mode.AWAIT)
        return self.registered

    async def _range_start(self) -> None:
        machine = self.machine
        await self.mmu_lock.take()
        await machine.step()
        self._set_count(self.count + 1)
        for page in self.pages:
            if page.spte:
                page.spte = False
                machine.emit(events.SpteCleared, _MMU, page.va, page.n + 1)
            if machine.recording:
                machine.touch(page.spte_name, machine.mode.WRITE)
                machine.holds(page.spte_name, False)
        if machine.recording:
            machine.at("range started")
        await self.mmu_lock.drop()

    async def _range_end(self) -> None:
        machine = self.machine
        await self.mmu_lock.take()
        await machine.step()
        self._set_count(self.count - 1)
        self.seq += 1
        if machine.recording:
            machine.touch("seq", machine.mode.WRITE)
            machine.holds("seq", self.seq)
            machine.at("range ended")
        await self.mmu_lock.drop()

    def _set_count(self, count: int) -> None:
        machine = self.machine
        self.count = count
        if machine.recording:
            machine.touch("count", machine.mode.WRITE)
            machine.holds("count", count)
        if self.counts:
            machine.emit(events.AtomicWritten, _MMU, "count", str(count))

    async def _fault(self, page: _Page, attempt: int) -> bool:
        """Try once; return whether there is nothing left to try."""
        machine = self.machine
        await machine.step()
        seq = self.seq
        if machine.recording:
            machine.touch("seq", machine.mode.READ)
            machine.at("seq read", attempt, seq)
        await self.mmap_sem.take_read()
        await page.lock.take()
        got = await self._get(page)
        if machine.recording:
            machine.at(*(("page got", attempt, seq) if got else ("no page",)))
        await page.lock.drop()
        await self.mmap_sem.drop_read()
        if not got:
            return True
        await self.mmu_lock.take()
        await machine.step()
        if machine.recording:
            machine.touch("count", machine.mode.READ)
            machine.touch("seq", machine.mode.READ)
        ok = not (self.checks_count and self.count) and not (self.checks_seq and self.seq != seq)
        if ok:
            page.spte = True
            if machine.recording:
                machine.touch(page.spte_name, machine.mode.WRITE)
                machine.holds(page.spte_name, True)
            machine.emit(events.SpteSet, _MMU, page.va, page.n + 1, True, "")
        if machine.recording:
            machine.at("set" if ok or attempt else "to try again")
        await self.mmu_lock.drop()
        await self._put(page)
        return ok

    async def _get(self, page: _Page) -> bool:
        machine = self.machine
        await machine.step()
        if machine.recording:
            machine.touch(page.pte_name, machine.mode.READ)
        if not page.present:
            return False
        if not self.commute:
            await machine.step()
        self._count(page, 1)
        return True

    async def _put(self, page: _Page) -> None:
        machine = self.machine
        await machine.step()
        self._count(page, -1)
        if not page.refs:
            machine.emit(events.PageFreed, page.n + 1, 1)

    def _count(self, page: _Page, change: int) -> None:
        machine = self.machine
        page.refs += change
        if machine.recording:
            machine.touch(page.refs_name, machine.mode.ADD if self.commute else machine.mode.WRITE)
            machine.holds(page.refs_name, page.refs)


def _mutant(name: str, sentence: str, rule: str) -> Mutant:
    return Mutant(name, "host", sentence, (rule,), "yardstick")


MUTANTS: Final = {
    mutant.name: mutant
    for mutant in (
        _mutant("yardstick-a", "Yardstick: registration does not wait for running invalidations.", "window-count"),
        _mutant("yardstick-b", "Yardstick: the guest rechecks nothing before it sets.", "freed-while-reachable"),
        _mutant("yardstick-c", "Yardstick: the guest rechecks the count only.", "freed-while-reachable"),
        _mutant("yardstick-d", "Yardstick: the guest rechecks the sequence only.", "freed-while-reachable"),
        _mutant("yardstick-e", "Yardstick: as a, and nobody watches the count.", "freed-while-reachable"),
    )
}
