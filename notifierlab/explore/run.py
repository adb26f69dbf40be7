"""One run: a machine, a host, a scenario, a strategy, and a checker that listens.

A run is a function of its `RunSpec` and its choices. Everything that searches, shrinks
or replays goes through `run_once`; nothing is kept between two runs but what the
strategy keeps, and the checker, which forgets.
"""

from collections.abc import Callable, Collection, Coroutine, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Final, Literal, Protocol

from msgspec import Struct

from notifierlab.checker import Checker, LedgerRow, LockEdge, Seen
from notifierlab.events import Event, Violation
from notifierlab.explore.interrupts import stoppable
from notifierlab.explore.strategies import Strategy
from notifierlab.host import Host
from notifierlab.machine.access import Step
from notifierlab.machine.carriers import arun_machine, BareMachine, new_machine, run_machine, TrioMachine
from notifierlab.machine.sched import Decide, STEPS_MAX
from notifierlab.mm.profile import Profile

Scenario = Callable[..., Coroutine[Any, Any, object]]
Ended = Literal["complete", "deadlock", "livelock", "raised", "interrupted", "left"]
Sink = Callable[[Event], None]

_STEPS_UNJUDGED: Final = 2000
"""How many steps a run takes at most before what happened in them is judged."""


class MakeMachine(Protocol):
    """What makes the machine of a run."""

    def __call__(self, decide: Decide, sink: Sink | None, /, *, steps_max: int) -> BareMachine | TrioMachine:
        """Make it."""


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """What is run. `scenario` is called with a `Host` and `params`; `name` is what logs call it."""

    name: str
    scenario: Scenario
    params: Mapping[str, Any] = field(default_factory=dict)
    profile: Profile = field(default_factory=Profile)
    mutants: frozenset[str] = frozenset()
    drivers: Mapping[str, type[Any]] = field(default_factory=dict)
    carrier: str = "bare"
    strict: bool = False
    steps_max: int = STEPS_MAX

    @cached_property
    def checkers(self) -> "_Checkers":
        """The checkers that judge these runs."""
        return _Checkers(self)

    def __getstate__(self) -> dict[str, Any]:
        # A copy in another process makes its own checkers.
        return {each.name: getattr(self, each.name) for each in fields(self)}


class _Checkers:
    """Checkers of one kind of run that stand idle: making one takes longer than a small run."""

    def __init__(self, spec: RunSpec) -> None:
        self._switches = spec.profile.switches()
        self._strict = spec.strict
        self._idle: dict[tuple[bool, frozenset[str]], list[Checker]] = {}

    def take(self, ledger: bool, disabled: Collection[str]) -> tuple[Checker, list[Checker]]:
        """Return one that knows of no run, and the list to put it in when nothing is asked of it any more."""
        without = frozenset(disabled)
        idle = self._idle.setdefault((ledger, without), [])
        if not idle:
            return Checker(self._switches, strict=self._strict, disabled=without, ledger=ledger), idle
        checker = idle.pop()
        checker.begin()
        return checker, idle


class RunResult(Struct, frozen=True, kw_only=True):
    """How one run went. `choices` and `options` are those of `Machine`; `external` says
    that a task waited for trio itself, so that the choices alone do not repeat the run;
    `seen` is what rules could judge. `trace` has what each step touched, `blocked` what
    the steps would that were left in a deadlock, for a strategy that `records`; `declared`
    says that nothing of it is missing. A run that `ended` by being `left` was of no more
    interest to the strategy."""

    violations: tuple[Violation, ...]
    ended: Ended
    steps: int
    choices: tuple[int, ...]
    options: tuple[int, ...]
    events: int
    external: bool = False
    ledger: tuple[LedgerRow, ...] = ()
    lock_edges: tuple[LockEdge, ...] = ()
    seen: Seen = frozenset()
    trace: tuple[Step, ...] = ()
    blocked: tuple[Step, ...] = ()
    declared: bool = False


