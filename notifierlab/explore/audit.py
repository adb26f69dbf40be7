"""Whether what a search believes of a scenario is so: that all its tasks share is recorded.

Who leaves orders out goes by what steps are *recorded* to touch. A dict that two tasks
change, a variable that they close over, a global: the bench sees none of it, and *proved*
would be untrue. So some runs are executed again on a machine that looks (`audited.py`),
and a change is an error that names it, where

- another task may have used the place, in a step that nothing recorded puts before or
  after the one of the change: then their order is free, and no search knows of it;
- and the step of the change recorded nothing by hand (`Machine.touch`).

So what tasks hand each other at a start or join is no error, nor what one task alone uses.
*May have used* is an over-estimate: it is all that the functions name which went on in the
step. So a plain dict is to be declared even where a lock always protects it, as fields are.

Verified: a change by any step of an audited run, of attributes, class attributes, globals,
closure variables, default arguments, and what dicts, lists, sets, deques and bytearrays hold.
Not verified: reading; what was changed before it could be seen from outside its task; orders
that were not audited; whether what is recorded by hand is the right thing, and all of it;
fields of objects that say `is_lab_object = True`; what `Machine.holds` and `at` leave out.
Nor is a run audited while somebody profiles it, for it takes the profiler's place.
"""

import dis
import inspect
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType
from typing import Any, Final, NamedTuple

from notifierlab.explore.happens import History, Kinds
from notifierlab.explore.run import run_once, RunResult, RunSpec
from notifierlab.explore.strategies import Replay
from notifierlab.machine.audited import AuditedMachine, Change, Pin, Segment
from notifierlab.machine.sched import LabError

FIRST: Final = 2
EVERY: Final = 128
"""So many first runs are audited, and then every so-manieth. An audit takes as long as 6 to 17 runs that record, so a
search up to a tenth longer."""

FOREIGN_FIRST: Final = 32
FOREIGN_EVERY: Final = 16
"""The same for drivers and scenarios that are not of this distribution: a search may take twice as long."""

STEPS_MAX: Final = 20_000
"""Longer runs are not audited: it would take more than a few seconds."""

_HOME: Final = Path(__file__).parent.parent.parent
_OURS: Final = (_HOME / "drivers", _HOME / "guests")
# How the instructions end that get at an attribute; the others get at a variable.
_ATTRIBUTE: Final = ("_ATTR", "_METHOD")


class Unrecorded(LabError):
    """A task changed what another may use, and nothing was recorded of it."""


class Audits:
    """Audits the first runs of a search, and every `every`th; 0 is never, None what fits who wrote the driver.

    `begun` runs were made before, by others.
    """

    def __init__(self, spec: RunSpec, every: int | None = None, *, begun: int = 0) -> None:
        self._spec = spec
        ours = is_ours(spec)
        self._first = FIRST if ours else FOREIGN_FIRST
        self._every = (EVERY if ours else FOREIGN_EVERY) if every is None else every
        self._runs = begun
        # What was not looked at, to be said with what the search covered.
        self.remark = ""

    def look(self, result: RunResult) -> None:
        """Take the next run of the search, and audit it if it is its turn.

        Raises:
            Unrecorded: a change that matters was not recorded.
        """
        n = self._runs
        self._runs += 1
        due = self._every > 0 and (n < self._first or n % self._every == 0)
        if due and result.steps > STEPS_MAX:
            self.remark = f"; no run of more than {STEPS_MAX} steps was audited"
        elif due and sys.getprofile() is not None:
            self.remark = "; not audited, for it is profiled"
        elif due and result.ended != "interrupted":
            machine = audited(self._spec, result.choices)
            if machine.reach.cut:
                self.remark = "; the audit saw only a part of what tasks share, for there is too much of it"
            for wrong in wrongs(machine):
                raise Unrecorded(_told(self._spec, result.choices, machine, wrong))


def is_ours(spec: RunSpec) -> bool:
    """Tell whether scenario and drivers all are of this distribution; a test is not."""
    return all(_is_in_ours(each) for each in (inspect.unwrap(spec.scenario), *spec.drivers.values()))


def _is_in_ours(made: Any) -> bool:
    try:
        file = Path(inspect.getfile(made))
    except (TypeError, OSError):
        return False
    return any(home in file.parents for home in _OURS)


