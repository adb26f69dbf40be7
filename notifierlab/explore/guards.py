"""Whether a lock always stands between two uses of a plain field.

Where states are taken by value, nothing is left of who came after whom, and the rule
`data-race` asks for just that. So it must be answered for all orders at once: two uses of
a field by different tasks, one a write, that cannot both begin with what they hold, are never without order
(the lock that one of them drops is taken by the other). That is less than the rule allows:
a flag that is set and waited for orders two uses as well. Who wants to know that must keep
the order (`Portrait` without values). (Savage et al., "Eraser", 1997, with locks for reading.)

A use by the only task that there is comes before all that it starts, and behind all that it has waited for.
"""

from collections.abc import Iterable

from notifierlab.explore.privacy import keep_out

Locks = frozenset[tuple[str, str]]
"""Locks, and whether for "read" or "write"; whoever has one for writing has it for reading, too."""


class Guards:
    """The locks that were held at every use of a plain field, by field, task, and whether it was written."""

    def __init__(self) -> None:
        self._held: dict[str, dict[tuple[str, bool], Locks]] = {}
        # The first field found that nothing guards.
        self.unguarded = ""

    def saw(self, task: str, uses: Iterable[tuple[str, bool]], locks: Locks) -> None:
        """Take note of the fields that a task used in a step in which it had `locks`."""
        for field, wrote in uses:
            held = self._held.setdefault(field, {})
            before = held.get((task, wrote))
            now = locks if before is None else before & locks
            if now != before:
                held[task, wrote] = now
                if not self.unguarded and not _excluded(held, task, wrote):
                    self.unguarded = field


def _excluded(held: dict[tuple[str, bool], Locks], task: str, wrote: bool) -> bool:
    """Tell whether all uses that must not meet that of `task` are kept from it by a lock."""
    mine = held[task, wrote]
    for (other, writes), theirs in held.items():
        if other != task and (wrote or writes) and not keep_out(mine, theirs):
            return False
    return True
