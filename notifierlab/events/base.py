"""What every event has in common, and the words all of them use."""

import re
from typing import Final, NewType

import msgspec

FORMAT_VERSION: Final = 1
"""The version of the log format; a reader refuses any other."""

PAGE_SIZE: Final = 4096
"""Bytes in a page."""

Va = NewType("Va", int)
"""A virtual address in bytes. In a log it is a hex string."""

ADDRESS_MAX: Final = Va(1 << 47)
"""One past the last user address; exit unmaps `[0, ADDRESS_MAX)`."""

NO_PAGE: Final = -1
"""The frame number that stands for "no page"."""


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class Event(msgspec.Struct, frozen=True, gc=False, tag_field="ev", tag=_snake, forbid_unknown_fields=True):
    """What every event carries: the step of the run (counted from 0) and who ran."""

    step: int
    task: str


class Violation(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """One rule broken once: what, when (step), by whom, and about which objects.

    `objects` are names (`pfn 3`, `kvm0`, `mm0`, `0x10000`); two violations are of the
    same kind when rule and objects are equal.
    """

    rule: str
    message: str
    step: int
    task: str
    objects: tuple[str, ...] = ()


class LockClass(msgspec.Struct, frozen=True):
    """Where a class of locks stands in the fixed order (outer has the smaller rank)."""

    rank: int
    sleeps: bool


LOCK_CLASSES: Final[dict[str, LockClass]] = {
    # The order comment of mm/rmap.c, with the notifier and driver levels of K 7.1.
    "i_mutex": LockClass(0, sleeps=True),
    "i_alloc_sem": LockClass(1, sleeps=True),
    "slots_lock": LockClass(2, sleeps=True),
    "vcpu_mutex": LockClass(3, sleeps=True),
    "mmap_sem": LockClass(10, sleeps=True),
    "mm_all_locks_mutex": LockClass(20, sleeps=True),
    "ts_ctxlock": LockClass(21, sleeps=True),
    "page_lock": LockClass(22, sleeps=True),
    "i_mmap_lock": LockClass(30, sleeps=False),
    "anon_vma_lock": LockClass(40, sleeps=False),
    "page_table_lock": LockClass(50, sleeps=False),
    "pte_lock": LockClass(51, sleeps=False),
    "mmu_notifier_lock": LockClass(52, sleeps=False),
    "mmu_lock": LockClass(60, sleeps=False),
    "cch_lock": LockClass(61, sleeps=False),
    "ms_asid_lock": LockClass(62, sleeps=False),
    "gs_asid_lock": LockClass(63, sleeps=False),
    "tgh_lock": LockClass(64, sleeps=False),
    "swap_lock": LockClass(70, sleeps=False),
    "tree_lock": LockClass(71, sleeps=False),
}
"""Lock classes of K 7.1. A driver may have classes of its own: those are judged by a
graph of the orders seen, not by rank."""

DRIVER_RANKS: Final = range(60, 70)
"""Ranks of locks that belong to a secondary MMU and are taken inside its callbacks."""
