"""The shape of a violation: what had to come before it, without names, numbers and accidents of order.

Two runs can break a rule about the same objects for different reasons. What tells them
apart is what happened *before* the violation in the sense of happens-before, reduced to
where one task's doing had to wait for another's:

    truncator  clears    pte0         truncator  clears    pte#
               |                                 |
               v                      vm:        v
    vm         reads     pte0         vcpu  reads  pte#  ->  ...  ->  the step that violates

Such an edge counts if no way leads round it. Steps without one do not count, nor does
the order of steps that are independent, so every linearisation of a run has one shape.
Digits are left out: which frame, address or vCPU it was is not what the cause is.

What is not recorded is not seen: of a scenario that does not record all of its touches,
shapes say less than they could, and more violations are taken to be the same.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

from notifierlab.events import Violation
from notifierlab.explore.kinds import nameless
from notifierlab.explore.run import run_once, RunSpec
from notifierlab.explore.strategies import Replay
from notifierlab.machine.access import Access, conflicts, Mode, Step

_Edge = tuple[str, str, str]
"""The kind of an object, and how the earlier and the later step touch it."""


class Recorded(Replay):
    """A run by its choices, with what each step touched."""

    records = True


def shape_of_run(spec: RunSpec, choices: Sequence[int], violation: Violation) -> str:
    """Execute a run once more, and return the shape of its violation.

    Raises:
        LabError: the scenario or driver uses the bench wrongly.
    """
    result = run_once(spec, Recorded(choices, strict=False))
    return shape_of(result.trace, violation.step, result.blocked)


def shape_of(steps: Sequence[Step], at: int, blocked: Sequence[Step] = ()) -> str:
    """Return the shape of what happened in step `at` of a run.

    Args:
        steps: what each step of the run touched.
        at: the step, counted from 0. If the run ended before it, what is asked for is its end.
        blocked: what the steps would touch that were left waiting at that end.
    """
    past = _Past()
    for step in steps[: at + 1]:
        past.add(step)
    if at < len(steps) or not blocked:
        return past.shape([max(min(at, len(steps) - 1), 0)]) if steps else ""
    return past.shape([past.add(step, happens=False) for step in blocked])


class _Past:
    """The steps of a run with the edges between them, each as soon as it is known."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        # By step: the one of its task before it, and those of other tasks that it follows directly.
        self._own: list[int | None] = []
        self._edges: list[dict[int, list[_Edge]]] = []
        # By step: of each task, how many of its steps are in the past of this one.
        self._clocks: list[dict[str, int]] = []
        self._place: list[int] = []
        self._latest: dict[str, int] = {}
        self._touched: dict[str, dict[tuple[str, Mode], int]] = {}

    def add(self, step: Step, *, happens: bool = True) -> int:
        """Take the next step, and return its number; one that never happens is nobody's past."""
        own = self._latest.get(step.task)
        before = self._before(step)
        near = list(before) if own is None else [own, *before]
        clock: dict[str, int] = {}
        for other in near:
            for task, count in self._clocks[other].items():
                clock[task] = max(count, clock.get(task, 0))
        number = len(self._steps)
        self._steps.append(step)
        self._own.append(own)
        self._edges.append({at: sorted(edge) for at, edge in before.items() if not self._is_past_of_any(at, near)})
        self._place.append(clock.get(step.task, 0))
        self._clocks.append({**clock, step.task: clock.get(step.task, 0) + 1})
        if happens:
            self._latest[step.task] = number
            for name, mode in step.accesses:
                self._touched.setdefault(name, {})[step.task, mode] = number
        return number

    def _before(self, step: Step) -> dict[int, list[_Edge]]:
        """The steps of others that conflict with this one: the last of each task and mode."""
        before: dict[int, list[_Edge]] = {}
        for name, mode in step.accesses:
            for (task, other), at in self._touched.get(name, {}).items():
                if task != step.task and conflicts(other, mode):
                    before.setdefault(at, []).append((nameless(name), other.name, mode.name))
        return before

    def _is_past_of_any(self, at: int, others: Iterable[int]) -> bool:
        task, place = self._steps[at].task, self._place[at]
        return any(other != at and self._clocks[other].get(task, 0) > place for other in others)

    def shape(self, ends: Sequence[int]) -> str:
        """Say in a few letters what led to these steps."""
        within = self._within(ends)
        asked = set(ends)
        followed = {at for number in within for at in self._edges[number]}
        shapes: dict[int, str] = {}
        for number in within:
            own = self._own[number]
            before = shapes[own] if own is not None else ""
            edges = self._edges[number]
            if number not in asked and number not in followed and not edges:
                shapes[number] = before
                continue
            step = self._steps[number]
            doing = sorted(_kind(access) for access in step.accesses) if number in asked else []
            others = sorted((edge, shapes[at]) for at, edge in edges.items())
            shapes[number] = _digest((nameless(step.task), doing, before, others))
        return _digest(sorted(shapes[end] for end in ends))

    def _within(self, ends: Sequence[int]) -> list[int]:
        """The past of these steps, in the order of the run."""
        found = dict.fromkeys(ends)
        queue = list(found)
        for number in queue:
            own = self._own[number]
            for at in [*self._edges[number], *([] if own is None else [own])]:
                if at not in found:
                    found[at] = None
                    queue.append(at)
        return sorted(found)


def _kind(access: Access) -> tuple[str, str]:
    return nameless(access.object), access.mode.name


def _digest(what: object) -> str:
    return blake2b(repr(what).encode(), digest_size=8).hexdigest()
