"""Deliberate deviations of the host that the checker must catch.

A mutant is one line of the kernel done wrong. `host.mutated(name)` asks for it at the
place where the correct line stands; the table says in one sentence what is wrong, which
rules must speak, and the scenario in which they do.
"""

from typing import Final, NamedTuple


class Mutant(NamedTuple):
    """One named deviation. `where` is `host`, `core` or `driver`; for a driver mutant
    `driver` is the class that takes the driver's place."""

    name: str
    where: str
    sentence: str
    rules: tuple[str, ...]
    scenario: str
    driver: type | None = None


def _table(*mutants: Mutant) -> dict[str, Mutant]:
    return {mutant.name: mutant for mutant in mutants}


HOST_MUTANTS: Final = _table(
    Mutant(
        "free-before-flush",
        "host",
        "The gather frees its pages before the CPU TLB flush.",
        ("freed-before-cpu-flush",),
        "kvm-fault-vs-munmap",
    ),
    Mutant(
        "zap-before-start",
        "host",
        "An unmap clears its first pte before invalidate_range_start was delivered.",
        ("changed-before-start",),
        "kvm-fault-vs-munmap",
    ),
    Mutant(
        "end-before-zap",
        "host",
        "An unmap closes its window before it clears the ptes.",
        ("freed-unannounced", "freed-while-reachable"),
        "kvm-fault-vs-truncate",
    ),
    Mutant(
        "unmap-without-window",
        "host",
        "An unmap announces nothing at all.",
        ("freed-unannounced", "freed-while-reachable"),
        "kvm-fault-vs-munmap",
    ),
    Mutant(
        "end-lost-on-lock-break",
        "host",
        "A truncate that breaks off for the lock forgets invalidate_range_end.",
        ("start-never-ended",),
        "truncate-lock-break",
    ),
    Mutant(
        "notify-page-before-clear",
        "host",
        "invalidate_page is called before the pte is cleared, so a new look-up finds it again.",
        ("freed-unannounced", "freed-while-reachable"),
        "gru-dropin-vs-reclaim",
    ),
    Mutant(
        "notify-page-after-unlock",
        "host",
        "invalidate_page is called after the pte lock was dropped.",
        ("freed-unannounced",),
        "reclaim-vs-exit",
    ),
    Mutant(
        "reclaim-skips-notify",
        "host",
        "try_to_unmap clears the pte and tells nobody.",
        ("freed-unannounced", "freed-while-reachable"),
        "reclaim-vs-exit",
    ),
    Mutant(
        "rmap-head-read-unlocked",
        "host",
        "try_to_unmap follows an anon_vma's head.next before it takes the lock.",
        ("lock-tag-leak",),
        "founding-race-rmap",
    ),
)
"""Deviations of the host's own operations (K 3)."""

CORE_MUTANTS: Final = _table(
    Mutant(
        "no-take-all-locks",
        "core",
        "mm_take_all_locks takes nothing: only the list lock guards the insertion.",
        ("take-all-incomplete", "registered-mid-window", "unpaired-end", "window-count", "freed-while-reachable"),
        "founding-race",
    ),
    Mutant(
        "no-i-mmap-phase",
        "core",
        "mm_take_all_locks skips the first pass, so a truncate runs across the registration.",
        ("take-all-incomplete", "registered-mid-window", "unpaired-end", "window-count", "freed-while-reachable"),
        "founding-race",
    ),
    Mutant(
        "no-anon-vma-phase",
        "core",
        "mm_take_all_locks skips the second pass, so reclaim walks a list that is being written.",
        ("take-all-incomplete", "registered-mid-window", "unpublished-read"),
        "founding-race-rmap",
    ),
    Mutant(
        "mmap-sem-for-read",
        "core",
        "Registration takes mmap_sem for read only: madvise and faults run across it.",
        ("take-all-incomplete", "registered-mid-window", "unpaired-end", "window-count", "freed-while-reachable"),
        "founding-race-madvise",
    ),
    Mutant(
        "no-mutex",
        "core",
        "mm_take_all_locks runs without its mutex: a second taker mistakes the tags of the first for its own.",
        ("take-all-incomplete", "lock-tag-leak"),
        "two-registrations",
    ),
    Mutant(
        "no-tag-test",
        "core",
        "mm_take_all_locks does not look whether it has a lock already.",
        ("deadlock",),
        "fork-abba",
    ),
    Mutant(
        "unwind-forgets-tags",
        "core",
        "After a signal the locks are dropped and the tags left standing.",
        ("lock-tag-leak", "interrupted-register-leaves-trace"),
        "register-interrupted",
    ),
    Mutant(
        "unwind-forgets-locks",
        "core",
        "After a signal the tags are cleared and the locks left held.",
        ("interrupted-register-leaves-trace",),
        "register-interrupted",
    ),
    Mutant(
        "initialises-after-drop",
        "core",
        "Registration drops all locks before it has finished the node that it put on the list.",
        ("unpublished-read",),
        "founding-race",
    ),
    Mutant(
        "end-told-twice",
        "core",
        "Every invalidate_range_end is sent a second time.",
        ("unpaired-end", "window-count"),
        "kvm-fault-vs-munmap",
    ),
    Mutant(
        "unregister-without-synchronize",
        "core",
        "unregister returns without waiting for the walkers that still see the node.",
        ("call-after-unregister",),
        "unregister-vs-exit",
    ),
    Mutant(
        "register-skips-mm-count",
        "core",
        "Registration does not pin the mm_struct.",
        ("mm-pin",),
        "unregister-vs-exit",
    ),
    Mutant(
        "tail-insertion",
        "core",
        "Registration appends to the list, so the first to register is called first.",
        ("callback-order",),
        "two-mmus",
    ),
    Mutant(
        "fork-inherits-notifiers",
        "core",
        "fork leaves the parent's notifier structure in the child.",
        ("inherited-by-child",),
        "fork-vs-guest-write",
    ),
    Mutant(
        "fork-without-window",
        "core",
        "fork write-protects the parent's ptes and tells nobody.",
        ("freed-unannounced", "write-without-permission"),
        "fork-vs-guest-write",
    ),
    Mutant(
        "exit-skips-release",
        "core",
        "exit_mmap frees the pages and never calls release.",
        ("release-count",),
        "unregister-vs-exit",
    ),
    Mutant(
        "release-after-unmap",
        "core",
        "exit_mmap calls release after it has unmapped and freed.",
        ("release-count",),
        "unregister-vs-exit",
    ),
    Mutant(
        "cow-without-notify",
        "core",
        "Copy-on-write replaces the pte and tells nobody.",
        ("freed-unannounced", "wrong-data"),
        "cow-vs-guest-read",
    ),
    Mutant(
        "cow-notifies-last",
        "core",
        "Copy-on-write drops the old page before it calls invalidate_page.",
        ("freed-unannounced",),
        "cow-vs-guest-read",
    ),
    Mutant(
        "fault-without-mmap-sem",
        "core",
        "A page fault takes no mmap_sem, and gives a vma its anon_vma while a registration has all locks.",
        ("vma-list-moved",),
        "register-vs-fault",
    ),
    Mutant(
        "madvise-without-mmap-sem",
        "core",
        "madvise(DONTNEED) zaps without mmap_sem.",
        ("illegitimate-walk", "registered-mid-window"),
        "founding-race-madvise",
    ),
)
"""Deviations of the notifier core and of mm_take_all_locks (K 1, K 2)."""

MUTANTS: Final = {**HOST_MUTANTS, **CORE_MUTANTS}
"""Every mutant of the host, by name."""
