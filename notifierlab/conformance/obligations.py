"""What a driver owes the host: the contract, a row for each obligation.

The header of the kernel states it as prose, the rules of the checker as what can be seen
in a run. A row says it in the words of the first and names the rules that judge it. "K"
points into the map of the kernel (docs/kernel-map.md).

Not here: what the host owes the driver. Where a profile has a hole, the host breaks its
own side of the contract, and the suite says so in a row of its own (`host`).
"""

from collections.abc import Collection
from typing import Final, NamedTuple

from notifierlab.checker import RULES


class Obligation(NamedTuple):
    """One thing that is owed. `needs` is the ability without which it does not arise; one that
    `may_not_arise` is owed only by a device in whose runs there is something that it judges."""

    id: str
    sentence: str
    pointer: str
    rules: tuple[str, ...]
    needs: str = ""
    hint: str = ""
    may_not_arise: bool = False


OBLIGATIONS: Final = (
    Obligation(
        "let-go-before-free",
        "A page that the host frees is reached by no translation, TLB entry or access.",
        "K 1.2",
        ("freed-while-reachable", "stale-access"),
        hint="drop and flush in invalidate_range_start, invalidate_page and release, and install nothing stale",
    ),
    Obligation(
        "see-the-same-memory",
        "Outside of windows, device and process read the same.",
        "K 1.2",
        ("wrong-data",),
        hint="look up with write=True what may be written, and drop the old page when it is told that it goes",
    ),
    Obligation(
        "pass-dirty-on",
        "The host knows what the device wrote to, before it can reclaim it.",
        "K 1.2",
        ("lost-dirty",),
        needs="writes",
        hint="look up with write=True before the device may write, or mark the page dirty when its translation goes",
    ),
    Obligation(
        "write-only-if-allowed",
        "A page of which it was told that it is protected or replaced is not written to.",
        "K 1.2",
        ("write-without-permission",),
        needs="writes",
        hint="in invalidate_range_start and invalidate_page, take the write permission away before returning",
    ),
    Obligation(
        "drop-all-in-range",
        "Start and page callbacks find every translation at their addresses.",
        "K 1.2",
        ("reverse-map-hole",),
        hint="look for the addresses in everything the device translates by; [start, end) is half-open",
        may_not_arise=True,
    ),
    Obligation(
        "install-nothing-in-window",
        "From a start's return to the matching end, nothing is mapped in the range.",
        "K 1.2, 1.3",
        ("mapped-inside-window",),
        needs="windows",
        hint="test the count of open windows under the lock under which the translation is installed",
    ),
    Obligation(
        "count-windows",
        "Windows overlap and nest; they are counted, not flagged.",
        "K 1.3",
        ("window-count",),
        needs="windows",
        hint="count up in start and down in end; a flag is too little. Name the field in `counter`",
    ),
    Obligation(
        "fail-look-ups-in-flight",
        "A look-up is not used if a window ended or a page callback came meanwhile.",
        "K 1.2",
        ("stale-lookup",),
        hint="sample the sequence before the look-up, move it in end and invalidate_page, compare it under the lock",
    ),
    Obligation(
        "flush-before-return",
        "TLBs are flushed before the callback returns, and before its lock is dropped.",
        "K 1.2",
        ("flush-late", "flush-incomplete"),
        hint="flush inside the lock, on every processor, and wait until each has answered",
        may_not_arise=True,
    ),
    Obligation(
        "report-use",
        "clear_flush_young tells of each use once.",
        "K 1.2",
        ("young-lost",),
        needs="young",
        hint="report the accessed bit and clear it; flush, so that the next use sets it again",
    ),
    Obligation(
        "let-go-at-release",
        "When release returns, nothing is mapped, and nothing is mapped afterwards.",
        "K 1.2",
        ("mapped-after-release",),
        hint="in release drop everything and flush; a fault that is under way must fail",
    ),
    Obligation(
        "take-no-for-an-answer",
        "After a registration that failed, nothing is looked up or mapped.",
        "K 1.4",
        ("unregistered-driver-maps",),
        hint="return what register returned, if it is not 0, before anything else is set up",
    ),
    Obligation(
        "unregister-once",
        "Each registration is given back, once, and before the driver is freed.",
        "K 1.5",
        ("call-after-unregister", "mm-pin", "release-count"),
        hint="call unregister in close, whether the process exited or not, and touch nothing afterwards",
    ),
    Obligation(
        "balance-references",
        "References that look-ups took are put; only a pinning driver keeps one an entry.",
        "K 1.2",
        ("pin-imbalance",),
        needs="sleeping",
        hint="put the page of each look-up on every path, the one that gives up as well",
    ),
    Obligation(
        "never-sleep",
        "No callback sleeps, not even release.",
        "K 1.2",
        ("sleep-in-atomic",),
        hint="take SpinLocks only; leave what must sleep to a task of its own",
    ),
    Obligation(
        "keep-the-lock-order",
        "Locks are taken in one order, and whoever waits is woken.",
        "K 7",
        ("lock-order", "deadlock"),
        hint="do not look up, register or unregister with the lock held that callbacks take; wake whoever waits",
    ),
    Obligation(
        "come-to-an-end",
        "Faults are retried only as long as invalidations come.",
        "K 8",
        ("livelock",),
        hint="retry only for a window that is open or a sequence that moved, and let others run: machine.relax()",
    ),
    Obligation(
        "synchronise",
        "What callbacks and faults share is under a lock, or atomic.",
        "K 1.2",
        ("data-race",),
        hint="read and write the field under one lock, or declare it shared(..., atomic=True)",
    ),
    Obligation(
        "do-not-crash",
        "No code of the driver raises, and no BUG_ON is true.",
        "K 1.2",
        ("driver-raised", "bug-on"),
    ),
)
"""The contract of K 1.2, 1.3 and 1.5, and what every driver owes besides."""

HOST: Final = Obligation(
    "host",
    "The host kept its own side of the contract.",
    "K 1-3",
    tuple(rule.id for rule in RULES if not rule.strict and not any(rule.id in each.rules for each in OBLIGATIONS)),
    hint="no fault of the driver: a hole of the profile; `notifierlab profiles` names it",
)
"""Every rule that is not the driver's to keep."""


def owed(abilities: Collection[str]) -> tuple[Obligation, ...]:
    """The obligations of a driver with such abilities."""
    return tuple(each for each in OBLIGATIONS if not each.needs or each.needs in abilities)


def of_rule(rule: str) -> Obligation:
    """Which obligation a rule judges."""
    return next((each for each in OBLIGATIONS if rule in each.rules), HOST)
