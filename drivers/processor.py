"""What every processor on the far side of a secondary MMU does: it loads and stores."""

from notifierlab import Content, Va


class LoadsAndStores:
    """Turns loads and stores into accesses. Both return None when there is no memory at `va`."""

    async def read(self, va: Va) -> Content | None:
        """Load from `va`."""
        return await self.access(va, write=False, value=0)

    async def write(self, va: Va, value: int) -> Content | None:
        """Store `value` to `va`; return the content as it is in memory now."""
        return await self.access(va, write=True, value=value)

    async def access(self, va: Va, *, write: bool, value: int) -> Content | None:
        """Access `va`, resolving misses until it hits or there is nothing to hit."""
        raise NotImplementedError
