"""Random strategies draw from the distributions that their papers promise."""

from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from itertools import permutations
from math import sqrt
from types import SimpleNamespace
from typing import Any, cast

import pytest

from notifierlab.commands import running
from notifierlab.explore.menu import make_strategy, STRATEGIES
from notifierlab.explore.sampling import Pct, Pos, Sampler, Surw
from notifierlab.explore.search import BOUND
from notifierlab.explore.strategies import Replay, Strategy
from notifierlab.machine.access import Mode
from notifierlab.machine.carriers import new_machine, run_machine
from notifierlab.machine.locks import SpinLock
from notifierlab.machine.sched import Machine
from notifierlab.machine.task import Task

Body = Callable[[Machine, list[str]], Coroutine[Any, Any, object]]


class Coin(Sampler):
    """The plain random walk: a fair draw at each step."""

    name = "coin"

    def pick(self, ready: Sequence[Task]) -> int:
        return int(self.draw() * len(ready))


def run_body(body: Body, strategy: Strategy) -> tuple[tuple[str, ...], Machine]:
    """One run; what the body noted is its order."""
    notes: list[str] = []
    machine = new_machine("bare", strategy.choose, steps_max=2000)
    if getattr(strategy, "records", False):
        machine.record()
    assert strategy.new_run()
    strategy.begin_run(machine)
    run_machine(machine, lambda: body(machine, notes))
    result = SimpleNamespace(
        ended=machine.ended,
        choices=tuple(machine.choices),
        options=tuple(machine.options),
        trace=tuple(machine.trace),
        blocked=machine.blocked,
        declared=machine.declared,
        violations=(),
    )
    strategy.end_run(cast(Any, result))
    return tuple(notes), machine


def orders_of(body: Body, strategy: Strategy, runs: int) -> list[tuple[str, ...]]:
    return [run_body(body, strategy)[0] for _ in range(runs)]


def tasks_of(**programs: str) -> Body:
    """Tasks of one letter a step: a capital touches the object of that name, a small letter is private.

    `(` and `)` take and drop a lock. Every capital is noted with the task that took it.
    """

    async def body(machine: Machine, notes: list[str]) -> None:
        lock = SpinLock(machine, "lock", "toy")

        async def work(name: str, letters: str) -> None:
            for letter in letters:
                if letter == "(":
                    await lock.acquire()
                elif letter == ")":
                    await lock.release()
                else:
                    await machine.step()
                if letter.isupper():
                    machine.touch(letter, Mode.WRITE)
                    notes.append(name + letter)

        await machine.join(*[machine.start(work, name, letters, name=name) for name, letters in programs.items()])

    return body


def assert_drawn_from(expected: Mapping[Any, float], drawn: Sequence[Any]) -> None:
    """Chi-square: the statistic is within four of its standard deviations."""
    counts = Counter(drawn)
    assert set(counts) <= {order for order, share in expected.items() if share > 0}
    parts = [(counts[order], share * len(drawn)) for order, share in expected.items() if share > 0]
    assert min(mean for _, mean in parts) >= 5
    statistic = sum((count - mean) ** 2 / mean for count, mean in parts)
    freedom = len(parts) - 1
    assert statistic < freedom + 4 * sqrt(2 * freedom)


# --- pct ----------------------------------------------------------------------------


def pct_orders(lengths: Sequence[int], k: int, depth: int) -> Iterator[tuple[int, ...]]:
    """Every outcome of the paper's algorithm, equally likely: each order of tasks, each tuple of points."""
    for ranks in permutations(range(len(lengths))):
        for points in permutations(range(1, k + 1), depth - 1):
            yield pct_order(
                list(lengths), [100 + rank for rank in ranks], dict(zip(points, range(1, depth), strict=True))
            )


def pct_order(left: list[int], priorities: list[int], points: dict[int, int]) -> tuple[int, ...]:
    order = []
    at = 0
    while any(left):
        ready = [n for n, steps in enumerate(left) if steps]
        best = max(ready, key=lambda n: priorities[n])
        if len(ready) > 1:
            at += 1
            if at in points:
                priorities[best] = points[at]
                best = max(ready, key=lambda n: priorities[n])
        left[best] -= 1
        order.append(best)
    return tuple(order)


def capitals(*lengths: int) -> Body:
    return tasks_of(**{f"t{n}": "X" * length for n, length in enumerate(lengths)})


