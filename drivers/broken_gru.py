"""GRU with exactly one thing wrong."""

from drivers.gru import GruMmu
from drivers.gru_context import GruContext
from drivers.gru_hardware import Cch, Miss
from notifierlab import MmStruct, Range, shadow, Tlb, Va


class CchWithoutCancel(Cch):
    """Takes every drop-in, whatever was invalidated since the miss was read."""

    def must_ignore(self, miss: Miss) -> bool:
        return self.asid != miss.asid


class GruWithoutHardwareCancel(GruMmu):
    """Its hardware does not void a drop-in that an invalidate has overtaken."""

    def new_hardware(self, tlb: Tlb) -> Cch:
        return CchWithoutCancel(tlb)


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
