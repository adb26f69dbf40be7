"""What of a GRU is hardware: contexts with a TLB and a fault handle, and their ASIDs (K 6.1).

A translation is used only under the ASID that it was dropped in for. An ASID is retired by
never giving it to a context again; at the wrap, when they begin anew, the TLB is flushed.

Model: the chiplet's one TLB is split by context; entries of a retired ASID, which could
never match, are dropped with it.
"""

from typing import ClassVar, Final, NamedTuple, Protocol

from notifierlab import Atomic, events, Host, shadow, shared, SharedState, SpinLock, Tlb, Va

ASID_FIRST: Final = 8
"""ASIDs are given out in steps of this, and begin with it; 0 is none."""

ASID_LIMIT: Final = 0xFFFFF0


class Miss(NamedTuple):
    """What a fault handle (TFH) says: the address that missed, and under which ASID."""

    va: Va
    write: bool
    asid: int


class Cch:
    """A context's hardware: configuration (CCH), TLB, and the fault handle of its miss."""

    is_lab_object: ClassVar[bool] = True
    __slots__ = ("_invalidated", "asid", "tlb")

    def __init__(self, tlb: Tlb) -> None:
        self.asid = 0
        self.tlb = tlb
        tlb.running = False
        # Whether an invalidate came since the fault handle was read.
        self._invalidated = False

    def start(self, asid: int) -> None:
        """Run instructions under `asid`."""
        self._tell("WRITE")
        if asid != self.asid:
            self.retire()
        self.asid = asid
        self.tlb.running = True

    def stop(self) -> None:
        """Run no more instructions; the ASID and what is cached under it stay."""
        self.tlb.running = False

    def retire(self) -> None:
        """Take the ASID away: nothing that is cached can match any more."""
        self._tell("WRITE")
        self.asid = 0
        self._invalidated = True
        self.tlb.drop_all()

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
        """Under which ASID it runs, or ran last: 0 if it was retired."""
        self._tell("READ")
        return self.asid

    def _tell(self, mode: str) -> None:
        machine = self.tlb.machine
        machine.touch(f"{self.tlb.cpu}.cch", machine.mode[mode])

    async def invalidate(self, start: Va, end: Va) -> None:
        """Drop `[start, end)`, on behalf of a purge handle (TGH)."""
        await self.tlb.machine.step()
        self._tell("WRITE")
        self._invalidated = True
        self.tlb.drop_range(start, end)


class Occupant(Protocol):
    """Who is loaded into a context, as far as the chiplet cares."""

    is_lab_object: ClassVar[bool]


class Chiplet(SharedState):
    """gru_state: some contexts, and the ASIDs of everybody who runs in them.

    Model: blade lock, gs_lock and the map of contexts are one atomic field.
    """

    # Who is loaded.
    occupants: Atomic[tuple[Occupant, ...]] = shared((), atomic=True)
    # Under gs_asid_lock.
    gs_asid: int = shared(ASID_FIRST)
    gs_asid_gen: int = shared(1)

    def __init__(self, host: Host, name: str = "gru0", *, contexts: int = 2, asid_limit: int = ASID_LIMIT) -> None:
        super().__init__(host.machine, name)
        self.contexts = contexts
        self.asid_limit = asid_limit
        self.gs_asid_lock = SpinLock(self.machine, f"{name}.gs_asid_lock", "gs_asid_lock")
        self.tgh_lock = SpinLock(self.machine, f"{name}.tgh", "tgh_lock")
        # Every context's hardware, loaded or not: what a flush of the whole TLB reaches.
        self._hardware: list[Cch] = []

    async def assign(self, occupant: Occupant) -> bool:
        """Give `occupant` a free context; false if there is none."""
        return occupant in await self.occupants.change(
            lambda now: (*now, occupant) if len(now) < self.contexts else now
        )

    async def unassign(self, occupant: Occupant) -> None:
        """Take its context back."""
        await self.occupants.change(lambda now: tuple(other for other in now if other is not occupant))

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
                await cch.invalidate(Va(0), events.ADDRESS_MAX)