def audited(spec: RunSpec, choices: Sequence[int], pin: Pin | None = None) -> AuditedMachine:
    """Execute a run once more on the machine that looks; return the machine."""
    made: list[AuditedMachine] = []

    def make(decide: Any, sink: Any, *, steps_max: int) -> AuditedMachine:
        made.append(AuditedMachine(decide, sink, steps_max=steps_max, pin=pin))
        return made[0]

    strategy = Replay(choices, strict=False)
    strategy.new_run()
    run_once(spec, strategy, machine=make)
    return made[0]


class Wrong(NamedTuple):
    """A change in the step number `at`, and the step number `use` in which another task may have used the place."""

    at: int
    change: Change
    use: int


def wrongs(machine: AuditedMachine) -> Iterator[Wrong]:
    """Yield the changes that nothing recorded puts before or after a use by another task."""
    segments = machine.segments
    changing = [at for at, segment in enumerate(segments) if segment.changes]
    if not changing:
        return
    kinds, order = Kinds(), History()
    for step in machine.trace:
        order.append(kinds.taken(step))
    for at in changing:
        for change in segments[at].changes:
            use = next(_free_uses(segments, order, at, change), None)
            if use is not None:
                yield Wrong(at, change, use)


def _free_uses(segments: Sequence[Segment], order: History, at: int, change: Change) -> Iterator[int]:
    """Yield the steps that may have used the place, the nearest to the change first."""
    last = min(len(segments), len(order.clocks))
    for use in sorted(range(last), key=lambda step: abs(step - at)):
        other = segments[use]
        shared = other.task != segments[at].task and change.place in other.may_use
        if shared and not order.after(min(at, use), max(at, use)):
            yield use


# --- what is said of it ---------------------------------------------------------------


def _told(spec: RunSpec, choices: Sequence[int], machine: AuditedMachine, wrong: Wrong) -> str:
    segments = machine.segments
    change, by, user = wrong.change, segments[wrong.at], segments[wrong.use]
    again = audited(spec, choices, Pin(wrong.at, change.place, change.before))
    line = again.pinned or _where(by.code, change)
    part = change.place.part
    name = part or _last_name(change.called)
    return (
        f"scenario {spec.name!r}: task {by.task} changed {change.called}, which task {user.task} may use as well, and "
        "the bench saw nothing of it\n"
        f"  changed  {line}\n"
        f"  used     {_where(user.code, change)} (task {user.task})\n"
        "As far as can be seen nothing fixes the order of the two: a search that leaves orders out could leave out one "
        "that matters.\n"
        f"Declare it: in a class that is a SharedState, {_declaration(name, change.kind)}. Or let one task alone have "
        "it; or record each look and change by hand, `machine.touch(name, machine.mode.WRITE)`.\n"
        "(--audit-every 0, in a test audit_every=0, does not look; what is proved is then only as good as what is "
        "recorded.)"
    )


def _declaration(name: str, kind: str) -> str:
    plain = {"int": "0", "bool": "False", "str": '""', "float": "0.0"}.get(kind)
    if plain is None:
        return f"`{name}: tuple = shared(())`, and assign a new value instead of changing it"
    return f"`{name}: {kind} = shared({plain})`, or `{name}: Atomic[{kind}] = shared({plain}, atomic=True)`"


def _last_name(called: str) -> str:
    """Return the bare name in how a place is called."""
    return called.partition("`")[2].partition("`")[0].partition("[")[0].rpartition(".")[2] or "it"


def _where(code: Sequence[tuple[CodeType, int]], change: Change) -> str:
    """Return the line of the code that ran which names what changed, or else where it stood."""
    name = change.place.part or _last_name(change.called)
    is_attribute = "." in change.called.partition("`")[2].partition("`")[0].partition("[")[0]
    for each, _ in code:
        for instruction in dis.get_instructions(each):
            line = instruction.positions.lineno if instruction.positions is not None else None
            if instruction.argval == name and line and instruction.opname.endswith(_ATTRIBUTE) is is_attribute:
                return f"{each.co_filename}:{line}"
    return "".join(f"{each.co_filename}:{line}" for each, line in code[-1:]) or "?"
