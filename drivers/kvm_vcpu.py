"""A virtual processor: guest mode, its TLB, and the requests that make it flush.

Host and guest meet in three steps (K 5.6):

    flusher                              vCPU
    sets the request bit                 enters: with interrupts off, tests the bit
    sends an interrupt, if it runs       is thrown out of guest mode by it
    waits until it is out                flushes before it enters again
"""

from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec, TYPE_CHECKING

from drivers.processor import LoadsAndStores
from notifierlab import Atomic, Content, shared, SharedState, Tlb, Va

if TYPE_CHECKING:
    from drivers.kvm import KvmMmu

P = ParamSpec("P")


class VCpu(LoadsAndStores, SharedState):
    """One vCPU of `vm`, with a TLB of its own."""

    in_guest: Atomic[bool] = shared(False, atomic=True)
    flush_requested: Atomic[bool] = shared(False, atomic=True)

    def __init__(self, vm: "KvmMmu", name: str) -> None:
        super().__init__(vm.machine, name)
        self.vm = vm
        self.tlb = Tlb(vm.machine, vm.name, name)

    async def run(
        self, program: Callable[Concatenate["VCpu", P], Awaitable[object]], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """KVM_RUN, by a thread of the VM's mm, until the guest's `program` ends.

        The thread is one of the mm's users, so exit waits for it. Nothing runs if the mm
        is past its end, or the VM.
        """
        mm = self.vm.mm
        begun = self.machine.mark()
        if not await mm.mmget_not_zero():
            return
        if await self.vm.get():
            await program(self, *args, **kwargs)
            await self.vm.put()
        await mm.mmput()
        self.machine.forget(begun)

    # What the guest does.

    async def invlpg(self, va: Va) -> None:
        """Drop the translation of `va`; KVM intercepts it."""
        await self.vm.invlpg(va)

    async def access(self, va: Va, *, write: bool, value: int) -> Content | None:
        # Model: a vCPU is in guest mode for one access at a time; its TLB lasts.
        machine = self.machine
        begun = machine.mark()
        while True:
            machine.forget(begun)
            machine.trying()
            await self.enter_guest()
            content = await self._access_in_guest(va, write=write, value=value)
            await self.leave_guest()
            machine.forget(begun, content)
            if content is not None:
                return content
            if not await self.vm.page_fault(va):
                return None

    async def _access_in_guest(self, va: Va, *, write: bool, value: int) -> Content | None:
        if not self.tlb.has(va, write=write) and not await self.tlb.walk(self.vm.sptes, va, write=write):
            return None
        return await self.tlb.use(va, write=write, value=value)

    async def enter_guest(self) -> None:
        # With interrupts off the last test and the entry are one: a request that comes
        # later brings an interrupt, which forces an exit before the first instruction.
        while not await self.in_guest.change(lambda _: not self.flush_requested.peek()):
            self.tlb.drop_all()
            await self.flush_requested.set(False)

    async def leave_guest(self) -> None:
        await self.in_guest.set(False)
        if self.flush_requested.peek():
            self.tlb.drop_all()

    # What a flusher does.

    async def request_flush(self) -> bool:
        """Set the request bit; return whether it was set already."""
        was_requested = await self.flush_requested.test_and_set()
        # Model: outside guest mode a TLB that must be flushed before the next entry is
        # dropped at once; nobody can use it in between.
        if not self.in_guest.peek():
            self.tlb.drop_all()
        return was_requested

    async def kick(self) -> None:
        """Interrupt the vCPU and wait until it is out of guest mode."""
        await self.machine.step(
            lambda: not self.in_guest.peek(), f"{self.name} to leave guest mode", lambda: (self.name,)
        )
