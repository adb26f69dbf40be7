"""What the comparison of `dpor` with brute force is worth: a search that is broken in one place does not pass it."""

import pytest

from notifierlab.explore import dpor, graces, happens, planning, wakeup
from notifierlab.explore.dpor import Dpor
from notifierlab.explore.happens import Taken
from notifierlab.explore.races import Race, Races
from notifierlab.explore.wakeup import Branch, Point
from notifierlab.machine.access import Access, CONFLICTS, Mode, Step
from tests.test_dpor import CHANGING, check, CHOICES, drawn, PROGRAMS, REFERENCES, STEADY, WAITS
from tests.trace_programs import trace_of


def notices(pools: tuple[tuple[str, ...], ...]) -> bool:
    """Tell whether one of some hundred programs shows that the search is broken."""
    for seed in range(400):
        try:
            check(drawn(seed, pools), None)
        except AssertionError:
            return True
    return False


@pytest.mark.slow
def test_the_comparison_notices_a_sleeper_that_vouches_for_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "covered", lambda _kinds, sleeping, _steps: bool(sleeping))
    assert notices(STEADY)


@pytest.mark.slow
def test_the_comparison_notices_a_sleeper_that_vouches_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # Then orders are executed that show nothing new.
    monkeypatch.setattr(planning, "covered", lambda *_: False)
    monkeypatch.setattr(Point, "is_asleep", lambda *_: False)
    monkeypatch.setattr(Dpor, "_learn", _learn_without_sleep)
    assert notices(STEADY)


def _learn_without_sleep(self: Dpor, node: Point, step: Step) -> bool:
    node.running = node.running or Branch(step.task)
    node.taken = self.kinds.taken(step)
    return True


@pytest.mark.slow
def test_the_comparison_notices_steps_that_are_taken_to_touch_what_they_touched_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What seemed to be covered by a leaf is forgotten, as if the guess had been right.
    monkeypatch.setattr(Dpor, "_run_next", _run_next_without_waiting)
    assert notices(CHANGING)


def _run_next_without_waiting(self: Dpor, node: Point, branch: Branch) -> None:
    node.running, node.taken = branch, None


@pytest.mark.slow
def test_the_comparison_notices_puts_that_sleep_until_they_are_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(happens, "WAKING", CONFLICTS)
    assert notices(REFERENCES)


@pytest.mark.slow
def test_the_comparison_notices_races_cut_to_the_past_of_their_second_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def trimmed(self: Races, race: Race) -> list[Taken]:
        left = full(self, race)
        at = next((n for n in range(race.first + 1, len(self.steps)) if self.steps[n] is race.step), -1)
        return left if at < 0 else [step for step in left if self.after(self.steps.index(step), at)]

    full = Races.without
    monkeypatch.setattr(Races, "without", trimmed)
    assert notices(STEADY + CHANGING)


@pytest.mark.slow
def test_the_comparison_notices_ends_at_which_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Races, "ended", lambda *_: [])
    assert notices(STEADY)


@pytest.mark.slow
def test_the_comparison_notices_takes_that_race_with_drops_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def latest(self: Races, step: Taken, _guards: object, _prev: object) -> dict[int, tuple[int, ...]]:
        return dict.fromkeys(self.joined(self.tables_of(step), self.number(step.task))[1], ())

    monkeypatch.setattr(Races, "_unlocked", latest)
    assert notices(STEADY)


@pytest.mark.parametrize("name", [name for name in PROGRAMS if "grace period" in name][:2])
def test_the_comparison_notices_sections_that_need_not_have_an_end(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The second has two grace periods, and a section waits for what comes behind the other one.
    monkeypatch.setattr(graces, "_learns_of_an_end", lambda *_: False)
    with pytest.raises(AssertionError):
        check(PROGRAMS[name], None)


def test_the_comparison_notices_a_section_that_hides_what_stood_before_a_grace_period(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As if a section had to stay behind a grace period that begins before it.
    monkeypatch.setattr(happens, "SECTION_BEGINS", None)
    with pytest.raises(AssertionError):
        check(PROGRAMS["a look behind a grace period, and before what a section does"], None)


def test_the_comparison_notices_values_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dpor, "asleep", lambda known, _: bool(known))
    monkeypatch.setattr(wakeup, "asleep", lambda known, _: bool(known))
    assert notices(CHOICES)


def test_the_comparison_notices_waits_whose_changes_commute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dpor, "_loosen", lambda *_: None)
    assert notices((WAITS[2],))


def test_the_comparison_notices_waits_that_only_the_last_change_can_end(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = Races._changes
    monkeypatch.setattr(Races, "_changes", lambda *args: changes(*args)[:1])
    assert notices((WAITS[0],))


def test_a_trace_does_not_depend_on_the_order_of_what_commutes() -> None:
    a = Step("t0", (Access("x", Mode.ADD),))
    b = Step("t1", (Access("x", Mode.ADD),))
    assert trace_of([a, b]) == trace_of([b, a])
    assert trace_of([a, b._replace(accesses=(Access("x", Mode.READ),))]) != trace_of([b, a])
