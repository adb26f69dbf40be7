"""Drivers with exactly one thing wrong, said in one line, in one method.

Each is a mutant that the checker must catch: the table at the end says by which rules, and
in which scenario the wrong order can be found.
"""

from typing import Final

from drivers.broken_gru import (
    GruAsksNobody,
    GruAsksToRead,
    GruCountsAfterFlush,
    GruForgetsOneContext,
    GruForgetsWakeup,
    GruIgnoresInvalidatePage,
    GruIgnoresRegisterError,
    GruKeepsReference,
    GruPurgeOvertakes,
    GruStartNeverFlushes,
    GruWithoutHardwareCancel,
)
from drivers.broken_kvm import (
    KvmAsksToRead,
    KvmBooleanCount,
    KvmBumpsSeqAfterUnlock,
    KvmDeletesSlotOnly,
    KvmDestroysUnderVCpus,
    KvmFlushDoesNotWait,
    KvmFlushesAfterUnlock,
    KvmFollowsNull,
    KvmForgetsCount,
    KvmForgetsPut,
    KvmForgetsSeq,
    KvmForgetsYoung,
    KvmFreesBeforeUnregister,
    KvmIgnoresInvalidatePage,
    KvmIgnoresRegisterError,
    KvmInvlpgWithoutFlush,
    KvmLooksUpUnderMmuLock,
    KvmLowersCountFirst,
    KvmNeverFlushes,
    KvmNeverReleases,
    KvmNeverUnregisters,
    KvmRetriesForEver,
    KvmSamplesSeqLate,
    KvmSkipsOneVCpu,
    KvmSleepsInCallback,
    KvmStartNeverClears,
    KvmUnlockedCount,
    KvmUnlocksTwice,
)
from drivers.broken_mirror import (
    MirrorComparesOrder,
    MirrorCountsUnlocked,
    MirrorForgetsWindow,
    MirrorHearsRangesOnly,
    MirrorIgnoresRegisterError,
    MirrorKeepsWriteAccess,
    MirrorLeaksOnRetry,
    MirrorNeverUnregisters,
    MirrorOnePageShort,
    MirrorSamplesLate,
    MirrorTestsBeforeLock,
    MirrorWithoutRelease,
)
from drivers.broken_odp import (
    OdpFlushesAfterUnlock,
    OdpFlushesOneQueue,
    OdpForgetsToResume,
    OdpInstallsWithoutTest,
    OdpLeavesWorkerRunning,
    OdpMapsWithoutUser,
    OdpSamplesLate,
    OdpWaitsForWorker,
    OdpYoungWithoutFlush,
)
from notifierlab import Mutant


def _mutant(name: str, driver: type, rules: tuple[str, ...], scenario: str) -> Mutant:
    # The sentence is the class's own.
    sentence = driver.__doc__
    assert sentence is not None, f"{driver.__name__} does not say what is wrong with it"
    return Mutant(name, "driver", sentence, rules, scenario, driver)


