"""Steps declared independent are: both orders of them show the same, to the tasks and to the rules.

Verified on sampled states: random walks through every scenario, every profile and every
mutant; of each walk some neighbours that are declared independent change places. And a
touch that is left out is noticed.
"""

import dataclasses

import pytest

from notifierlab import lists
from notifierlab.explore.run import RunSpec
from notifierlab.mm.profile import PRESETS
from notifierlab.request import Request
from tests.gate import differences, harm

SCENARIOS = [str(row["scenario"]) for row in lists.LISTS["scenarios"]()]
SMALL = [name for name in SCENARIOS if name != "churn"]
OWN = {str(row["mutant"]): str(row["scenario"]) for row in lists.LISTS["mutants"]()}
MUTANTS = list(OWN)
STEPS_MAX = 5000
SEEDS = 400


def spec_of(scenario: str, *, profile: str = "intended", mutant: str = "") -> RunSpec:
    request = Request(scenario=scenario, profile=profile, mutants=(mutant,) if mutant else ())
    return dataclasses.replace(request.resolve(), steps_max=STEPS_MAX)


@pytest.mark.parametrize("scenario", SMALL)
def test_independent_steps_change_places(scenario: str) -> None:
    spec = spec_of(scenario)
    assert [what for seed in range(4) for what in differences(spec, seed, 10)] == []


@pytest.mark.slow
@pytest.mark.parametrize("profile", [name for name in PRESETS if name != "intended"])
def test_independent_steps_change_places_in_every_kernel(profile: str) -> None:
    for scenario in SMALL:
        spec = spec_of(scenario, profile=profile)
        assert [what for seed in range(4) for what in differences(spec, seed, 6)] == []


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_independent_steps_change_places_whatever_is_broken(part: int) -> None:
    for n in range(part, len(MUTANTS), 4):
        for scenario in (OWN[MUTANTS[n]], *SMALL[n % 7 :: 7]):
            spec = spec_of(scenario, mutant=MUTANTS[n])
            assert [what for seed in range(n, n + 3) for what in differences(spec, seed, 5)] == []


@pytest.mark.slow
def test_independent_steps_change_places_in_long_mixtures() -> None:
    spec = spec_of("churn")
    assert [what for seed in range(8) for what in differences(spec, seed, 6)] == []


# What nobody may forget: a part of the objects' names; a scenario, a mutant and a walk in which it shows.
FORGOTTEN = {
    "the page cache": (".pages[", "two-registrations", "tail-insertion", 141),
    "a GRU's fault handle": (".cch", "two-mmus", "", 272),
    "an atomic field": (".ms_range_active", "two-mmus", "", 359),
    "who is loaded": (".occupants", "gru-steal", "", 240),
    "a TLB": (".tlb[", "fork-vs-gru-write", "kvm-never-unregisters", 136),
    "the sequence count": (".mmu_notifier_seq", "kvm-fault-vs-truncate", "", 28),
    "the accessed bit": (".accessed", "reclaim-vs-guest", "fork-inherits-notifiers", 307),
    "the write permission": (".write", "dirty-log-vs-guest", "", 164),
    "a shadow entry": (".sptes[", "dirty-log-vs-guest", "kvm-unlocked-count", 28),
    "users": (".users_count", "destroy-vs-guest", "", 36),
    "a request bit": (".flush_requested", "dirty-log-vs-guest", "", 443),
    "the list of notifiers": (".mmu_notifier_mm.first", "unregister-vs-truncate", "", 78),
    "a node of it": ("node(kvm0).ready", "founding-race", "no-take-all-locks", 195),
    "a pte": (".pt0[", "reclaim-vs-exit", "", 7),
    "map counts": (".mapcount", "reclaim-vs-exit", "", 448),
    "the referenced flag": (".referenced", "invlpg-vs-reclaim", "", 218),
    "references": (".refs", "flush-skip", "", 148),
    "the swap cache": (".swap_slot", "flush-skip", "gru-hardware-cancel-off", 361),
    "a page lock": ("page1.lock", "reclaim-vs-exit", "", 309),
    "what is free": ("rule:life", "truncate-lock-break", "unmap-without-window", 309),
    "shadow entries, to the rules": ("rule:sptes", "unregister-vs-munmap", "kvm-start-never-clears", 54),
    "tags": ("rule:tags", "two-registrations", "unwind-forgets-tags", 2883),
    "TLBs, to the rules": ("rule:tlb", "dirty-log-flush-vs-madvise", "kvm-flushes-after-unlock", 184),
}


@pytest.mark.parametrize("what", FORGOTTEN)
def test_a_touch_that_is_forgotten_would_be_noticed(what: str) -> None:
    part, scenario, mutant, first = FORGOTTEN[what]
    spec = spec_of(scenario, mutant=mutant)
    assert any(harm(spec, seed, part) for seed in range(first, first + SEEDS))
