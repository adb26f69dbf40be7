"""Running a log again: by its header and its choices, compared event by event.

The first event that differs ends it, and both are shown: what was recorded and what
happens now. A log without its verdict line has no choices; it can be run again if it
was made from a seed or from a schedule, and is compared as far as it goes.

A lenient replay is for a scenario or driver that was changed since: it does what the log
says as long as that can be done, whatever else happens, and then goes on by another
strategy. Which task ran at a step is read from the events, so a recorded task is found
again where its number among those that may run has changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from notifierlab.errors import InputError
from notifierlab.events import Event, Interrupted, TaskReturned
from notifierlab.explore.run import run_once, RunResult, RunSpec
from notifierlab.explore.sampling import ready_tasks
from notifierlab.explore.strategies import Calm, RandomWalk, Replay, Strategy
from notifierlab.machine.sched import Machine
from notifierlab.trace import RunHeader, Verdict

_FIRST_EVENT_LINE: Final = 2


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Where two runs part. `line` is the line of the log; None on one side means "nothing there"."""

    line: int
    recorded: Event | Verdict | None
    now: Event | RunResult | None


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What running a log again gave: equal as far as compared if there is no `difference`."""

    difference: Difference | None
    events: int
    result: RunResult


def replay(spec: RunSpec, header: RunHeader, events: Sequence[Event], verdict: Verdict | None) -> Replayed:
    """Executes `spec` by the choices of a log and compares.

    Args:
        spec: what the header says, resolved.
        header: the log's first line.
        events: its events, from line 2 on.
        verdict: its last line, None where the log was cut off.

    Raises:
        InputError: the log cannot be run again.
    """
    if header.external or any(isinstance(event, TaskReturned) for event in events):
        raise InputError(
            f"This log of `{header.scenario}` has a task that waited for trio itself (a timer, a socket), so its "
            "choices alone do not repeat it. `notifierlab check` judges it all the same."
        )
    comparison = _Comparison(_strategy(header, verdict), events, verdict)
    result = run_once(spec, comparison, sink=comparison.compare)
    return Replayed(difference=comparison.end(result), events=comparison.compared, result=result)


@dataclass(frozen=True, kw_only=True)
class Followed:
    """What a lenient replay gave.

    `same` counts the first events that were the same, `difference` is the next one, if
    any. `departed` is the recorded event whose step no longer exists, None if the schedule
    could be followed to its end; `step` is where the run left it.
    """

    same: int
    difference: Difference | None
    departed: Event | None
    step: int
    result: RunResult


def follow(spec: RunSpec, events: Sequence[Event], verdict: Verdict | None, then: Strategy | None = None) -> Followed:
    """Executes `spec` by the choices of a log as far as they can be taken, and then by `then` (calmly).

    Raises:
        InputError: the log was cut off, so that nobody knows its choices.
    """
    if verdict is None:
        raise InputError("This log was cut off: without its verdict line nobody knows its choices. Replay it strictly.")
    follower = _Follower(verdict, events, then or Calm())
    result = run_once(spec, follower, sink=follower.see)
    return follower.end(result)


class _Follower:
    """A strategy that follows a log as long as it can, and the sink that sees whether it does."""

    def __init__(self, verdict: Verdict, events: Sequence[Event], then: Strategy) -> None:
        self.name = then.name
        self.records = getattr(then, "records", False)
        self._choices = verdict.choices
        self._events = events
        self._then = then
        self._first: dict[int, Event] = {}
        for event in events:
            self._first.setdefault(event.step, event)
        self._taken = 0
        self._same = 0
        self._difference: Difference | None = None
        self._left_at: int | None = None
        self._machine: Machine | None = None

    def new_run(self) -> bool:
        return True

    def begin_run(self, machine: Machine) -> None:
        self._machine = machine
        self._then.new_run()
        self._then.begin_run(machine)

    def choose(self, options: int, carry_on: bool, is_value: bool) -> int:
        """Take what was recorded, the same task if it can be told; else depart, and leave it to the other strategy."""
        if self._left_at is not None:
            return self._then.choose(options, carry_on, is_value)
        at = self._taken
        self._taken = at + 1
        choice = self._choices[at] if at < len(self._choices) else 0
        taken = choice if choice < options else None
        if not is_value:
            taken = self._same_task(choice, carry_on=carry_on)
        if taken is None:
            self._depart()
            return self._then.choose(options, carry_on, is_value)
        return taken

    def end_run(self, result: RunResult) -> None:
        self._then.end_run(result)

    def see(self, now: Event) -> None:
        """Take an event of the run: a step of another task than recorded is not the recorded step."""
        recorded = self._events[self._same] if self._same < len(self._events) else None
        if self._difference is None:
            if recorded == now:
                self._same += 1
            else:
                self._difference = Difference(line=_FIRST_EVENT_LINE + self._same, recorded=recorded, now=now)
        first = self._first.get(now.step)
        if self._left_at is None and first is not None and first.task != now.task:
            self._depart()

    def end(self, result: RunResult) -> Followed:
        """Sum up."""
        difference = self._difference
        if difference is None and self._same < len(self._events):
            difference = Difference(line=_FIRST_EVENT_LINE + self._same, recorded=self._events[self._same], now=None)
        left_at = self._left_at
        departed = None if left_at is None else next((each for each in self._events if each.step >= left_at), None)
        return Followed(
            same=self._same, difference=difference, departed=departed, step=left_at or result.steps, result=result
        )

    def _same_task(self, choice: int, *, carry_on: bool) -> int | None:
        machine = self._machine
        assert machine is not None
        ready = [task.name for task in ready_tasks(machine, carry_on=carry_on)]
        recorded = self._first.get(machine.steps)
        if recorded is None:
            return choice if choice < len(ready) else None
        return ready.index(recorded.task) if recorded.task in ready else None

    def _depart(self) -> None:
        assert self._machine is not None
        self._left_at = self._machine.steps


def _strategy(header: RunHeader, verdict: Verdict | None) -> Strategy:
    if verdict is not None:
        return Replay(verdict.choices, strict=False)
    if header.seed is not None:
        return RandomWalk(header.seed)
    return Replay(header.schedule, strict=False)


class _Comparison:
    """A strategy that follows another, and the sink that compares; it stops at a difference."""

    def __init__(self, inner: Strategy, events: Sequence[Event], verdict: Verdict | None) -> None:
        self.name = inner.name
        self.choose = inner.choose
        self.compared = 0
        self._inner = inner
        self._events = events
        self._verdict = verdict
        self._difference: Difference | None = None
        self._machine: Machine | None = None
        self._ended = False
        inner.new_run()

    def new_run(self) -> bool:
        return True

    def begin_run(self, machine: Machine) -> None:
        self._machine = machine
        self._inner.begin_run(machine)

    def end_run(self, result: RunResult) -> None:
        self._inner.end_run(result)

    def compare(self, now: Event) -> None:
        """Takes one event of the run."""
        if self._ended:
            return
        recorded = self._events[self.compared] if self.compared < len(self._events) else None
        if recorded == now:
            self.compared += 1
            return
        self._ended = True
        # Where the recorded run was stopped from outside, or its log cut off, this one goes on.
        cut_off = recorded is None and self._verdict is None
        if not cut_off and not isinstance(recorded, Interrupted):
            self._difference = Difference(line=self._line, recorded=recorded or self._verdict, now=now)
        self.compared += isinstance(recorded, Interrupted)
        assert self._machine is not None
        self._machine.ask_to_end()

    def end(self, result: RunResult) -> Difference | None:
        """Compares the ends."""
        verdict = self._verdict
        if self._difference is not None or verdict is None or verdict.ended == "interrupted":
            return self._difference
        if self.compared < len(self._events):
            return Difference(line=self._line, recorded=self._events[self.compared], now=None)
        same = (verdict.ended, verdict.steps, verdict.violations, verdict.choices) == (
            result.ended,
            result.steps,
            result.violations,
            result.choices,
        )
        return None if same else Difference(line=self._line, recorded=verdict, now=result)

    @property
    def _line(self) -> int:
        return _FIRST_EVENT_LINE + self.compared
