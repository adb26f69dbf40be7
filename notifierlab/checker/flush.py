"""Rules about the TLBs of a device: a promise is made after the flush, not before.

    mmu_lock taken
      spte cleared
      TLBs flushed       before mmu_lock is dropped: whoever finds the spte gone
    mmu_lock dropped     believes that no TLB has it either (K 4.6)
    callback returns     before this at the latest: the host frees now

Devices without a shadow table have flushes alone to be judged by.
"""

from collections.abc import Hashable

from msgspec import Struct

from notifierlab import events as ev
from notifierlab.checker.rules import CRITICAL, hexed, Judge, Rule
from notifierlab.checker.state import Mmu, Translation, within
from notifierlab.checker.tasks import Held, UNRANKED
from notifierlab.checker.windows import stands


class Unflushed(Struct, gc=False, eq=False):
    """A TLB entry whose shadow entry was cleared by a task, after its `number`th acquisition."""

    entry: Translation
    number: int


class FlushLate(Judge):
    """Who removes a shadow entry flushes the TLBs before anybody may rely on it.

    Verified: of the TLB entries that stood for an address and page when the shadow entry
    was cleared, none stands when the same task returns from the callback, or releases a
    lock of the driver that it held at the clear.
    Not verified: shadow entries that are overwritten or downgraded, where the kernel of
    the time flushed later on purpose; devices without shadow entries (`flush-incomplete`).
    """

    rule = Rule("flush-late", "flush", CRITICAL, "TLBs are flushed before the lock of a cleared spte is dropped.", 21)

    def begin(self) -> None:
        self._unflushed: dict[str, list[Unflushed]] = {}

    def memory(self) -> Hashable:
        return tuple(
            (task, tuple(sorted([self._owed(task, one) for one in some])))
            for task, some in sorted(self._unflushed.items(), key=lambda each: each[0])
        )

    def _owed(self, task: str, one: Unflushed) -> tuple[Hashable, ...]:
        """An entry that stands, and the locks the first of which to be dropped is too early."""
        entry = one.entry
        if not stands(self.world.mmus[entry.mmu], entry):
            return ()
        held = self.world.tasks[task].held.values()
        return entry.mmu, entry.cpu, entry.va, tuple(sorted([lock.lock for lock in held if lock.number <= one.number]))

    def on_spte_cleared(self, event: ev.SpteCleared) -> None:
        mmu = self.world.mmus[event.mmu]
        for tlb in mmu.tlbs.values():
            entry = tlb.get(event.va)
            if entry is not None and entry.pfn == event.pfn:
                number = self.world.tasks[event.task].number
                self._unflushed.setdefault(event.task, []).append(Unflushed(entry, number))

    def before_lock_released(self, event: ev.LockReleased) -> None:
        if event.task not in self._unflushed:
            return
        held = self.world.tasks[event.task].held.get(event.lock)
        if held is None or held.count > 1 or not is_drivers(held):
            return
        unflushed = self._unflushed.pop(event.task)
        late = [one for one in unflushed if held.number <= one.number]
        rest = [one for one in unflushed if held.number > one.number]
        if rest:
            self._unflushed[event.task] = rest
        self._judge(event, late, f"dropped {event.lock}")

    def on_cb_left(self, event: ev.CbLeft) -> None:
        if event.task in self._unflushed:
            self._judge(event, self._unflushed.pop(event.task), f"returned from {event.callback}")

    def _judge(self, event: ev.Event, late: list[Unflushed], done: str) -> None:
        for unflushed in late:
            entry = unflushed.entry
            if stands(self.world.mmus[entry.mmu], entry):
                message = f"{event.task} {done} while {entry.where()} still has page {entry.pfn}"
                self.broken(event, message, entry.mmu, hexed(entry.va))


class FlushIncomplete(Judge):
    """A flush call returns when every processor has forgotten.

    Verified: when it returns, no TLB entry of the range is left that was filled before it
    was called, whoever else was flushing; and a callback does not return while a flush
    that it has called has not.
    Not verified: a flush that another task makes on behalf of a callback.
    """

    rule = Rule("flush-incomplete", "flush", CRITICAL, "A flush returns when no old TLB entry is left.", 22)

    def begin(self) -> None:
        # The flushes that each task has called and that have not returned, with their MMUs.
        self._called: dict[str, dict[str, str]] = {}

    def memory(self) -> Hashable:
        return tuple(sorted([(task, flush, mmu) for task, all_ in self._called.items() for flush, mmu in all_.items()]))

    def on_tlb_flush_begun(self, event: ev.TlbFlushBegun) -> None:
        self._called.setdefault(event.task, {})[event.flush] = event.mmu

    def on_cb_left(self, event: ev.CbLeft) -> None:
        called = self._called.get(event.task)
        for flush in [flush for flush, mmu in called.items() if mmu == event.mmu] if called else ():
            message = f"{event.task} returned from {event.callback} of {event.mmu} before its {flush} was done"
            self.broken(event, message, event.mmu, event.callback)

    def before_tlb_flush_done(self, event: ev.TlbFlushDone) -> None:
        self._called.get(event.task, {}).pop(event.flush, None)
        mmu = self.world.mmus[event.mmu]
        begun = mmu.flushes.get(event.flush)
        if begun is None:
            return
        for entry in left_in(mmu, event.start, event.end):
            if entry.tick < begun:
                message = f"a flush of {event.mmu} returned and {entry.where()} stands from before"
                self.broken(event, message, event.mmu, hexed(entry.va))


def is_drivers(held: Held) -> bool:
    """Whether a lock is one under which a driver's state is seen by its callbacks."""
    return held.rank == UNRANKED or held.rank in ev.DRIVER_RANKS


def left_in(mmu: Mmu, start: int, end: int) -> list[Translation]:
    """Every TLB entry of the MMU in `[start, end)`."""
    return [entry for tlb in mmu.tlbs.values() if tlb for entry in within(tlb, start, end)]


JUDGES: tuple[type[Judge], ...] = (FlushLate, FlushIncomplete)
