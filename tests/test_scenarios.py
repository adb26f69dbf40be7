"""The scenarios: clean where everything is right, and each broken driver and hole is found."""

import inspect

import pytest

from drivers.broken import MUTANTS
from notifierlab import catalogue, events
from notifierlab.explore.run import run_once, RunResult
from notifierlab.explore.search import explore
from notifierlab.explore.strategies import Calm, RandomWalk, Strategy
from notifierlab.mm.profile import HOLES, PRESETS
from notifierlab.request import Request

SCENARIOS = catalogue.scenario_names()
SMALL = [name for name in SCENARIOS if name != "churn"]

# Where a hole shows, and what it needs besides: a second hole without which it is harmless.
SHOWN_IN = {
    "single_pass_take_all": ("fork-abba", ()),
    "unlink_before_release": ("reclaim-vs-exit", ()),
    "zero_page_read_lookup": ("zero-page-read", ()),
    "kvm_no_release": ("unregister-vs-exit", ()),
    "kvm_flush_after_unlock": ("flush-skip", ()),
    "kvm_request_bit_skip": ("two-flushers", ("kvm_flush_after_unlock",)),
    "kvm_lockless_write_protect": ("dirty-log-vs-madvise", ()),
    "gru_ignores_register_error": ("gru-register-interrupted", ()),
    "gru_release_without_flush": ("gru-in-flight-vs-exit", ()),
    "gru_skips_unregister": ("gru-in-flight-vs-exit", ()),
    "gru_steals_without_locks": ("steal-vs-register", ()),
}


def run(request: Request, strategy: Strategy) -> RunResult:
    strategy.new_run()
    return run_once(request.resolve(), strategy)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_calm_run_is_clean(scenario: str) -> None:
    result = run(Request(scenario=scenario), Calm())
    assert result.ended == "complete"
    assert result.violations == ()


@pytest.mark.parametrize("scenario", SMALL)
def test_twenty_random_runs_are_clean(scenario: str) -> None:
    result = explore(Request(scenario=scenario).resolve(), "random", runs=20)
    assert result.verdict == "no-violation-within"
    assert result.findings == ()


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SMALL)
def test_no_single_preemption_or_fault_breaks_a_rule(scenario: str) -> None:
    result = explore(Request(scenario=scenario).resolve(), "bounded", bound=1, runs=3000)
    assert result.cut == ""
    assert result.findings == ()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_says_what_it_is_about_and_takes_its_numbers_by_name(scenario: str) -> None:
    function = catalogue.scenario(scenario)
    assert function.__name__ == scenario.replace("-", "_")
    assert function.__doc__ is not None
    assert function.__doc__.splitlines()[0].endswith(".")
    host, *params = inspect.signature(function).parameters.values()
    assert host.name == "host"
    assert all(param.kind is param.KEYWORD_ONLY and param.default is not param.empty for param in params)


@pytest.mark.parametrize(
    ("scenario", "params"),
    [
        ("founding-race", {"pages": 9, "vcpus": 2}),
        ("founding-race", {"pages": 4, "vcpus": 2, "apart": True}),
        ("founding-race", {"shared": True, "pages": 2}),
        ("founding-race-rmap", {"pages": 2}),
        ("kvm-fault-vs-munmap", {"pages": 2, "vcpus": 2, "rounds": 2, "reuse": True}),
        ("kvm-fault-vs-truncate", {"shared": True, "vcpus": 2}),
        ("gru-dropin-vs-munmap", {"pages": 2, "contexts": 2, "reuse": True}),
        ("gru-dropin-vs-munmap", {"interrupts": False}),
        ("gru-dropin-vs-truncate", {"contexts": 2, "interrupts": False}),
        ("gru-dropin-vs-reclaim", {"interrupts": False, "tries": 3}),
        ("gru-steal", {"processes": 3, "pages": 2, "asids": 3}),
        ("mkclean-vs-guest", {"pages": 2, "rounds": 3}),
        ("overlapping-windows", {"windows": 3, "pages": 2}),
        ("two-registrations", {"on_one_mm": 3, "on_another": 2}),
    ],
)
def test_a_scenario_is_clean_at_other_sizes(scenario: str, params: dict[str, int | bool]) -> None:
    result = explore(Request(scenario=scenario, params=params).resolve(), "random", runs=12)
    assert result.findings == ()


def test_vcpus_that_are_apart_touch_pages_of_their_own() -> None:
    touched: dict[str, list[int]] = {}

    def note(event: events.Event) -> None:
        if isinstance(event, events.SecAccessed):
            touched.setdefault(event.cpu, []).append(event.va // events.PAGE_SIZE % 4)

    # Behind the truncate there is nothing left to touch.
    walk = RandomWalk(0)
    for _ in range(20):
        walk.new_run()
        params = {"pages": 4, "vcpus": 2, "apart": True}
        run_once(Request(scenario="founding-race", params=params).resolve(), walk, sink=note)
    assert {cpu: sorted({*pages}) for cpu, pages in touched.items()} == {"kvm0.vcpu0": [0, 1], "kvm0.vcpu1": [2, 3]}


# --- churn --------------------------------------------------------------------------


def predicted(profile: str) -> set[str]:
    """Every rule that an open hole of the profile may break."""
    return {rule for hole, what in HOLES.items() if getattr(PRESETS[profile], hole) for rule in what.rules}


@pytest.mark.parametrize("profile", PRESETS)
def test_churn_shows_only_what_the_holes_predict(profile: str) -> None:
    for seed in range(6):
        result = run(Request(scenario="churn", profile=profile, params={"seed": seed}), RandomWalk(seed))
        assert {violation.rule for violation in result.violations} <= predicted(profile), f"seed {seed}"


# --- what must be found -------------------------------------------------------------


def test_every_hole_has_a_scenario() -> None:
    assert list(SHOWN_IN) == list(HOLES)


@pytest.mark.slow
@pytest.mark.parametrize("hole", SHOWN_IN)
def test_a_hole_breaks_what_it_is_said_to_break_and_nothing_else(hole: str) -> None:
    scenario, others = SHOWN_IN[hole]
    open_holes = (hole, *others)
    spec = Request(scenario=scenario, switches=dict.fromkeys(open_holes, True)).resolve()
    allowed = {rule for each in open_holes for rule in HOLES[each].rules}
    result = explore(spec, "bounded", runs=1500, find_all=True, shrinking=False)
    found = {finding.violation.rule for finding in result.findings}
    assert found
    assert found <= allowed


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS)
def test_every_broken_driver_is_found_by_each_of_its_rules(mutant: str) -> None:
    broken = MUTANTS[mutant]
    spec = Request(scenario=broken.scenario, mutants=(mutant,), steps_max=20_000).resolve()
    for rule in broken.rules:
        assert any(
            explore(spec, strategy, runs=runs, rules=(rule,), shrinking=False).findings
            for strategy, runs in (("random", 1000), ("bounded", 8000))
        ), rule


def test_a_broken_driver_overrides_one_thing_and_says_what_is_wrong() -> None:
    for mutant in MUTANTS.values():
        assert mutant.driver is not None
        own = [name for name in vars(mutant.driver) if not name.startswith("__")]
        allowed = 2 if mutant.name == "kvm-boolean-count" else 1  # to count is one thing in two methods
        assert len(own) <= allowed, mutant.name
        assert len(mutant.sentence.splitlines()) == 1
