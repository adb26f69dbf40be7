"""Contexts of one process on a chiplet of their own, as the conformance suite drives them."""

import errno
from typing import cast, TYPE_CHECKING

from drivers.gru_context import GruContext, InFlight
from drivers.gru_hardware import Chiplet
from notifierlab import Content, Host, Mm, Va

if TYPE_CHECKING:
    from drivers.gru import GruMmu


class GruDevice:
    """So many contexts; with `interrupts` their misses are resolved at once, where that can be."""

    def __init__(self, driver: type["GruMmu"], mm: Mm, *, contexts: int, interrupts: bool) -> None:
        self.chiplet = Chiplet(cast(Host, mm.host), contexts=contexts)
        self.name = f"{self.chiplet.name}.{mm.name}"
        self.contexts: list[GruContext] = []
        self._driver = driver
        self._mm = mm
        self._many = contexts
        self._interrupts = interrupts

    async def open(self) -> int:
        """Open every context; -EINTR if the first cannot be registered (-ENOMEM looks the same)."""
        for _ in range(self._many):
            context = await self._driver.open(self._mm, self.chiplet, interrupts=self._interrupts)
            if context is None:
                return -errno.EINTR
            self.contexts.append(context)
        return 0

    async def close(self) -> None:
        """Unmap every context's GSEG; the last one unregisters."""
        for context in self.contexts:
            await context.close(exiting=self._mm.mm_users == 0)

    async def access(self, va: Va, *, write: bool, value: int, context: int = 0) -> Content | None:
        """One instruction of a context. What interrupts cannot resolve needs a call by a thread of the process."""
        issuer = self.contexts[context]
        if self._interrupts:
            content = await InFlight(issuer).access(va, write=write, value=value)
            if content is not None:
                return content
        if not await self._mm.mmget_not_zero():
            return None
        content = await issuer.access(va, write=write, value=value)
        await self._mm.mmput()
        return content
