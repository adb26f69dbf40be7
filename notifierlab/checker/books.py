"""Rules about book-keeping: references, accessed bits, reverse maps, and BUG_ONs."""

from collections.abc import Hashable
from typing import Final

from msgspec import Struct

from notifierlab import events as ev
from notifierlab.checker.rules import CRITICAL, hexed, HIGH, Judge, LOW, Rule
from notifierlab.checker.state import Translation, within
from notifierlab.checker.windows import innermost

_BUGS: Final[dict[str, str]] = {
    "mm_take_all_locks": "take-all-incomplete",
    "mm_take_all_locks:as-bit": "lock-tag-leak",
    "mm_take_all_locks:anon-bit": "lock-tag-leak",
    "mm_drop_all_locks": "lock-tag-leak",
    "mmu_notifier_register": "mm-pin",
    "mmu_notifier_unregister": "mm-pin",
    "mmu_notifier_mm_destroy": "mm-pin",
    "kvm_mmu_notifier_invalidate_range_end": "window-count",
    "page_dup_rmap": "reverse-map-hole",
    "page_remove_rmap": "reverse-map-hole",
}
"""Which rule a BUG_ON of the kernel speaks for, by the function it stands in."""


class Asked(Struct, gc=False, eq=False):
    """The shadow entry that a clear_flush_young asks about, and what was known when it began."""

    entry: Translation | None
    touched: int


class YoungLost(Judge):
    """clear_flush_young tells whether the device used the page since it was last asked.

    Verified: "no" is not the answer if the device used the page through a shadow entry
    that has stood since; "yes" is not, if nothing was mapped or used since the last time.
    Not verified: devices without accessed bits (the switch `kvm_ept_ageing`, and MMUs
    without shadow entries); what happens while the callback runs may count either way.
    """

    rule = Rule("young-lost", "books", LOW, "clear_flush_young reports each use once.", 26)

    def begin(self) -> None:
        self._asked: dict[tuple[str, str], Asked] = {}

    def memory(self) -> Hashable:
        """Of what is asked about, whether it is what stands at its address still."""
        return tuple(
            (
                mmu,
                task,
                asked.touched,
                None if entry is None else (entry.va, self.world.mmus[mmu].sptes.get(entry.va) is entry),
            )
            for (mmu, task), asked in sorted(self._asked.items(), key=lambda each: each[0])
            for entry in (asked.entry,)
        )

    def applies(self) -> bool:
        return not self.switches.get("kvm_ept_ageing", False)

    def on_sec_accessed(self, event: ev.SecAccessed) -> None:
        entry = self.world.mmus[event.mmu].sptes.get(event.va)
        if entry is not None:
            # While somebody asks, the device may still use a TLB entry from before the asking.
            entry.touched = max(entry.touched, 1) if self._asked else 2

    def on_tlb_filled(self, event: ev.TlbFilled) -> None:
        # The device's own walk sets the accessed bit, so it may count as a use.
        entry = self.world.mmus[event.mmu].sptes.get(event.va)
        if entry is not None and entry.touched == 0:
            entry.touched = 1

    def on_cb_entered(self, event: ev.CbEntered) -> None:
        if event.callback != "young":
            return
        entry = self.world.mmus[event.mmu].sptes.get(event.start)
        self._asked[event.mmu, event.task] = Asked(entry, 0 if entry is None else entry.touched)
        if entry is not None:
            entry.touched = 0

    def on_cb_left(self, event: ev.CbLeft) -> None:
        if event.callback != "young":
            return
        asked = self._asked.pop((event.mmu, event.task), None)
        now = self.world.mmus[event.mmu].sptes.get(event.start)
        if asked is None or asked.entry is not now:
            return
        if not event.result and asked.touched == 2:
            problem = "answers old for a page that the device used"
        elif event.result and not asked.touched and (now is None or not now.touched):
            problem = "answers young for a page that nobody used"
        else:
            return
        self.broken(event, f"{event.mmu} {problem}, at {event.start:#x}", event.mmu, hexed(event.start))


