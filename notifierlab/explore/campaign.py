"""A search over many workers: portions handed out, and what comes back laid end to end.

Portions stand in a line, in the order of a search without workers. The first of them that
nobody has is handed out next; a portion that was not finished is replaced by what is left
of it, in its place; what stands at the head of the line, done, is learnt and leaves. So
the result is that of the search in one process, run for run, whatever finishes first:

    in work    in work    done       not handed out    ...
    ^ head: waited for    ^ learnt once it is the head

A search that is to end at a certain run (the one that found what was looked for, the last
one of the budget) has the portion of that run done once more up to there, and what stands
behind it is forgotten.
"""

from collections.abc import Callable
from concurrent.futures import CancelledError, FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from msgspec.structs import replace as replaced

from notifierlab.explore.checkpoint import Checkpoint
from notifierlab.explore.interrupts import Stop, stoppable
from notifierlab.explore.portion import Part, Portion, Quest, work
from notifierlab.explore.repeat import calm_run, compare_processes
from notifierlab.explore.run import RunSpec
from notifierlab.explore.search import Cut, Progress, RUNS_MAX, SearchResult, shrunk, summed_up
from notifierlab.explore.stages import shares_of
from notifierlab.explore.tally import Tally
from notifierlab.explore.workers import Workers
from notifierlab.machine.sched import LabError

LOSSES_MAX: Final = 5
"""How often workers may die with nothing done in between."""

