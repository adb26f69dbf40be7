"""Toy programs written directly against the machine, and a reference that counts their orders.

A program is a list of tasks, a task a list of operations: `step` lets others run, `take a`
and `drop a` are a spinlock's, `pick n` is a choice of n values. The reference knows what
they mean without the machine: it is what the machine and the strategies are measured by.
"""

from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, NamedTuple

from notifierlab.events import Event
from notifierlab.machine.carriers import new_machine, run_machine
from notifierlab.machine.locks import SpinLock
from notifierlab.machine.sched import Decide, Machine

Program = Sequence[Sequence[str]]
Order = tuple[tuple[int, int], ...]
"""Who ran and what it picked, in order: (task, value), value -1 for a turn."""


class Toy(NamedTuple):
    """One run of a toy; it stands in for a `RunResult`."""

    order: Order
    choices: tuple[int, ...]
    options: tuple[int, ...]
    ended: str
    steps: int
    events: tuple[Event, ...]
    error: BaseException | None
    violations: tuple[object, ...] = ()


def run_tasks(
    body: Callable[[Machine], Coroutine[Any, Any, object]],
    decide: Decide | None = None,
    *,
    carrier: str = "bare",
    steps_max: int = 1000,
) -> Toy:
    """Run `body(machine)` as the first task."""
    seen: list[Event] = []
    machine = new_machine(carrier, decide or _calm, seen.append, steps_max=steps_max)
    run_machine(machine, lambda: body(machine))
    return Toy(
        (), tuple(machine.choices), tuple(machine.options), machine.ended, machine.steps, tuple(seen), machine.error
    )


def run_program(program: Program, decide: Decide | None = None, *, carrier: str = "bare") -> Toy:
    """Run a toy program; its order is filled in."""
    order: list[tuple[int, int]] = []

    async def main(machine: Machine) -> None:
        locks = {name: SpinLock(machine, name, "toy") for name in "ab"}

        async def work(n: int, operations: Sequence[str]) -> None:
            order.append((n, -1))
            for operation in operations:
                await _do(machine, locks, n, operation, order)

        await machine.join(*[machine.start(work, n, task, name=f"task{n}") for n, task in enumerate(program)])

    toy = run_tasks(main, decide, carrier=carrier)
    return toy._replace(order=tuple(order))


async def _do(
    machine: Machine, locks: dict[str, SpinLock], n: int, operation: str, order: list[tuple[int, int]]
) -> None:
    verb, _, what = operation.partition(" ")
    if verb == "pick":
        order.append((n, machine.choose("pick", *range(int(what)))))
        return
    if verb == "step":
        await machine.step()
    elif verb == "take":
        await locks[what].acquire()
    elif verb == "drop":
        await locks[what].release()
    order.append((n, -1))


def _calm(options: int, carry_on: bool, is_value: bool) -> int:
    return 0


# --- the reference ------------------------------------------------------------------


class _State(NamedTuple):
    at: tuple[int, ...]
    holders: tuple[tuple[str, int], ...]
    begun: tuple[bool, ...]


def reference_orders(program: Program) -> dict[Order, int]:
    """Return every order of `program` and how many deviations it has."""
    start = _State((0,) * len(program), (), (False,) * len(program))
    found: dict[Order, int] = {}
    for order, cost in _next_turn(program, start, -1, (), 0):
        assert order not in found
        found[order] = cost
    return found


def reference_counts(program: Program) -> list[int]:
    """Return how many orders there are with 0, 1, 2, ... deviations."""
    counts = Counter(reference_orders(program).values())
    return [counts[cost] for cost in range(max(counts) + 1)]


def _next_turn(program: Program, state: _State, me: int, order: Order, cost: int) -> Iterator[tuple[Order, int]]:
    ready = [n for n in range(len(program)) if _may_run(program, state, n)]
    if not ready:
        yield order, cost
    for n in ready:
        paid = int(me in ready and n != me)
        yield from _run(program, _taken(program, state, n), n, (*order, (n, -1)), cost + paid)


def _may_run(program: Program, state: _State, n: int) -> bool:
    """Tell whether task `n` has not ended and does not wait for a lock."""
    if not state.begun[n]:
        return True
    at = state.at[n]
    if at >= len(program[n]):
        return False
    verb, _, what = program[n][at].partition(" ")
    return verb != "take" or what not in dict(state.holders)


def _taken(program: Program, state: _State, n: int) -> _State:
    """Finish the operation at which task `n` gave way, or begin its first."""
    if not state.begun[n]:
        return state._replace(begun=_with(state.begun, n, True))
    verb, _, what = program[n][state.at[n]].partition(" ")
    holders = (*state.holders, (what, n)) if verb == "take" else state.holders
    return state._replace(at=_with(state.at, n, state.at[n] + 1), holders=holders)


def _run(program: Program, state: _State, n: int, order: Order, cost: int) -> Iterator[tuple[Order, int]]:
    """Let task `n` go to the next operation that gives way, through every value of what it picks."""
    if state.at[n] < len(program[n]):
        verb, _, what = program[n][state.at[n]].partition(" ")
        if verb == "pick":
            after = state._replace(at=_with(state.at, n, state.at[n] + 1))
            for value in range(int(what)):
                yield from _run(program, after, n, (*order, (n, value)), cost + (value > 0))
            return
        if verb == "drop":
            state = state._replace(holders=tuple(hold for hold in state.holders if hold[0] != what))
    yield from _next_turn(program, state, n, order, cost)


def _with(values: tuple[Any, ...], n: int, value: object) -> tuple[Any, ...]:
    return (*values[:n], value, *values[n + 1 :])
