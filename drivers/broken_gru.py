"""GRU with exactly one thing wrong."""

from typing import Self

from drivers.gru import GruMmu
from drivers.gru_context import GruContext
from drivers.gru_hardware import Cch, Chiplet, Miss
from notifierlab import Content, Mm, MmStruct, Range, shadow, Tlb, Va


class CchWithoutCancel(Cch):
    """Takes every drop-in, whatever was invalidated since the miss was read."""

    def must_ignore(self, miss: Miss) -> bool:
        return self.asid != miss.asid


class GruWithoutHardwareCancel(GruMmu):
    """Its hardware does not void a drop-in that an invalidate has overtaken."""

    def new_hardware(self, tlb: Tlb) -> Cch:
        return CchWithoutCancel(tlb)


class GruIgnoresRegisterError(GruMmu):
    """Goes on when its registration failed."""

    @classmethod
    async def find_or_register(cls, mm: Mm, chiplet: Chiplet) -> Self:
        gms = cls(mm, chiplet)
        await mm.register_locked(gms)
        return gms


class GruAsksNobody(GruMmu):
    """Drops in while a window is open."""

    async def range_is_active(self) -> bool:
        return False


class GruForgetsWakeup(GruMmu):
    """Lowers its counter and leaves those who wait for that asleep."""

    async def wake_waiters(self) -> None:
        return


class GruCountsAfterFlush(GruMmu):
    """Flushes before it raises the counter, so a drop-in fits between."""

    async def invalidate_range_start(self, mm: MmStruct, range: Range) -> None:
        await self.flush_range(range.start, range.end)
        await self.ms_range_active.add(1)


class GruForgetsOneContext(GruMmu):
    """Purges all contexts but the last."""

    def contexts_to_purge(self) -> tuple[GruContext, ...]:
        return self.contexts[:-1]


class GruIgnoresInvalidatePage(GruMmu):
    """Hears of ranges only."""

    async def invalidate_page(self, mm: MmStruct, address: Va) -> None:
        return


class GruKeepsReference(GruMmu):
    """Never puts the reference of a look-up that slept."""

    async def look_up_sleeping(self, va: Va, *, write: bool) -> shadow.Lookup:
        return await shadow.look_up(self.name, self.mm, va, write=write)


class GruStartNeverFlushes(GruMmu):
    """Lets nothing new in while a window is open, and leaves what is in."""

    async def invalidate_range_start(self, mm: MmStruct, range: Range) -> None:
        await self.ms_range_active.add(1)


class GruAsksToRead(GruMmu):
    """Finds a page that may be read, and lets the instruction write to it."""

    async def look_up_atomic(self, va: Va, *, write: bool) -> shadow.Lookup:
        return await super().look_up_atomic(va, write=False)


class TlbLeftBehind(Tlb):
    """Its hardware answers a purge while an instruction still uses what is purged."""

    async def use(self, va: Va, *, write: bool = False, value: int = 0) -> Content | None:
        await self.machine.step()
        entry = self.hit(va, write=write)
        await self.machine.step()
        return None if entry is None else self.access(va, entry, write=write, value=value)


class GruPurgeOvertakes(GruMmu):
    """Its purge does not wait for instructions that have their translation already."""

    def new_tlb(self, cpu: str) -> Tlb:
        return TlbLeftBehind(self.machine, self.name, cpu)
