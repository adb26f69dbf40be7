"""Why a run breaks its rule: found by running other orders, not guessed from this one.

Going back from the violation, each choice is taken otherwise until an order passes:

    ... c1  c2  c3  c4 X        the run; X is the violation
                  |   `-- every other choice here, and all that follows it: breaks the rule too
                  `------ here another choice leads to an order that passes

So c3 is the point of no return: after it every continuation breaks the rule, and the
order that passes is the same as the run for longest. Choices after a violation lead
nowhere else and are not tried. The two steps that decide are found by flipping: the task
that lost the choice is let go for one more step each time, and then the task that won
it; the step with which that first passes is the other half of the pair.

Near by, all orders with a few choices otherwise are tried; then, from the point found,
`dpor` goes through all that differ. If one passes, the point was not the last, and what
follows its departure is gone through in the same way.

Verified: that no continuation passes: none at all with `whole`, else, where no further
fault strikes, none that takes no more than `changes` choices otherwise.
Not verified: that a passing order keeps other rules; those that it breaks are named.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from notifierlab.events import ChoiceMade, Deadlocked, Event, FieldRead, LockAcquired, LockReleased, Violation
from notifierlab.explore.dpor import Dpor
from notifierlab.explore.kinds import trimmed
from notifierlab.explore.plans import Execute, ready
from notifierlab.explore.run import RunResult
from notifierlab.explore.strategies import Replay
from notifierlab.machine.sched import Machine
from notifierlab.report.reasons import Reasons, Told
from notifierlab.report.words import words

RUNS_MAX: Final = 300
"""How many other orders may be run."""

STEPS_MAX: Final = 150_000
"""How many steps those runs may take together."""

BEYOND_MAX: Final = 2000
BEYOND_STEPS_MAX: Final = 250_000
"""How many runs, and how many steps, the search behind the point of no return may take."""

_FLIPS_MAX: Final = 60
_HOPELESS_MAX: Final = 100
_WHOLE: Final = ("complete", "deadlock")


def explain(
    execute: Execute, choices: Sequence[int], violation: Violation, *, runs_max: int = RUNS_MAX
) -> Reasons | None:
    """Return why the run of `choices` shows `violation`; None when it does not.

    Args:
        execute: runs a strategy.
        choices: the schedule of the run, best after shrinking.
        violation: what is to be explained.
        runs_max: how many other orders may be run.
    """
    return _Explainer(execute, violation, runs_max).explain(choices)


class _Point(NamedTuple):
    """One choice point of a run. `names` are those who could go; empty where nobody asked, and for a value."""

    step: int
    is_value: bool
    names: tuple[str, ...]


class _Run(NamedTuple):
    """One order that was executed; `until` counts the choices up to its violation."""

    result: RunResult
    points: list[_Point]
    events: list[Event]
    until: int
    passes: bool


class _Departure(NamedTuple):
    """The latest choice of the run that can be taken otherwise so that an order passes, and that order."""

    at: int
    option: int
    run: _Run


class _Tried:
    """The orders that were executed and break the rule. `waiting` are those not yet departed from.

    `changes` is up to how many choices were taken otherwise, in all ways there are;
    `whole` says that no order is left.
    """

    def __init__(self) -> None:
        self.waiting: list[tuple[_Departure, int]] = []
        self.changes = 0
        self.whole = False
        # How many orders there are behind the departure, where that is known.
        self.orders = 0
        self._places: list[int] = []

    def add(self, departure: _Departure, begin: int) -> None:
        self.waiting.append((departure, begin))
        self._places.append(departure.at)

    def beyond(self, at: int) -> int:
        """Count the orders that are like the run up to choice `at` and with it; the run is one."""
        return 1 + sum(1 for place in self._places if place > at)


class _Explainer:
    def __init__(self, execute: Execute, violation: Violation, runs_max: int) -> None:
        self._execute = execute
        self._rule = violation.rule
        self._left = runs_max
        self._steps_left = STEPS_MAX
        self._stopped = False

    def explain(self, choices: Sequence[int]) -> Reasons | None:
        base = self._run(_Watched(choices, named=True))
        if base is None or base.passes:
            return None
        tried = _Tried()
        found = self._first_departure(base, tried)
        if found is None:
            # Nothing that is near passes; a long search seldom finds what is far.
            self._left = min(self._left, _HOPELESS_MAX)
        found = self._look_closer(found, tried)
        if found is not None and not tried.whole:
            found = self._look_beyond(base, found, tried)
        self._left, self._steps_left = 0 if self._stopped else _FLIPS_MAX, STEPS_MAX // 4
        return self._reasons(base, found, tried)

    def _first_departure(self, base: _Run, tried: "_Tried") -> _Departure | None:
        """Go back until a choice taken otherwise passes, all calm from there."""
        for at in reversed(range(base.until)):
            for option in _others(base, at):
                run = self._run(_Watched((*base.result.choices[:at], option)))
                if run is None:
                    return None
                departure = _Departure(at, option, run)
                if run.passes:
                    tried.changes = 1
                    return departure
                tried.add(departure, at + 1)
        tried.changes = 1
        return None

    def _look_closer(self, found: _Departure | None, tried: "_Tried") -> _Departure | None:
        """Take one more choice otherwise each time; return the latest departure from which some order passes."""
        if not tried.changes:
            return found
        while tried.waiting:
            begun, tried.waiting = tried.waiting, []
            for departure, begin in begun:
                if found is not None and departure.at <= found.at:
                    continue
                for child, at in self._children(departure.run, begin):
                    if child is None:
                        return found
                    later = departure._replace(run=child)
                    if child.passes:
                        found = later
                        break
                    tried.add(later, at + 1)
            tried.changes += 1
        tried.whole = True
        return found

    def _look_beyond(self, base: _Run, found: _Departure, tried: "_Tried") -> _Departure:
        """Go through all orders behind a departure that differ; return the latest from which one passes."""
        self._left, self._steps_left = BEYOND_MAX, BEYOND_STEPS_MAX
        search = Dpor(start=base.result.choices[: found.at + 1])
        while not self._stopped and self._left > 0 and search.new_run():
            result = self._execute(search, None)
            self._left -= 1
            self._steps_left -= result.steps
            self._stopped = result.ended == "interrupted"
            if self._steps_left <= 0:
                self._left = 0
            if result.ended in _WHOLE and not any(broken.rule == self._rule for broken in result.violations):
                later = self._departure(base, result.choices)
                if later is None:
                    return found
                found = later
                search = Dpor(start=base.result.choices[: found.at + 1])
        if search.proved and not self._stopped:
            tried.whole, tried.orders = True, search.traces
        return found

    def _departure(self, base: _Run, choices: Sequence[int]) -> _Departure | None:
        """Return where an order that passes departs from the run."""
        ours = base.result.choices
        at = next((n for n, (a, b) in enumerate(zip(ours, choices, strict=False)) if a != b), None)
        self._left += 1
        run = None if at is None else self._run(_Watched(choices))
        return None if at is None or run is None or not run.passes else _Departure(at, choices[at], run)

    def _children(self, run: _Run, begin: int) -> Iterator[tuple[_Run | None, int]]:
        """Execute the orders that depart from `run` once, up to its violation, and are calm from there."""
        for at in range(begin, run.until):
            if not run.points[at].is_value:
                for option in range(1, abs(run.result.options[at])):
                    yield self._run(_Watched((*run.result.choices[:at], option))), at

    # --- what is said -----------------------------------------------------------------

    def _reasons(self, base: _Run, found: _Departure | None, tried: _Tried) -> Reasons:
        if found is None:
            return Reasons(
                rule=self._rule, no_return=None, orders=tried.beyond(-1), changes=tried.changes, whole=tried.whole
            )
        point = base.points[found.at]
        if point.is_value:
            no_return, second = _fault(base.events, point.step), None
        else:
            winner, loser = (point.names[n] for n in (base.result.choices[found.at], found.option))
            no_return, second = self._flipped(base, found.at, winner, loser)
        return Reasons(
            rule=self._rule,
            no_return=no_return,
            orders=tried.orders or tried.beyond(found.at),
            changes=tried.changes,
            whole=tried.whole,
            fault=point.is_value,
            second=second,
            passing=_first_new(base, found.run, point.step),
            choices=trimmed(found.run.result.choices),
            also=tuple(dict.fromkeys(each.rule for each in found.run.result.violations)),
        )

    def _flipped(self, base: _Run, at: int, winner: str, loser: str) -> tuple[Told, Told | None]:
        """Return the winner's step, and the step of `loser` that, put before it, lets the run pass."""
        step = base.points[at].step
        last: tuple[int, ...] = ()
        for times in range(1, _FLIPS_MAX):
            strategy = _Flipped(base.result.choices[:at], loser, times, winner)
            run = self._run(strategy)
            if run is None or run.result.choices == last:
                break
            if run.passes:
                return _pair(base.events, step, winner, run.events, strategy.span, loser)
            last = run.result.choices
        return _doing(base.events, winner, step), None

    def _run(self, strategy: "_Watched") -> _Run | None:
        """Execute; None when no more may be, or somebody does not want to wait."""
        self._left -= 1
        if self._left < 0:
            return None
        events: list[Event] = []
        result = self._execute(strategy, events.append)
        self._steps_left -= result.steps
        if self._steps_left <= 0:
            self._left = 0
        if result.ended == "interrupted":
            self._stopped, self._left = True, 0
            return None
        broken = [violation.step for violation in result.violations if violation.rule == self._rule]
        until = sum(1 for point in strategy.points if point.step <= broken[0]) if broken else len(strategy.points)
        if broken and not strategy.named:
            events.clear()
        return _Run(result, strategy.points, events, until, not broken)


