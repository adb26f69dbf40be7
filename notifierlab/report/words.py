"""An event in a few words, as one would say it aloud: "opens window [0x10000,0x11000)".

A table, one line an event. What stands in no table (switches, counters, steps of RCU)
is machinery that no story tells.
"""

import errno
from collections.abc import Callable
from typing import Any, Final

from notifierlab import events as e
from notifierlab.events import ADDRESS_MAX, Event, NO_PAGE


def words(event: Event) -> str:
    """What happened, without who did it; empty when no story tells it."""
    say = _WORDS.get(type(event))
    return say(event) if say else ""


def address_range(start: int, end: int) -> str:
    """A half-open range of addresses."""
    if start == 0 and end >= ADDRESS_MAX:
        return "everything"
    return f"[{start:#x},{end:#x})"


def page(pfn: int) -> str:
    """A page frame, by its number."""
    return "no page" if pfn == NO_PAGE else f"page {pfn}"


def _mode(event: Any) -> str:
    return "" if event.write else ", read-only"


def _cpu(event: Any) -> str:
    """The processor, with its MMU when its own name does not have it."""
    cpu: str = event.cpu
    return cpu if cpu.startswith(event.mmu) else f"{event.mmu}.{cpu}"


def _callback(event: e.CbEntered) -> str:
    told = {
        "start": f"start {address_range(event.start, event.end)}",
        "end": f"end {address_range(event.start, event.end)}",
        "page": f"page at {event.start:#x} is gone",
        "change_pte": f"another page at {event.start:#x}",
        "release": "release",
    }
    if event.callback == "young":
        return f"asks {event.mmu}: was {event.start:#x} used?"
    return f"tells {event.mmu}: {told.get(event.callback, event.callback)}"


def _registered(event: e.RegisterDone) -> str:
    if event.result == 0:
        return f"{event.mmu} is registered"
    return f"registering {event.mmu} fails: -{errno.errorcode.get(-event.result, str(-event.result))}"


def _cleared(event: e.PteCleared | e.PteDowngraded, verb: str) -> str:
    unheard = ", tells nobody" if event.notify == "none" else ""
    return f"{verb} {event.va:#x} ({page(event.pfn)}){unheard}"


def _deadlock(event: e.Deadlocked) -> str:
    return "deadlock: " + "; ".join(
        f"{each.task} waits for {each.waits_for}, held by {', '.join(each.held_by) or 'nobody'}"
        for each in event.waiting
    )


