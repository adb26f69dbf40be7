"""What a step costs on each carrier, beside a bare `coro.send` loop and a loop of trio checkpoints.

Four tasks take turns; no checker listens. Run as `python benchmarks/machine.py`.
"""

import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import trio
from timing import best_seconds, table, target

from notifierlab.machine.carriers import new_machine, run_machine
from notifierlab.machine.sched import Machine

TASKS = 4
STEPS = 20_000
"""Steps of each task."""


@types.coroutine
def give_way() -> Generator[None, None, None]:
    """Suspend once."""
    yield


def send_loop() -> None:
    """Drive coroutines in turn, with no scheduler at all."""

    async def work() -> None:
        for _ in range(STEPS):
            await give_way()

    coros = [work() for _ in range(TASKS)]
    sends = [coro.send for coro in coros]
    for _ in range(STEPS):
        for send in sends:
            send(None)
    for coro in coros:
        coro.close()


def checkpoint_loop() -> None:
    """Let trio tasks take turns by checkpoints, in the order that trio likes."""

    async def work() -> None:
        for _ in range(STEPS):
            await trio.lowlevel.checkpoint()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(TASKS):
                nursery.start_soon(work)

    trio.run(main)


def machine_loop(carrier: str, choose: Callable[[int, bool, bool], int]) -> Callable[[], None]:
    """Return a body that runs the tasks under the machine, each next task taken by `choose`."""

    def body() -> None:
        machine = new_machine(carrier, choose, steps_max=10 * TASKS * STEPS)

        async def work() -> None:
            for _ in range(STEPS):
                await machine.step()

        run_machine(machine, lambda: _main(machine, work))

    return body


async def _main(machine: Machine, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    await machine.join(*[machine.start(work, name=f"task{n}") for n in range(TASKS)])


def alternate() -> Callable[[int, bool, bool], int]:
    """Return a `decide` that moves on at every step: the task after the current one."""
    turn = 0

    def choose(options: int, *_: bool) -> int:
        nonlocal turn
        turn = (turn + 1) % 3
        return turn + 1 if options == TASKS else 0

    return choose


def stay(*_: int) -> int:
    """Let the current task carry on."""
    return 0


def main() -> None:
    """Measure and print."""
    send, checkpoint, bare, calm, on_trio = best_seconds(
        send_loop,
        checkpoint_loop,
        machine_loop("bare", alternate()),
        machine_loop("bare", stay),
        machine_loop("trio", alternate()),
    )
    steps = TASKS * STEPS
    rows = [
        (name, seconds / steps * 1e6, round(steps / seconds), seconds / send)
        for name, seconds in (
            ("coro.send loop", send),
            ("trio checkpoint loop", checkpoint),
            ("bare, alternating", bare),
            ("bare, carrying on", calm),
            ("trio, alternating", on_trio),
        )
    ]
    table(f"{steps:,} steps of {TASKS} tasks", ("what", "us a step", "steps a second", "x send"), rows)
    target(f"bare at most 6 times the empty loop: {bare / send:.1f}", met=bare <= 6 * send)
    target(f"bare at most 2.5 us a step: {bare / steps * 1e6:.2f}", met=bare / steps <= 2.5e-6)
    target(f"bare at least 5 times faster than trio: {on_trio / bare:.1f}", met=on_trio >= 5 * bare)


if __name__ == "__main__":
    main()