class _Watched(Replay):
    """Replays, and notes where each choice stood."""

    name = "why"

    def __init__(self, choices: Sequence[int], *, named: bool = False) -> None:
        super().__init__(choices, strict=False)
        self.points: list[_Point] = []
        self.named = named
        self._machine: Machine | None = None

    def begin_run(self, machine: Machine) -> None:
        super().begin_run(machine)
        self._machine = machine

    def choose(self, options: int, carry_on: bool, is_value: bool) -> int:
        assert self._machine is not None
        names = ready(self._machine, carry_on=carry_on) if self.named and not is_value else ()
        self.points.append(_Point(self._machine.steps, is_value, names))
        return self._take(options, names, is_value)

    def _take(self, options: int, names: tuple[str, ...], is_value: bool) -> int:
        # What a plain replay takes does not depend on who may carry on.
        return super().choose(options, True, is_value)


class _Flipped(_Watched):
    """Replays; then lets `first` go for so many choices, then `second` once, then stays calm.

    `span` is from which step to which `first` went last.
    """

    def __init__(self, choices: Sequence[int], first: str, times: int, second: str) -> None:
        super().__init__(choices, named=True)
        self.span = (0, 0)
        self._forced = len(choices)
        self._first = first
        self._times = times
        self._second = second

    def _take(self, options: int, names: tuple[str, ...], is_value: bool) -> int:
        if len(self.points) <= self._forced or is_value:
            return super()._take(options, names, is_value)
        step = self.points[-1].step
        if self._times and self._first in names:
            self._times -= 1
            self.span = (step, step)
            return names.index(self._first)
        if self._second in names:
            self.span = (self.span[0], step)
            index = names.index(self._second)
            self._second = ""
            return index
        return 0