_WORDS: Final[dict[type[Event], Callable[[Any], str]]] = {
    # The machine.
    e.ChoiceMade: lambda x: f"fault: {x.name} = {x.value}",
    e.TaskRaised: lambda x: f"raises {x.error}",
    e.Deadlocked: _deadlock,
    e.StepsExhausted: lambda x: f"no end after {x.steps_max} steps",
    e.BugHit: lambda x: f"BUG in {x.where}: {x.what}",
    e.LockAcquired: lambda x: f"takes {x.lock}" + (" to read" if x.mode == "read" else ""),
    e.LockReleased: lambda x: f"drops {x.lock}",
    e.QueueWaited: lambda x: f"has waited on {x.queue}",
    e.QueueWoken: lambda x: f"wakes {x.queue}",
    e.MightSleep: lambda x: f"may sleep: {x.what}",
    e.FieldRead: lambda x: f"reads {x.owner}.{x.field}",
    e.FieldWritten: lambda x: f"writes {x.owner}.{x.field} = {x.value}",
    e.AtomicWritten: lambda x: f"writes {x.owner}.{x.field} = {x.value}",
    # Page frames.
    e.PageAllocated: lambda x: f"allocates {page(x.pfn)} for {x.holder}",
    e.PageFreed: lambda x: f"frees {page(x.pfn)}",
    e.PageGot: lambda x: f"{x.holder} takes a reference to {page(x.pfn)} (now {x.refs})",
    e.PagePut: lambda x: f"{x.holder} drops a reference to {page(x.pfn)} (now {x.refs})",
    e.DirtyTested: lambda x: f"finds {page(x.pfn)} {'dirty' if x.dirty else 'clean'} ({x.where})",
    # The primary mm.
    e.MmForked: lambda x: f"forks {x.parent} into {x.child}",
    e.ExitBegun: lambda x: f"{x.mm} begins to exit",
    e.ExitDone: lambda x: f"{x.mm} has exited",
    e.MmFreed: lambda x: f"frees {x.mm}",
    e.VmaLinked: lambda x: f"links a vma {address_range(x.start, x.end)}",
    e.VmaChanged: lambda x: f"moves {x.vma} to {address_range(x.start, x.end)}",
    e.AnonVmaAttached: lambda x: f"gives {x.vma} {x.anon_vma}",
    e.VmaUnlinked: lambda x: f"unlinks {x.vma}",
    e.PteSet: lambda x: f"{x.mm} maps {x.va:#x} to {page(x.pfn)}{_mode(x)}",
    e.PteCleared: lambda x: _cleared(x, "clears pte"),
    e.PteDowngraded: lambda x: _cleared(x, "write-protects"),
    e.PteUpgraded: lambda x: f"{x.mm} may write {x.va:#x} ({page(x.pfn)})",
    e.CpuTlbFlushed: lambda x: f"flushes the CPUs' TLBs of {address_range(x.start, x.end)}",
    e.CpuAccessed: lambda x: f"{'writes' if x.write else 'reads'} {x.va:#x} ({page(x.pfn)})",
    e.WindowOpened: lambda x: f"opens window {address_range(x.start, x.end)}",
    e.WindowClosed: lambda x: f"closes window {address_range(x.start, x.end)}",
    # The notifier core.
    e.RegisterBegun: lambda x: f"begins to register {x.mmu}",
    e.NotifierAdded: lambda x: f"{x.mmu} is on {x.mm}'s list",
    e.RegisterDone: _registered,
    e.NotifierRemoved: lambda x: f"{x.mmu} leaves {x.mm}'s list ({x.by})",
    e.UnregisterBegun: lambda x: f"begins to unregister {x.mmu}",
    e.UnregisterDone: lambda x: f"{x.mmu} is unregistered",
    e.DriverFreed: lambda x: f"frees {x.mmu}",
    e.CbEntered: _callback,
    e.CbLeft: lambda x: f"{x.mmu} is done with {x.callback}",
    e.TakeAllBegun: lambda x: f"begins to take all locks of {x.mm}",
    e.TakeAllDone: lambda x: f"claims to hold all locks of {x.mm}",
    e.TakeAllInterrupted: lambda x: f"a signal: gives all locks of {x.mm} back",
    e.TakeAllDropped: lambda x: f"has dropped all locks of {x.mm}",
    e.TagSet: lambda x: f"tags {x.owner}",
    e.TagCleared: lambda x: f"untags {x.owner}",
    e.HeadRead: lambda x: f"follows {x.owner}'s list" + (", which is tagged" if x.tagged else ""),
    # The secondary MMU.
    e.LookupBegun: lambda x: f"{x.mmu} looks {x.va:#x} up",
    e.LookupDone: lambda x: f"{x.mmu} finds {page(x.pfn)} at {x.va:#x}",
    e.SpteSet: lambda x: f"{x.mmu} maps {x.va:#x} to {page(x.pfn)}{_mode(x)}",
    e.SpteCleared: lambda x: f"{x.mmu} unmaps {x.va:#x} ({page(x.pfn)})",
    e.SpteDowngraded: lambda x: f"{x.mmu} write-protects {x.va:#x}",
    e.TlbFilled: lambda x: f"{_cpu(x)} caches {page(x.pfn)}{_mode(x)}",
    e.TlbDropped: lambda x: f"{_cpu(x)} drops {x.va:#x}",
    e.TlbFlushBegun: lambda x: f"{x.mmu} begins to flush {address_range(x.start, x.end)}",
    e.TlbFlushDone: lambda x: f"{x.mmu} has flushed {address_range(x.start, x.end)}",
    e.SecAccessed: lambda x: f"{_cpu(x)} {'writes' if x.write else 'reads'} {page(x.pfn)}",
    e.DataChecked: lambda x: f"at {x.va:#x}: expects {x.expected}, finds {x.got}",
    e.FaultRetried: lambda x: f"{x.mmu} tries {x.va:#x} again",
    e.DropinIgnored: lambda x: f"{_cpu(x)} refuses {x.va:#x}",
}
"""What can be told, and how."""
