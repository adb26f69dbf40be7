"""Rules about the life of a registration, and of the mm it pins.

    RegisterBegun .. RegisterDone(0)      from here on the MMU may look up and map
    NotifierAdded                         from here on it is told
    release, NotifierRemoved              in one order before 2012, in the other since;
                                          between the two nobody tells it anything
    UnregisterDone                        no callback any more; the pin on mm_count goes
    DriverFreed                           nobody touches the driver any more

An MMU is known by its name; registering that name anew begins a new life of it.
"""

from collections.abc import Hashable

from notifierlab import events as ev
from notifierlab.checker.rules import CRITICAL, HIGH, Judge, Rule


class ReleaseCount(Judge):
    """Each registration is released in time, and not too often.

    Verified: every registration of a dying mm has returned from release before exit frees
    its first page, and none is left on the list when exit is done; no registration is
    unregistered without release; release comes once with the switch
    `unlink_before_release` on (the order of 2008), at most twice with it off (exit and
    unregister may both call, the second to no effect).
    Not verified: that the second call of the 2012 order changes nothing;
    `mapped-after-release` would see what it breaks.
    """

    rule = Rule("release-count", "lifetime", CRITICAL, "Each registration is released once, before exit frees.", 17)

    def before_page_freed(self, event: ev.PageFreed) -> None:
        dying = self.world.exiting.get(event.task)
        if dying is None:
            return
        mm = self.world.mms[dying]
        if mm.exit_freed:
            return
        mm.exit_freed = True
        for mmu in mm.registrations.values():
            if not mmu.released:
                self.broken(event, f"exit of {mm.name} freed a page before {mmu.name} was released", mmu.name)

    def on_cb_entered(self, event: ev.CbEntered) -> None:
        if event.callback != "release":
            return
        releases = self.world.mmus[event.mmu].releases
        if releases > (1 if self.switches.get("unlink_before_release") else 2):
            self.broken(event, f"{event.mmu} is released a further time, the {releases}th", event.mmu)

    def on_exit_done(self, event: ev.ExitDone) -> None:
        mm = self.world.mms[event.mm]
        for mmu in mm.listed:
            self.broken(event, f"exit of {event.mm} is done and {mmu.name} is still on its list", mmu.name)
        for mmu in mm.registrations.values():
            if not mmu.releases:
                self.broken(event, f"exit of {event.mm} is done and {mmu.name} was never released", mmu.name)

    def on_unregister_done(self, event: ev.UnregisterDone) -> None:
        if not self.world.mmus[event.mmu].releases:
            self.broken(event, f"{event.mmu} was unregistered and never released", event.mmu)


class ReleaseGap(Judge):
    """No page of an MMU is freed between its leaving the list and the end of its release.

    Verified: no page is freed to which an MMU translates that left the list and has not
    returned from release. The order of 2008 breaks this; that of 2012 has no such gap.
    """

    rule = Rule("release-gap", "lifetime", CRITICAL, "Nothing is freed under an unlisted, unreleased MMU.", 18)

    def before_page_freed(self, event: ev.PageFreed) -> None:
        frame = self.world.frames.get(event.pfn)
        if frame is None or frame.reach is None:
            return
        for translation in frame.reached_by():
            mmu = self.world.mmus[translation.mmu]
            if mmu.removed and not mmu.released:
                message = f"page {event.pfn} was freed while {mmu.name}, off the list but not released, maps it"
                self.broken(event, message, mmu.name, f"pfn {event.pfn}")


class CallAfterUnregister(Judge):
    """After unregister returned, nobody calls the driver; after it was freed, nobody touches it.

    Verified: no callback of the MMU runs when unregister returns, none is entered later;
    no callback is entered and no shared field of it used once the driver was freed.
    Not verified: uses of the freed driver that are no shared field; a driver whose
    registration never succeeded.
    """

    rule = Rule("call-after-unregister", "lifetime", CRITICAL, "No callback runs once unregister has returned.", 19)

    def begin(self) -> None:
        self._freed: dict[str, None] = {}

    def memory(self) -> Hashable:
        return tuple(sorted(self._freed))

    def on_driver_freed(self, event: ev.DriverFreed) -> None:
        if self.world.mmus[event.mmu].added:
            self._freed[event.mmu] = None

    def on_register_begun(self, event: ev.RegisterBegun) -> None:
        self._freed.pop(event.mmu, None)

    def on_unregister_done(self, event: ev.UnregisterDone) -> None:
        for task, stack in self.world.mmus[event.mmu].running.items():
            for running in stack:
                message = f"{event.mmu} is unregistered while {task} runs its callback {running.callback}"
                self.broken(event, message, event.mmu)

    def on_cb_entered(self, event: ev.CbEntered) -> None:
        mmu = self.world.mmus[event.mmu]
        if mmu.unregistered or mmu.freed:
            when = "freed" if mmu.freed else "unregistered"
            message = f"{event.task} calls {event.callback} of {event.mmu}, which is {when}"
            self.broken(event, message, event.mmu)

    def on_field_written(self, event: ev.FieldWritten | ev.FieldRead | ev.AtomicWritten | ev.AtomicRead) -> None:
        if self._freed and event.owner in self._freed:
            self.broken(event, f"{event.task} uses {event.owner}.{event.field} after the driver was freed", event.owner)

    on_field_read = on_field_written
    on_atomic_written = on_field_written
    on_atomic_read = on_field_written