def run_once(
    spec: RunSpec,
    strategy: Strategy,
    *,
    sink: Sink | None = None,
    ledger: bool = False,
    disabled: Collection[str] = (),
    machine: "MakeMachine | None" = None,
) -> RunResult:
    """Execute one run and judge it.

    A driver that raises is a violation of the run. Ctrl-C ends the run at its next step;
    pressed again, it raises KeyboardInterrupt where it strikes.

    Args:
        spec: what to run.
        strategy: what chooses; its `new_run` was called.
        sink: takes each event before the checker does.
        ledger: whether to make the ledger.
        disabled: rules to leave out.
        machine: makes a machine of another kind than the carrier's, which records.

    Raises:
        LabError: the scenario or driver uses the bench wrongly.
    """
    bench = _Bench(spec, strategy, sink, disabled, ledger=ledger, machine=machine)
    with stoppable() as stop:
        stop.machine = bench.machine
        run_machine(bench.machine, bench.main)
    return bench.end()


async def arun_once(
    spec: RunSpec,
    strategy: Strategy,
    *,
    sink: Sink | None = None,
    ledger: bool = False,
    disabled: Collection[str] = (),
) -> RunResult:
    """Do what `run_once` does inside a trio loop that is running already (a test)."""
    bench = _Bench(spec, strategy, sink, disabled, ledger=ledger)
    await arun_machine(bench.machine, bench.main)
    return bench.end()


class _Bench:
    """What one run is made of."""

    def __init__(
        self,
        spec: RunSpec,
        strategy: Strategy,
        sink: Sink | None,
        disabled: Collection[str],
        *,
        ledger: bool,
        machine: "MakeMachine | None" = None,
    ) -> None:
        self._spec = spec
        self._strategy = strategy
        self._checker, self._idle = spec.checkers.take(ledger, disabled)
        # Judged in one go, while its tables are at hand: event by event, between the steps of
        # the host, takes half as long again.
        self._unjudged: list[Event] = []
        take = self._unjudged.append
        hears = take if sink is None else _both(sink, take)
        if machine is None:
            self.machine = new_machine(spec.carrier, strategy.choose, hears, steps_max=spec.steps_max)
        else:
            self.machine = machine(strategy.choose, hears, steps_max=spec.steps_max)
        self.machine.pause_every(_STEPS_UNJUDGED, self._judge)
        if machine is not None or getattr(strategy, "records", False):
            self.machine.record(strict=spec.strict)
            self.machine.memory = self._memory
        strategy.begin_run(self.machine)

    def main(self) -> Coroutine[Any, Any, object]:
        """Make the first task."""
        spec = self._spec
        host = Host(self.machine, spec.profile, spec.mutants, spec.drivers)
        return spec.scenario(host, **spec.params)

    def _judge(self) -> None:
        self._checker.feed_all(self._unjudged)
        self._unjudged.clear()

    def _memory(self, lookups: Mapping[str, Sequence[str]]) -> Hashable:
        self._judge()
        return self._checker.memory(lookups)

    def end(self) -> RunResult:
        machine, checker = self.machine, self._checker
        if machine.error is not None:
            raise machine.error
        ended: Ended = machine.ended  # type: ignore[assignment]  # one of them, by Machine.end's callers
        self._judge()
        checker.finish(complete=ended == "complete")
        result = RunResult(
            violations=tuple(checker.violations),
            ended=ended,
            steps=machine.steps,
            choices=tuple(machine.choices),
            options=tuple(machine.options),
            events=checker.events,
            external=machine.external,
            ledger=tuple(checker.ledger()),
            lock_edges=tuple(checker.lock_edges),
            seen=checker.seen,
            trace=tuple(machine.trace),
            blocked=machine.blocked,
            declared=machine.declared,
        )
        # It may still be asked what it remembers.
        self._strategy.end_run(result)
        self._idle.append(checker)
        return result


def _both(first: Sink, second: Sink) -> Sink:
    def take(event: Event) -> None:
        # The log first: if a rule fails on an event, the event is what one wants to see.
        first(event)
        second(event)

    return take
