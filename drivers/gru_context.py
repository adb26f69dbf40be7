"""One context of a GRU: instructions of one thread, and where it is loaded (K 6.2, 6.7).

An instruction uses the mm's own addresses. What its TLB has not, the host must drop in:
at once by an interrupt, or, where that cannot tell, by a call of the user.
"""

import enum
from collections.abc import Awaitable, Callable
from typing import ClassVar, Concatenate, Final, ParamSpec, TYPE_CHECKING

from drivers.processor import LoadsAndStores
from notifierlab import Content, Mutex, PAGE_SIZE, shared, SharedState, SpinLock, Va

if TYPE_CHECKING:
    from drivers.gru import GruMmu

P = ParamSpec("P")

GSEG_START: Final = Va(0x7000_0000_0000)
"""Where a context is mapped. Model: all of them at one place, which mmap never gives out."""

GSEG_END: Final = Va(GSEG_START + 64 * PAGE_SIZE)


class Dropin(enum.Enum):
    """What became of a drop-in."""

    DONE = "done, or void; the instruction goes on and shows which"
    RETRY = "a window is open"
    ASLEEP = "only a look-up that may sleep could tell"
    NO_ASID = "the mm is going away"
    FAULT = "there is no memory"


class GruContext(LoadsAndStores, SharedState):
    """gru_thread_state with its hardware: the processor on which GRU programs run."""

    is_lab_object: ClassVar[bool] = True

    # Under ts_ctxlock: it was stolen, or stole and others were quicker; so it waits before it steals.
    is_patient: bool = shared(False)
    # Its thread's alone: it had to have patience, and no access of its has come through since.
    is_due: bool = shared(False)

    def __init__(self, gms: "GruMmu", name: str, *, interrupts: bool = True) -> None:
        super().__init__(gms.machine, name)
        self.gms = gms
        self.interrupts = interrupts
        self.tlb = gms.new_tlb(name)
        self.cch = gms.new_hardware(self.tlb)
        gms.chiplet.add_hardware(self.cch)
        self.ts_ctxlock = Mutex(gms.machine, f"{name}.ts_ctxlock", "ts_ctxlock")
        self.cch_lock = SpinLock(gms.machine, f"{name}.cch_lock", "cch_lock")

    async def run(
        self, program: Callable[Concatenate["GruContext", P], Awaitable[object]], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Let a thread of the mm issue instructions and wait for them, until `program` ends."""
        if await self.gms.mm.mmget_not_zero():
            await program(self, *args, **kwargs)
            await self.gms.mm.mmput()

    async def close(self, *, exiting: bool = False) -> None:
        """The GSEG is unmapped: by munmap, or `exiting` by exit_mmap, without mmap_sem."""
        if exiting:
            await self._close(zap=False)
            return
        async with self.gms.mm.mmap_sem.write():
            await self._close(zap=True)

    async def _close(self, *, zap: bool) -> None:
        async with self.ts_ctxlock:
            if self.is_loaded():
                await self.unload(zap=zap)
        await self.gms.drop()

    # What an instruction does.

    async def access(self, va: Va, *, write: bool, value: int) -> Content | None:
        content = await self.tlb.use(va, write=write, value=value)
        while content is None and await self._resolve(va, write=write):
            content = await self.tlb.use(va, write=write, value=value)
        if self.is_due:
            self.is_due = False
            await self.gms.chiplet.end_turn(self)
        return content

    async def _resolve(self, va: Va, *, write: bool) -> bool:
        """Do what an access that did not come through needs; false if there is no memory."""
        if not self.is_loaded():
            await self._fault_on_gseg()
            return True
        if self.interrupts and await self.interrupt(va, write=write):
            return True
        return await self._call_os(va, write=write)

    async def _fault_on_gseg(self) -> None:
        """The user touches a GSEG without hardware behind it."""
        self.machine.trying()
        async with self.gms.mm.mmap_sem.read(), self.ts_ctxlock:
            loaded = self.is_loaded() or await self.load()
            must_wait = not loaded and self._spend_patience()
        # Model: GRU_ASSIGN_DELAY, and GRU_STEAL_DELAY after being stolen, are not 20 and 200 ms, but until each
        # of those whose turn it is has got something out of it; or until another try may succeed.
        if must_wait:
            await self.gms.chiplet.wait_for_turns()
        elif not loaded:
            await self.machine.relax()

    def _spend_patience(self) -> bool:
        """Tell whether it must wait for others' turns now, after which it may steal."""
        had, self.is_patient = self.is_patient, False
        self.is_due = self.is_due or had
        return had

    async def interrupt(self, va: Va, *, write: bool) -> bool:
        """A miss raises an interrupt; return whether that was all it needed."""
        results = []

        async def handler() -> None:
            results.append(await self.gms.interrupt(self, va, write=write))

        await self.machine.join(self.machine.start(handler, name=self.machine.fresh("gru_intr"), context="interrupt"))
        return results == [Dropin.DONE]

    async def _call_os(self, va: Va, *, write: bool) -> bool:
        """gru_handle_user_call_os; a context that was stolen meanwhile faults first."""
        async with self.gms.mm.mmap_sem.read(), self.ts_ctxlock:
            return not self.is_loaded() or await self.gms.user_dropin(self, va, write=write) is Dropin.DONE

    # Where it is loaded. The caller holds ts_ctxlock.

    def is_loaded(self) -> bool:
        """Whether the context has hardware to run on."""
        return self.tlb.running

    async def load(self) -> bool:
        """Get a free context of the chiplet, or steal one; false if that failed."""
        chiplet = self.gms.chiplet
        while not await chiplet.assign(self, is_due=self.is_due or self.is_patient):
            if self.is_patient or not await self.gms.steal_context(self):
                return False
            # That made room; somebody else may be quicker to take it.
            self.is_patient = True
        self._spend_patience()
        async with self.cch_lock:
            await self.gms.start_context(self)
        return True

    async def unload(self, *, zap: bool = True) -> None:
        """Give the context of the chiplet back.

        With `zap` the GSEG's ptes go first, so that its user faults: a window of the mm,
        for which mmap_sem should be held.
        """
        if zap:
            await self.gms.mm.zap_vma_ptes(GSEG_START, GSEG_END)
        async with self.cch_lock:
            await self.gms.stop_context(self)
        if self.is_loaded():
            self.machine.bug("gru_unload_context", f"{self} still runs: cch_deallocate fails", self.name)
        await self.gms.chiplet.unassign(self)

    def __repr__(self) -> str:
        return self.name


class InFlight(LoadsAndStores):
    """Instructions of a context whose thread is gone: they run on, and nobody calls for them."""

    def __init__(self, context: GruContext) -> None:
        self.context = context
        self.tlb = context.tlb

    async def access(self, va: Va, *, write: bool, value: int) -> Content | None:
        while True:
            content = await self.tlb.use(va, write=write, value=value)
            if content is not None:
                return content
            if not self.context.is_loaded() or not await self.context.interrupt(va, write=write):
                return None
