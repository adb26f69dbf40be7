"""What is known of the state of a run, for a search that merges states.

By itself a search takes a task's state to be all that the task has seen, and an object's
to be all that was done to it. That is always right and merges little. Who knows better
says so.

A scenario of its own may say what an object `holds`, where a task is `at`, and which tasks
are `interchangeable`. Objects of the bench say by themselves what they show (`shows`). And
whoever writes a function of host, driver or guest can say what is left of a call:

    begun = machine.mark()
    ...                              what is read here decides what happens here
    machine.forget(begun, answer)    and afterwards only what it has come to matters

All of this is for searches. It is no step, no event, and changes nothing of a run.
"""

from collections.abc import Hashable
from typing import Final, NamedTuple

from notifierlab import events
from notifierlab.events import Event
from notifierlab.machine.access import Access, passing, Step
from notifierlab.machine.plain import NotPlainError, plain
from notifierlab.machine.task import Task

UNKNOWN: Final = ("unknown",)
"""What an object shows that has something in it of which nobody knows what it is."""


class Note(NamedTuple):
    """What was declared in the step number `step`.

    `kind` is `holds`, `at`, `shows`, `mark` or `forget`; or `asks`, `maps` or `uses` for what happened: a
    look-up was begun, was used, a plain field was used.
    """

    step: int
    kind: str
    name: str
    value: Hashable


class Forgotten(NamedTuple):
    """What a task forgot: what it had seen since `mark`, but for `kept`; in the same step it touched and chose more."""

    mark: int
    kept: Hashable
    after: tuple[Access, ...]
    values: tuple[int, ...]


_ASKS: Final = events.LookupBegun
_MAPS: Final = (events.SpteSet, events.TlbFilled)
_USES: Final = {events.FieldRead: False, events.FieldWritten: True}
_MARK: Final = "mark"


class Declaring:
    """The part of a machine that takes such declarations, while it records; `notes` only if it is `noting`."""

    records: bool
    recording: bool
    trace: list[Step]
    choices: list[int]
    current: Task
    values_taken: int
    _into: list[Access]

    def __init__(self) -> None:
        self.noting = True
        self.notes: list[Note] = []
        self.alike: dict[str, str] = {}
        # By name, how many things had it, one after the other.
        self.incarnations: dict[str, int] = {}
        # In the step in progress: which notes tell what was forgotten, and what had been touched and chosen by then.
        self._forgot: list[tuple[int, int, int]] = []

    # --- what scenarios declare -------------------------------------------------------

    def holds(self, name: str, value: Hashable) -> None:
        """Declare that all there is to know of the object `name` is now `value`.

        To be said again in each step that changes it. What a rule may still ask about the
        object must be in it too, and the name of an interchangeable task must not.
        """
        self._note("holds", name, value)

    def at(self, *local: Hashable) -> None:
        """Declare that all that still matters to the current task is `local`.

        That is where it stands in its program and what it will use of what it has seen, at
        the end of the step in which this is said. What it sees later is added to it.
        """
        self._note("at", self.current.name, local)

    def interchangeable(self, *names: str) -> None:
        """Declare tasks the same but for their names: same function, same arguments.

        No object may belong to one of them, and nothing may order them.
        """
        if self.records:
            for name in names:
                self.alike[name] = names[0]

    # --- what objects, and functions of host, driver and guest declare ----------------

    def shows(self, name: str, value: object) -> None:
        """Say what a task that looks at `name` sees from now on, and that there is no more to it."""
        if self.recording and self.noting:
            try:
                shown = plain(value)
            except NotPlainError:
                shown = UNKNOWN
            self.notes.append(Note(len(self.trace), "shows", name, shown))

    def mark(self) -> int:
        """Begin something of which the current task will forget the details; return what `forget` wants."""
        if not self.records:
            return 0
        me = self.current
        me.counts[_MARK] = mark = me.counts.get(_MARK, 0) + 1
        self._note("mark", me.name, mark)
        return mark

    def forget(self, mark: int, *kept: object) -> None:
        """Declare what the current task knows now to be what it knew at `mark`, and `kept`.

        So nothing that it has read since may decide what it does from here on, but for what is kept: what the
        function returns, where a loop stands. What it did to shared objects stands in those. It must not use
        the answer to a look-up any more that it began since. Where something is kept that has no name, nothing is
        forgotten.
        """
        if self.recording and self.noting:
            try:
                left = plain(kept)
            except NotPlainError:
                return
            self._forgot.append((len(self.notes), len(self._into), self.values_taken))
            self._note("forget", self.current.name, Forgotten(mark, left, (), ()))

    def _note(self, kind: str, name: str, value: Hashable) -> None:
        if self.recording and self.noting:
            self.notes.append(Note(len(self.trace), kind, name, value))

    def _note_event(self, event: Event) -> None:
        """Note what an event says of what is still to come: that a look-up may be used, that a field is plain."""
        kind = type(event)
        if kind is _ASKS:
            self._note("asks", event.lookup, event.task)  # type: ignore[attr-defined]  # that kind of event
        elif kind in _MAPS:
            if event.lookup:  # type: ignore[attr-defined]  # likewise
                self._note("maps", event.lookup, event.task)  # type: ignore[attr-defined]  # likewise
        elif kind in _USES:
            self._note("uses", f"{event.owner}.{event.field}", _USES[kind])  # type: ignore[attr-defined]  # likewise

    def _close_forgets(self) -> None:
        """A step ends: complete what was forgotten in it by what was touched and chosen afterwards."""
        taken = self.choices[-self.values_taken :] if self.values_taken else []
        for at, touched, chosen in self._forgot:
            note = self.notes[at]
            forgotten = note.value
            assert isinstance(forgotten, Forgotten)
            after = forgotten._replace(after=passing(self._into[touched:]), values=tuple(taken[chosen:]))
            self.notes[at] = note._replace(value=after)
        self._forgot.clear()
