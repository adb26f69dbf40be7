"""A run that begins as an earlier one did, and what it need not do there.

A search goes from run to run, and most steps of a run are those of the run before: the same
tasks take them, for the same choices. So who goes on there is known, and nobody is asked; what
a step touched, what happened in it and what was declared is known as well. The tasks do
it all again, for their frames cannot be copied, and that is all that is done.
"""

from collections.abc import Callable
from typing import NoReturn

from notifierlab.events import Event
from notifierlab.machine.recording import Recording
from notifierlab.machine.task import ANOTHER, Task
from notifierlab.machine.watched import telling


class Repeating(Recording):
    """The part of a machine that goes by the steps of an earlier run, and then on by itself.

    Meanwhile it is not `recording`, makes no event, and what is watched is quiet.
    """

    steps: int
    handed_over: int
    named: dict[str, Task]
    _pause_at: int
    _sink: Callable[[Event], None] | None

    def __init__(self) -> None:
        super().__init__()
        self._earlier: Recording | None = None
        # How many steps of it are these as well.
        self._known = 0
        # Who is to hear of events when they are over.
        self._later_sink: Callable[[Event], None] | None = None

    def repeat(self, earlier: Recording, steps: int, choices: int) -> None:
        """Say that the run begins with the first steps of an earlier one, by as many of its choices."""
        if steps:
            self._earlier, self._known = earlier, steps
            self.recording = False
            self._later_sink, self._sink = self._sink, None
            self.choices += earlier.choices[:choices]
            self.options += earlier.options[:choices]
            self.begun = {at: touched for at, touched in earlier.begun.items() if at < steps}

    def refuse(self, what: str) -> NoReturn:
        """Say that the run does not go as the earlier one did."""
        raise NotImplementedError

    def _pause(self) -> None:
        raise NotImplementedError

    def _goes_as_before(self) -> bool:
        """End a step that the earlier run had, and let go on who went on there; tell whether that is known."""
        earlier, trace, chosen = self._earlier, self.trace, self.current
        assert earlier is not None
        at = len(trace)
        chosen.wants = earlier.wanted[at]
        known = earlier.trace
        trace.append(known[at])
        at += 1
        if at == self._known:
            self.end_repetition()
            return False
        self.values_taken = 0
        name = known[at].task
        if chosen.name != name:
            self.handed_over = self.steps
            task = self.named.get(name)
            if task is None:
                self.refuse(f"step {self.steps} was one of {name} in an earlier run, and now {name} is not there")
            self.current = chosen = task
        until = chosen.until
        # Who waits for another to run, and there is none, goes on all the same.
        if until is not None and not until() and chosen.waits_for is not ANOTHER:
            self.refuse(f"step {self.steps} was one of {name} in an earlier run, and now {name} cannot go on")
        if self.steps >= self._pause_at:
            self._pause()
        chosen.wants = None
        chosen.spins = False
        return True

    def _value_as_before(self, options: int) -> int:
        """Return the value that the earlier run took here."""
        assert self._earlier is not None
        step, at = self._earlier.trace[len(self.trace)], self.values_taken
        if step.arity[at : at + 1] != (options,):
            self.refuse(f"a choice of a value in step {self.steps} had other options in an earlier run")
        return step.values[at]

    def end_repetition(self) -> None:
        """Go on as a run of its own, with all that happened by now."""
        earlier, self._earlier = self._earlier, None
        if earlier is None:
            return
        taken = len(self.trace)
        self.wanted = earlier.wanted[:taken]
        self.notes = [note for note in earlier.notes if note.step < taken]
        self.happened = [event for event in earlier.happened if event.step < taken]
        self.learn(self.happened)
        self.recording = True
        for thing in self.quiet:
            thing.__class__ = telling(thing)
        sink = self._sink = self._later_sink
        if sink is not None:
            for event in self.happened:
                sink(event)
