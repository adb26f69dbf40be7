"""One run: a machine, a host, a scenario, a strategy, and a checker that listens.

A run is a function of its `RunSpec` and its choices. Everything that searches, shrinks
or replays goes through `run_once`; nothing is kept between two runs but what the
strategy keeps.
"""

from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol

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
Ended = Literal["complete", "deadlock", "livelock", "raised", "interrupted"]
Sink = Callable[[Event], None]


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


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How one run went. `choices` and `options` are those of `Machine`; `external` says
    that a task waited for trio itself, so that the choices alone do not repeat the run;
    `seen` is what rules could judge. `trace` has what each step touched, `blocked` what
    the steps would that were left in a deadlock, for a strategy that `records`; `declared`
    says that nothing of it is missing."""

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
        self._checker = Checker(spec.profile.switches(), strict=spec.strict, disabled=disabled, ledger=ledger)
        self._feed = self._checker.feed
        self._sink = sink
        self._events = 0
        make = machine or partial(new_machine, spec.carrier)
        self.machine = make(strategy.choose, self._take, steps_max=spec.steps_max)
        if machine is not None or getattr(strategy, "records", False):
            self.machine.record(strict=spec.strict)
        strategy.begin_run(self.machine)

    def main(self) -> Coroutine[Any, Any, object]:
        """Make the first task."""
        spec = self._spec
        host = Host(self.machine, spec.profile, spec.mutants, spec.drivers)
        return spec.scenario(host, **spec.params)

    def _take(self, event: Event) -> None:
        self._events += 1
        # The log first: if a rule fails on an event, the event is what one wants to see.
        if self._sink is not None:
            self._sink(event)
        self._feed(event)

    def end(self) -> RunResult:
        machine = self.machine
        if machine.error is not None:
            raise machine.error
        ended: Ended = machine.ended  # type: ignore[assignment]  # one of them, by Machine.end's callers
        self._checker.finish(complete=ended == "complete")
        result = RunResult(
            violations=tuple(self._checker.violations),
            ended=ended,
            steps=machine.steps,
            choices=tuple(machine.choices),
            options=tuple(machine.options),
            events=self._events,
            external=machine.external,
            ledger=tuple(self._checker.ledger()),
            lock_edges=tuple(self._checker.lock_edges),
            seen=self._checker.seen,
            trace=tuple(machine.trace),
            blocked=machine.blocked,
            declared=machine.declared,
        )
        self._strategy.end_run(result)
        return result
