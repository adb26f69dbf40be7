"""A portion of a search: what one worker does at a time, without knowing of the others.

A portion of a search by levels is some roots of one level; a portion of a search by seeds
is some seeds. What comes back says all that the search has to know. A worker that reaches
its limit of runs gives back the roots that it did not come to, so that others may have
them. The runs of all portions, laid end to end in the order of the portions, are the runs
of a search without workers: so nothing depends on how many there were, or how fast.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from msgspec import Struct

from notifierlab.explore.interrupts import stoppable
from notifierlab.explore.menu import make_strategy
from notifierlab.explore.repeat import calm_run, Repeats
from notifierlab.explore.run import RunResult, RunSpec
from notifierlab.explore.search import rare_collections
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


class Portion(Struct, frozen=True):
    """What to do: `roots` of a level, or, if there are none, seeds from `seed` on; `limit` runs at most.

    `key` names it in the search, whatever the number of workers. `parents` asks for the
    orders from which the next level departs.
    """

    key: str
    limit: int
    roots: tuple[bytes, ...] = ()
    seed: int = 0
    parents: bool = False


class Part(Struct, frozen=True):
    """What came of a portion.

    `pending` are the roots that were not come to, `parents` what the next level departs
    from, `deeper` whether there is such a thing. `stopped` says that what is looked for was
    found in its last run, `interrupted` that somebody outside asked for the end. `calm` is
    the calm run, with the first portion that a process does: all must have the same.
    """

    key: str
    learnt: Stretch
    pending: tuple[bytes, ...] = ()
    parents: tuple[tuple[bytes, bytes], ...] = ()
    deeper: bool = False
    stopped: bool = False
    interrupted: bool = False
    calm: tuple[bytes, ...] = ()


def work(quest: Quest, portion: Portion) -> Part:
    """Do a portion.

    Raises:
        LabError: the scenario or driver uses the bench wrongly, or does not repeat itself.
    """
    repeats, calm = _repeats_of(quest)
    subtree = Subtree(portion.roots) if portion.roots else None
    strategy: Strategy = subtree or make_strategy(quest.strategy, bound=0, seed=portion.seed)
    tally = Tally(judging=False, apart=quest.wanted.every)
    stopped = interrupted = False
    with stoppable() as stop, rare_collections():
        while tally.runs < portion.limit and not stopped and not interrupted and strategy.new_run():
            result = _run(repeats, strategy, portion, tally.runs + 1)
            tally.take(result)
            interrupted = result.ended == "interrupted" or stop.asked
            stopped = quest.wanted.stops(tally.rules)
    if subtree is None:
        return Part(portion.key, tally.stretch(), stopped=stopped, interrupted=interrupted, calm=calm)
    pending = tuple(subtree.pending())
    return Part(
        portion.key,
        tally.stretch(),
        pending=pending,
        parents=tuple(subtree.parents()) if portion.parents else (),
        deeper=subtree.deeper,
        stopped=stopped,
        interrupted=interrupted,
        calm=calm,
    )


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
