"""What a step touches, and which two touches may not change places.

Two steps of different tasks are *dependent* when they touch one object in modes that
conflict; two orders of a run that differ only in steps which are not dependent are the
same order, and a search needs one of them. So a touch that is not recorded loses orders
that matter, and a mode that is too strong only costs time.

Modes of data: `READ`, `WRITE`, `ADD` (adds commute among themselves), `INSERT` (into a
set whose order nobody sees). `AWAIT` is a look, at data or at a lock, by the
condition of a pending step.
Modes of locks: `TRY` is an attempt that succeeded (followed by `ACQUIRE_READ` where it
was for reading), `TEST` one that failed, or a look.
`PASS` takes a lock and gives it back, all in one step: it waits until the lock is free and
leaves it so. Two of them change places, unless what they do meanwhile does not (`passing`).
Modes of queues: `ENQUEUE` begins to wait, `WAKE` wakes all who do.
`FIRST` and `AFTER` are a thing that happens once and what can only come later: the
start of a task and its first step, its end and those who join it.
`PUT` drops a reference of which others are left, `PUT_LEAVES_ONE` of which one is. Puts
change places as long as none of them is the last, which is a `WRITE`. So a put is before or
after another for the sake of the last alone; but a put that sleeps may be the last once one
is left, and is woken then (`WAKING`). Taking a reference is an `ADD` to the count: who takes
one knows that there is another. Who does not know it reads.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import Final, NamedTuple


class Mode(IntEnum):
    """How a step touches an object."""

    READ = 0
    WRITE = 1
    ADD = 2
    INSERT = 3
    ACQUIRE = 4
    ACQUIRE_READ = 5
    TRY = 6
    TEST = 7
    RELEASE = 8
    RELEASE_READ = 9
    ENQUEUE = 10
    WAKE = 11
    AWAIT = 12
    FIRST = 13
    AFTER = 14
    DOWNGRADE = 15
    PUT = 16
    PUT_LEAVES_ONE = 17
    PASS = 18
    PASS_READ = 19


RULES: Final = "rule:"
"""How the names of what only rules know begin (`judged.py`): no task can see that."""


TRY: Final = "try of "
"""The object that stands for all that a task looked at since it began a try: whoever changes any of it wakes it."""

NOT_SEEN: Final = (RULES, TRY)
"""How the names of those objects begin that no task sees."""


class Access(NamedTuple):
    """One touch: which object, and how."""

    object: str
    mode: Mode


class _Accesses(dict[tuple[str, Mode], Access]):
    def __missing__(self, touched: tuple[str, Mode]) -> Access:
        self[touched] = made = Access(*touched)
        return made


ACCESSES: Final = _Accesses()
"""Touches by object and mode. Most were seen before, and looking one up is cheaper than making it."""


class Step(NamedTuple):
    """What one task did between two points at which another could have run.

    `choice` is the index in `Machine.choices` of the choice that scheduled it, -1 where
    there was none to make. `values` are the choices of values taken in it, as indices,
    `arity` out of how many each; `ready` names the tasks that could have run instead,
    and the one that did.
    """

    task: str
    accesses: tuple[Access, ...]
    choice: int = -1
    values: tuple[int, ...] = ()
    arity: tuple[int, ...] = ()
    ready: tuple[str, ...] = ()


def _table() -> tuple[int, ...]:
    """Return, for each mode, the set of modes that conflict with it, as bits."""
    m = Mode
    pairs = {
        m.READ: (m.ADD, m.INSERT),
        m.ADD: (m.INSERT, m.AWAIT),
        m.INSERT: (m.AWAIT,),
        m.ACQUIRE: (m.ACQUIRE, m.ACQUIRE_READ, m.TRY, m.TEST, m.RELEASE, m.RELEASE_READ),
        m.ACQUIRE_READ: (m.TRY, m.TEST, m.RELEASE),
        m.TRY: (m.TRY, m.TEST, m.RELEASE, m.RELEASE_READ),
        m.TEST: (m.RELEASE, m.RELEASE_READ),
        m.RELEASE: (m.RELEASE,),
        m.DOWNGRADE: (m.ACQUIRE, m.ACQUIRE_READ, m.TRY, m.TEST, m.RELEASE_READ, m.PASS, m.PASS_READ),
        m.PASS: (m.ACQUIRE, m.ACQUIRE_READ, m.TRY, m.RELEASE, m.RELEASE_READ),
        m.PASS_READ: (m.ACQUIRE, m.TRY, m.RELEASE),
        m.WAKE: (m.ENQUEUE, m.AWAIT, m.READ),
        # A wait may be for what somebody does with a lock.
        m.AWAIT: (m.ACQUIRE, m.ACQUIRE_READ, m.TRY, m.RELEASE, m.RELEASE_READ, m.DOWNGRADE),
        m.FIRST: (m.AFTER,),
        m.PUT: (m.READ, m.AWAIT),
        m.PUT_LEAVES_ONE: (m.READ, m.AWAIT),
        # Somebody else's write cannot be told from any other change.
        m.WRITE: tuple(m),
    }
    bits = [0] * len(Mode)
    for mode, others in pairs.items():
        for other in others:
            bits[mode] |= 1 << other
            bits[other] |= 1 << mode
    return tuple(bits)


CONFLICTS: Final = _table()
"""For each mode, the modes that conflict with it: bit `n` stands for `Mode(n)`."""

_PUTS: Final = (Mode.PUT, Mode.PUT_LEAVES_ONE)

WAKING: Final = tuple(bits | (1 << Mode.PUT_LEAVES_ONE if mode in _PUTS else 0) for mode, bits in enumerate(CONFLICTS))
"""For each mode, the modes behind which a step that touches so may no longer be what it was before them."""


def conflicts(a: Mode, b: Mode) -> bool:
    """Tell whether two touches of one object, by different tasks, may not change places."""
    return bool(CONFLICTS[a] >> b & 1)


_PASSED: Final = {
    Mode.RELEASE: ((Mode.ACQUIRE, Mode.PASS), (Mode.TRY, Mode.TEST)),
    Mode.RELEASE_READ: ((Mode.TRY, Mode.TEST), (Mode.ACQUIRE_READ, Mode.PASS_READ)),
}
"""For each way to give a lock back: what a step that began so comes to, if the lock is given back in it."""


def passing(touched: Iterable[Access]) -> tuple[Access, ...]:
    """Return what a step touched, each once; what it took and gave back it only passed."""
    once = tuple(dict.fromkeys(touched))
    if len(once) > 1:
        for name, mode in once:
            if mode in _PASSED:
                once = _passed(once, name, mode)
    return once


def _passed(touched: tuple[Access, ...], name: str, drop: Mode) -> tuple[Access, ...]:
    for take, come_to in _PASSED[drop]:
        if (name, take) in touched:
            # A try for reading is two touches.
            gone = (name, drop), (name, Mode.ACQUIRE_READ)
            put = [Access(name, come_to) if access == (name, take) else access for access in touched]
            return tuple(access for access in put if access not in gone)
    return touched