@pytest.mark.parametrize(("lengths", "depth"), [((3, 4), 2), ((2, 3), 3), ((1, 2, 2), 2), ((3, 3), 4)])
def test_pct_draws_what_the_published_algorithm_draws(lengths: tuple[int, ...], depth: int) -> None:
    # A task of n letters has n+1 steps: the first runs up to its first letter.
    k = sum(length + 1 for length in lengths) - 1
    outcomes = Counter(noted(order) for order in pct_orders([length + 1 for length in lengths], k, depth))
    shares = {order: count / outcomes.total() for order, count in outcomes.items()}
    strategy = Pct(seed=1, depths=(depth,))
    strategy.k = k
    drawn = orders_of(capitals(*lengths), strategy, 3000)
    rare = {order for order, share in shares.items() if share * len(drawn) < 5}
    assert_drawn_from(
        {order: share for order, share in shares.items() if order not in rare}
        | ({"rare": sum(shares[order] for order in rare)} if rare else {}),
        ["rare" if order in rare else order for order in drawn],
    )


def noted(order: tuple[int, ...]) -> tuple[str, ...]:
    """The first step of each task reaches no letter."""
    begun: set[int] = set()
    notes = []
    for n in order:
        if n in begun:
            notes.append(f"t{n}X")
        begun.add(n)
    return tuple(notes)


@pytest.mark.parametrize("padding", [0, 3, 8])
def test_pct_hits_a_bug_of_depth_2_as_often_as_promised(padding: int) -> None:
    # The bug: B falls between the two of A.
    body = tasks_of(a="x" * padding + "AA" + "x" * padding, b="x" * padding + "B" + "x" * padding)
    strategy = Pct(seed=5, depths=(2,))
    runs = 2000
    hits = orders_of(body, strategy, runs).count(("aA", "bB", "aA"))
    assert hits / runs >= 1 / (strategy.n * strategy.k)


def test_pct_hits_a_bug_of_depth_3_as_often_as_promised() -> None:
    # Both gaps must be met: B in the gap of A, then C in that of B.
    body = tasks_of(a="xAxxAx", b="xBxxBx", c="xxC")
    strategy = Pct(seed=5, depths=(3,))
    runs = 3000
    hits = orders_of(body, strategy, runs).count(("aA", "bB", "cC", "bB", "aA"))
    assert hits / runs >= 1 / (strategy.n * strategy.k**2)


def test_pct_says_how_likely_it_is_that_it_missed_a_bug() -> None:
    strategy = Pct(seed=0, depths=(2,))
    orders_of(capitals(2, 2), strategy, 100)
    assert (strategy.n, strategy.k) == (3, 5)
    counted = strategy._counted[2, True] + strategy._counted[2, False]
    assert 90 < counted < 100
    assert strategy.missed(2) == pytest.approx((1 - 1 / 15) ** counted)
    assert "at most 0.2 % for depth 2, if no run has more than 3 tasks and 5 choices" in strategy.covered()


def test_pct_counts_only_runs_that_knew_how_long_a_run_may_be() -> None:
    strategy = Pct(seed=0, depths=(2,))
    orders_of(capitals(1, 1), strategy, 50)
    orders_of(capitals(5, 5), strategy, 1)
    assert strategy.missed(2) == 1.0


def test_pct_lets_a_loop_that_tries_again_fall_behind() -> None:
    async def body(machine: Machine, notes: list[str]) -> None:
        lock = SpinLock(machine, "lock", "toy")

        async def hold() -> None:
            async with lock:
                for _ in range(5):
                    await machine.step()

        async def spin() -> None:
            while not await lock.try_acquire():
                await machine.relax()
            await lock.release()

        await machine.join(
            machine.start(hold, name="hold"), machine.start(spin, name="one"), machine.start(spin, name="two")
        )

    strategy = Pct(seed=0)
    assert {run_body(body, strategy)[1].ended for _ in range(200)} == {"complete"}


# --- pos ----------------------------------------------------------------------------


@pytest.mark.parametrize("padding", [4, 9, 14])
def test_pos_reverses_a_lone_conflict_far_more_often_than_a_random_walk(padding: int) -> None:
    # The bug: a task does all its private work while the other stands before its first touch.
    # The walk must win padding+1 coins more; pos must draw the lowest of padding+2 priorities.
    body = tasks_of(a="X", b="x" * padding + "X")
    runs = 1000
    by_pos = orders_of(body, Pos(seed=3), runs).count(("bX", "aX")) / runs
    by_coin = orders_of(body, Coin(seed=3), runs).count(("bX", "aX")) / runs
    # The first steps of both, up to where they give way, are steps of their own.
    share = 1 / (padding + 2)
    assert by_pos > share - 4 * sqrt(share / runs)
    assert by_coin < by_pos / 2


def test_pos_tosses_no_coin_for_what_does_not_conflict() -> None:
    # All private: the next of each task is drawn once, so the last task to begin is each with the same share.
    strategy = Pos(seed=1)
    body = tasks_of(a="X", b="Y", c="Z")
    orders = orders_of(body, strategy, 3000)
    assert_drawn_from(dict.fromkeys(permutations(("aX", "bY", "cZ")), 1 / 6), orders)


