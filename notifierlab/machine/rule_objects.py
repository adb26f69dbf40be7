"""What rules know, as objects, and which event touches which, whatever came before.

Objects here are parts of the checker's memory, by a word and a name:

    life, reach, owed, waiting, dirty   of a frame: is it free; who translates to it; whose
                                        message is due; which flush is due; who wrote it
    pte, readonly, settled, told        of an address: what stands there, may it be written,
                                        does everybody see it, was a message delivered
    list, added, windows, walking, changing, open, pin, users, vmas, taking, released, cpu   of an mm
    calls, heard, admitted, gone, spte, tlb, sptes, tlbs, flush, touched, count, alive, pins
                                        of a secondary MMU; heard also at an address
"""

from typing import Final

from notifierlab import events as ev
from notifierlab.machine.access import Mode

_R, _W, _I = Mode.READ, Mode.WRITE, Mode.INSERT

Touches = tuple[tuple[str, str, Mode], ...]

ALWAYS: Final[dict[type[ev.Event], Touches]] = {
    ev.PageAllocated: (("life ", "pfn", _W),),
    ev.PageFreed: (
        ("life ", "pfn", _W),
        ("reach ", "pfn", _R),
        ("owed ", "pfn", _R),
        ("waiting ", "pfn", _R),
        ("dirty ", "pfn", _W),
    ),
    ev.PageDirtied: (("dirty ", "pfn", _I),),
    ev.MmCountChanged: (("pin ", "mm", _W),),
    ev.MmFreed: (("pin ", "mm", _W),),
    ev.ExitDone: (("list ", "mm", _R), ("released ", "mm", _R)),
    ev.VmaLinked: (("vmas ", "mm", _I), ("taking ", "mm", _R)),
    ev.VmaUnlinked: (("vmas ", "mm", _I), ("taking ", "mm", _R)),
    ev.AnonVmaAttached: (("vmas ", "mm", _I), ("taking ", "mm", _R)),
    ev.PteSet: (("pte ", "va", _W),),
    ev.PteUpgraded: (("pte ", "va", _W), ("readonly ", "va", _W)),
    ev.PteDowngraded: (
        ("pte ", "va", _W),
        ("readonly ", "va", _W),
        ("settled ", "va", _W),
        ("list ", "mm", _R),
        ("open ", "mm", _R),
        ("owed ", "pfn", _I),
    ),
    ev.PteCleared: (
        ("pte ", "va", _W),
        ("settled ", "va", _W),
        ("list ", "mm", _R),
        ("open ", "mm", _R),
        ("owed ", "pfn", _I),
        ("cpu ", "mm", _I),
        ("waiting ", "pfn", _I),
    ),
    ev.PageNotifyDone: (("changing ", "mm", _I),),
    ev.CpuTlbFlushed: (("cpu ", "mm", _R),),
    ev.WindowOpened: (("windows ", "mm", _I), ("added ", "mm", _R)),
    ev.WindowClosed: (("windows ", "mm", _I), ("added ", "mm", _R)),
    ev.RegisterBegun: (("calls ", "mmu", _W), ("heard ", "mmu", _W), ("admitted ", "mmu", _W), ("users ", "mm", _R)),
    ev.NotifierAdded: (
        ("list ", "mm", _W),
        ("added ", "mm", _W),
        ("windows ", "mm", _R),
        ("walking ", "mm", _R),
        ("changing ", "mm", _R),
        ("pin ", "mm", _W),
        ("released ", "mm", _W),
        ("calls ", "mmu", _W),
    ),
    ev.RegisterDone: (("admitted ", "mmu", _W), ("users ", "mm", _R)),
    ev.NotifierRemoved: (("list ", "mm", _W), ("gone ", "mmu", _W)),
    ev.UnregisterBegun: (("pin ", "mm", _W),),
    ev.UnregisterDone: (("calls ", "mmu", _W), ("pin ", "mm", _W), ("released ", "mm", _W)),
    ev.DriverFreed: (("calls ", "mmu", _W), ("alive ", "mmu", _W), ("pins ", "mmu", _R), ("sptes ", "mmu", _R)),
    ev.WalkEnded: (("walking ", "mm", _I),),
    ev.CbEntered: (("calls ", "mmu", _I),),
    ev.CbLeft: (("calls ", "mmu", _I),),
    ev.TakeAllBegun: (("taking ", "mm", _W),),
    ev.TakeAllDone: (("vmas ", "mm", _R),),
    ev.TakeAllDropped: (("taking ", "mm", _W), ("tags", "", _R)),
    ev.TakeAllInterrupted: (("taking ", "mm", _W), ("tags", "", _R)),
    ev.TagSet: (("tags", "", _I),),
    ev.TagCleared: (("tags", "", _I),),
    ev.LookupBegun: (("admitted ", "mmu", _R),),
    ev.LookupDone: (("pte ", "va", _R),),
    ev.SpteSet: (
        ("life ", "pfn", _R),
        ("readonly ", "va", _R),
        ("heard ", "mmu", _R),
        ("admitted ", "mmu", _R),
        ("sptes ", "mmu", _I),
    ),
    ev.SpteCleared: (("sptes ", "mmu", _I),),
    ev.TlbFilled: (
        ("life ", "pfn", _R),
        ("readonly ", "va", _R),
        ("heard ", "mmu", _R),
        ("admitted ", "mmu", _R),
        ("flush ", "mmu", _R),
        ("tlbs ", "mmu", _I),
    ),
    ev.TlbDropped: (("tlbs ", "mmu", _I),),
    ev.TlbFlushBegun: (("flush ", "mmu", _I),),
    ev.TlbFlushDone: (("tlbs ", "mmu", _R),),
    ev.SecAccessed: (("life ", "pfn", _R), ("pte ", "va", _R)),
}
"""For each event the objects that it touches whatever came before: word, field with the name, mode."""
