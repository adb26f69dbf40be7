"""The search over states: each state once, however many orders lead to it.

A state is a value (`fingerprint.py`). Nothing is saved of a run but its choices: to go
back to a state, the choices that led there are made again in a new run, which then goes
on where no run went before. A run that comes to a known state has nothing more to show,
and stays calm to its end.

Sleep sets save what is left: after `p` was tried at a state, an order that first takes
an independent step `q` need not try `p` behind it, since `q` behind `p` was tried. A
state keeps the tasks that were not tried there because they slept; whoever comes again
with less asleep tries the difference. So every state is visited, though not every step
from each. (Godefroid, "Partial-order methods for the verification of concurrent
systems", 1996.)

What is visited is each state *modulo* the symmetry that the scenario declared: of tasks
in the same state one is tried, for all. Now and then a run is executed with the names
exchanged, and must come through the same states; if not, they were not interchangeable.
So too for what is declared of states: what followed a known state in some run that was
left there must have been visited when the search has ended.
"""

from typing import Final, TYPE_CHECKING

from notifierlab.explore.fingerprint import Numbers, Portrait, State
from notifierlab.explore.strategies import Divergence
from notifierlab.machine.access import CONFLICTS, Step
from notifierlab.machine.sched import LabError, Machine

if TYPE_CHECKING:
    from notifierlab.explore.run import RunResult

_MIRROR_FIRST: Final = 4
"""After this many runs the first is repeated with names exchanged; then after twice as many."""

_TAIL_EVERY: Final = 16
"""Of every so-manieth run, and of the first, what follows a known state must be known in the end."""

_MERGED: Final = (
    "two runs came to what is declared to be one state and did not go on alike; see what the scenario says with "
    "machine.holds, machine.at and machine.interchangeable, and whether it touches all that its tasks share"
)

Touches = dict[str, int]
"""What steps touch: for each object the modes that conflict with that, as bits."""


class _Known:
    """What is known of a state: who may run, and who of them was not tried since it slept."""

    __slots__ = ("asleep", "ready")

    def __init__(self, ready: tuple[int, ...], asleep: frozenset[int]) -> None:
        self.ready = ready
        self.asleep = asleep


class _Choice:
    """A choice of the current run, and what is still to be tried there.

    `names` are the tasks on offer, none if it is of a value. `before` is the state with
    all that is asleep in it; `begun` the choice of a task that began the step in which a
    value is chosen. `touched` is what the steps of the task now taken touch, as far as known.
    """

    __slots__ = ("before", "begun", "left", "names", "options", "sleep", "taken", "touched")

    def __init__(
        self,
        options: int,
        names: tuple[str, ...],
        todo: list[int],
        before: Portrait,
        sleep: dict[str, Touches],
        begun: "_Choice | None",
    ) -> None:
        self.options = options
        self.names = names
        self.taken = todo[0]
        self.left = todo[1:]
        self.before = before
        self.sleep = sleep
        self.begun = begun
        self.touched: Touches | None = None

    def next(self) -> bool:
        """Take what is next; the task that was tried sleeps from now on."""
        if self.names and self.touched is not None:
            self.sleep[self.names[self.taken]] = self.touched
        self.touched = None
        if not self.left:
            return False
        self.taken = self.left.pop(0)
        return True


