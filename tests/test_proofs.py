"""Scenarios of the real host are proved, both ways, and no walk at random shows an order that the proof had not."""

import pytest

from notifierlab.explore.dpor import Dpor
from notifierlab.explore.run import run_once, RunSpec
from notifierlab.explore.search import explore
from notifierlab.machine.access import Step
from notifierlab.request import Request
from tests.gate import Walk
from tests.trace_programs import Trace, trace_of

PROVED = (
    "cow-vs-guest-read",
    "destroy-vs-guest",
    "dirty-log-vs-madvise",
    "fork-abba",
    "fork-vs-gru-write",
    "gru-dropin-vs-munmap",
    "gru-in-flight-vs-exit",
    "gru-register-interrupted",
    "kvm-fault-vs-munmap",
    "mkclean-vs-guest",
    "register-vs-fault",
    "slot-vs-munmap",
    "unregister-vs-munmap",
    "unregister-vs-truncate",
    "zero-page-read",
)

BOTH_WAYS = (*PROVED, "founding-race", "slots-vs-guest", "unregister-vs-exit")
WALKS = 150

# Which order two gets or puts above the last came in nobody sees, who stirs a try that is stirred
# already does nothing, and that a grace period could as well have waited for a section is not tried.
UNSEEN = (".refs", "try of ", "rcu")


def order_of(trace: tuple[Step, ...]) -> Trace:
    """Return what had to come before what, as far as somebody sees it."""
    kept = [
        step._replace(
            accesses=tuple(access for access in step.accesses if not any(part in access.object for part in UNSEEN))
        )
        for step in trace
    ]
    return frozenset(((task, n, (), values), before) for (task, n, _, values), before in trace_of(kept))


def orders_of(spec: RunSpec) -> dict[Trace, None]:
    """Return every order that dpor executes until it has proved that there is no other."""
    strategy = Dpor()
    orders: dict[Trace, None] = {}
    while strategy.new_run():
        orders[order_of(run_once(spec, strategy).trace)] = None
    assert strategy.proved
    return orders


@pytest.mark.slow
@pytest.mark.parametrize("scenario", BOTH_WAYS)
def test_a_scenario_of_the_host_is_proved_both_ways(scenario: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notifierlab.explore.prove.CHECK_STEPS", 1_000_000)
    result = explore(Request(scenario=scenario).resolve(), "prove")
    assert result.verdict == "proved", result.bound
    assert "both ways come to the same final states" in result.bound


@pytest.mark.slow
@pytest.mark.parametrize("scenario", PROVED)
def test_a_walk_at_random_shows_no_order_that_the_proof_had_not(scenario: str) -> None:
    spec = Request(scenario=scenario).resolve()
    orders = orders_of(spec)
    for seed in range(WALKS):
        walk = Walk(seed)
        walk.new_run()
        assert order_of(run_once(spec, walk).trace) in orders, f"{scenario}, walk {seed}"


@pytest.mark.slow
def test_the_founding_race_is_proved() -> None:
    strategy = Dpor()
    result = explore(Request(scenario="founding-race").resolve(), strategy, repeat_every=0)
    assert result.verdict == "proved"
    assert result.traces is not None
    assert strategy.redundant < result.traces / 4