def _others(base: _Run, at: int) -> range | list[int]:
    """Return what else could be taken: any other task, but no worse value than was taken."""
    taken = base.result.choices[at]
    if base.points[at].is_value:
        return range(taken)
    return [option for option in range(abs(base.result.options[at])) if option != taken]


def _doing(events: Sequence[Event], task: str, step: int) -> Told:
    """Return what `task` does in `step`, or comes to next, that can be told."""
    for event in events:
        if event.step >= step and event.task == task and words(event):
            text = _text(events, event)
            return Told(step, task, text if event.step == step else f"next (step {event.step}) {text}")
    for waiting in (each for event in events if isinstance(event, Deadlocked) for each in event.waiting):
        if waiting.task == task:
            return Told(step, task, f"waits for {waiting.waits_for}")
    return Told(step, task, "")


def _fault(events: Sequence[Event], step: int) -> Told:
    for event in events:
        if event.step == step and isinstance(event, ChoiceMade):
            return Told(step, event.task, words(event))
    return Told(step, "", "")


def _first_new(base: _Run, other: _Run, step: int) -> Told:
    """Return what another run does first that this one does not; they are the same up to `step`."""
    for ours, theirs in zip(base.events, other.events, strict=False):
        if ours != theirs:
            return Told(step, theirs.task, _doing(other.events, theirs.task, theirs.step).text)
    return Told(step, "", "it ends")


def _pair(
    events: Sequence[Event], step: int, winner: str, flipped: Sequence[Event], span: tuple[int, int], loser: str
) -> tuple[Told, Told]:
    """Return the winner's step, and the loser's that came first when the run passed.

    Of what the two steps did, what touches the same thing is told, if anything does.
    """
    firsts = [event for event in events if event.step == step and event.task == winner and words(event)]
    until = max(span[1], span[0] + 1)
    seconds = [each for each in flipped if span[0] <= each.step < until and each.task == loser and words(each)]
    for first in firsts:
        for second in seconds:
            if _things(first) & _things(second):
                return Told(step, winner, _text(events, first)), _when(events, second, step, flipped)
    told = _doing(events, winner, step)
    if seconds:
        return told, _when(events, seconds[-1], step, flipped)
    return told, _doing(flipped, loser, span[0])._replace(step=None)


def _when(events: Sequence[Event], second: Event, step: int, flipped: Sequence[Event]) -> Told:
    """Return `second`, which stands in `flipped`, at the step at which it also happens in `events`, if it does."""
    text = _text(flipped, second)
    for event in events:
        if event.step > step and event.task == second.task and words(event) == words(second):
            return Told(event.step, second.task, text)
    return Told(None, second.task, text)


def _text(events: Sequence[Event], event: Event) -> str:
    """Return the words of an event; of a lock also what is done under it."""
    text = words(event)
    if not isinstance(event, LockAcquired):
        return text
    for later in events:
        if later.step >= event.step and later.task == event.task and later is not event:
            if isinstance(later, LockReleased) and later.lock == event.lock:
                break
            if words(later) and not isinstance(later, LockAcquired | LockReleased | FieldRead | Deadlocked):
                return f"{text}, then {words(later)}"
    return text


def _things(event: Event) -> frozenset[str]:
    """Return the names of what an event touches."""
    names = [str(getattr(event, name)) for name in ("lock", "va", "pfn", "win", "mm", "mmu") if hasattr(event, name)]
    if hasattr(event, "field"):
        names.append(f"{getattr(event, 'owner', '')}.{event.field}")
    return frozenset(names)
