"""When two violations are one: the same rule and objects, come about in the same way."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from notifierlab.events import Violation
from notifierlab.explore.kinds import signature_of
from notifierlab.explore.run import run_once, RunSpec
from notifierlab.explore.search import explore
from notifierlab.explore.shape import Recorded, shape_of, shape_of_run
from notifierlab.explore.strategies import RandomWalk
from notifierlab.host import Host
from notifierlab.machine.access import Access, conflicts, Mode, Step
from notifierlab.request import Request
from tests.small_programs import programs, spec_of

Scenario = Callable[..., Coroutine[Any, Any, None]]

STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(["vcpu0", "vcpu1", "host"]),
        st.lists(
            st.builds(Access, st.sampled_from(["pte0", "pte1", "seq"]), st.sampled_from(list(Mode))), max_size=3
        ).map(tuple),
    ),
    min_size=1,
    max_size=20,
)


def depend(a: Step, b: Step) -> bool:
    return a.task == b.task or any(
        one.object == other.object and conflicts(one.mode, other.mode) for one in a.accesses for other in b.accesses
    )


def another_order(steps: Sequence[Step], swaps: Sequence[int], at: int) -> tuple[list[Step], int]:
    """The same steps with neighbours changed where they are independent, and where step `at` stands then."""
    order = list(enumerate(steps))
    for swap in swaps:
        n = swap % max(len(order) - 1, 1)
        if n + 1 < len(order) and not depend(order[n][1], order[n + 1][1]):
            order[n], order[n + 1] = order[n + 1], order[n]
    return [step for _, step in order], next(n for n, (number, _) in enumerate(order) if number == at)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(STEPS, st.lists(st.integers(0, 20), max_size=60), st.integers(0, 19))
def test_every_linearisation_has_the_same_shape(steps: list[Step], swaps: list[int], at: int) -> None:
    at %= len(steps)
    assert shape_of(*another_order(steps, swaps, at)) == shape_of(steps, at)


@settings(max_examples=60, deadline=None)
@given(programs(), st.integers(0, 1000), st.lists(st.integers(0, 40), max_size=60), st.integers(0, 40))
def test_so_have_linearisations_of_programs_that_ran(
    program: list[list[str]], seed: int, swaps: list[int], at: int
) -> None:
    walk = RandomWalk(seed)
    walk.new_run()
    spec = spec_of(program)
    trace = run_once(spec, Recorded(run_once(spec, walk).choices)).trace
    at %= len(trace)
    assert shape_of(*another_order(trace, swaps, at)) == shape_of(trace, at)


def step(task: str, *accesses: tuple[str, Mode]) -> Step:
    return Step(task, tuple(Access(*access) for access in accesses))


def test_the_order_of_what_conflicts_makes_the_shape() -> None:
    clears, reads, frees = step("host", ("pte0", Mode.WRITE)), step("vcpu0", ("pte0", Mode.READ)), step("host")
    assert shape_of([clears, reads, frees], 1) != shape_of([reads, clears, frees], 0)
    assert shape_of([clears, reads, frees], 2) != shape_of([reads, clears, frees], 2)


def test_which_page_and_which_task_of_its_kind_it_was_does_not_matter() -> None:
    def run(vcpu: int, pte: int) -> list[Step]:
        return [step(f"vcpu{vcpu}", (f"pte{pte}", Mode.READ)), step("host", (f"pte{pte}", Mode.WRITE))]

    assert shape_of(run(0, 7), 1) == shape_of(run(3, 12), 1)


def test_what_is_not_in_the_past_does_not_matter() -> None:
    cause = [step("vcpu0", ("pte0", Mode.WRITE)), step("host", ("pte0", Mode.READ))]
    beside = [step("gru", ("asid", Mode.WRITE)), step("vcpu1", ("asid", Mode.READ))]
    assert shape_of([*beside, *cause], 3) == shape_of([*cause, *beside], 1) == shape_of(cause, 1)


def test_an_edge_with_a_way_round_it_does_not_count() -> None:
    chain = [
        step("a", ("x", Mode.WRITE), ("y", Mode.WRITE)),
        step("b", ("x", Mode.READ), ("z", Mode.WRITE)),
        step("c", ("z", Mode.READ)),
    ]
    longer = [*chain[:2], step("c", ("z", Mode.READ), ("y", Mode.READ)), step("c", ("v", Mode.READ))]
    assert shape_of([*chain, step("c", ("v", Mode.READ))], 3) == shape_of(longer, 3)


def test_a_deadlock_has_the_shape_of_what_everybody_waits_for() -> None:
    took = [step("a", ("l", Mode.ACQUIRE)), step("b", ("m", Mode.ACQUIRE))]
    wants = [step("a", ("m", Mode.ACQUIRE)), step("b", ("l", Mode.ACQUIRE))]
    assert shape_of(took, 2, wants) == shape_of(took[::-1], 2, wants[::-1])
    assert shape_of(took, 2, wants) != shape_of(took, 2, wants[:1])


def lamp(*tasks: str, says: Sequence[str] = ("it is dark",)) -> Scenario:
    """A lamp that is switched on: `early` sees it dark if it comes before, `late` sees it lit if it comes after."""

    async def scenario(host: Host) -> None:
        machine = host.machine
        lit: list[bool] = []
        words = list(says)

        async def switch() -> None:
            await machine.step()
            machine.touch("lamp", Mode.WRITE)
            lit.append(True)

        async def look(at_fault: bool) -> None:
            await machine.step()
            machine.touch("lamp", Mode.READ)
            if bool(lit) is at_fault:
                machine.bug("lamp", words[0], "lamp")

        async def bystander() -> None:
            await machine.step()
            # Not recorded, as a scenario that declares nothing may do it.
            words.reverse()

        async with host.together() as together:
            together.start(switch, name="switch")
            for name in tasks:
                if name == "bystander":
                    together.start(bystander, name=name)
                else:
                    together.start(look, name.startswith("late"), name=name)

    return scenario


def found(scenario: Scenario, **options: Any) -> Any:
    return explore(RunSpec(name="lamp", scenario=scenario), "bounded", bound=4, find_all=True, **options)


def test_two_causes_of_one_rule_are_two_findings() -> None:
    result = found(lamp("early", "late"))
    assert [finding.violation.rule for finding in result.findings] == ["bug-on", "bug-on"]
    assert {finding.violation.task for finding in result.findings} == {"early", "late"}
    assert len({finding.shape for finding in result.findings}) == 2


def test_a_hundred_orders_of_one_cause_are_one_finding() -> None:
    (finding,) = found(lamp("late0", "late1", "late2", "late3"), runs=150).findings
    assert finding.times >= 100


def test_what_is_told_in_other_words_and_came_about_in_the_same_way_is_one_finding() -> None:
    scenario = lamp("late", "bystander", says=("it is dark", "there is no light"))
    apart = found(scenario, shrinking=False).findings
    assert len({signature_of(finding.violation) for finding in apart}) == len(apart) == 2
    (finding,) = found(scenario).findings
    assert finding.times == sum(each.times for each in apart)


def test_the_yardstick_frees_a_reachable_page_in_two_ways() -> None:
    spec = Request(scenario="yardstick", mutants=("yardstick-b",)).resolve()
    findings = explore(spec, "bounded", runs=400, find_all=True).findings
    freed = [finding for finding in findings if finding.violation.rule == "freed-while-reachable"]
    assert {finding.violation.task for finding in freed} == {"guest0", "truncate"}
    for finding in freed:
        assert shape_of_run(spec, finding.schedules[0], finding.violation) == finding.shape


def test_a_signature_leaves_numbers_out_but_not_who_did_it() -> None:
    def violation(pfn: int, task: str) -> Violation:
        return Violation("freed-while-reachable", f"page {pfn} is free", 3, task, (f"pfn {pfn}", "kvm0"))

    assert signature_of(violation(1, "vcpu0")) == signature_of(violation(4, "vcpu1"))
    assert signature_of(violation(1, "vcpu0")) != signature_of(violation(1, "truncator"))