class PinImbalance(Judge):
    """A pinned driver holds one reference for each of its shadow entries, an unpinned none.

    Verified: at the end of a complete run, and when the driver is freed: references of the
    MMU to a page equal its shadow entries of it (pinned), or are zero (unpinned). No put
    drops a reference that the MMU does not have.
    Not verified: the balance in between, where a look-up's reference is on its way.
    """

    rule = Rule("pin-imbalance", "books", HIGH, "A driver's page references match its shadow entries.", 27)

    def begin(self) -> None:
        self._refs: dict[str, dict[int, int]] = {}

    def memory(self) -> Hashable:
        return tuple(sorted([(mmu, pfn, count) for mmu, refs in self._refs.items() for pfn, count in refs.items()]))

    def on_page_got(self, event: ev.PageGot) -> None:
        if event.holder in self.world.mmus:
            refs = self._refs.setdefault(event.holder, {})
            refs[event.pfn] = refs.get(event.pfn, 0) + 1

    def on_page_put(self, event: ev.PagePut) -> None:
        if event.holder not in self.world.mmus:
            return
        refs = self._refs.setdefault(event.holder, {})
        left = refs.pop(event.pfn, 0) - 1
        if left > 0:
            refs[event.pfn] = left
        elif left < 0:
            message = f"{event.holder} put a reference to page {event.pfn} that it does not have"
            self.broken(event, message, event.holder, f"pfn {event.pfn}")

    def on_driver_freed(self, event: ev.DriverFreed) -> None:
        self._judge(event, event.mmu)

    def at_end(self, last: ev.Event) -> None:
        for name, mmu in self.world.mmus.items():
            if not mmu.freed:
                self._judge(last, name)

    def _judge(self, event: ev.Event, name: str) -> None:
        mmu = self.world.mmus[name]
        due: dict[int, int] = {}
        if mmu.pinned:
            for entry in mmu.sptes.values():
                due[entry.pfn] = due.get(entry.pfn, 0) + 1
        refs = self._refs.get(name, {})
        for pfn in {**due, **refs}:
            has, must = refs.get(pfn, 0), due.get(pfn, 0)
            if has != must:
                message = f"{name} holds {has} references to page {pfn} where {must} are due"
                self.broken(event, message, name, f"pfn {pfn}")


class ReverseMapHole(Judge):
    """Every translation is found from its address.

    Verified: a shadow entry that is older than a start or page callback over its address
    does not outlive that callback: the driver, asked for the address, must find it. The
    host's own BUG_ONs on mapcounts.
    Not verified: whether an entry that is never asked for could be found; change_pte,
    after which an entry may stand and show the new page.
    """

    rule = Rule("reverse-map-hole", "books", CRITICAL, "Every live shadow entry is found from its address.", 32)

    def before_cb_left(self, event: ev.CbLeft) -> None:
        if event.callback != "start" and event.callback != "page":
            return
        mmu = self.world.mmus[event.mmu]
        if not mmu.sptes:
            return
        running = innermost(mmu, event.task)
        if running is None:
            return
        for entry in within(mmu.sptes, event.start, event.end):
            if entry.tick < running.tick:
                message = f"{event.callback} of {event.mmu} returned and missed {entry.where()}"
                self.broken(event, message, event.mmu, hexed(entry.va))


class BugOn(Judge):
    """No BUG_ON is true.

    Verified: each one that the host or a driver reports. Where it guards what another
    rule says, that rule speaks; this one is for the rest.
    """

    rule = Rule("bug-on", "books", HIGH, "No BUG_ON of the kernel is true.")

    def on_bug_hit(self, event: ev.BugHit) -> None:
        rule = _BUGS.get(event.where) or _BUGS.get(event.where.partition(":")[0], self.rule.id)
        self.report.add(rule, event, f"BUG in {event.where}: {event.what}", event.where, event.about)


JUDGES: tuple[type[Judge], ...] = (YoungLost, PinImbalance, ReverseMapHole, BugOn)
