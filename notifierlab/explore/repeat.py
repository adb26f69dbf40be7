"""Whether a scenario repeats itself: the same choices must give the same run, event by event.

Everything here rests on that. A scenario or driver that reads the clock, draws its own
random numbers, walks a set, or keeps something from one run to the next does not, and
what a search says of it would be worth nothing. So now and then a run is executed twice
and compared, and the first event that differs is named, with the line that made it.

Not seen: what differs from one process to another only, such as the order of a set of
texts; unless there are workers in other processes, whose calm runs are compared.
"""

import inspect
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Final

from notifierlab.events import Event
from notifierlab.explore.run import run_once, RunResult, RunSpec
from notifierlab.explore.strategies import Divergence, Replay, Strategy
from notifierlab.machine.sched import LabError, Machine
from notifierlab.wire import encode_event

REPEAT_EVERY: Final = 64
"""Every how many runs one is executed twice."""

_ATTEMPTS: Final = 5
_BENCH: Final = Path(__file__).parent.parent


class NotRepeatable(LabError):
    """Two runs by the same choices were not the same."""


class Repeats:
    """Executes runs, and every `every`th one twice; 0 is never."""

    def __init__(self, spec: RunSpec, every: int = REPEAT_EVERY) -> None:
        self.spec = spec
        self._every = every
        self._runs = 0

    def run(self, strategy: Strategy) -> RunResult:
        """Execute the next run of `strategy`.

        Raises:
            NotRepeatable: executed twice, the run was not the same.
            LabError: the scenario or driver uses the bench wrongly.
        """
        twice = self._every > 0 and self._runs % self._every == 0
        self._runs += 1
        events: list[Event] = []
        try:
            result = run_once(self.spec, strategy, sink=events.append if twice else None)
        except Divergence as error:
            # It says that runs differ; two runs side by side say where.
            self._name_difference(getattr(strategy, "prefix", ()), error)
            raise
        if result.external:
            raise LabError(
                f"scenario {self.spec.name!r} waits for trio itself (a timer, a socket), so its choices alone do not "
                "repeat it and it cannot be searched; wait with machine.step(until=...), or run it once with "
                "--carrier trio"
            )
        if twice and result.ended != "interrupted":
            compare(self.spec, result, events)
        return result

    def _name_difference(self, choices: Sequence[int], error: Divergence) -> None:
        for _ in range(_ATTEMPTS):
            events: list[Event] = []
            result = run_once(self.spec, Replay(choices, strict=False), sink=events.append)
            try:
                compare(self.spec, result, events)
            except NotRepeatable as difference:
                raise difference from error


def compare(spec: RunSpec, result: RunResult, events: Sequence[Event]) -> None:
    """Execute a run once more and compare.

    Args:
        spec: what was run.
        result: how the run went.
        events: what happened in it.

    Raises:
        NotRepeatable: it names the first difference.
    """
    again = _Again(result, events)
    second = run_once(spec, again, sink=again.compare)
    if second.ended == "interrupted" and not again.difference:
        return
    difference = again.difference or again.ends(second)
    if difference:
        raise NotRepeatable(
            f"scenario {spec.name!r} does not repeat itself: a run and its repetition by the same choices are the same "
            f"for {again.compared} events, then\n{difference}\n"
            "Look there, or in what ran before, for the clock, random numbers, the order of a set, or state that is "
            "kept from run to run (--repeat-every 0 leaves this check out; the result is then worth little)."
        )


def calm_run(spec: RunSpec) -> tuple[bytes, ...]:
    """Execute the calm run; return its events as lines, for another process to compare; none if it was interrupted."""
    events: list[Event] = []
    result = run_once(spec, Replay(), sink=events.append)
    return () if result.ended == "interrupted" else tuple(encode_event(event) for event in events)


def compare_processes(spec: RunSpec, here: Sequence[bytes], there: Sequence[bytes]) -> None:
    """Compare the calm runs of two processes.

    Raises:
        NotRepeatable: it names the first difference.
    """
    for n, (mine, other) in enumerate(zip_longest(here, there)):
        if mine != other:
            first, then = ("nothing more" if each is None else each.decode() for each in (mine, other))
            raise NotRepeatable(
                f"scenario {spec.name!r} is not the same in two processes: its calm runs are the same for {n} events, "
                f"then\n  here   {first}\n  there  {then}\n"
                "Look there, or in what ran before, for the order of a set of texts, which is each process's own, or "
                "for what differs between machines (--repeat-every 0 leaves this check out; the result is then worth "
                "little)."
            )


class _Again(Replay):
    """Repeats a run, and is the sink that compares; it stops at a difference."""

    name = "repeat"

    def __init__(self, result: RunResult, events: Sequence[Event]) -> None:
        super().__init__(result.choices, strict=False)
        self.compared = 0
        self.difference = ""
        self._first = result
        self._events = events
        self._machine: Machine | None = None

    def begin_run(self, machine: Machine) -> None:
        super().begin_run(machine)
        self._machine = machine

    def choose(self, options: int, carry_on: bool, is_value: bool) -> int:
        """Take the recorded choice, and leave where the first run was left."""
        if self._first.ended == "left" and self._next == len(self._first.choices):
            assert self._machine is not None
            self._machine.leave()
        return super().choose(options, carry_on, is_value)

    def compare(self, now: Event) -> None:
        """Take one event of the second run."""
        if self.difference:
            return
        before = self._events[self.compared] if self.compared < len(self._events) else None
        if before == now:
            self.compared += 1
            return
        self.difference = _told(before, now, _place())
        assert self._machine is not None
        self._machine.ask_to_end()

    def ends(self, second: RunResult) -> str:
        """Compare what is left when both have ended."""
        if self.compared < len(self._events):
            return _told(self._events[self.compared], None, "")
        for n, (before, now) in enumerate(zip(self._first.options, second.options, strict=False), 1):
            if before != now:
                return f"  choice {n} had {abs(before)} options first, and {abs(now)} then"
        if len(self._first.options) != len(second.options):
            return f"  first {len(self._first.options)} choices were made, and {len(second.options)} then"
        return ""


def _told(before: Event | None, now: Event | None, place: str) -> str:
    first, then = ("nothing more" if each is None else encode_event(each).decode() for each in (before, now))
    return f"  first  {first}\n  then   {then}" + (f"\n  at     {place}" if place else "")


def _place() -> str:
    """Return the line that makes the event: the innermost outside the bench, if there is one."""
    frame = inspect.currentframe()
    while frame is not None:
        file = Path(frame.f_code.co_filename)
        if _BENCH not in file.parents and "trio" not in file.parts and file.suffix:
            return f"{file}:{frame.f_lineno}"
        frame = frame.f_back
        if frame is not None and frame.f_code.co_name == "run_once":
            break
    return ""
