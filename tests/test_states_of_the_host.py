"""A search that merges states by value sees what is wrong wherever something is."""

import pytest

from notifierlab import catalogue
from notifierlab.explore.run import run_once
from notifierlab.explore.states import States
from notifierlab.request import Request

# Those for which that takes more than a second or two, and the one that tries again until its run is cut.
LONG = (
    "kvm-boolean-count",
    "kvm-bumps-seq-after-unlock",
    "kvm-flushes-after-unlock",
    "kvm-retries-for-ever",
    "gru-hardware-cancel-off",
    "no-anon-vma-phase",
    "no-i-mmap-phase",
    "notify-page-before-clear",
    "odp-samples-late",
)
MUTANTS = [name for name in catalogue.mutants() if name not in LONG]
RUNS_MAX = 4000


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_each_rule_that_a_mutant_breaks_is_heard_of(name: str) -> None:
    mutant = catalogue.mutant(name)
    spec = Request(scenario=mutant.scenario, mutants=(name,)).resolve()
    states = States()
    left = dict.fromkeys(mutant.rules)
    while left and states.runs < RUNS_MAX and states.new_run():
        for violation in run_once(spec, states).violations:
            left.pop(violation.rule, None)
    assert not left
