"""A circle is endless just if nobody is put off in it."""

from collections.abc import Sequence

from hypothesis import given, settings, strategies as st

from notifierlab.explore.circles import Circles

TASKS = "abc"
Way = tuple[int, int, str]


def circles_of(ready: Sequence[str], ways: Sequence[Way]) -> Circles:
    circles = Circles()
    for tasks in ready:
        circles.state(tasks)
    for start, end, movers in ways:
        circles.way(start, end, movers)
    return circles


def test_a_task_that_tries_again_while_another_is_not_let_go_on_is_unlucky() -> None:
    assert circles_of(["ab", "ab"], [(0, 1, "a"), (1, 0, "a"), (0, 0, "a")]).endless() == ()


def test_a_circle_of_all_who_may_run_is_endless() -> None:
    assert circles_of(["a", "ab", "b"], [(0, 1, "a"), (1, 2, "b"), (2, 0, "b")]).endless() == ("a", "b")


def test_two_who_each_go_round_alone_can_take_turns_for_ever() -> None:
    assert circles_of(["ab"], [(0, 0, "a"), (0, 0, "b")]).endless() == ("a", "b")


def test_where_no_state_leads_back_there_is_no_circle() -> None:
    assert circles_of(["ab", "ab", "ab"], [(0, 1, "ab"), (0, 2, "ab"), (1, 2, "ab")]).endless() == ()


def test_who_leads_to_a_circle_and_who_follows_it_are_no_part_of_it() -> None:
    ways = [(0, 1, "c"), (1, 2, "a"), (2, 1, "b"), (2, 3, "c")]
    assert circles_of(["abc", "ab", "ab", "c"], ways).endless() == ("a", "b")
    assert circles_of(["abc", "abc", "ab", "c"], ways).endless() == ()


def by_trying(ready: Sequence[str], ways: Sequence[Way]) -> bool:
    """Tell by all pairs of states whether some that lead to each other put nobody off."""
    count = len(ready)
    leads = [[a == b for b in range(count)] for a in range(count)]
    for _ in range(count):
        for start, end, _movers in ways:
            for origin in range(count):
                leads[origin][end] = leads[origin][end] or leads[origin][start]
    for state in range(count):
        part = [other for other in range(count) if leads[state][other] and leads[other][state]]
        movers = [task for start, end, tasks in ways if start in part and end in part for task in tasks]
        if movers and all(task in movers for other in part for task in ready[other]):
            return True
    return False


tasks = st.sets(st.sampled_from(TASKS), min_size=1).map(lambda some: "".join(sorted(some)))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_it_is_found_as_by_trying_all_pairs(data: st.DataObject) -> None:
    ready = data.draw(st.lists(tasks, min_size=1, max_size=6))
    states = st.integers(0, len(ready) - 1)
    ways = data.draw(st.lists(st.tuples(states, states, tasks), max_size=10))
    assert bool(circles_of(ready, ways).endless()) == by_trying(ready, ways)
