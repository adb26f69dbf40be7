"""A portion of a search: what one worker does at a time, without knowing of the others.

A portion of a search by levels is some roots of one level; a portion of a search by seeds
is some seeds; one of a search by `dpor` is an errand (`below.py`). What comes back says all
that the search has to know. A worker that reaches its limit gives back what it did not
come to, so that others may have it. The runs of all portions, laid end to end in the order
of the portions, are the runs of a search over one worker: so nothing depends on how many
there are, or how fast.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from msgspec import Struct
from msgspec.structs import replace as replaced

from notifierlab.explore.audit import Audits
from notifierlab.explore.below import Below, Errand, Report
from notifierlab.explore.hunt import Hunt, Restarts
from notifierlab.explore.interrupts import stoppable
from notifierlab.explore.menu import make_strategy
from notifierlab.explore.repeat import calm_run, Repeats
from notifierlab.explore.run import RunResult, RunSpec
from notifierlab.explore.search import leaves_out, rare_collections
from notifierlab.explore.states import States
from notifierlab.explore.strategies import Strategy, Subtree
from notifierlab.explore.tally import Stretch, Tally, Wanted
from notifierlab.machine.sched import LabError


class Resolvable(Protocol):
    """What to run, in names that mean the same in another process."""

    def resolve(self) -> RunSpec:
        """Look the names up."""


@dataclass(frozen=True, kw_only=True)
class Quest:
    """What all portions of a search have in common."""

    request: Resolvable
    strategy: str
    wanted: Wanted
    repeat_every: int
    audit_every: int | None = None


class Portion(Struct, frozen=True):
    """What to do: an `errand`, `roots` of a level, or else seeds from `seed` on, or states; `limit` runs at most.

    `key` names it in the search, whatever the number of workers. `parents` asks for the
    orders from which the next level departs. `strategy` is another one than that of the
    search. If `steps` is not 0, it ends with the run that comes to so many. `begun` is how
    many runs were known of when it was made.
    """

    key: str
    limit: int
    roots: tuple[bytes, ...] = ()
    seed: int = 0
    parents: bool = False
    errand: Errand | None = None
    strategy: str = ""
    steps: int = 0
    begun: int = 0


class Visited(Struct, frozen=True):
    """How far a search over states came: how many it visited, whether it is at its end, and proved, in words; and in
    which states runs ended."""

    states: int
    ended: bool
    proved: bool
    words: str
    ends: tuple[str, ...] = ()


class Part(Struct, frozen=True):
    """What came of a portion.

    `pending` are the roots that were not come to, `parents` what the next level departs
    from, `deeper` whether there is such a thing. `report` is of an errand, `visited` of a
    search over states, `proof` of a hunt that left no order untried; `remark` says what was not
    audited, `longest` how many steps the longest run took. `stopped` says that what is looked for was
    found in its last run, `interrupted` that somebody outside asked for the end. `calm` is
    the calm run, with the first portion that a process does: all must have the same.
    """

    key: str
    learnt: Stretch
    pending: tuple[bytes, ...] = ()
    parents: tuple[tuple[bytes, bytes], ...] = ()
    deeper: bool = False
    report: Report | None = None
    visited: Visited | None = None
    proof: str = ""
    remark: str = ""
    longest: int = 0
    stopped: bool = False
    interrupted: bool = False
    calm: tuple[bytes, ...] = ()


def work(quest: Quest, portion: Portion) -> Part:
    """Do a portion.

    Raises:
        LabError: the scenario or driver uses the bench wrongly, or does not repeat itself.
    """
    repeats, calm = _repeats_of(quest)
    strategy = _strategy_of(quest, portion)
    tally = Tally(judging=False, apart=quest.wanted.every)
    audits = Audits(repeats.spec, quest.audit_every if leaves_out(strategy) else 0, begun=portion.begun)
    longest = 0
    stopped = interrupted = False
    with stoppable() as stop, rare_collections():
        while _may_go_on(portion, tally) and not stopped and not interrupted and strategy.new_run():
            result = _run(repeats, strategy, portion, tally.runs + 1)
            tally.take(result)
            longest = max(longest, result.steps)
            interrupted = result.ended == "interrupted" or stop.asked
            stopped = quest.wanted.stops(tally.rules)
            if not stopped and not interrupted:
                # What was found was seen, whatever else was not.
                audits.look(result)
    part = Part(
        portion.key,
        tally.stretch(),
        remark=audits.remark,
        longest=longest,
        stopped=stopped,
        interrupted=interrupted,
        calm=calm,
    )
    return _with_what_it_amounts_to(part, portion, strategy)


def _strategy_of(quest: Quest, portion: Portion) -> Strategy:
    if portion.errand is not None:
        return Below(portion.errand)
    if portion.roots:
        return Subtree(portion.roots)
    return make_strategy(portion.strategy or quest.strategy, bound=0, seed=portion.seed)


def _may_go_on(portion: Portion, tally: Tally) -> bool:
    return tally.runs < portion.limit and (not portion.steps or tally.steps < portion.steps)


def _with_what_it_amounts_to(part: Part, portion: Portion, strategy: Strategy) -> Part:
    """Add what the runs amount to, and what is left to be done."""
    if isinstance(strategy, Below):
        return replaced(part, report=strategy.given_up() if part.interrupted else strategy.report())
    if isinstance(strategy, Subtree):
        pending = tuple(strategy.pending())
        parents = tuple(strategy.parents()) if portion.parents else ()
        return replaced(part, pending=pending, parents=parents, deeper=strategy.deeper)
    if isinstance(strategy, States):
        visited = Visited(
            strategy.states, strategy.exhausted, strategy.proved, strategy.covered(), tuple(strategy.ends)
        )
        return replaced(part, visited=visited)
    if isinstance(strategy, Hunt | Restarts) and strategy.proved:
        return replaced(part, proof=strategy.covered())
    return part


def _run(repeats: Repeats, strategy: Strategy, portion: Portion, number: int) -> RunResult:
    try:
        return repeats.run(strategy)
    except LabError as error:
        error.add_note(f"in run {number} of portion {portion.key} of the search ({strategy.name})")
        raise


class _Known:
    """What this process looked up last: it has many portions of one search to do."""

    quest: Quest | None = None
    repeats: Repeats | None = None


_KNOWN: Final = _Known()


def _repeats_of(quest: Quest) -> tuple[Repeats, tuple[bytes, ...]]:
    """Return what executes the runs of a search in this process, and the calm run, the first time."""
    repeats = _KNOWN.repeats
    if repeats is not None and quest == _KNOWN.quest:
        return repeats, ()
    spec = quest.request.resolve()
    repeats = Repeats(spec, quest.repeat_every)
    _KNOWN.quest, _KNOWN.repeats = quest, repeats
    return repeats, calm_run(spec) if quest.repeat_every else ()
