"""Facts of the secondary MMU: look-ups, shadow entries, TLBs, accesses."""

from notifierlab.events.base import Event, Va


class LookupBegun(Event, frozen=True):
    """A secondary MMU asks the host which page stands at `va`; `lookup` identifies the
    question. From here on its answer may be stale."""

    mmu: str
    lookup: str
    mm: str
    va: Va
    write: bool


class LookupDone(Event, frozen=True):
    """The host's answer: a frame number or `NO_PAGE`."""

    mmu: str
    lookup: str
    va: Va
    pfn: int


class SpteSet(Event, frozen=True):
    """A shadow entry now translates `va`; it came from `lookup`."""

    mmu: str
    va: Va
    pfn: int
    write: bool
    lookup: str


class SpteCleared(Event, frozen=True):
    """A shadow entry went."""

    mmu: str
    va: Va
    pfn: int


class SpteDowngraded(Event, frozen=True):
    """A shadow entry lost its write permission."""

    mmu: str
    va: Va
    pfn: int


class TlbFilled(Event, frozen=True):
    """Processor `cpu` of the MMU cached a translation (from `lookup`; empty: from an
    spte)."""

    mmu: str
    cpu: str
    va: Va
    pfn: int
    write: bool
    lookup: str


class TlbDropped(Event, frozen=True):
    """Processor `cpu` dropped one cached translation."""

    mmu: str
    cpu: str
    va: Va
    pfn: int


class TlbFlushBegun(Event, frozen=True):
    """The stamped task asks every processor of the MMU to drop `[start, end)`."""

    mmu: str
    flush: str
    start: Va
    end: Va


class TlbFlushDone(Event, frozen=True):
    """The flush call returned."""

    mmu: str
    flush: str
    start: Va
    end: Va


class SecAccessed(Event, frozen=True):
    """The device used a page through a cached translation."""

    mmu: str
    cpu: str
    va: Va
    pfn: int
    write: bool


class DataChecked(Event, frozen=True):
    """A guest compared what it read at `va` with what must be there."""

    mmu: str
    va: Va
    expected: str
    got: str


class FaultRetried(Event, frozen=True):
    """A fault of the device gave up its lookup and starts over."""

    mmu: str
    va: Va


class DropinIgnored(Event, frozen=True):
    """The device's hardware refused a drop-in because an invalidate came in between."""

    mmu: str
    cpu: str
    va: Va
