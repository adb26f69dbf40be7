"""Every rule has teeth: something that is wrong, of which it is the first to speak.

For each rule one deviation (a mutant, or a hole of a profile) and a scene. The search
looks for a run in which the rule is the first or only one to speak; with the rule
disabled, the verdict on the very same events is lost, or comes later. And the scene
without the deviation is clean.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from notifierlab.catalogue import mutants, scenario_names
from notifierlab.checker import Checker, RULES
from notifierlab.events import Event
from notifierlab.explore.run import run_once, RunSpec
from notifierlab.explore.search import explore
from notifierlab.explore.strategies import Bounded, Replay
from notifierlab.mm.profile import HOLES
from notifierlab.request import Request


@dataclass(frozen=True, kw_only=True)
class Tooth:
    """What is wrong, and where it shows. `runs` is how long to look for it."""

    scenario: str
    mutant: str = ""
    switches: tuple[str, ...] = ()
    params: dict[str, int] = field(default_factory=dict)
    strict: bool = False
    steps_max: int = 20_000
    runs: int = 400

    def spec(self, *, correct: bool = False) -> RunSpec:
        wrong = not correct
        return Request(
            scenario=self.scenario,
            mutants=(self.mutant,) if self.mutant and wrong else (),
            switches=dict.fromkeys(self.switches, True) if wrong else {},
            params=self.params,
            strict=self.strict and wrong,
            steps_max=self.steps_max,
        ).resolve()


TEETH = {
    "freed-while-reachable": Tooth(scenario="cow-vs-guest-read", mutant="gru-ignores-invalidate-page"),
    "freed-unannounced": Tooth(scenario="kvm-fault-vs-munmap", mutant="unmap-without-window"),
    "freed-before-cpu-flush": Tooth(scenario="kvm-fault-vs-munmap", mutant="free-before-flush"),
    "wrong-data": Tooth(scenario="zero-page-read", switches=("zero-page-read-lookup",)),
    "free-before-end": Tooth(scenario="founding-race", params={"pages": 8}, strict=True),
    "mapped-inside-window": Tooth(scenario="gru-dropin-vs-truncate", mutant="gru-counts-after-flush"),
    "stale-lookup": Tooth(scenario="kvm-fault-vs-munmap", mutant="kvm-forgets-seq"),
    "changed-before-start": Tooth(scenario="kvm-fault-vs-munmap", mutant="zap-before-start"),
    "window-count": Tooth(scenario="overlapping-windows", mutant="kvm-boolean-count"),
    "registered-mid-window": Tooth(scenario="founding-race-madvise", mutant="madvise-without-mmap-sem"),
    "callback-order": Tooth(scenario="two-mmus", mutant="tail-insertion"),
    "take-all-incomplete": Tooth(scenario="founding-race", mutant="no-i-mmap-phase"),
    "lock-tag-leak": Tooth(scenario="founding-race-rmap", mutant="rmap-head-read-unlocked"),
    "interrupted-register-leaves-trace": Tooth(scenario="register-interrupted", mutant="unwind-forgets-locks"),
    "vma-list-moved": Tooth(scenario="register-vs-fault", mutant="fault-without-mmap-sem"),
    "lock-order": Tooth(scenario="fork-abba", switches=("single-pass-take-all",)),
    "sleep-in-atomic": Tooth(scenario="kvm-fault-vs-munmap", mutant="kvm-sleeps-in-callback"),
    "illegitimate-walk": Tooth(scenario="gru-steal", switches=("gru-steals-without-locks",)),
    "deadlock": Tooth(scenario="gru-dropin-vs-truncate", mutant="gru-forgets-wakeup"),
    "release-count": Tooth(scenario="unregister-vs-exit", mutant="exit-skips-release"),
    "release-gap": Tooth(scenario="reclaim-vs-exit", switches=("unlink-before-release",)),
    "call-after-unregister": Tooth(scenario="unregister-vs-exit", mutant="unregister-without-synchronize"),
    "mapped-after-release": Tooth(scenario="gru-in-flight-vs-exit", switches=("gru-release-without-flush",)),
    "unregistered-driver-maps": Tooth(scenario="gru-register-interrupted", switches=("gru-ignores-register-error",)),
    "mm-pin": Tooth(scenario="unregister-vs-exit", mutant="register-skips-mm-count"),
    "inherited-by-child": Tooth(scenario="fork-vs-guest-write", mutant="fork-inherits-notifiers"),
    "unpublished-read": Tooth(scenario="founding-race", mutant="initialises-after-drop"),
    "flush-late": Tooth(scenario="flush-skip", switches=("kvm-flush-after-unlock",)),
    "flush-incomplete": Tooth(scenario="kvm-fault-vs-munmap", mutant="kvm-skips-one-vcpu"),
    "young-lost": Tooth(scenario="aging-vs-guest", mutant="kvm-forgets-young"),
    "pin-imbalance": Tooth(scenario="kvm-fault-vs-munmap", mutant="kvm-forgets-put"),
    "reverse-map-hole": Tooth(scenario="slot-vs-munmap", mutant="kvm-deletes-slot-only"),
    "data-race": Tooth(scenario="kvm-fault-vs-munmap", mutant="kvm-lowers-count-first"),
    "stale-access": Tooth(scenario="gru-dropin-vs-munmap", mutant="gru-purge-overtakes"),
    "lost-dirty": Tooth(scenario="gru-write-vs-writeback", mutant="gru-asks-to-read"),
    "write-without-permission": Tooth(scenario="fork-vs-gru-write", mutant="gru-start-never-flushes"),
    "unpaired-end": Tooth(scenario="kvm-fault-vs-munmap", mutant="end-told-twice"),
    "start-never-ended": Tooth(scenario="truncate-lock-break", mutant="end-lost-on-lock-break"),
    "livelock": Tooth(scenario="reclaim-vs-guest", mutant="kvm-retries-for-ever", runs=5),
    "bug-on": Tooth(scenario="kvm-fault-vs-munmap", mutant="kvm-unlocks-twice"),
    "driver-raised": Tooth(scenario="reclaim-vs-guest", mutant="kvm-follows-null"),
}
"""By rule: of what it is the first to speak."""

SPEAKS_WITH = {"release-gap": "freed-while-reachable"}
"""A rule that says why, at the very event at which another says what."""


def test_every_rule_is_in_the_table() -> None:
    assert sorted(TEETH) == sorted(rule.id for rule in RULES)


@pytest.mark.slow
@pytest.mark.parametrize("rule", sorted(TEETH))
def test_the_rule_is_the_first_to_speak_and_without_it_the_verdict_is_lost_or_later(rule: str) -> None:
    tooth = TEETH[rule]
    events = _run_of_which_it_speaks_first(tooth, rule)

    alone, first = _speaks_at(events, tooth, disabled=())
    without, instead = _speaks_at(events, tooth, disabled=(rule,))
    assert first == rule
    assert without > alone or (without == alone and instead == SPEAKS_WITH.get(rule))


@pytest.mark.slow
@pytest.mark.parametrize("rule", sorted(TEETH))
def test_the_rule_accepts_the_same_scene_without_the_deviation(rule: str) -> None:
    found = explore(TEETH[rule].spec(correct=True), "bounded", bound=1, runs=200)

    assert found.findings == ()
    assert found.verdict in ("proved", "no-violation-within")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(mutants()))
def test_the_mutant_trips_each_rule_that_its_table_names(name: str) -> None:
    mutant = mutants()[name]
    spec = Request(scenario=mutant.scenario, mutants=(name,), steps_max=20_000).resolve()
    for rule in mutant.rules:
        assert any(
            explore(spec, strategy, runs=4000, rules=(rule,), shrinking=False).verdict == "violated"
            for strategy in ("bounded", "random")
        ), rule


@pytest.mark.slow
@pytest.mark.parametrize("hole", sorted(HOLES))
def test_a_hole_breaks_only_what_its_table_predicts_and_something(hole: str) -> None:
    seen = set()
    for name in scenario_names():
        if name != "churn":
            spec = Request(scenario=name, switches={hole: True}).resolve()
            found = explore(spec, "bounded", bound=1, runs=150, find_all=True)
            seen |= {finding.violation.rule for finding in found.findings}

    assert seen <= set(HOLES[hole].rules)
    assert seen


def _run_of_which_it_speaks_first(tooth: Tooth, rule: str) -> Sequence[Event]:
    spec = tooth.spec()
    orders = Bounded(2)
    for _ in range(tooth.runs):
        assert orders.new_run()
        result = run_once(spec, orders)
        if result.violations and result.violations[0].rule == rule:
            return _events_of(spec, result.choices)
    pytest.fail(f"{rule} never speaks first")


def _events_of(spec: RunSpec, choices: Sequence[int]) -> Sequence[Event]:
    events: list[Event] = []
    replay = Replay(choices)
    assert replay.new_run()
    run_once(spec, replay, sink=events.append)
    return events


def _speaks_at(events: Sequence[Event], tooth: Tooth, disabled: tuple[str, ...]) -> tuple[float, str]:
    """Return after how many events the first violation is known, and its rule; infinity for never."""
    checker = Checker(tooth.spec().profile.switches(), strict=tooth.strict, disabled=disabled)
    for n, event in enumerate(events):
        checker.feed(event)
        if checker.violations:
            return n, checker.violations[0].rule
    checker.finish(complete=True)
    return (len(events), checker.violations[0].rule) if checker.violations else (math.inf, "")
