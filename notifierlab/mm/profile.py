"""Which kernel is modelled: a frozen set of switches with a name.

A switch is either a fact about the machine (how many CPUs, how large a batch) or a hole:
something that some released kernel or driver did and that breaks a rule. `HOLES` says of
each hole which commit brought or closed it and which rules speak when it is open: with the
switch off, the same run must be clean. The drivers' holes stand here as well, so that one
name (`v2_6_27`) means the whole of what shipped.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import pydantic

from notifierlab.errors import InputError, unknown_name

USE_AFTER_FREE: Final = ("freed-while-reachable", "stale-access", "wrong-data", "lost-dirty")
"""What follows when a page reaches the freelist under a device that still maps it: the
device touches it, reads what its next owner wrote, and what it wrote itself is gone."""


class Profile(pydantic.BaseModel):
    """The switches of one kernel, with the drivers of its time."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = "intended"

    # The machine and the build.
    smp: bool = pydantic.Field(
        True, description="more than one CPU: unmapping batches pages and flushes before it frees"
    )
    preemptible: bool = pydantic.Field(
        True, description="a preemptible kernel: unmapping works in blocks of 8 pages, not 1024"
    )
    batch_pages: int = pydantic.Field(506, ge=1, description="pages that one mmu_gather batch holds")
    free_after_end: bool = pydantic.Field(
        False, description="no page is freed before the window in which it was unmapped has ended"
    )
    change_pte: bool = pydantic.Field(
        False, description="copy-on-write tells drivers by change_pte, after the new pte stands"
    )
    kvm_pinned_sptes: bool = pydantic.Field(False, description="KVM keeps a page reference for each spte")
    kvm_ept_ageing: bool = pydantic.Field(
        False, description="KVM has no accessed bits: clear_flush_young always answers old"
    )

    # Holes of the host.
    single_pass_take_all: bool = pydantic.Field(
        False, description="mm_take_all_locks takes anon_vma before i_mmap locks, vma by vma"
    )
    unlink_before_release: bool = pydantic.Field(
        False, description="a notifier leaves the list before its release callback ran"
    )
    zero_page_read_lookup: bool = pydantic.Field(
        False, description="a read look-up of untouched memory answers the zero page, without a pte"
    )

    # Holes of KVM.
    kvm_no_release: bool = pydantic.Field(False, description="KVM has no release callback")
    kvm_flush_after_unlock: bool = pydantic.Field(
        False, description="KVM's callbacks flush vCPU TLBs after mmu_lock is dropped"
    )
    kvm_request_bit_skip: bool = pydantic.Field(
        False, description="KVM's flush skips a vCPU whose request bit is set already"
    )
    kvm_lockless_write_protect: bool = pydantic.Field(
        False, description="KVM's dirty log write-protects sptes without mmu_lock"
    )

    # Holes of GRU.
    gru_ignores_register_error: bool = pydantic.Field(False, description="GRU works on when its registration failed")
    gru_release_without_flush: bool = pydantic.Field(False, description="GRU's release callback only sets a flag")
    gru_skips_unregister: bool = pydantic.Field(False, description="GRU does not unregister when release has run")
    gru_steals_without_locks: bool = pydantic.Field(
        False, description="GRU steals contexts of another mm without any of its locks"
    )

    @property
    def zap_block_pages(self) -> int:
        """How many pages unmap_vmas works on before it finishes the gather (K 3.3)."""
        return 8 if self.preemptible else 1024

    def switches(self) -> dict[str, bool | int]:
        """Every switch and its value, as the header of a log carries it."""
        return {switch: getattr(self, switch) for switch in SWITCHES}


SWITCHES: Final[tuple[str, ...]] = tuple(field for field in Profile.model_fields if field != "name")
"""Every switch, in the order of `Profile`."""


class Hole(NamedTuple):
    """What a hole is, where it was real, and which rules can speak when it is open."""

    commit: str
    sentence: str
    rules: tuple[str, ...]


