"""Which steps concern nobody else: there, who goes first makes no difference.

Where a task may take a step that conflicts with nothing which others can do before it, all
that can happen from there can also happen behind that step (a *persistent set* of one
task, Godefroid 1996). So a search need not try the others there. Such steps are many: what
is done under a lock by whoever holds it, giving a lock back, a count that everybody only
adds to, whatever a task has to itself.

What others can do is not declared, it is *seen*: for each object who touched it in which
mode, and which locks all of them had when they did. That is believed until a step shows it
to be wrong; then `broken` is set and the search must begin anew, knowing better. When a
search has ended without that, its belief was right: take the deepest state where it was
not. What the other does there, before the private step, can also be done behind that
step, up to the first touch that conflicts, which would then have been seen.

What a task holds excludes: a step that begins with a lock held for writing cannot be
taken by others while this one has the lock at all, and one that begins with it held for
reading not while this one writes. The same is true of a lock itself: nobody else can take
it or give it back while this one has it. None of that holds of a lock which somebody gave
back who did not have it, nor of attempts (`TRY`, `TEST`), which others see fail.
"""

import random
from collections.abc import Container, Iterable, Mapping
from typing import Final

from notifierlab.machine.access import Access, CONFLICTS, Mode

Held = tuple[tuple[str, str], ...]
"""Locks, and whether for "read" or "write"."""

_GUARDS: Final = {Mode.ACQUIRE: "write", Mode.PASS: "write", Mode.ACQUIRE_READ: "read", Mode.PASS_READ: "read"}
_DROPS: Final = {Mode.RELEASE: "write", Mode.DOWNGRADE: "write", Mode.RELEASE_READ: "read"}
_ONCE: Final = (Mode.FIRST, Mode.AFTER)
_LOOKS_SOON: Final = 32
_LOOKS_SHARE: Final = 32
_LOOKS_MAX: Final = 2048
"""How many runs at random are made before a search begins anew, so that it does not do so too often: one, then twice as
many each time, up to so many; or of the runs to be made anew one in so many, up to so many."""
_STAYS: Final = (0.0, 0.9, 0.99)
"""How likely a run at random carries on where it could change hands, in turn."""
_OF_LOCKS: Final = (*_GUARDS, *_DROPS, Mode.TRY, Mode.TEST)


class Privacy:
    """What is known of who touches what. `broken` says that something relied upon is not so."""

    def __init__(self) -> None:
        self.broken = False
        # By object, then by mode and task: the locks that all such touches had.
        self._touches: dict[str, dict[tuple[Mode, str], frozenset[tuple[str, str]]]] = {}
        # Counts that are not only added to: whoever adds may write in another order (a put that turns out the last).
        self.thresholds: dict[str, None] = {}
        self._wild: dict[str, None] = {}
        self._alike: Mapping[str, str] = {}
        self._many: dict[str, bool] = {}
        self._seen: dict[tuple[str, tuple[Access, ...], Held], None] = {}
        self._verdicts: dict[tuple[str, tuple[Access, ...], Held, tuple[str, ...]], bool] = {}
        self._relied: dict[tuple[str, tuple[Access, ...], Held, tuple[str, ...]], None] = {}

    def know(self, alike: Mapping[str, str]) -> None:
        """Learn which tasks are interchangeable: what one of them does, the others can do."""
        if alike != self._alike:
            self._alike = dict(alike)
            kinds = list(alike.values())
            self._many = {kind: kinds.count(kind) > 1 for kind in kinds}

    def saw(self, task: str, accesses: tuple[Access, ...], held: Held) -> None:
        """Take note of a step of a task that had `held` before it."""
        who = self._alike.get(task, task)
        if (who, accesses, held) in self._seen:
            return
        self._seen[who, accesses, held] = None
        news = False
        locks = locks_of(accesses, held)
        for name, mode in accesses:
            if mode in _ONCE:
                continue
            if name not in self._wild and _is_wild(name, mode, accesses, held, self._touches.get(name, {})):
                self._wild[name] = None
                news = True
            news = self._note(name, mode, who, locks) or news
            if name not in self.thresholds and {Mode.ADD, Mode.WRITE} <= {mode for mode, _ in self._touches[name]}:
                # Two adds were taken to change places; from now on they do not.
                self.thresholds[name] = None
                self.broken = True
        if news:
            self._verdicts = {}
            self.broken = self.broken or not all(self._private(*relied) for relied in self._relied)

    def private(
        self, task: str, accesses: tuple[Access, ...], held: Held, gone: tuple[str, ...], *, rely: bool = False
    ) -> bool:
        """Tell whether a step conflicts with nothing that others do before it, as far as was seen.

        Args:
            task: whose step it is.
            accesses: what it touches.
            held: which locks the task has before it.
            gone: tasks that have ended by then.
            rely: whether something will depend on the answer.
        """
        key = self._alike.get(task, task), accesses, held, gone
        verdict = self._verdicts.get(key)
        if verdict is None:
            verdict = self._verdicts[key] = self._private(*key)
        if verdict and rely:
            self._relied[key] = None
        return verdict

    def begin_anew(self) -> None:
        """Keep what was seen; nothing is relied upon any more."""
        self.broken = False
        self._relied = {}

    def _note(self, name: str, mode: Mode, who: str, locks: frozenset[tuple[str, str]]) -> bool:
        touches = self._touches.setdefault(name, {})
        before = touches.get((mode, who))
        if before is not None:
            locks &= before
        touches[mode, who] = locks
        return locks != before

    def _private(self, who: str, accesses: tuple[Access, ...], held: Held, gone: tuple[str, ...]) -> bool:
        mine = [hold for hold in held if hold[1] != "try" and hold[0] not in self._wild]
        for name, mode in accesses:
            if mode in _ONCE:
                # Whatever comes after it cannot come before it.
                continue
            conflicting = CONFLICTS[mode]
            for (other, by), locks in self._touches.get(name, {}).items():
                if not conflicting >> other & 1:
                    continue
                if (by == who or by in gone) and not self._many.get(by, False):
                    continue
                if not keep_out(mine, locks):
                    return False
        return True