class States:
    """The strategy. `final` has the states in which runs ended, by completing or in a deadlock.

    `exhausted` says that no state is left; `sound` that the runs recorded all that tasks
    share, and that none was cut short: both together are a proof.
    """

    name = "states"
    records = True

    def __init__(self, numbers: Numbers | None = None) -> None:
        self.final: dict[State, None] = {}
        self.exhausted = False
        self.sound = True
        self.runs = 0
        self._numbers = Numbers() if numbers is None else numbers
        self._known: dict[State, _Known] = {}
        self._promised: dict[State, None] = {}
        self._path: list[_Choice] = []
        self._machine: Machine | None = None
        self._mirror = _Mirror(self._numbers)
        self._at = 0
        # Of the current run: the state it is in, what sleeps there, the choice of a task
        # that began the step in progress, and whether there is nothing more to learn.
        self._portrait = Portrait(self._numbers)
        self._sleep: dict[str, Touches] = {}
        self._begun: _Choice | None = None
        self._calm = False

    @property
    def states(self) -> int:
        """How many states were visited."""
        return len(self._known)

    @property
    def proved(self) -> bool:
        """Whether every state was visited, and nothing that tells states apart is missing."""
        return self.exhausted and self.sound

    def known(self) -> tuple[State, ...]:
        """Return the states that were visited, in their order."""
        return tuple(self._known)

    # --- the search -----------------------------------------------------------------

    def new_run(self) -> bool:
        """Go back to the last choice where something is left; return whether there is one."""
        if self._mirror.due():
            return True
        while self.runs and self._path:
            if self._path[-1].next():
                break
            self._path.pop()
        if self.runs and not self._path:
            self.exhausted = True
            self._check_promised()
            return False
        return True

    def begin_run(self, machine: Machine) -> None:
        """See the machine of the run that begins; start with the choices on the path."""
        self._machine = machine
        self._at = 0
        self._calm = False
        self._mirror.machine = machine
        if not self._path:
            self._portrait, self._sleep, self._begun = Portrait(self._numbers), {}, None

    def choose(self, options: int, carry_on: bool, is_value: bool) -> int:
        """Follow the path; beyond it, take what was not tried."""
        if self._mirror.running:
            return self._mirror.choose(options, carry_on, is_value)
        at = self._at
        self._at = at + 1
        path = self._path
        if at < len(path):
            choice = path[at]
            if choice.options != options or bool(choice.names) == is_value:
                raise Divergence(
                    f"choice {at + 1} had {choice.options} options in an earlier run and has {options} now: the "
                    "scenario or driver does not repeat itself (time, random numbers, the order of a set?)"
                )
            if at == len(path) - 1:
                self._resume(choice)
            return choice.taken
        if self._calm:
            return 0
        names = _on_offer(self._running(), carry_on)
        todo = self._advance(names)
        if todo is None:
            return 0
        if is_value:
            path.append(_Choice(options, (), list(range(options)), self._portrait.copy(), self._sleep, self._begun))
            return 0
        choice = _Choice(options, names, todo, self._portrait.copy(), self._sleep, None)
        path.append(choice)
        self._begun = choice
        return choice.taken

    def end_run(self, result: "RunResult") -> None:
        """Learn from a run that ended."""
        if result.ended == "interrupted":
            self.sound = False
            return
        if self._mirror.running:
            self._mirror.end_run()
            return
        if self._at < len(self._path):
            raise Divergence(
                f"a run ended after {self._at} choices where an earlier one had {len(self._path)}: the scenario or "
                "driver does not repeat itself (time, random numbers, state kept between runs?)"
            )
        self.runs += 1
        whole = result.ended in ("complete", "deadlock")
        if not result.declared or not whole:
            self.sound = False
        if whole and not self._calm and self._advance(()) is not None:
            self.final[self._portrait.state()] = None
        if whole and result.declared:
            if self._calm and (self.runs < _TAIL_EVERY or self.runs % _TAIL_EVERY == 0):
                self._promise()
            self._mirror.saw(self._running(), self.runs)

    def covered(self) -> str:
        """Say how many states were visited."""
        count = f"{self.states} state" + ("" if self.states == 1 else "s")
        text = f"{'all ' if self.exhausted and self.sound else ''}{count}, {len(self.final)} of them final"
        if self.exhausted and not self.sound:
            text += ", as far as the touches recorded tell states apart (not all are, or a run was cut)"
        return text

    def _promise(self) -> None:
        """Note what states a run had behind the known one at which it was left."""
        machine, portrait = self._running(), self._portrait
        while portrait.taken < len(machine.trace):
            portrait.take(machine)
            self._promised[portrait.state()] = None

    def _check_promised(self) -> None:
        if self.proved and any(state not in self._known for state in self._promised):
            raise LabError(_MERGED)

    # --- a run ----------------------------------------------------------------------

    def _running(self) -> Machine:
        assert self._machine is not None
        return self._machine

    def _resume(self, choice: _Choice) -> None:
        """Be where the run was when it last came to this choice."""
        self._portrait = choice.before.copy()
        self._sleep = choice.sleep
        self._begun = choice if choice.names else choice.begun

    def _advance(self, names: tuple[str, ...]) -> list[int] | None:
        """Visit the states behind the steps that ended; return what to try of `names` at the last.

        All but the last had one task that could run. None if there is nothing left to try.
        """
        machine = self._running()
        trace, portrait = machine.trace, self._portrait
        todo: list[int] = []
        while portrait.taken < len(trace):
            self._leave(portrait.take(machine))
            ready = names if portrait.taken == len(trace) else trace[portrait.taken].ready
            todo = self._visit(ready)
            if ready and not todo:
                self._calm = True
                return None
        return todo

    def _leave(self, step: Step) -> None:
        """Wake what sleeps and conflicts with the step; what is left sleeps on behind it."""
        if self._begun is not None:
            touched = self._begun.touched = self._begun.touched or {}
            for name, mode in step.accesses:
                touched[name] = touched.get(name, 0) | CONFLICTS[mode]
            self._begun = None
        self._sleep = {
            task: touches
            for task, touches in self._sleep.items()
            if task != step.task and not any(touches.get(name, 0) >> mode & 1 for name, mode in step.accesses)
        }

    def _visit(self, ready: tuple[str, ...]) -> list[int]:
        """Enter the current state among the known; return which of `ready` are to be tried."""
        state = self._portrait.state()
        tasks = [self._portrait.task(name) for name in ready]
        asleep = frozenset([self._portrait.task(name) for name in self._sleep])
        known = self._known.get(state)
        if known is None:
            self._known[state] = _Known(tuple(sorted(tasks)), asleep)
            return _firsts(tasks, [task for task in tasks if task not in asleep])
        if known.ready != tuple(sorted(tasks)) and self._running().declared:
            raise LabError(_MERGED)
        todo = _firsts(tasks, [task for task in tasks if task in known.asleep and task not in asleep])
        known.asleep &= asleep
        self._sleep = {
            name: touches for name, touches in self._sleep.items() if self._portrait.task(name) in known.asleep
        }
        return todo


