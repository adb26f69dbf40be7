"""Which rules a run put to the test: a rule that was never asked anything has proved nothing.

A rule speaks of something ("when a page is freed, ..."). A search in which no page was
freed says nothing of it, however many orders it tried. What each rule speaks of stands
here as a table of facts: of each group at least one must have been seen.

Verified: that such facts occurred in the runs. Not verified: that they met (the page that
was freed need not be the one that a device had mapped), so a rule that is not listed as
not exercised may still have had little to judge.
"""

from collections.abc import Collection, Mapping, Set as AbstractSet
from functools import lru_cache
from typing import Final

from notifierlab import events as ev
from notifierlab.events import Event

Seen = frozenset[str]
"""Facts that were seen: tags of events, some with a word more (`cb_entered start`)."""

ANTECEDENTS: Final[Mapping[str, tuple[str, ...]]] = {
    # freeing
    "freed-while-reachable": ("spte_set|tlb_filled", "page_freed"),
    "freed-unannounced": ("notifier_added", "pte_cleared"),
    "freed-before-cpu-flush": ("pte_cleared", "page_freed"),
    "stale-access": ("sec_accessed",),
    "wrong-data": ("sec_accessed|data_checked",),
    "lost-dirty": ("sec_accessed", "dirty_tested"),
    "write-without-permission": ("sec_accessed", "pte_cleared|pte_downgraded"),
    "free-before-end": ("window_opened", "page_freed"),
    # windows
    "mapped-inside-window": ("window_opened", "spte_set|tlb_filled"),
    "stale-lookup": ("lookup_done", "spte_set|tlb_filled"),
    "changed-before-start": ("window_opened", "pte_cleared|pte_downgraded"),
    "unpaired-end": ("cb_entered end",),
    "start-never-ended": ("cb_entered start",),
    "window-count": ("cb_entered start|cb_entered end",),
    "registered-mid-window": ("notifier_added", "window_opened|walk_begun|pte_cleared"),
    "callback-order": ("cb_entered",),
    # locking
    "take-all-incomplete": ("take_all_begun",),
    "lock-tag-leak": ("tag_set",),
    "interrupted-register-leaves-trace": ("register_done failed",),
    "vma-list-moved": ("take_all_begun",),
    "lock-order": ("lock_acquired",),
    "sleep-in-atomic": ("might_sleep|lock_acquired",),
    "illegitimate-walk": ("walk_begun",),
    "deadlock": (),
    "livelock": (),
    # lifetime
    "release-count": ("notifier_added", "exit_begun|unregister_begun"),
    "release-gap": ("notifier_removed",),
    "call-after-unregister": ("unregister_done|driver_freed",),
    "mapped-after-release": ("cb_entered release",),
    "unregistered-driver-maps": ("lookup_begun|spte_set|tlb_filled",),
    "mm-pin": ("register_begun",),
    "inherited-by-child": ("notifier_added", "mm_forked"),
    "unpublished-read": ("walk_begun",),
    # flush
    "flush-late": ("spte_cleared", "tlb_filled"),
    "flush-incomplete": ("tlb_flush_done",),
    # books
    "young-lost": ("cb_entered young",),
    "pin-imbalance": ("spte_set|page_got",),
    "reverse-map-hole": ("spte_set", "cb_left"),
    "bug-on": (),
    # driver
    "data-race": ("field_read|field_written",),
    "driver-raised": (),
}
"""What each rule speaks of: every group of these facts, of a group any. Empty: of every run."""


class Seer:
    """A listener that notes what was seen, beyond the types of events."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Has seen nothing."""
        self._words: set[str] = set()

    def on_cb_entered(self, event: ev.CbEntered) -> None:
        self._words.add(f"cb_entered {event.callback}")

    def on_register_done(self, event: ev.RegisterDone) -> None:
        if event.result != 0:
            self._words.add("register_done failed")

    def seen(self, kinds: AbstractSet[type[Event]]) -> Seen:
        """Everything so far; `kinds` are the types of events that came."""
        return _facts(frozenset(kinds), frozenset(self._words))


@lru_cache
def _facts(kinds: frozenset[type[Event]], words: Seen) -> Seen:
    # Most runs of a search see the same: so they share it.
    return frozenset(str(kind.__struct_config__.tag) for kind in kinds) | words


def not_exercised(seen: Collection[str], rules: Collection[str]) -> tuple[str, ...]:
    """Of `rules`, those that had nothing to judge in runs where `seen` was all that was seen."""
    return tuple(
        rule
        for rule in rules
        if not all(any(fact in seen for fact in group.split("|")) for group in ANTECEDENTS.get(rule, ()))
    )
