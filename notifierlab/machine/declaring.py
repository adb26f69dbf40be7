"""What a scenario says of its own state, for a search that merges states.

By itself a search takes a task's state to be all that the task has seen, and an object's
to be all that was done to it. That is always right and merges little. Who knows better
says so: `holds` an object's whole value, `at` all of a task's past that still matters to
it, `interchangeable` which tasks are the same but for their names.
"""

from collections.abc import Hashable
from typing import NamedTuple

from notifierlab.machine.access import Step
from notifierlab.machine.task import Task


class Note(NamedTuple):
    """What was declared in the step number `step`; `kind` is `holds` or `at`."""

    step: int
    kind: str
    name: str
    value: Hashable


class Declaring:
    """The part of a machine that takes such declarations, while it records; `notes` only if it is `noting`."""

    records: bool
    recording: bool
    trace: list[Step]
    current: Task

    def __init__(self) -> None:
        self.noting = True
        self.notes: list[Note] = []
        self.alike: dict[str, str] = {}

    def holds(self, name: str, value: Hashable) -> None:
        """Declare that all there is to know of the object `name` is now `value`.

        To be said again in each step that changes it. What a rule may still ask about the
        object must be in it too, and the name of an interchangeable task must not.
        """
        if self.noting and self.recording:
            self.notes.append(Note(len(self.trace), "holds", name, value))

    def at(self, *local: Hashable) -> None:
        """Declare that all that still matters to the current task is `local`.

        That is where it stands in its program and what it will use of what it has seen, at
        the end of the step in which this is said. What it sees later is added to it.
        """
        if self.noting and self.recording:
            self.notes.append(Note(len(self.trace), "at", self.current.name, local))

    def interchangeable(self, *names: str) -> None:
        """Declare tasks the same but for their names: same function, same arguments.

        No object may belong to one of them, and nothing may order them.
        """
        if self.records:
            for name in names:
                self.alike[name] = names[0]