def _on_offer(machine: Machine, carry_on: bool) -> tuple[str, ...]:
    """Return the tasks that may run, in the order of the options."""
    names = [task.name for task in machine.ready]
    if carry_on and machine.current.name in names:
        names.remove(machine.current.name)
        names.insert(0, machine.current.name)
    return tuple(names)


def _firsts(tasks: list[int], wanted: list[int]) -> list[int]:
    """Return where each of `wanted` stands first in `tasks`."""
    return list(dict.fromkeys(tasks.index(task) for task in wanted))


class _Mirror:
    """Repeats a run with the names of interchangeable tasks exchanged, and compares the states."""

    def __init__(self, numbers: Numbers) -> None:
        self.machine: Machine | None = None
        self.running = False
        self._numbers = numbers
        self._next = _MIRROR_FIRST
        self._order: list[tuple[str, tuple[int, ...]]] = []
        self._states: list[State] = []
        self._value = 0

    def due(self) -> bool:
        """Tell whether the next run is a mirrored one."""
        self.running = bool(self._order)
        if self.running:
            self._next *= 2
        return self.running

    def saw(self, machine: Machine, runs: int) -> None:
        """Keep the run that has just ended, if it is time to mirror one."""
        self._order = []
        if not machine.alike or runs < self._next:
            return
        other = _exchanged(machine.alike)
        self._order = [(other.get(step.task, step.task), step.values) for step in machine.trace]
        self._states = self._states_of(machine)

    def choose(self, options: int, carry_on: bool, is_value: bool) -> int:
        """Take the task that has the other's name."""
        assert self.machine is not None
        trace = self.machine.trace
        if is_value:
            values = self._order[len(trace)][1] if len(trace) < len(self._order) else ()
            self._value += 1
            return values[self._value - 1] if self._value <= len(values) else 0
        self._value = 0
        names = _on_offer(self.machine, carry_on)
        name = self._order[len(trace)][0] if len(trace) < len(self._order) else ""
        return names.index(name) if name in names else 0

    def end_run(self) -> None:
        """Compare."""
        assert self.machine is not None
        if self._states_of(self.machine) != self._states:
            tasks = ", ".join(name for name in _exchanged(self.machine.alike))
            raise LabError(
                f"{tasks} are declared interchangeable, and a run with their names exchanged goes another way; "
                "give them the same function and arguments, or do not declare it (machine.interchangeable)"
            )
        self.running = False
        self._order = []

    def _states_of(self, machine: Machine) -> list[State]:
        portrait = Portrait(self._numbers)
        states = []
        for _ in machine.trace:
            portrait.take(machine)
            states.append(portrait.state())
        return states


def _exchanged(alike: dict[str, str]) -> dict[str, str]:
    """Return for each interchangeable task the next one of its kind."""
    kinds: dict[str, list[str]] = {}
    for name, kind in alike.items():
        kinds.setdefault(kind, []).append(name)
    return {name: names[(at + 1) % len(names)] for names in kinds.values() for at, name in enumerate(names)}
