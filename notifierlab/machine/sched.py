"""Steps, choices, the baton: who may run, and who does.

A task is a coroutine plus the condition under which it may go on. Exactly one task
holds the baton. It gives it up in one place, `Machine.step`: there the machine looks
which tasks may run, asks its `decide` which of them does, and that is all there is to a
schedule. Option 0 is always the calmest: carry on where that is possible, else the
oldest task that may run. A deadlock is "tasks are left, none may run".

What resumes the chosen task is the business of the carriers (`carriers.py`); the
machine is the same for both, so both make the same run of the same choices.

Nothing here orders steps that are independent: names are counted per task, and the
number of a step is a stamp in the log, never something that a task can see.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, NoReturn, Protocol, TypeVar, TypeVarTuple, Unpack

from notifierlab import events
from notifierlab.events import Event, Waiting
from notifierlab.machine.access import ACCESSES, Mode
from notifierlab.machine.raised import in_a_line, is_exception, is_ours, place
from notifierlab.machine.repeating import Repeating
from notifierlab.machine.task import ANOTHER, END_OF, START_OF, Task

Args = TypeVarTuple("Args")
T = TypeVar("T")

STEPS_MAX: Final = 100_000
"""Steps after which a run counts as a livelock, unless it says otherwise."""

_CHILDREN_MAX: Final = 1000
_PASSING: Final = ("win", "lookup", "flush")
"""What is named to be spoken of and never found by its name: how many there were makes no difference."""


class LabError(Exception):
    """The caller used the bench wrongly: what, where, and what to do instead."""


class RunOver(BaseException):
    """Unwinds the tasks of a run that has ended; no driver should catch it."""


class Decide(Protocol):
    """What a strategy is to the machine: it takes one of `options`, 0 the calmest.

    `carry_on` tells whether option 0 is the task that runs now, `is_value` whether the
    choice is of a value (`Machine.choose`) instead of a task.
    """

    def __call__(self, options: int, carry_on: bool, is_value: bool, /) -> int: ...


class Machine(Repeating):
    """Runs the tasks of one run. A carrier subclasses it and gives `step`.

    `ended` is how the run came to its end: `complete`, `deadlock`, `livelock`, `raised`
    or `interrupted`, or `left` by a search; empty while it goes on. `idle` says that nobody has the baton: all who
    could go on wait outside. `choices` and `options` are what was taken
    at each choice point with more than one option, and out of how many (negative where
    option 0 was not "carry on"). `is_failure` says whether what a task raised is a failure
    of the run, an event like others; anything else ends all and comes out of it. `raised`
    is such a failure.
    """

    carrier = ""

    def __init__(
        self,
        decide: Decide,
        sink: Callable[[Event], None] | None = None,
        *,
        steps_max: int = STEPS_MAX,
    ) -> None:
        super().__init__()
        self.steps = 0
        # The step in which another task got the baton last.
        self.handed_over = 0
        self.steps_max = steps_max
        self._pause_at = steps_max
        self._pause_every = steps_max
        self._in_pause: Callable[[], None] | None = None
        self.stopped = False
        self.ended = ""
        self.external = False
        self.idle = False
        self.choices: list[int] = []
        self.options: list[int] = []
        self.tasks: list[Task] = []
        self.named: dict[str, Task] = {}
        self.error: BaseException | None = None
        self.raised: BaseException | None = None
        self.is_failure: Callable[[BaseException], bool] = is_exception
        self._decide = decide
        self._sink = sink
        self._asked_to_end = False
        self.current = Task("main", 0, _NOTHING, "process")

    # --- what tasks use -------------------------------------------------------------

    def step(
        self,
        until: Callable[[], bool] | None = None,
        waits_for: str = "",
        holders: Callable[[], tuple[str, ...]] | None = None,
    ) -> Awaitable[None]:
        """Let others run; return when `until()` holds and this task is chosen.

        `until` is a pure function of lab objects. `waits_for` and `holders` say, for the
        report of a deadlock, what is waited for and which tasks hold it.
        """
        raise NotImplementedError

    def trying(self) -> None:
        """Say that the current task begins a try; if it fails, it will `relax` and try again."""
        me = self.current
        me.tried = self.handed_over
        if self.records:
            self.begin_try()

    async def relax(self) -> None:
        """cpu_relax, after a try that failed: go on once another task has run since it began.

        It began with `trying`, or else when the task relaxed last. A loop that could always
        try again at once would never let the calm schedule end; and where nobody ran, it
        sees what it saw before, so no order is lost.
        """
        me = self.current
        if self.records:
            me.spins = True
        await self.step(lambda: self.handed_over != me.tried, ANOTHER)
        self.trying()

    def emit(self, make: Callable[[int, str, Unpack[Args]], Event], *args: *Args) -> None:
        """Make an event of the current step and task, and hand it on."""
        sink = self._sink
        if sink is not None:
            event = make(self.steps, self.current.name, *args)
            if self.recording:
                self.judge(event)
            sink(event)

    def choose(self, name: str, *values: T) -> T:
        """Take one of `values`; the first is the calm one (no signal, no failure)."""
        if self.stopped:
            return values[0]
        if len(values) == 1:
            return values[0]
        if self._earlier is not None:
            index = self._value_as_before(len(values))
        else:
            index = self._decide(len(values), True, True)
            assert 0 <= index < len(values), f"a strategy took value {index} of {len(values)}"
            self.choices.append(index)
            self.options.append(len(values))
        self.values_taken += 1
        if index:
            self.emit(events.ChoiceMade, name, str(values[index]), index)
        return values[index]

    def fresh(self, kind: str) -> str:
        """Return a new name, unique in the run and independent of other tasks."""
        task = self.current
        n = task.counts.get(kind, 0) + 1
        task.counts[kind] = n
        if self.recording and kind not in _PASSING:
            self.shows(f"{kind}s of {task.index}", n)
        return f"{kind}{task.index}.{n}"

    def start(
        self,
        fn: Callable[..., Coroutine[Any, Any, object]],
        *args: object,
        name: str,
        context: str = "process",
        **kwargs: object,
    ) -> Task:
        """Start a task that runs `fn(*args)`; it may run from the next step on."""
        if name in self.named:
            raise LabError(f"a task named {name!r} runs already; give this one another name")
        parent = self.current
        parent.children += 1
        if parent.children >= _CHILDREN_MAX:
            raise LabError(f"task {parent.name!r} started {_CHILDREN_MAX} tasks; let one task do more of the work")
        task = Task(name, parent.index * _CHILDREN_MAX + parent.children, fn(*args, **kwargs), context)
        self.tasks.append(task)
        self.named[name] = task
        self._seat(task)
        if self.records:
            self.touch(f"{START_OF}{name}", Mode.FIRST)
            task.wants = ACCESSES[f"{START_OF}{name}", Mode.AFTER]
        self.emit(events.TaskStarted, name, context)
        return task

    async def join(self, *tasks: Task) -> None:
        """Wait until all of `tasks` have ended."""
        left = list(tasks)
        ends = [ACCESSES[f"{END_OF}{task.name}", Mode.AFTER] for task in tasks] if self.records else []

        def all_done() -> bool:
            # Looked at in every step of everybody: so those that are done are left out.
            while left and left[-1].done:
                left.pop()
            return not left

        def all_seen_done() -> bool:
            self._into += ends
            return all_done()

        await self.step(
            (all_seen_done if ends else all_done) if tasks else None,
            "the end of " + ", ".join([task.name for task in tasks]),
            lambda: tuple(task.name for task in tasks if not task.done),
        )
        for task in tasks:
            self.emit(events.TaskJoined, task.name)

    def might_sleep(self, what: str) -> None:
        """Say that the current task entered something that may sleep."""
        self.emit(events.MightSleep, what)

    def bug(self, where: str, what: str, about: str = "") -> None:
        """Say that a BUG_ON was true. A rule judges it; the run goes on."""
        self.emit(events.BugHit, where, what, about)

    def preempt_disable(self) -> None:
        """Forbid the current task to sleep, until it enables preemption again."""
        self.emit(events.PreemptDisabled)

    def preempt_enable(self) -> None:
        """Take one `preempt_disable` back."""
        self.emit(events.PreemptEnabled)

    # --- what carriers use ----------------------------------------------------------

    def pause_every(self, steps: int, do: Callable[[], None]) -> None:
        """Have `do` called each time that so many steps were taken."""
        self._pause_every = steps
        self._pause_at = min(self.steps + steps, self.steps_max)
        self._in_pause = do

    def _seat(self, task: Task) -> None:
        """Prepare `task` to be resumed by the carrier."""

    def begin(self, main: Coroutine[Any, Any, object]) -> Task:
        """Make the first task of the run and give it the baton."""
        task = Task("main", 0, main, "process")
        self.tasks.append(task)
        self.named["main"] = task
        self.current = task
        self._seat(task)
        self.emit(events.TaskStarted, "main", "process")
        return task

    def pass_on(self) -> Task:
        """Take a step: choose who runs next, the current task among them.

        Raises `RunOver` when nobody can, or when the run is longer than allowed.
        """
        steps = self.steps = self.steps + 1
        chosen = me = self.current
        records = self.records
        if records:
            if self.recording:
                self._close_step()
            elif self._goes_as_before():
                return self.current
            ready = self._look_recorded()
        else:
            ready = []
            for task in self.tasks:
                until = task.until
                if until is None or until():
                    ready.append(task)
        options = len(ready)
        if options > 1:
            carry_on = me in ready
            index = self._decide(options, carry_on, False)
            assert 0 <= index < options, f"a strategy took option {index} of {options}"
            self.choices.append(index)
            self.options.append(options if carry_on else -options)
            if carry_on:
                ready.remove(me)
            self.current = chosen = ready[index - carry_on] if index >= carry_on else me
        elif ready:
            self.current = chosen = ready[0]
        else:
            self._nobody_may_run()
        if chosen is not me:
            self.handed_over = steps
        if steps >= self._pause_at:
            self._pause()
        if records:
            self._open_step(chosen, len(self.choices) - 1 if options > 1 else -1)
        return chosen

    def finish_task(self, task: Task) -> bool:
        """Take note that `task` ended. Return whether others are left."""
        task.done = True
        task.until = never
        self.tasks.remove(task)
        del self.named[task.name]
        if self.recording:
            self.touch(f"{END_OF}{task.name}", Mode.FIRST)
        self.emit(events.TaskEnded)
        if self.tasks:
            return True
        self.end("complete")
        return False

    def fail_task(self, task: Task, error: BaseException) -> None:
        """End the run because `task` raised `error`; keep what is not the driver's fault."""
        if isinstance(error, RunOver):
            return
        self.end_repetition()
        if isinstance(error, KeyboardInterrupt):
            self.interrupt()
            return
        if isinstance(error, LabError) or not self.is_failure(error) or is_ours(error):
            self.error = error
        elif not self.stopped:
            self.raised = error
            self.emit(events.TaskRaised, in_a_line(error), place(error))
        self.end("raised")

    def interrupt(self) -> None:
        """End the run because somebody outside asked for it."""
        self.end_repetition()
        self.emit(events.Interrupted)
        self.end("interrupted")

    def refuse(self, what: str) -> NoReturn:
        raise LabError(
            f"{what}: the scenario or driver does not repeat itself (time, random numbers, state kept between runs?)"
        )

    def leave(self) -> NoReturn:
        """End the run where a choice is being made: whoever chooses wants to know no more of it."""
        self.end("left")
        raise RunOver

    def ask_to_end(self) -> None:
        """End the run at its next step (from a signal handler: the step in progress is whole)."""
        self._asked_to_end = True
        self._pause_at = 0

    def end(self, how: str) -> None:
        """Stop the baton: from here on steps return at once and events are dropped."""
        if not self.stopped:
            if self.recording and how not in ("deadlock", "left"):
                self._close_step()
            self.ended = how
            self._stop()

    def _stop(self) -> None:
        self.stopped = True
        # Whatever tasks still do while they unwind is no event of the run.
        self._sink = None

    def _pause(self) -> None:
        """End a run that is too long or not wanted any more; else do what is due, and go on."""
        if self._asked_to_end:
            self.interrupt()
            raise RunOver
        if self.steps >= self.steps_max:
            self.emit(events.StepsExhausted, self.steps_max, self._waiting())
            self.end("livelock")
            raise RunOver
        self._pause_at = min(self.steps + self._pause_every, self.steps_max)
        if self._in_pause is not None:
            self._in_pause()

    def _nobody_may_run(self) -> None:
        me = self.current
        if any(task.away for task in self.tasks):
            # The baton lies there until one of them comes back.
            self.idle = True
        elif me.waits_for is not ANOTHER or me.until is never:
            self._deadlock()
        # Else there is no other: trying again is all that is left.

    def _deadlock(self) -> NoReturn:
        self.emit(events.Deadlocked, self._waiting())
        if self.recording:
            self._note_blocked()
        self.end("deadlock")
        raise RunOver

    def _waiting(self) -> tuple[Waiting, ...]:
        return tuple(
            Waiting(task.name, task.waits_for, task.holders() if task.holders is not None else ())
            if task.until is not None
            else Waiting(task.name, "", ())
            for task in self.tasks
        )


def never() -> bool:
    """Be the condition of a task that may not run: it has ended, or waits outside."""
    return False


async def _nothing() -> None:
    """Be the body of the task that holds the baton before the first one starts."""


_NOTHING: Final = _nothing()
_NOTHING.close()