_POLL_SECONDS: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How far a search goes: `bound` deviations (by levels), or seeds from `seed` on; `runs` at most."""

    bound: int
    seed: int
    runs: int | None = None


def campaign(
    quest: Quest,
    limits: Limits,
    workers: Workers,
    *,
    checkpoint: Checkpoint | None = None,
    shrinking: bool = True,
    progress: Callable[[Progress], None] | None = None,
) -> SearchResult:
    """Search over many workers; the result is that of `explore`.

    Args:
        quest: what is looked for, and in what.
        limits: how far.
        workers: who does it; they are sent home at the end.
        checkpoint: where what is finished is written down, if anywhere; it is closed, too.
        shrinking: make the schedules of what was found simple before they are handed out.
        progress: called whenever something more is known.

    Raises:
        LabError: the scenario or driver uses the bench wrongly, or does not repeat itself;
            or workers die again and again.
    """
    with stoppable() as stop:
        try:
            spec = quest.request.resolve()
            search = _Campaign(quest, spec, limits, workers, checkpoint, progress, stop)
            search.search()
        finally:
            workers.close()
            if checkpoint is not None:
                checkpoint.close()
        result = search.result()
        if shrinking and not stop.asked:
            result = shrunk(spec, result, every=quest.wanted.every)
    return result


class _Slot:
    """A place in the line: a portion, and what became of it."""

    def __init__(self, portion: Portion) -> None:
        self.portion = portion
        self.future: Future[Part] | None = None
        self.part: Part | None = None


class _Campaign:
    def __init__(
        self,
        quest: Quest,
        spec: RunSpec,
        limits: Limits,
        workers: Workers,
        checkpoint: Checkpoint | None,
        progress: Callable[[Progress], None] | None,
        stop: Stop,
    ) -> None:
        self._cut: Cut = ""
        self._tally = Tally(apart=quest.wanted.every)
        self._plan = shares_of(quest.strategy, spec, bound=limits.bound, seed=limits.seed, runs=limits.runs)
        self._runs_max = limits.runs or self._plan.runs_max or RUNS_MAX
        self._quest = quest
        self._spec = spec
        self._workers = workers
        self._checkpoint = checkpoint
        self._progress = progress
        self._stop = stop
        self._line: list[_Slot] = []
        self._losses = 0
        # Set when the portion in which the search ends is done once more: nothing else counts.
        self._last = False

    def search(self) -> None:
        """Search until there is nothing left, or enough."""
        while not self._cut:
            self._draw_up()
            self._hand_out()
            first = self._first()
            if first is not None and first.part is not None:
                self._learn(first, first.part)
            elif self._line:
                self._wait()
            elif not self._plan.next_level():
                break
            if self._stop.asked and not self._cut:
                self._interrupt()

    def result(self) -> SearchResult:
        """Sum up."""
        plan, tally, quest = self._plan, self._tally, self._quest
        result = summed_up(
            self._spec,
            tally,
            quest.wanted,
            self._cut,
            quest.strategy,
            plan.covered(tally.runs, self._cut),
            levels=plan.levels,
            proved=plan.proved,
        )
        return replace(result, traces=plan.traces, states=plan.states)

    @cached_property
    def _calm(self) -> tuple[bytes, ...]:
        return calm_run(self._spec)

    # --- handing out and taking back ----------------------------------------------------

    def _draw_up(self) -> None:
        """Put all in the line that must stand there before more is learnt."""
        while self._plan.hangs_on_what_is_learnt and self._lengthen(0):
            pass

    def _hand_out(self) -> None:
        """Give workers what they can take: the first portions that nobody has."""
        room = self._workers.room - sum(1 for slot in self._line if slot.future is not None)
        runs = self._tally.runs
        n = 0
        while room > 0 and not self._stop.asked:
            if n == len(self._line) and not self._lengthen(runs):
                return
            slot = self._line[n]
            n += 1
            if slot.part is None and slot.future is None:
                self._begin(slot)
                room -= slot.future is not None
            if slot.part is not None:
                runs += slot.part.learnt.runs
                if slot.part.stopped:
                    return

    def _lengthen(self, runs: int) -> bool:
        """Put the next portion at the end of the line, unless `runs`, which are known, are enough."""
        if self._last or (self._line and runs >= self._runs_max):
            return False
        portion = self._plan.next_portion()
        if portion is None:
            return False
        self._line.append(_Slot(portion))
        return True

    def _begin(self, slot: _Slot) -> None:
        known = self._checkpoint.get(slot.portion.key) if self._checkpoint is not None else None
        if known is not None:
            self._done(slot, known)
            return
        try:
            slot.future = self._workers.submit(work, self._quest, slot.portion)
        except self._workers.lost as error:
            self._renew(error)

    def _wait(self) -> None:
        """Take what comes back next."""
        futures = [slot.future for slot in self._line if slot.future is not None]
        done = wait(futures, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED).done
        for slot in [slot for slot in self._line if slot.future in done]:
            error = self._collect(slot)
            if error is not None:
                self._renew(error)
        if done:
            self._tell()

    def _collect(self, slot: _Slot) -> BaseException | None:
        """Take what a worker gives back; return the error if it is that the worker died."""
        future, slot.future = slot.future, None
        if future is None:
            return None
        lost: tuple[type[BaseException], ...] = (*self._workers.lost, CancelledError)
        try:
            part = future.result()
        except lost as error:
            return error
        self._losses = 0
        if part.calm and self._calm:
            compare_processes(self._spec, self._calm, part.calm)
            part = replaced(part, calm=())
        if self._checkpoint is not None and not part.interrupted:
            self._checkpoint.add(part)
        self._done(slot, part)
        return None

    def _done(self, slot: _Slot, part: Part) -> None:
        """Note what came of a portion; what was not done of it stands behind it from now on."""
        slot.part = replaced(part, pending=())
        rest = [_Slot(portion) for portion in self._plan.rest(slot.portion, part)]
        at = self._line.index(slot) + 1
        self._line[at:at] = rest

    def _renew(self, error: BaseException) -> None:
        """Go on after a worker died: what it had, somebody gets again."""
        self._losses += 1
        if self._losses > LOSSES_MAX:
            raise LabError(
                f"workers died {self._losses} times and nothing was done in between (out of memory?); run with "
                "--jobs 1 to see why"
            ) from error
        if self._workers.renew():
            # The others died with it; some of them may have been done before.
            for slot in self._line[:]:
                self._collect(slot)

    # --- learning -----------------------------------------------------------------------

    def _first(self) -> _Slot | None:
        """Return whose turn it is to be learnt."""
        return self._line[self._plan.first(slot.portion for slot in self._line)] if self._line else None

    def _learn(self, slot: _Slot, part: Part) -> None:
        """Learn what the portion brought whose turn it is."""
        end = min(self._runs_max - self._tally.runs, self._ending_run(part))
        if end < part.learnt.runs:
            again = replaced(slot.portion, key=f"{slot.portion.key}/{end}", limit=end)
            self._last = True
            self._line = [_Slot(again)]
            return
        self._line.remove(slot)
        self._tally.absorb(part.learnt)
        if not self._plan.learn(part):
            self._line.clear()
        if part.interrupted:
            self._cut = "interrupted"
        elif self._quest.wanted.stops(self._tally.rules):
            self._cut = "found"
        elif self._tally.runs >= self._runs_max:
            self._cut = "runs"

    def _ending_run(self, part: Part) -> int:
        """Return which run of a portion ends the search; if none does, how many there are.

        A worker stops at such a run by itself, unless only runs of several portions show
        it together: locks that are taken in a circle.
        """
        known = self._tally.runs
        trial = Tally(apart=self._quest.wanted.every)
        trial.absorb(self._tally.stretch())
        trial.absorb(part.learnt)
        runs = [each.run - known for each in trial.findings if self._quest.wanted.stops((each.violation.rule,))]
        return min(runs, default=part.learnt.runs)

    def _interrupt(self) -> None:
        """Learn all that is there, though there are gaps."""
        self._cut = "interrupted"
        for part in [slot.part for slot in self._line if slot.part is not None]:
            self._tally.absorb(part.learnt)
            self._plan.add(part)

    def _tell(self) -> None:
        if self._progress is None:
            return
        ready = [slot.part.learnt for slot in self._line if slot.part is not None]
        runs = sum(learnt.runs for learnt in ready)
        level, done, left = self._plan.position(runs)
        rules = [*self._tally.rules, *(each.violation.rule for learnt in ready for each in learnt.found)]
        self._progress(
            Progress(
                runs=self._tally.runs + runs,
                steps=self._tally.steps + sum(learnt.steps for learnt in ready),
                level=level,
                found=tuple(dict.fromkeys(rules)),
                orders=done,
                left=left,
            )
        )
