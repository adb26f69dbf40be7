"""What of a GRU is hardware: contexts with a TLB and a fault handle, and their ASIDs (K 6.1).

A translation is used only under the ASID that it was dropped in for. An ASID is retired by
never giving it to a context again; at the wrap, when they begin anew, the TLB is flushed.
If one is given again sooner, to whomever, what the TLB has kept under it matches again.

Model: the chiplet's one TLB is split by context: contexts of one mm, which share an ASID,
share no entries. What is left under an ASID that a context has no more is told as dropped.
"""

from typing import ClassVar, Final, NamedTuple, Protocol

from notifierlab import Atomic, events, Host, Page, shadow, shared, SharedState, SpinLock, Tlb, Va

ASID_FIRST: Final = 8
"""ASIDs are given out in steps of this, and begin with it; 0 is none."""

ASID_LIMIT: Final = 0xFFFFF0


class Miss(NamedTuple):
    """What a fault handle (TFH) says: the address that missed, and under which ASID."""

    va: Va
    write: bool
    asid: int


class Entry(NamedTuple):
    """What the TLB keeps under an ASID: whom it is for, and the page."""

    va: Va
    page: Page
    write: bool


class Cch:
    """A context's hardware: configuration (CCH), TLB, and the fault handle of its miss."""

    is_lab_object: ClassVar[bool] = True
    __slots__ = ("_cached", "_invalidated", "_left", "asid", "tlb")

    def __init__(self, tlb: Tlb) -> None:
        # What misses show, and under which ASID the TLB has what it has: not the same
        # while instructions run whose ASID was taken away.
        self.asid = self._cached = 0
        self.tlb = tlb
        tlb.running = False
        # Whether an invalidate came since the fault handle was read.
        self._invalidated = False
        # What still stands in the chiplet's TLB under ASIDs that the context had before.
        self._left: dict[int, tuple[Entry, ...]] = {}

    def start(self, asid: int) -> None:
        """Run instructions under `asid`."""
        self._tell("WRITE")
        if asid != self._cached:
            self._leave()
        self.asid = self._cached = asid
        self.tlb.running = True

    def stop(self) -> None:
        """Run no more instructions; the ASID and what is cached under it stay."""
        self.tlb.running = False

    def retire(self) -> None:
        """Take the ASID away: no miss is answered any more, and what is cached will match nothing.

        Instructions that run go on with what they have, until that is purged.
        """
        self._tell("WRITE")
        self.asid = 0
        self._invalidated = True
        if not self.tlb.running:
            self._leave()

    def _leave(self) -> None:
        """Run under that ASID no more: the entries stay where they are, for whoever gets it."""
        self._left[self._cached] = self.kept_under(self._cached)
        self._cached = 0
        self.tlb.drop_all()

    def left_under(self, asid: int) -> tuple[Entry, ...]:
        """What the TLB still has under `asid` from when this context had it."""
        self._tell("READ")
        return self._left.get(asid, ())

    def kept_under(self, asid: int) -> tuple[Entry, ...]:
        """What the TLB has under `asid` because of this context."""
        now = self.tlb.entries.items() if asid == self._cached else ()
        return (*self.left_under(asid), *(Entry(va, entry.page, entry.write) for va, entry in now))

    def match(self, entry: Entry) -> None:
        """Find in the TLB what stands there under the context's ASID."""
        self.tlb.put(entry.va, entry.page, write=entry.write, lookup="")

    async def read_tfh(self, va: Va, *, write: bool) -> Miss:
        """Read what missed. From here on an invalidate makes the drop-in void."""
        await self.tlb.machine.step()
        self._tell("WRITE")
        self._invalidated = False
        return Miss(va, write, self.asid)

    async def drop_in(self, miss: Miss, lookup: shadow.Lookup) -> None:
        """Give the TLB what it missed, and restart the instruction.

        If an invalidate came since the miss was read, the hardware ignores it and
        reports the miss again (K 6.5).
        """
        assert lookup.page is not None
        await self.tlb.machine.step()
        self._tell("READ")
        if self.must_ignore(miss):
            self.tlb.machine.emit(events.DropinIgnored, self.tlb.mmu, self.tlb.cpu, miss.va)
        else:
            self.tlb.put(miss.va, lookup.page, write=miss.write, lookup=lookup.id)

    def must_ignore(self, miss: Miss) -> bool:
        """Whether the translation for `miss` may be stale, as far as the hardware knows."""
        return self._invalidated or self.asid != miss.asid

    def asid_in_use(self) -> int:
        """Under which ASID it runs; 0 if it does not."""
        self._tell("READ")
        return self.asid if self.tlb.running else 0

    def _tell(self, mode: str) -> None:
        machine = self.tlb.machine
        machine.touch(f"{self.tlb.cpu}.cch", machine.mode[mode])

    async def invalidate(self, asid: int, start: Va, end: Va) -> None:
        """Drop `[start, end)` of `asid`, on behalf of a purge handle (TGH)."""
        await self.tlb.machine.step()
        self._tell("WRITE")
        self._invalidated = True
        self._left[asid] = tuple(entry for entry in self.left_under(asid) if not start <= entry.va < end)
        if asid == self._cached:
            self.tlb.drop_range(start, end)

    async def flush(self) -> None:
        """Drop everything, under whatever ASID."""
        await self.tlb.machine.step()
        self._tell("WRITE")
        self._invalidated = True
        self._left.clear()
        self.tlb.drop_all()


