"""What each step of a run touched, for searches that want to know.

Off by default, and then it costs a look at one attribute. Switched on, the machine looks
at the conditions of all tasks itself, so that what a condition reads is known as its
task's, and never as a touch of the step that happened to end there.
"""

from collections.abc import Sequence
from typing import ClassVar, Final, TYPE_CHECKING

from notifierlab.machine.access import Access, Mode, Step
from notifierlab.machine.declaring import Declaring

if TYPE_CHECKING:
    from notifierlab.machine.sched import Task

_GUARDS: Final = (Mode.ACQUIRE, Mode.ACQUIRE_READ, Mode.AWAIT, Mode.AFTER)


# Most touches were seen before, and looking one up is cheaper than making it.
_ACCESSES: Final[dict[tuple[str, Mode], Access]] = {}


class Recording(Declaring):
    """The part of a machine that records touches.

    While `recording`, `trace` has the steps that ended; `blocked` what the steps would
    touch that are left in a deadlock; `ready` is who may run at the choice being made.
    `declared` is claimed by a scenario all of whose touches are recorded, and lost with
    a condition that is not. `mode` has the modes, for scenarios that touch things of
    their own. `wide` are the tasks a condition of which was seen to read more than one object.
    """

    mode: ClassVar = Mode
    choices: list[int]
    options: list[int]
    tasks: "list[Task]"
    current: "Task"

    def __init__(self) -> None:
        super().__init__()
        self.recording = False
        self.declared = False
        self.trace: list[Step] = []
        self.blocked: tuple[Step, ...] = ()
        self.ready: list[Task] = []
        self.wide: dict[str, None] = {}
        self.values_taken = 0
        self._into: list[Access] = []
        self._scheduled = -1
        self._guarded = False
        self._known: Sequence[Step] = ()

    def record(self) -> None:
        """Record from now on."""
        self.recording = True

    def touch(self, name: str, mode: Mode) -> None:
        """Record that the current step, or the condition being looked at, touches `name`."""
        if self.recording:
            touched = name, mode
            access = _ACCESSES.get(touched)
            if access is None:
                access = _ACCESSES[touched] = Access(name, mode)
            self._into.append(access)

    def want(self, name: str, mode: Mode) -> None:
        """Say what the next step of the current task touches first: a lock it waits for."""
        if self.recording:
            self.current.wants = Access(name, mode)

    def _look_recorded(self) -> "list[Task]":
        """End the step in progress. Return who may run, and note what their conditions read."""
        trace, known = self.trace, self._known
        at = len(trace)
        if at + 1 < len(known):
            trace.append(known[at])
            self._into = []
            self.ready = ready = [task for task in self.tasks if task.until is None or task.until()]
            return ready.copy()
        self._close_step()
        ready = []
        for task in self.tasks:
            until = task.until
            if until is None:
                ready.append(task)
                continue
            if task.awaits:
                task.awaits = []
            self._into = into = task.awaits
            if until():
                ready.append(task)
            if into and len(into) > 1 and into[0].mode is not Mode.AFTER and len({name for name, _ in into}) > 1:
                self.wide[task.name] = None
        self.ready = ready
        return ready.copy()

    def repeat(self, steps: Sequence[Step]) -> None:
        """Say that the run begins with `steps`, as an earlier one did: they are not looked at again."""
        self._known = steps

    def _close_step(self) -> None:
        at = len(self.trace)
        if at < len(self._known):
            self.trace.append(self._known[at])
            return
        into = self._into
        if self._guarded and not (into and into[0].mode in _GUARDS):
            self.declared = False
        taken = self.values_taken
        self.trace.append(
            Step(
                self.current.name,
                tuple(dict.fromkeys(into)),
                self._scheduled,
                tuple(self.choices[-taken:]) if taken else (),
                tuple(self.options[-taken:]) if taken else (),
                tuple([task.name for task in self.ready]),
            )
        )

    def _open_step(self, chosen: "Task", scheduled: int) -> None:
        if len(self.trace) < len(self._known):
            chosen.wants = None
            return
        self._scheduled = scheduled
        self.values_taken = 0
        self._guarded = chosen.until is not None
        if self._guarded:
            self._into = _awaited(chosen.awaits)
        else:
            self._into = [] if chosen.wants is None else [chosen.wants]
        chosen.wants = None

    def _note_blocked(self) -> None:
        self.blocked = tuple(
            Step(task.name, tuple(dict.fromkeys(_awaited(task.awaits) + ([task.wants] if task.wants else []))))
            for task in self.tasks
            if task.until is not None
        )


def _awaited(touched: list[Access]) -> list[Access]:
    """Return what a condition touched, as the touches of a condition."""
    return [Access(name, Mode.AWAIT) if mode is Mode.READ else Access(name, mode) for name, mode in touched]
