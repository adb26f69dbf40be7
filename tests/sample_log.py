"""A small run written by hand: a page is freed while a guest maps it (K 4.1), and its log."""

import io

from notifierlab.events import (
    CbEntered,
    CbLeft,
    CpuTlbFlushed,
    Event,
    LockAcquired,
    LockReleased,
    LookupBegun,
    LookupDone,
    MmCreated,
    NotifierAdded,
    PageAllocated,
    PageFreed,
    PageGot,
    PagePut,
    PteCleared,
    PteSet,
    RegisterBegun,
    RegisterDone,
    SecAccessed,
    SpteSet,
    TaskEnded,
    TaskStarted,
    TlbFilled,
    Va,
    Violation,
    WalkBegun,
    WalkEnded,
    WindowClosed,
    WindowOpened,
)
from notifierlab.trace import RunHeader, Writer

START, END = Va(0x10000), Va(0x11000)

HEADER = RunHeader(
    scenario="founding-race",
    params={"pages": 1},
    profile="intended",
    switches={"smp": True, "batch_pages": 506, "unlink_before_release": False, "kvm_pinned_sptes": False},
    mutants=("no-take-all-locks",),
    steps_max=100_000,
    versions={"notifierlab": "0.1.0"},
)

VIOLATION = Violation(
    rule="freed-while-reachable",
    message="page 3 reached the freelist while kvm0 maps it at 0x10000",
    step=16,
    task="truncate",
    objects=("pfn 3", "kvm0"),
)


def events() -> list[Event]:
    """The window opens unheard, the driver registers, the guest maps, the page is freed, the end comes."""
    main, host, vm, guest = "main", "truncate", "register", "vcpu0"
    return [
        MmCreated(0, main, "mm0"),
        PageAllocated(1, main, 3, 1, "mm0"),
        PteSet(2, main, "mm0", START, 3, True),
        TaskStarted(3, main, host, "process"),
        TaskStarted(3, main, vm, "process"),
        TaskStarted(3, main, guest, "process"),
        LockAcquired(4, host, "file0.i_mmap_lock", "i_mmap_lock", "write", "wait"),
        WindowOpened(5, host, "win1.0", "mm0", START, END, "R1"),
        RegisterBegun(6, vm, "mm0", "kvm0", "", False),
        NotifierAdded(7, vm, "mm0", "kvm0"),
        RegisterDone(8, vm, "mm0", "kvm0", 0),
        TaskEnded(9, vm),
        LookupBegun(9, guest, "kvm0", "lookup3.0", "mm0", START, True),
        PageGot(10, guest, 3, 2, "kvm0"),
        LookupDone(10, guest, "kvm0", "lookup3.0", START, 3),
        SpteSet(11, guest, "kvm0", START, 3, True, "lookup3.0"),
        PagePut(12, guest, 3, 1, "kvm0"),
        TlbFilled(13, guest, "kvm0", "kvm0.vcpu0", START, 3, True, ""),
        PteCleared(14, host, "mm0", START, 3, "win1.0", "window", "mm0.ptl0"),
        CpuTlbFlushed(15, host, "mm0", START, END),
        PagePut(16, host, 3, 0, "mm0"),
        PageFreed(16, host, 3, 1),
        SecAccessed(17, guest, "kvm0", "kvm0.vcpu0", START, 3, True),
        WalkBegun(18, host, "mm0", "end", True),
        CbEntered(18, host, "mm0", "kvm0", "end", START, END, "win1.0"),
        CbLeft(19, host, "mm0", "kvm0", "end", START, END, "win1.0", 0),
        WalkEnded(19, host, "mm0", "end"),
        WindowClosed(20, host, "win1.0", "mm0", START, END),
        LockReleased(21, host, "file0.i_mmap_lock", "i_mmap_lock", "write"),
        TaskEnded(22, host),
        TaskEnded(23, guest),
        TaskEnded(24, main),
    ]


def log_bytes(*, violations: tuple[Violation, ...] = (VIOLATION,)) -> bytes:
    """The whole log of that run."""
    file = io.BytesIO()
    with Writer(file, HEADER) as write:
        for event in events():
            write(event)
        write.end(ended="complete", violations=violations, steps=25, choices=(1, 0, 2))
    return file.getvalue()
