"""Executes both orders of steps that are declared independent, and compares all that can be seen.

Two neighbouring steps of different tasks that touch nothing in conflicting modes must be
free to change places: each task then does and sees the very same, step by step, until the
end of the run, and the rules say the same. What of an event may differ, stands here with
its reason.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from notifierlab import events
from notifierlab.events import Event
from notifierlab.explore.run import run_once, RunResult, RunSpec
from notifierlab.explore.strategies import RandomWalk
from notifierlab.machine.access import conflicts, Step
from notifierlab.machine.sched import Machine

MASKED: dict[type[Event], tuple[str, ...]] = {
    # References change places: what is left when one was taken or dropped depends on who else did.
    events.PageGot: ("refs",),
    events.PagePut: ("refs",),
    events.MmUsersChanged: ("users",),
}


COUNTS = ("users_count",)
"""Atomic fields that count references, like those."""

LAST = ".last"


@dataclass
class Seen:
    """One run: what it did, in which order, and what each task emitted."""

    result: RunResult
    lines: dict[str, list[str]]
    violations: list[tuple[str, tuple[str, ...]]]
    strayed: str = ""

    @property
    def steps(self) -> dict[str, list[tuple[object, ...]]]:
        """What each step of each task touched, whatever the order within the step.

        Left out is whether a put was the last but one: that depends on the count, and gets
        and puts change places.
        """
        steps: dict[str, list[tuple[object, ...]]] = {}
        for step in self.result.trace:
            touched = sorted(access for access in set(step.accesses) if not access.object.endswith(LAST))
            steps.setdefault(step.task, []).append((step.values, tuple(touched)))
        return steps


class Walk(RandomWalk):
    """A random walk that records, and lets nobody try again who saw nothing new."""

    records = True

    def begin_run(self, machine: Machine) -> None:
        self._machine = machine
        super().begin_run(machine)

    def choose(self, options: int, carry_on: bool, is_value: bool) -> int:
        index = super().choose(options, carry_on, is_value)
        machine = self._machine
        if is_value or len(machine.awake) == len(machine.ready):
            return index
        awake = [machine.option_of(task, carry_on=carry_on) for task in machine.awake]
        return index if index in awake else awake[0]


class Follow:
    """Takes steps by the names of their tasks; `strayed` says where that could not be done."""

    name = "follow"
    records = True

    def __init__(self, order: Sequence[Step]) -> None:
        self.order = order
        self.strayed = ""
        self._machine: Machine | None = None
        self._values: list[int] = []

    def new_run(self) -> bool:
        return True

    def begin_run(self, machine: Machine) -> None:
        self._machine = machine

    def choose(self, options: int, carry_on: bool, is_value: bool) -> int:
        assert self._machine is not None
        at = len(self._machine.trace)
        step = self.order[at] if at < len(self.order) else None
        if is_value:
            taken = self._machine.values_taken
            return min(step.values[taken], options - 1) if step is not None and taken < len(step.values) else 0
        ready = [task.name for task in self._machine.ready]
        if step is None or step.task not in ready:
            self.strayed = self.strayed or f"step {at}: {step.task if step else 'nobody'} may not run, of {ready}"
            return 0
        task = self._machine.ready[ready.index(step.task)]
        return self._machine.option_of(task, carry_on=carry_on)

    def end_run(self, result: RunResult) -> None:
        pass


def look(spec: RunSpec, strategy: Walk | Follow) -> Seen:
    """Execute a run and note what can be seen of it."""
    lines: dict[str, list[str]] = {}

    def note(event: Event) -> None:
        masked: dict[str, object] = dict.fromkeys(("step", *MASKED.get(type(event), ())), 0)
        if isinstance(event, events.AtomicWritten) and event.field in COUNTS:
            masked["value"] = ""
        if isinstance(event, events.Deadlocked):
            # It is nobody's, but stands under whoever came last.
            masked["task"] = ""
        lines.setdefault(str(masked.get("task", event.task)), []).append(repr(msgspec.structs.replace(event, **masked)))

    assert strategy.new_run()
    result = run_once(spec, strategy, sink=note)
    violations = sorted((one.rule, one.objects) for one in result.violations)
    return Seen(result, lines, violations, getattr(strategy, "strayed", ""))


def independent(a: Step, b: Step, forgotten: str = "") -> bool:
    """Tell whether two steps are declared independent, leaving out touches of what is `forgotten`."""
    return a.task != b.task and not any(
        x.object == y.object and conflicts(x.mode, y.mode) and not (forgotten and forgotten in x.object)
        for x in a.accesses
        for y in b.accesses
    )


def differences(spec: RunSpec, seed: int, pairs: int) -> Iterator[str]:
    """Walk at random from `seed`, exchange up to `pairs` neighbours, and yield what differs."""
    walk = Walk(seed)
    first = look(spec, walk)
    trace = first.result.trace
    if first.result.ended not in ("complete", "deadlock"):
        return
    again = look(spec, Follow(trace))
    yield from (f"{spec.name} seed {seed}: does not repeat: {what}" for what in compare(first, again))
    places = [at for at in range(len(trace) - 1) if independent(trace[at], trace[at + 1])]
    draw = random.Random(seed)
    for at in sorted(draw.sample(places, min(pairs, len(places)))):
        order = [*trace[:at], trace[at + 1], trace[at], *trace[at + 2 :]]
        for what in compare(first, look(spec, Follow(order))):
            a, b = trace[at], trace[at + 1]
            yield f"{spec.name} seed {seed} step {at}: {a.task} {said(a)} <> {b.task} {said(b)}: {what}"


def harm(spec: RunSpec, seed: int, forgotten: str) -> str:
    """Walk at random from `seed`; return what shows when steps change places that nothing but
    touches of what is `forgotten` keeps in order, or nothing."""
    first = look(spec, Walk(seed))
    trace = first.result.trace
    for at in range(len(trace) - 1):
        a, b = trace[at], trace[at + 1]
        if independent(a, b, forgotten) and not independent(a, b):
            other = look(spec, Follow([*trace[:at], b, a, *trace[at + 2 :]]))
            if not other.strayed and (one := plainly(first)) != plainly(other):
                return f"{at}: {a.task} {said(a)} <> {b.task} {said(b)}: {one}"[:500]
    return ""


def plainly(seen: Seen) -> tuple[object, ...]:
    """Return what tasks and rules have seen, without what steps touch."""
    return seen.violations, seen.lines, seen.result.ended


def said(step: Step) -> str:
    return "[" + ", ".join(f"{access.mode.name} {access.object}" for access in step.accesses) + "]"


def compare(one: Seen, other: Seen) -> Iterator[str]:
    """Yield what differs, the most telling first, and no more than that."""
    if other.strayed:
        yield other.strayed
    elif one.violations != other.violations:
        yield f"violations {one.violations} and {other.violations}"
    elif one.lines != other.lines:
        yield first_difference(one.lines, other.lines)
    elif one.result.ended != other.result.ended:
        yield f"ended {one.result.ended} and {other.result.ended}"
    elif one.steps != other.steps:
        yield "touches: " + first_difference(one.steps, other.steps)


def first_difference(one: dict[str, list[str]] | object, other: object) -> str:
    assert isinstance(one, dict)
    assert isinstance(other, dict)
    for task in {**one, **other}:
        mine, theirs = one.get(task, []), other.get(task, [])
        for n in range(max(len(mine), len(theirs))):
            a, b = (mine[n] if n < len(mine) else None), (theirs[n] if n < len(theirs) else None)
            if a != b:
                return f"{task}, its {n}th: {a} and {b}"
    return "nothing"
