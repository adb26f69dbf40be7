"""A task, as the machine that runs it sees it."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from notifierlab.machine.access import Access

START_OF: Final = "start of "
"""How the name of the object begins that is touched when a task is started."""

END_OF: Final = "end of "
"""How the name of the object begins that is touched when a task ends."""

ANOTHER: Final = "another task to run"
"""What a task waits for that only wants somebody else to move (see `Machine.relax`)."""


class Task:
    """One thread of control: a vCPU, a process, an interrupt.

    `index` is 0 for the first task, then unique and independent of what other tasks do.
    `until` is the condition of its pending step; None means it may go on.
    """

    __slots__ = (
        "awaits",
        "away",
        "children",
        "context",
        "coro",
        "counts",
        "done",
        "holders",
        "index",
        "name",
        "rcu_depth",
        "rcu_section",
        "seat",
        "send",
        "spins",
        "tried",
        "until",
        "waits_for",
        "wants",
    )

    def __init__(self, name: str, index: int, coro: Coroutine[Any, Any, object], context: str) -> None:
        self.name = name
        self.index = index
        self.coro = coro
        self.send = coro.send
        self.context = context
        self.until: Callable[[], bool] | None = None
        self.waits_for = ""
        self.holders: Callable[[], tuple[str, ...]] | None = None
        self.done = False
        self.away = False
        self.children = 0
        self.counts: dict[str, int] = {}
        self.rcu_depth = 0
        self.rcu_section = 0
        # While accesses are recorded: what the condition read when it was looked at last,
        # and the lock that the pending step takes.
        self.awaits: list[Access] = []
        self.wants: Access | None = None
        # Whether it waits to try again, and the last hand-over before the try began.
        self.spins = False
        self.tried = 0
        # The carrier's own: what it needs to resume this task.
        self.seat: Any = None

    def __repr__(self) -> str:
        return f"<Task {self.name}>"
