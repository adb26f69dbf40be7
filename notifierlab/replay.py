"""Running a log again: by its header and its choices, compared event by event.

The first event that differs ends it, and both are shown: what was recorded and what
happens now. A log without its verdict line has no choices; it can be run again if it
was made from a seed or from a schedule, and is compared as far as it goes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from notifierlab.errors import InputError
from notifierlab.events import Event, Interrupted, TaskReturned
from notifierlab.explore.run import run_once, RunResult, RunSpec
from notifierlab.explore.strategies import RandomWalk, Replay, Strategy
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