MUTANTS: Final[dict[str, Mutant]] = {
    mutant.name: mutant
    for mutant in (
        _mutant(
            "kvm-samples-seq-late",
            KvmSamplesSeqLate,
            ("stale-lookup", "freed-while-reachable"),
            "kvm-fault-vs-truncate",
        ),
        _mutant(
            "kvm-forgets-count",
            KvmForgetsCount,
            ("mapped-inside-window", "freed-while-reachable"),
            "kvm-fault-vs-munmap",
        ),
        _mutant("kvm-forgets-seq", KvmForgetsSeq, ("stale-lookup", "freed-while-reachable"), "kvm-fault-vs-munmap"),
        _mutant("kvm-forgets-put", KvmForgetsPut, ("pin-imbalance",), "kvm-fault-vs-munmap"),
        _mutant("kvm-asks-to-read", KvmAsksToRead, ("wrong-data",), "fork-vs-guest-write"),
        _mutant(
            "kvm-looks-up-under-mmu-lock",
            KvmLooksUpUnderMmuLock,
            ("lock-order", "sleep-in-atomic", "deadlock"),
            "reclaim-vs-guest",
        ),
        _mutant(
            "kvm-bumps-seq-after-unlock",
            KvmBumpsSeqAfterUnlock,
            ("stale-lookup", "freed-while-reachable"),
            "reclaim-vs-guest",
        ),
        _mutant("kvm-boolean-count", KvmBooleanCount, ("window-count", "mapped-inside-window"), "overlapping-windows"),
        _mutant(
            "kvm-lowers-count-first",
            KvmLowersCountFirst,
            ("data-race", "stale-lookup", "freed-while-reachable"),
            "kvm-fault-vs-munmap",
        ),
        _mutant("kvm-unlocked-count", KvmUnlockedCount, ("data-race",), "kvm-fault-vs-munmap"),
        _mutant("kvm-start-never-clears", KvmStartNeverClears, ("freed-while-reachable",), "kvm-fault-vs-munmap"),
        _mutant(
            "kvm-ignores-invalidate-page", KvmIgnoresInvalidatePage, ("freed-while-reachable",), "reclaim-vs-guest"
        ),
        _mutant("kvm-retries-for-ever", KvmRetriesForEver, ("livelock",), "reclaim-vs-guest"),
        _mutant("kvm-unlocks-twice", KvmUnlocksTwice, ("bug-on",), "kvm-fault-vs-munmap"),
        _mutant("kvm-follows-null", KvmFollowsNull, ("driver-raised",), "reclaim-vs-guest"),
        _mutant("kvm-forgets-young", KvmForgetsYoung, ("young-lost",), "aging-vs-guest"),
        _mutant("kvm-sleeps-in-callback", KvmSleepsInCallback, ("sleep-in-atomic",), "kvm-fault-vs-munmap"),
        _mutant("kvm-never-flushes", KvmNeverFlushes, ("flush-late", "freed-while-reachable"), "kvm-fault-vs-munmap"),
        _mutant(
            "kvm-flushes-after-unlock", KvmFlushesAfterUnlock, ("flush-late", "freed-while-reachable"), "flush-skip"
        ),
        _mutant(
            "kvm-flush-does-not-wait",
            KvmFlushDoesNotWait,
            ("flush-incomplete", "freed-while-reachable"),
            "kvm-fault-vs-munmap",
        ),
        _mutant(
            "kvm-skips-one-vcpu", KvmSkipsOneVCpu, ("flush-incomplete", "freed-while-reachable"), "kvm-fault-vs-munmap"
        ),
        _mutant(
            "kvm-invlpg-without-flush",
            KvmInvlpgWithoutFlush,
            ("flush-late", "freed-while-reachable"),
            "invlpg-vs-reclaim",
        ),
        _mutant(
            "kvm-ignores-register-error", KvmIgnoresRegisterError, ("unregistered-driver-maps",), "register-interrupted"
        ),
        _mutant(
            "kvm-destroys-under-vcpus",
            KvmDestroysUnderVCpus,
            ("mapped-after-release", "call-after-unregister", "freed-while-reachable"),
            "destroy-vs-guest",
        ),
        _mutant("kvm-never-releases", KvmNeverReleases, ("freed-while-reachable",), "unregister-vs-exit"),
        _mutant(
            "kvm-frees-before-unregister", KvmFreesBeforeUnregister, ("call-after-unregister",), "unregister-vs-munmap"
        ),
        _mutant("kvm-never-unregisters", KvmNeverUnregisters, ("mm-pin",), "reclaim-vs-exit"),
        _mutant("kvm-deletes-slot-only", KvmDeletesSlotOnly, ("freed-while-reachable",), "slot-vs-munmap"),
        _mutant(
            "gru-ignores-register-error",
            GruIgnoresRegisterError,
            ("unregistered-driver-maps", "freed-while-reachable"),
            "gru-register-interrupted",
        ),
        _mutant(
            "gru-hardware-cancel-off",
            GruWithoutHardwareCancel,
            ("stale-lookup", "mapped-inside-window", "freed-while-reachable"),
            "gru-dropin-vs-truncate",
        ),
        _mutant(
            "gru-no-range-active",
            GruAsksNobody,
            ("mapped-inside-window", "freed-while-reachable"),
            "gru-dropin-vs-truncate",
        ),
        _mutant("gru-forgets-wakeup", GruForgetsWakeup, ("deadlock",), "gru-dropin-vs-truncate"),
        _mutant(
            "gru-counts-after-flush",
            GruCountsAfterFlush,
            ("mapped-inside-window", "freed-while-reachable"),
            "gru-dropin-vs-truncate",
        ),
        _mutant(
            "gru-forgets-one-context",
            GruForgetsOneContext,
            ("flush-incomplete", "freed-while-reachable"),
            "gru-dropin-vs-munmap",
        ),
        _mutant(
            "gru-ignores-invalidate-page",
            GruIgnoresInvalidatePage,
            ("wrong-data", "freed-while-reachable"),
            "cow-vs-guest-read",
        ),
        _mutant(
            "gru-start-never-flushes",
            GruStartNeverFlushes,
            ("write-without-permission",),
            "fork-vs-gru-write",
        ),
        _mutant("gru-asks-to-read", GruAsksToRead, ("lost-dirty",), "gru-write-vs-writeback"),
        _mutant("gru-purge-overtakes", GruPurgeOvertakes, ("stale-access",), "gru-dropin-vs-munmap"),
        _mutant("gru-keeps-reference", GruKeepsReference, ("pin-imbalance",), "zero-page-read"),
        _mutant(
            "mirror-samples-late", MirrorSamplesLate, ("stale-lookup", "freed-while-reachable"), "device-vs-truncate"
        ),
        _mutant(
            "mirror-compares-order", MirrorComparesOrder, ("stale-lookup", "freed-while-reachable"), "device-vs-munmap"
        ),
        _mutant(
            "mirror-tests-before-lock",
            MirrorTestsBeforeLock,
            ("stale-lookup", "freed-while-reachable"),
            "device-vs-munmap",
        ),
        _mutant(
            "mirror-forgets-window",
            MirrorForgetsWindow,
            ("mapped-inside-window", "freed-while-reachable"),
            "device-vs-truncate",
        ),
        _mutant("mirror-one-page-short", MirrorOnePageShort, ("freed-while-reachable",), "device-vs-munmap"),
        _mutant(
            "mirror-hears-ranges-only", MirrorHearsRangesOnly, ("freed-while-reachable", "wrong-data"), "device-vs-cow"
        ),
        _mutant(
            "mirror-keeps-write-access", MirrorKeepsWriteAccess, ("wrong-data", "lost-dirty"), "device-vs-writeback"
        ),
        _mutant("mirror-leaks-on-retry", MirrorLeaksOnRetry, ("pin-imbalance",), "device-vs-munmap"),
        _mutant(
            "mirror-without-release",
            MirrorWithoutRelease,
            ("mapped-after-release", "freed-while-reachable"),
            "device-reclaim-vs-exit",
        ),
        _mutant(
            "mirror-ignores-register-error",
            MirrorIgnoresRegisterError,
            ("unregistered-driver-maps", "mm-pin"),
            "device-founding-race",
        ),
        _mutant("mirror-never-unregisters", MirrorNeverUnregisters, ("mm-pin",), "device-reclaim-vs-exit"),
        _mutant("mirror-counts-unlocked", MirrorCountsUnlocked, ("data-race",), "device-vs-munmap"),
        _mutant("odp-samples-late", OdpSamplesLate, ("stale-lookup",), "device-range-and-page"),
        _mutant(
            "odp-maps-without-user",
            OdpMapsWithoutUser,
            ("mapped-after-release", "freed-while-reachable"),
            "device-in-flight-vs-exit",
        ),
        _mutant(
            "odp-leaves-worker-running", OdpLeavesWorkerRunning, ("call-after-unregister",), "device-closed-in-window"
        ),
        _mutant("odp-forgets-to-resume", OdpForgetsToResume, ("deadlock",), "device-vs-munmap"),
        _mutant(
            "odp-flushes-one-queue",
            OdpFlushesOneQueue,
            ("flush-incomplete", "freed-while-reachable"),
            "device-contexts-vs-munmap",
        ),
        _mutant("odp-flushes-after-unlock", OdpFlushesAfterUnlock, ("flush-late",), "device-vs-cow"),
        _mutant("odp-young-without-flush", OdpYoungWithoutFlush, ("young-lost",), "device-ageing"),
        _mutant("odp-waits-for-worker", OdpWaitsForWorker, ("sleep-in-atomic",), "device-closed-in-window"),
        _mutant(
            "odp-installs-without-test",
            OdpInstallsWithoutTest,
            ("mapped-inside-window", "freed-while-reachable"),
            "device-vs-truncate",
        ),
    )
}
"""Every broken driver: its name, what is wrong, the rules that must speak, and where."""
