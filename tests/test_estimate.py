"""How much is left of a search is told about right, on trees and programs whose size is known."""

from collections.abc import Iterator

import pytest

from guests.scenarios.yardstick import yardstick
from notifierlab.explore.estimate import Estimate
from notifierlab.explore.run import RunSpec
from notifierlab.explore.search import explore, Progress


def walk(branches: int, depth: int) -> Iterator[list[tuple[int, int]]]:
    """Walk over a tree whose points all have as many branches; yield where each leaf stands."""
    leaf = [0] * depth
    while True:
        yield [(done, branches) for done in leaf]
        while leaf and leaf[-1] == branches - 1:
            leaf.pop()
        if not leaf:
            return
        leaf[-1] += 1
        leaf += [0] * (depth - len(leaf))


@pytest.mark.parametrize(("branches", "depth"), [(2, 10), (3, 6), (5, 4)])
def test_of_a_tree_whose_branches_are_alike_the_size_is_told(branches: int, depth: int) -> None:
    estimate, total = Estimate(), branches**depth
    for leaf, stack in enumerate(walk(branches, depth), 1):
        estimate.see(stack, leaf)
        left = estimate.left()
        if leaf > total / 4:
            assert left is not None
            assert total / 2 < leaf + left < total * 2
        if leaf == total:
            assert left == 0


def test_before_anything_is_done_nothing_is_said() -> None:
    estimate = Estimate()
    estimate.see([(0, 2), (0, 3)], 1)
    assert estimate.left() is None


def progress_of(strategy: str, guests: int) -> list[Progress]:
    told: list[Progress] = []
    spec = RunSpec(name="yardstick", scenario=yardstick, params={"guests": guests})
    explore(spec, strategy=strategy, progress=told.append)
    return told


@pytest.mark.parametrize("guests", [2, 3])
def test_what_is_left_of_a_search_over_states_is_mostly_told_within_a_factor_of_three(guests: int) -> None:
    told = progress_of("states", guests)
    assert told[-1].unit == "states"
    assert told[-1].left == 0
    total = told[-1].orders or 0
    later = told[len(told) // 4 :]
    ratios = [((progress.orders or 0) + (progress.left or 0)) / total for progress in later]
    assert sum(1 / 3 < ratio < 3 for ratio in ratios) > 0.9 * len(ratios)


def test_what_is_left_of_a_search_over_orders_is_told_within_a_factor_of_five() -> None:
    told = progress_of("dpor", 2)
    assert [(told[-1].orders, told[-1].left, told[-1].unit)] == [(288, 0, "orders")]
    for progress in told[len(told) // 4 : -1]:
        assert progress.orders is not None
        assert progress.left is not None
        assert 288 / 5 < progress.orders + progress.left < 288 * 5


def test_a_proof_tells_how_far_one_of_its_two_ways_is() -> None:
    told = progress_of("prove", 2)
    assert told[0].left is None
    assert any(progress.unit == "states" and progress.left for progress in told)


def test_a_search_by_deviations_tells_its_level() -> None:
    told = progress_of("bounded", 1)
    assert told[-1].level == 2
    assert (told[-1].left, told[-1].unit) == (0, "orders")


def test_a_search_that_draws_at_random_does_not_tell() -> None:
    told: list[Progress] = []
    explore(RunSpec(name="yardstick", scenario=yardstick), strategy="random", runs=3, progress=told.append)
    assert [progress.left for progress in told] == [None] * 3