class Looks:
    """Runs at random, to see who touches what: some change hands at every choice, others seldom."""

    def __init__(self) -> None:
        self.running = False
        self._left = 0
        self._next = 0
        self._draw = random.Random(0).random

    def more(self, runs: int, *, at_least: int = 0) -> None:
        """Make some, more each time: the more, the more `runs` are to be made anew."""
        self._left = max(self._next, at_least, min(runs // _LOOKS_SHARE, _LOOKS_MAX))
        self._next = min(max(2 * self._next, 1), _LOOKS_SOON)

    def due(self) -> bool:
        """Tell whether the next run is one."""
        self.running = self._left > 0
        self._left -= self.running
        return self.running

    def choose(self, options: int, *, carry_on: bool, is_value: bool) -> int:
        """Draw."""
        stays = carry_on and not is_value and self._draw() < _STAYS[self._left % len(_STAYS)]
        return 0 if stays else int(self._draw() * options)


def keep_out(mine: Iterable[tuple[str, str]], locks: Container[tuple[str, str]]) -> bool:
    """Tell whether a lock of `mine` cannot be held beside `locks`; those for writing stand there for reading, too."""
    return any((lock, "read" if how == "write" else "write") in locks for lock, how in mine)


def locks_of(accesses: tuple[Access, ...], held: Held) -> frozenset[tuple[str, str]]:
    """Return the locks without which a step cannot be taken; whoever has one for writing could also read."""
    locks = [hold for hold in held if hold[1] != "try"]
    if accesses and accesses[0].mode in _GUARDS:
        locks.append((accesses[0].object, _GUARDS[accesses[0].mode]))
    locks += [(lock, "read") for lock, how in locks if how == "write"]
    return frozenset(locks)


def _is_wild(
    name: str,
    mode: Mode,
    accesses: tuple[Access, ...],
    held: Held,
    touches: Mapping[tuple[Mode, str], frozenset[tuple[str, str]]],
) -> bool:
    """Tell whether a lock was given back by one who did not have it, or is more than a lock."""
    how = _DROPS.get(mode)
    if how is not None:
        taken = Access(name, Mode.ACQUIRE if how == "write" else Mode.ACQUIRE_READ)
        return (name, how) not in held and taken not in accesses
    is_lock = mode in _OF_LOCKS
    return any((other in _OF_LOCKS) != is_lock for other, _ in touches)