def test_pos_draws_again_for_a_step_that_conflicts_with_the_one_just_run() -> None:
    # One touch each, all on one object: every order is equally likely (n fair draws).
    orders = orders_of(tasks_of(a="X", b="X", c="X"), Pos(seed=1), 3000)
    assert_drawn_from(dict.fromkeys(permutations(("aX", "bX", "cX")), 1 / 6), orders)


# --- surw ---------------------------------------------------------------------------


def interleavings(*tasks: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if not any(tasks):
        yield ()
    for n, task in enumerate(tasks):
        if task:
            for rest in interleavings(*tasks[:n], task[1:], *tasks[n + 1 :]):
                yield (task[0], *rest)


@pytest.mark.parametrize(
    "programs",
    [
        {"a": "XXX", "b": "XX"},
        {"a": "XXXX", "b": "X", "c": "X"},
        {"a": "xxxXxxxX", "b": "XX"},
        {"a": "Xxxxxxxxx", "b": "XXX"},
    ],
)
def test_surw_is_uniform_over_the_orders_of_the_chosen_steps(programs: dict[str, str]) -> None:
    strategy = Surw(seed=2)
    body = tasks_of(**programs)
    orders_of(body, strategy, 3)  # what is known of the counts comes from here
    drawn = orders_of(body, strategy, 1500)
    every = list(interleavings(*[tuple(name + "X" for x in steps if x == "X") for name, steps in programs.items()]))
    assert_drawn_from(dict.fromkeys(every, 1 / len(every)), drawn)


def test_a_random_walk_is_far_from_uniform_over_the_same_orders() -> None:
    drawn = Counter(orders_of(tasks_of(a="XXXX", b="X", c="X"), Coin(seed=2), 3000))
    every = list(interleavings(("aX",) * 4, ("bX",), ("cX",)))
    assert max(drawn.values()) > 4 * 3000 / len(every)


def test_surw_chooses_a_pair_of_objects_that_the_same_tasks_fight_over() -> None:
    strategy = Surw(seed=0)
    chosen: Counter[tuple[str, ...]] = Counter()
    for _ in range(200):
        run_body(tasks_of(a="XYP", b="XYQ", c="Q"), strategy)
        chosen[strategy._chosen] += 1
    assert set(chosen) == {(), ("X",), ("Y",), ("Q",), ("X", "Y"), ("Y", "X")}
    assert chosen[()] == 1


def test_surw_goes_on_when_the_intended_task_is_blocked() -> None:
    # Both chosen steps of b are under the lock that a needs for its own.
    strategy = Surw(seed=0)
    body = tasks_of(a="(X)X", b="(XX)X")
    ends = Counter(run_body(body, strategy)[1].ended for _ in range(300))
    assert ends == {"complete": 300}


def test_surw_over_locks_alone_chooses_their_takes() -> None:
    strategy = Surw(seed=0)
    run_body(tasks_of(a="(x)(x)", b="(x)"), strategy)
    run_body(tasks_of(a="(x)(x)", b="(x)"), strategy)
    assert strategy._chosen == ("lock",)
    assert strategy._known["a"] == 2
    assert strategy._known["b"] == 1


# --- all ----------------------------------------------------------------------------

SAMPLERS: dict[str, Callable[[int], Strategy]] = {
    "pct": Pct,
    "pct-2": lambda seed: Pct(seed, (2,)),
    "pos": Pos,
    "surw": Surw,
}
BODY = tasks_of(a="x(X)Y", b="(Xx)Y", c="YX")


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_search_is_a_function_of_its_seed(name: str) -> None:
    first = orders_of(BODY, SAMPLERS[name](7), 30)
    assert orders_of(BODY, SAMPLERS[name](7), 30) == first
    assert orders_of(BODY, SAMPLERS[name](8), 30) != first


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_schedule_of_a_run_repeats_it(name: str) -> None:
    strategy = SAMPLERS[name](3)
    for _ in range(20):
        order, machine = run_body(BODY, strategy)
        assert run_body(BODY, Replay(tuple(machine.choices)))[0] == order


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_order_of_a_small_program_is_drawn(name: str) -> None:
    every = set(interleavings(("aX", "aX"), ("bX", "bX")))
    if name != "pct-2":  # two gaps need two points
        assert set(orders_of(tasks_of(a="XX", b="XX"), SAMPLERS[name](0), 500)) == every


def test_the_command_line_knows_every_strategy() -> None:
    assert running.STRATEGIES == STRATEGIES
    assert running.BOUND == BOUND
    assert [make_strategy(name, bound=1, seed=0).name for name in STRATEGIES] == list(STRATEGIES)
