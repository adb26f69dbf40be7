"""notifierlab: a bench on which mmu notifiers and their drivers run in every order.

This is the door: every name that drivers, guests, scenarios and tests may use. It opens
lazily, so that reading a log needs no machine and `--help` nothing heavy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from notifierlab import events as events, shadow as shadow
    from notifierlab.checker import Checker as Checker
    from notifierlab.conformance.abilities import Abilities as Abilities, Device as Device, needs as needs
    from notifierlab.conformance.suite import check_driver as check_driver
    from notifierlab.events import PAGE_SIZE as PAGE_SIZE, Va as Va, Violation as Violation
    from notifierlab.host import Host as Host
    from notifierlab.machine.locks import Mutex as Mutex, RwSem as RwSem, SpinLock as SpinLock, WaitQueue as WaitQueue
    from notifierlab.machine.sched import LabError as LabError
    from notifierlab.machine.shared import Atomic as Atomic, shared as shared, SharedState as SharedState
    from notifierlab.mm.callbacks import MmuNotifier as MmuNotifier, Range as Range
    from notifierlab.mm.mm import Mm as Mm
    from notifierlab.mm.mutants import Mutant as Mutant
    from notifierlab.mm.page import Content as Content, Page as Page, ZERO as ZERO
    from notifierlab.mm.vma import MmStruct as MmStruct
    from notifierlab.shadow import ShadowTable as ShadowTable, Tlb as Tlb

__version__ = "0.1.0"

_ROOM_OF = {
    "Abilities": "conformance.abilities",
    "Atomic": "machine.shared",
    "Checker": "checker",
    "Content": "mm.page",
    "Device": "conformance.abilities",
    "Host": "host",
    "LabError": "machine.sched",
    "Mm": "mm.mm",
    "MmStruct": "mm.vma",
    "MmuNotifier": "mm.callbacks",
    "Mutant": "mm.mutants",
    "Mutex": "machine.locks",
    "PAGE_SIZE": "events",
    "Page": "mm.page",
    "Range": "mm.callbacks",
    "RwSem": "machine.locks",
    "ShadowTable": "shadow",
    "SharedState": "machine.shared",
    "SpinLock": "machine.locks",
    "Tlb": "shadow",
    "Va": "events",
    "Violation": "events",
    "WaitQueue": "machine.locks",
    "ZERO": "mm.page",
    "check_driver": "conformance.suite",
    "events": "",
    "needs": "conformance.abilities",
    "shadow": "",
    "shared": "machine.shared",
}

__all__ = list(_ROOM_OF)


def __getattr__(name: str) -> object:
    room = _ROOM_OF.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if not room:
        return import_module(f"{__name__}.{name}")
    return getattr(import_module(f"{__name__}.{room}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_ROOM_OF])