class MappedAfterRelease(Judge):
    """After release, the MMU has nothing and makes nothing.

    Verified: no shadow or TLB entry is made after release returned; and, unless the
    driver keeps references to what it maps, none is left when it returns.
    Not verified: what a pinned driver leaves: its references keep those pages.
    """

    rule = Rule("mapped-after-release", "lifetime", HIGH, "After release an MMU has and makes no translation.", 20)

    def on_spte_set(self, event: ev.SpteSet | ev.TlbFilled) -> None:
        if self.world.mmus[event.mmu].released:
            self.broken(event, f"{event.mmu} maps {event.va:#x} after its release", event.mmu)

    on_tlb_filled = on_spte_set

    def on_cb_left(self, event: ev.CbLeft) -> None:
        if event.callback != "release":
            return
        mmu = self.world.mmus[event.mmu]
        if not mmu.pinned and mmu.has_translations():
            left = mmu.translations()[0]
            self.broken(event, f"release of {event.mmu} returned and left {left.where()}", event.mmu)


class UnregisteredDriverMaps(Judge):
    """Only a driver whose registration has succeeded looks up and maps.

    Verified: no look-up is begun and nothing mapped by an MMU of which registration has
    not returned 0.
    Not verified: look-ups after unregister; what comes of them is `mapped-after-release`.
    """

    rule = Rule(
        "unregistered-driver-maps", "lifetime", CRITICAL, "A driver that is not registered looks nothing up.", 28
    )

    def on_lookup_begun(self, event: ev.LookupBegun | ev.SpteSet | ev.TlbFilled) -> None:
        if not self.world.mmus[event.mmu].admitted:
            what = "looks up" if isinstance(event, ev.LookupBegun) else "maps"
            self.broken(event, f"{event.mmu} {what} {event.va:#x} and is not registered", event.mmu)

    on_spte_set = on_lookup_begun
    on_tlb_filled = on_lookup_begun


class MmPin(Judge):
    """A registration keeps the mm_struct, and gives it back.

    Verified: mm_count is never below the number of registrations that did not begin to
    unregister, plus one for the users; registration begins and ends with users; an mm is
    freed once, with an empty list; a driver that was freed had unregistered (judged at
    the end of a complete run: until then it still could).
    """

    rule = Rule("mm-pin", "lifetime", HIGH, "Each registration pins its mm until it is unregistered.", 29)

    def on_mm_count_changed(self, event: ev.MmCountChanged) -> None:
        self._count(event, event.mm)

    def on_notifier_added(self, event: ev.NotifierAdded) -> None:
        self._count(event, event.mm)

    def _count(self, event: ev.Event, name: str) -> None:
        mm = self.world.mms[name]
        pins = [mmu.name for mmu in mm.registrations.values() if not mmu.unregistering]
        users = 1 if mm.users > 0 else 0
        if mm.count < len(pins) + users:
            message = f"mm_count of {name} is {mm.count} with {len(pins)} registrations and {mm.users} users"
            self.broken(event, message, name)

    def on_register_begun(self, event: ev.RegisterBegun) -> None:
        self._users(event)

    def on_register_done(self, event: ev.RegisterDone) -> None:
        self._users(event)

    def _users(self, event: ev.RegisterBegun | ev.RegisterDone) -> None:
        if self.world.mms[event.mm].users <= 0:
            self.broken(event, f"{event.mmu} registers with {event.mm}, which has no users", event.mm, event.mmu)

    def on_mm_freed(self, event: ev.MmFreed) -> None:
        mm = self.world.mms[event.mm]
        if mm.freed:
            self.broken(event, f"{event.mm} was freed twice", event.mm)
        mm.freed = True
        if event.notifiers_left:
            message = f"{event.mm} was freed with {event.notifiers_left} notifiers on its list"
            self.broken(event, message, event.mm)

    def at_end(self, last: ev.Event) -> None:
        for mm in self.world.mms.values():
            for mmu in mm.registrations.values():
                if mmu.freed:
                    message = f"{mmu.name} was freed without unregistering: its pin on {mm.name} is never dropped"
                    self.broken(last, message, mm.name, mmu.name)


class InheritedByChild(Judge):
    """fork does not copy notifiers.

    Verified: the child of a fork has no notifier structure, and no MMU is called for an
    mm that it did not register with.
    """

    rule = Rule("inherited-by-child", "lifetime", HIGH, "A forked mm has none of its parent's notifiers.", 31)

    def on_mm_forked(self, event: ev.MmForked) -> None:
        if event.notifiers:
            self.broken(event, f"{event.child} inherits the notifiers of {event.parent}", event.child)

    def on_cb_entered(self, event: ev.CbEntered) -> None:
        registered = self.world.mmus[event.mmu].mm
        if registered and registered != event.mm:
            message = f"{event.mmu} is called for {event.mm} and registered with {registered}"
            self.broken(event, message, event.mm, event.mmu)


class UnpublishedRead(Judge):
    """No walker sees the notifier structure, or a node of it, before it is complete.

    Verified: what the walker itself saw when it began.
    """

    rule = Rule("unpublished-read", "lifetime", HIGH, "No walker sees a half-initialised notifier list.", 34)

    def on_walk_begun(self, event: ev.WalkBegun) -> None:
        if not event.ready:
            message = f"{event.task} walks the list of {event.mm} before its initialisation is complete"
            self.broken(event, message, event.mm, event.task)


JUDGES: tuple[type[Judge], ...] = (
    ReleaseCount,
    ReleaseGap,
    CallAfterUnregister,
    MappedAfterRelease,
    UnregisteredDriverMaps,
    MmPin,
    InheritedByChild,
    UnpublishedRead,
)