class Occupant(Protocol):
    """Who is loaded into a context, as far as the chiplet cares."""

    is_lab_object: ClassVar[bool]


class Turn(NamedTuple):
    """A context of the chiplet, in use: whose turn it is, and whether that is due.

    As long as it is, nobody who has patience takes it away.
    """

    of: Occupant
    is_due: bool

    def __repr__(self) -> str:
        return f"{self.of!r}, due" if self.is_due else repr(self.of)


class Chiplet(SharedState):
    """gru_state: some contexts, and the ASIDs of everybody who runs in them.

    Model: blade lock, gs_lock and the map of contexts are one atomic field.
    """

    # Who is loaded.
    occupants: Atomic[tuple[Turn, ...]] = shared((), atomic=True)
    # Under gs_asid_lock.
    gs_asid: int = shared(ASID_FIRST)
    gs_asid_gen: int = shared(1)
    # Under tgh_lock: what the purge handle was told last, an ASID and a range.
    tgh: tuple[int, Va, Va] = shared((0, Va(0), Va(0)))

    def __init__(self, host: Host, name: str = "gru0", *, contexts: int = 2, asid_limit: int = ASID_LIMIT) -> None:
        super().__init__(host.machine, name)
        self.contexts = contexts
        self.asid_limit = asid_limit
        self.gs_asid_lock = SpinLock(self.machine, f"{name}.gs_asid_lock", "gs_asid_lock")
        self.tgh_lock = SpinLock(self.machine, f"{name}.tgh", "tgh_lock")
        # Every context's hardware, loaded or not: what a flush of the whole TLB reaches.
        self._hardware: list[Cch] = []

    async def assign(self, occupant: Occupant, *, is_due: bool = False) -> bool:
        """Give `occupant` a free context; false if there is none."""
        given = Turn(occupant, is_due)
        return given in await self.occupants.change(lambda now: (*now, given) if len(now) < self.contexts else now)

    async def unassign(self, occupant: Occupant) -> None:
        """Take its context back."""
        had = []

        def without(now: tuple[Turn, ...]) -> tuple[Turn, ...]:
            left = tuple(turn for turn in now if turn.of is not occupant)
            had.append(left != now)
            return left

        await self.occupants.change(without)
        if not had[0]:
            self.machine.bug("gru_free_gru_context", f"{occupant!r} has no context of {self.name}", self.name)

    async def end_turn(self, occupant: Occupant) -> None:
        """`occupant` got something out of its context, if it still has one: it is due no more."""
        over = Turn(occupant, is_due=False)
        await self.occupants.change(lambda now: tuple(over if turn.of is occupant else turn for turn in now))

    async def wait_for_turns(self) -> None:
        """Wait until nobody who is loaded is due."""

        def due() -> tuple[str, ...]:
            return tuple(repr(turn.of) for turn in self.occupants.peek() if turn.is_due)

        await self.machine.step(lambda: not due(), "those whose turn is due", due)

    def start(self, cch: Cch, asid: int) -> None:
        """Let a context run under `asid`: what stands in the TLB under it matches, for whomever it was made."""
        cch.start(asid)
        for other in self.all_hardware():
            # Model: contexts of one mm share no entries.
            ours = other.tlb.mmu == cch.tlb.mmu
            for entry in other.left_under(asid) if ours else other.kept_under(asid):
                cch.match(entry)

    async def purge(self, cch: Cch, asid: int, start: Va, end: Va) -> None:
        """Tell the purge handle to drop `[start, end)` of `asid`. The caller holds tgh_lock."""
        self.tgh = (asid, start, end)
        await cch.invalidate(asid, start, end)

    def add_hardware(self, cch: Cch) -> None:
        """One more context's hardware."""
        self.machine.touch(f"{self.name}.hardware", self.machine.mode.WRITE)
        self._hardware.append(cch)

    def all_hardware(self) -> tuple[Cch, ...]:
        """The hardware of every context."""
        self.machine.touch(f"{self.name}.hardware", self.machine.mode.READ)
        return tuple(self._hardware)

    async def read_generation(self) -> int:
        """Return the generation of the ASIDs that are given out now."""
        async with self.gs_asid_lock:
            return self.gs_asid_gen

    async def new_asid(self) -> tuple[int, int]:
        """Return an ASID that nobody has, and its generation."""
        async with self.gs_asid_lock:
            if self.gs_asid >= self.asid_limit:
                await self._wrap()
            # Contexts that go on running keep theirs across a wrap.
            in_use = [cch.asid_in_use() for cch in self.all_hardware()]
            while self.gs_asid in in_use:
                self.gs_asid += ASID_FIRST
            asid = self.gs_asid
            self.gs_asid = asid + ASID_FIRST
            return asid, self.gs_asid_gen

    async def _wrap(self) -> None:
        """Begin the ASIDs anew: entries of the old ones would match."""
        self.gs_asid = ASID_FIRST
        self.gs_asid_gen += 1
        async with self.tgh_lock:
            for cch in self.all_hardware():
                await cch.flush()