HOLES: Final[dict[str, Hole]] = {
    "single_pass_take_all": Hole(
        "7906d00cd1 (2.6.27-rc1), fixed by 7cd5a02f54 (2.6.27-rc3)",
        "One pass takes anon_vma before i_mmap locks, against the order of vma_adjust in a relative that shares both.",
        ("lock-order", "deadlock"),
    ),
    "unlink_before_release": Hole(
        "cddb8a5c14 (2.6.27-rc1), fixed by 3ad3d901bb (3.6)",
        "Between unlinking and release the host frees pages that the driver still maps, and tells nobody.",
        ("release-gap", "write-without-permission", *USE_AFTER_FREE),
    ),
    "zero_page_read_lookup": Hole(
        "557ed1fa26 (2.6.24), fixed by 8e4b9a6071 (2.6.32-rc1)",
        "A read look-up of untouched memory answers the zero page without a pte; the first write then notifies nobody.",
        ("wrong-data",),
    ),
    "kvm_no_release": Hole(
        "e930bffe95 (2.6.27-rc2), fixed by 85db06e514 (2.6.29-rc6)",
        "At exit nothing drops KVM's sptes; without page references they outlive their pages.",
        ("mapped-after-release", "write-without-permission", *USE_AFTER_FREE),
    ),
    "kvm_flush_after_unlock": Hole(
        "e930bffe95 (2.6.27-rc2), open at least until 2.6.35",
        "Whoever finds the spte gone believes that no TLB holds it, while the one who removed it has not flushed yet.",
        ("flush-late", "mapped-after-release", "write-without-permission", *USE_AFTER_FREE),
    ),
    "kvm_request_bit_skip": Hole(
        "before 2.6.27, fixed by 84261923d3 (2.6.31-rc2)",
        "A flush returns at once when another flusher has set the request bit but not yet sent its interrupt.",
        ("flush-incomplete", "flush-late", "write-without-permission", *USE_AFTER_FREE),
    ),
    "kvm_lockless_write_protect": Hole(
        "before 2.6.27, locked by 2.6.32",
        "A read, change and write of an spte without the lock brings back one that was removed in between.",
        (
            "reverse-map-hole",
            "data-race",
            "mapped-inside-window",
            "stale-lookup",
            "pin-imbalance",
            "write-without-permission",
            "bug-on",
            *USE_AFTER_FREE,
        ),
    ),
    "gru_ignores_register_error": Hole(
        "ee5b8feca3 (2.6.27-rc2), fixed by 7f2251b1bc (2.6.33-rc1)",
        # A further context of the mm registers a second object of the same name, which outlives the first.
        "After -EINTR or -ENOMEM GRU drops in translations of which no notification will ever reach it.",
        ("unregistered-driver-maps", "mm-pin", "call-after-unregister", "write-without-permission", *USE_AFTER_FREE),
    ),
    "gru_release_without_flush": Hole(
        "ee5b8feca3 (2.6.27-rc2), open at least until 2.6.35",
        "release sets a flag; instructions in flight, and later drop-ins, use TLB entries of pages that exit frees.",
        ("mapped-after-release", "release-gap", "write-without-permission", *USE_AFTER_FREE),
    ),
    "gru_skips_unregister": Hole(
        "ee5b8feca3 (2.6.27-rc2), open at least until 2.6.35",
        "When release has run, the mm_count of the registration is never dropped: the mm leaks.",
        ("mm-pin",),
    ),
    "gru_steals_without_locks": Hole(
        "ee5b8feca3 (2.6.27-rc2)",
        "A stolen context opens a window on an mm of which no lock is held: a registration can fall into it.",
        (
            "illegitimate-walk",
            "registered-mid-window",
            "unpaired-end",
            "start-never-ended",
            "window-count",
            "unpublished-read",
        ),
    ),
}
"""Per hole: where it was real, one sentence, the rules it breaks (K 3.4, 4.5-4.8, 8.5)."""

_GRU_UNTIL_2_6_32: Final[dict[str, bool]] = {
    "gru_ignores_register_error": True,
    "gru_release_without_flush": True,
    "gru_skips_unregister": True,
    "gru_steals_without_locks": True,
}

PRESETS: Final[dict[str, Profile]] = {
    "intended": Profile(name="intended"),
    "founding": Profile(name="founding", single_pass_take_all=True),
    "v2_6_27": Profile(
        name="v2_6_27",
        unlink_before_release=True,
        zero_page_read_lookup=True,
        kvm_pinned_sptes=True,
        kvm_no_release=True,
        kvm_flush_after_unlock=True,
        kvm_request_bit_skip=True,
        kvm_lockless_write_protect=True,
        **_GRU_UNTIL_2_6_32,
    ),
    "v2_6_32": Profile(
        name="v2_6_32",
        change_pte=True,
        unlink_before_release=True,
        kvm_flush_after_unlock=True,
        **_GRU_UNTIL_2_6_32,
    ),
}
"""The kernels that have a name. `intended` is the protocol as meant, every hole closed."""


def profile(name: str) -> Profile:
    """The preset `name`; an InputError offers the nearest one when there is none."""
    found = PRESETS.get(name.replace("-", "_").replace(".", "_"))
    if found is None:
        raise unknown_name("profile", name, PRESETS, listing="notifierlab profiles")
    return found


def with_switches(base: Profile, changes: Mapping[str, bool | int | str]) -> Profile:
    """`base` with some switches set otherwise. Names may be kebab-case, values may be
    text (`on`, `off`, a number)."""
    values: dict[str, bool | int] = base.switches()
    for given, value in changes.items():
        switch = given.replace("-", "_")
        if switch not in values:
            raise unknown_name(
                "switch", given, (each.replace("_", "-") for each in SWITCHES), listing="notifierlab profiles"
            )
        values[switch] = _flag(given, value) if isinstance(values[switch], bool) else _number(given, value)
    return Profile.model_validate({"name": base.name, **values})


_WORDS: Final = {
    "on": True,
    "true": True,
    "yes": True,
    "1": True,
    "off": False,
    "false": False,
    "no": False,
    "0": False,
}


def _flag(given: str, value: bool | int | str) -> bool:
    meant = _WORDS.get(str(value).lower())
    if meant is None:
        raise InputError(f"The switch `{given}` is on or off; `{value}` is neither.")
    return meant


def _number(given: str, value: bool | int | str) -> int:
    try:
        number = 0 if isinstance(value, bool) else int(value)
    except ValueError:
        number = 0
    if number < 1:
        raise InputError(f"The switch `{given}` is a whole number of at least 1; `{value}` is none.")
    return number
