"""The checker itself: takes events, one after the other, and says what was broken."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Final

from notifierlab.checker import books, driver, flush, freeing, lifetime, locking, windows
from notifierlab.checker.exercised import Seen, Seer
from notifierlab.checker.ledger import Ledger, LedgerRow
from notifierlab.checker.locking import LockEdge, LockOrder
from notifierlab.checker.memory import memory_of
from notifierlab.checker.rules import Chains, Judge, Report, Rule, Switches
from notifierlab.checker.world import World
from notifierlab.events import Event, Violation

JUDGES: Final[tuple[type[Judge], ...]] = (
    *freeing.JUDGES,
    *windows.JUDGES,
    *locking.JUDGES,
    *lifetime.JUDGES,
    *flush.JUDGES,
    *books.JUDGES,
    *driver.JUDGES,
)
"""Every judge, family by family."""

RULES: Final[tuple[Rule, ...]] = tuple(judge.rule for judge in JUDGES)
"""Every rule, family by family."""


def explain(rule: str) -> str:
    """What is verified of a rule and what is not, and why.

    Raises:
        KeyError: there is no such rule.
    """
    return {judge.rule.id: judge.__doc__ or "" for judge in JUDGES}[rule]


_MISSED_MAX: Final = 100_000
"""How many events are kept for a rule that has nothing to judge yet."""


class Checker:
    """Judges one run by its events, live or from a log; `begin` makes it ready for the next.

    `events` counts what it was fed.

    Args:
        switches: the resolved profile of the run, as its header carries it; some rules
            depend on it. A switch that is missing is off, but `smp` is on.
        strict: judge by the strict rules as well.
        disabled: rules to leave out.
        ledger: keep the ledger. It costs time and memory at each freed page; a search
            has no use for it.
    """

    def __init__(
        self, switches: Switches, *, strict: bool = False, disabled: Collection[str] = (), ledger: bool = True
    ) -> None:
        without = frozenset(disabled)
        self._report = Report(without)
        self._world = World(removals=strict or ledger)
        self._judges = judges = tuple(
            judge
            for judge in (make(self._world, self._report, switches) for make in JUDGES)
            if judge.applies() and (strict or not judge.rule.strict) and judge.rule.id not in without
        )
        self._ledger = Ledger(self._world) if ledger else None
        self._seer = Seer()
        # Of two rules that one event breaks, the narrower speaks first: the table begins with the widest.
        listeners: list[object] = [*reversed(judges), self._seer]
        if self._ledger is not None:
            listeners.append(self._ledger)
        self._chains = Chains(self._world, listeners)
        # Who synchronised with whom matters to data-race alone, and not before a plain field is
        # used: until then it hears nothing, and then first what it missed.
        self._race = next((judge for judge in judges if isinstance(judge, driver.DataRace)), None)
        self._chains_before = Chains(self._world, [one for one in listeners if one is not self._race])
        self._chains_missed = Chains(None, [self._race])
        self._missed: list[Event] | None = []
        self._kinds: set[type[Event]] = set()
        self._beginners = (
            self._report.begin,
            self._world.begin,
            self._seer.begin,
            *(judge.begin for judge in judges if type(judge).begin is not Judge.begin),
            *(() if self._ledger is None else (self._ledger.begin,)),
        )
        self._memories = tuple(judge.memory for judge in judges if type(judge).memory is not Judge.memory)
        self._closers = tuple(judge for judge in judges if type(judge).at_end is not Judge.at_end)
        self._locks = next((judge for judge in judges if isinstance(judge, LockOrder)), None)
        self._last: Event | None = None
        self.events = 0

    def begin(self) -> None:
        """Forgets the run that was judged: the next event is the first of another one."""
        for begin in self._beginners:
            begin()
        self._missed = []
        self._kinds = set()
        self._last = None
        self.events = 0

    def feed(self, *events: Event) -> None:
        """Takes the next events of the run. Never raises, whatever the log says."""
        self.feed_all(events)

    def feed_all(self, events: Sequence[Event]) -> None:
        """Takes the next events of the run; many at once are judged in half the time."""
        if not events:
            return
        self._last = events[-1]
        self._kinds.update(map(type, events))
        self.events += len(events)
        if self._missed is None:
            self._chains.tell(events)
        elif self._kinds.isdisjoint(driver.FIELD_USES) and len(self._missed) < _MISSED_MAX:
            self._missed.extend(events)
            self._chains_before.tell(events)
        else:
            self._chains_missed.tell(self._missed)
            self._missed = None
            self._chains.tell(events)

    def memory(self, lookups: Mapping[str, Sequence[str]]) -> Hashable:
        """What is remembered of the run and may still count, as a value: after two runs that are remembered alike,
        the same events break the same rules.

        All but `data-race`, which remembers who knows of what, and what rules count over a whole search or run
        (`lock-order`, `livelock`).

        Args:
            lookups: by task the look-ups that may still be used.
        """
        return (memory_of(self._world, lookups), *[remembered() for remembered in self._memories])

    def finish(self, *, complete: bool) -> list[Violation]:
        """Ends the run, and returns everything that was broken.

        Args:
            complete: every task had ended. If not, what may only be said of a whole run
                is not said.
        """
        if complete and self._last is not None:
            for judge in self._closers:
                judge.at_end(self._last)
        return self.violations

    @property
    def violations(self) -> list[Violation]:
        """What was broken so far, in the order in which it was found."""
        return self._report.violations

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules that are judged: not those left out, nor those that the switches make idle."""
        return tuple(judge.rule.id for judge in self._judges)

    @property
    def seen(self) -> Seen:
        """What occurred in the run that some rule speaks of (see `not_exercised`)."""
        return self._seer.seen(self._kinds)

    def ledger(self) -> list[LedgerRow]:
        """A row for each freed page and each MMU concerned; empty if it was not kept."""
        return [] if self._ledger is None else self._ledger.rows()

    @property
    def lock_edges(self) -> list[LockEdge]:
        """In which orders locks of a driver's own classes were taken, to be merged over runs."""
        return [] if self._locks is None else list(self._locks.edges.values())
