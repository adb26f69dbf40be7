"""The search over states: each state once, however many orders lead to it.

A state is a value (`fingerprint.py`). Nothing is saved of a run but its choices: to go
back to a state, the choices that led there are made again in a new run, which then goes
on where no run went before. A run that comes to a known state has nothing more to show,
and is left there.

Three things leave work out:
- Sleep sets. After `p` was tried at a state, an order that first takes an independent
  step `q` need not try `p` behind it, since `q` behind `p` was tried. A state keeps the
  tasks that were not tried there because they slept; whoever comes again with less asleep
  tries the difference. (Godefroid, "Partial-order methods for the verification of
  concurrent systems", 1996.) Two adds to one object change places, unless somebody was
  seen to write it: a put that reaches zero writes, and which of two does depends on their order.
- Private steps (`privacy.py`). Where a step concerns nobody else, the others are not tried
  beside it, only behind it; unless it leads back to a state of the same run, or they might
  be put off for ever. So not every state is visited, but every end is reached, by each
  order that differs from all others in steps which conflict.
- Symmetry, which the scenario declares: states are taken without the names of
  interchangeable tasks, and of tasks in the same state one is tried, for all.

With a host, states are taken by value, as long as a lock guards every plain field (`guards.py`)
and nobody uses what he has forgotten. Then a task that tries again for ever is seen by its
states leading back to each other (`circles.py`).

What is declared is tested. Now and then a run is executed with the names exchanged, and
must come through the same states (`mirror.py`). And now and then a run goes on from a
known state to its end; what it meets there must be known when the search has ended.
"""

from typing import Any, Final, TYPE_CHECKING

from notifierlab.explore.circles import Circles
from notifierlab.explore.estimate import Estimate, Position
from notifierlab.explore.fingerprint import end_of, Numbers, Portrait, State, state_of
from notifierlab.explore.guards import Guards
from notifierlab.explore.mirror import Mirror, on_offer
from notifierlab.explore.places import Choice, firsts, Known, Touches
from notifierlab.explore.privacy import Held, locks_of, Looks, Privacy
from notifierlab.explore.strategies import Divergence
from notifierlab.machine.access import Access, Mode, Step, WAKING
from notifierlab.machine.sched import LabError, Machine

if TYPE_CHECKING:
    from notifierlab.explore.run import RunResult

_TAIL_EVERY: Final = 16
"""Every so-manieth run, and each before the first of them, goes on behind a known state, which is then tested."""

_LOOKS_AT_LEAST: Final = 32
"""How many looks there are at least at a scenario with a host, where a run can touch much that the others did not."""

_MERGED: Final = (
    "two runs came to what is declared to be one state and did not go on alike; see what the scenario says with "
    "machine.holds, machine.at and machine.interchangeable, what is forgotten and used all the same "
    "(machine.forget), and whether it touches all that its tasks share"
)


class States:
    """The strategy. `final` has the states in which runs ended, by completing or in a deadlock.

    `exhausted` says that no state is left; `sound` that the runs recorded all that tasks
    share, and that none was cut short: both together are a proof, unless there is an `endless` circle.

    Args:
        numbers: shared with whoever compares states with those of this search.
        every_state: visit every state, also between private steps.
    """

    name = "states"
    records = True

    def __init__(self, numbers: Numbers | None = None, *, every_state: bool = False) -> None:
        self.final: dict[State, None] = {}
        # The same as texts that can be compared with those of another process.
        self.ends: dict[str, None] = {}
        self.exhausted = False
        self.sound = True
        # The tasks of a circle that a run could go round in for ever.
        self.endless: tuple[str, ...] = ()
        self.runs = 0
        self._numbers = Numbers() if numbers is None else numbers
        self._every_state = every_state
        self._known: dict[State, Known] = {}
        self._same: dict[Any, Any] = {}
        self._promised: dict[State, None] = {}
        self._path: list[Choice] = []
        self._trail: list[Known] = []
        # Of each of them after how many steps it was visited.
        self._visited: list[int] = []
        # Whether states are taken by value where that can be, and what shows that it is sound.
        self.by_value = True
        self._guards = Guards()
        self._strayed = False
        self._circles = Circles()
        self._goes_back = False
        self._privacy = Privacy()
        self._habits: dict[int, tuple[Access, ...]] = {}
        self._looks = Looks()
        self._machine: Machine | None = None
        # The machine of the last run that followed the path.
        self._last: Machine | None = None
        self._mirror = Mirror(self._numbers)
        self._estimate = Estimate()
        self._at = 0
        # Of the current run: the state it is in, what sleeps there, the choice of a task
        # that began the step in progress, and whether there is nothing more to learn.
        self._portrait = self._blank()
        self._sleep: dict[str, Touches] = {}
        self._begun: Choice | None = None
        self._calm = False

    @property
    def states(self) -> int:
        """How many states were visited."""
        return len(self._known)

    @property
    def proved(self) -> bool:
        """Whether no state is left, and nothing that tells states apart is missing."""
        return self.exhausted and self.sound and not self.endless

    def known(self) -> tuple[State, ...]:
        """Return the states that were visited, in their order."""
        return tuple(self._known)

    # --- the search -----------------------------------------------------------------

    def new_run(self) -> bool:
        """Go back to the last choice where something is left; return whether there is one."""
        if self._mirror.due():
            return True
        if self._privacy.broken or self._forgot_too_much():
            self._begin_anew()
        if self._looks.due() or not self._known:
            return True
        while self._path:
            if self._path[-1].next():
                return True
            self._path.pop()
        self.exhausted = True
        if self._goes_back:
            self.endless = self._circles.endless()
        self._check_promised()
        return False

    def _forgot_too_much(self) -> bool:
        """Tell whether states must not be taken by value, and are."""
        wrong = self.by_value and (self._strayed or self._guards.unguarded != "")
        self.by_value = self.by_value and not wrong
        return wrong

    def _begin_anew(self) -> None:
        """Forget all but who touches what."""
        self._privacy.begin_anew()
        self._looks.more(self.runs, at_least=_LOOKS_AT_LEAST if self._portrait.by_value else 0)
        self._known, self._promised, self.final, self.ends = {}, {}, {}, {}
        self._path, self._trail, self._visited, self._last = [], [], [], None
        self._circles, self._goes_back = Circles(), False
        self._estimate = Estimate()

    def begin_run(self, machine: Machine) -> None:
        """See the machine of the run that begins; start with the choices on the path."""
        self._machine = machine
        self._at = 0
        self._calm = False
        self._mirror.machine = machine
        if self._mirror.running or self._looks.running:
            return
        if not self._path:
            self._portrait, self._sleep, self._begun = self._blank(), {}, None
        elif self._last is not None:
            self._repeat(machine, self._last)
        self._last = machine

    def _repeat(self, machine: Machine, last: Machine) -> None:
        """Begin as the last run did, up to the step with the last choice."""
        path = self._path
        steps, first = path[-1].steps, len(path) - 1
        while first > 0 and path[first - 1].steps == steps:
            first -= 1
        self._at = first
        machine.repeat(last, steps, first)

    def choose(self, options: int, carry_on: bool, is_value: bool) -> int:
        """Follow the path; beyond it, take what was not tried."""
        if self._mirror.running:
            return self._mirror.choose(options, carry_on, is_value)
        if self._looks.running:
            return self._looks.choose(options, carry_on=carry_on, is_value=is_value)
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
            return 0 if is_value else self._first_awake(carry_on)
        return self._explore(options, carry_on, is_value)

    def _first_awake(self, carry_on: bool) -> int:
        """Return the calmest option that is not to try again what the last try saw."""
        machine = self._running()
        return min(machine.option_of(task, carry_on=carry_on) for task in machine.awake)

    def _explore(self, options: int, carry_on: bool, is_value: bool) -> int:
        """Make a choice where no run was before."""
        machine = self._running()
        names = on_offer(machine, carry_on)
        todo = self._advance(names, is_value=is_value)
        if todo is None:
            if not self._has_tail:
                machine.leave()
            return 0 if is_value else self._first_awake(carry_on)
        if is_value:
            choice = Choice(options, (), list(range(options)), self._portrait.copy(), self._sleep, self._begun)
        else:
            choice = Choice(options, names, self._private_first(names, todo), self._portrait.copy(), self._sleep, None)
            choice.known = self._trail[-1]
            self._begun = choice
        choice.depth, choice.steps = len(self._trail), len(machine.trace)
        self._path.append(choice)
        return choice.taken

    def end_run(self, result: "RunResult") -> None:
        """Learn from a run that ended."""
        if result.ended == "interrupted":
            self.sound = False
            return
        if self._mirror.running:
            self._mirror.end_run()
            return
        if self._looks.running:
            self._look()
            return
        if self._at < len(self._path):
            raise Divergence(
                f"a run ended after {self._at} choices where an earlier one had {len(self._path)}: the scenario or "
                "driver does not repeat itself (time, random numbers, state kept between runs?)"
            )
        tail = self._has_tail
        self.runs += 1
        whole = result.ended in ("complete", "deadlock")
        if not result.declared or not (whole or result.ended == "left"):
            self.sound = False
        if not whole:
            return
        if not self._calm and self._advance(()) is not None:
            state = self._state(())
            if state not in self.final:
                self.final[state] = None
                self.ends[end_of(self._running())] = None
            for step in result.blocked:
                self._privacy.saw(step.task, step.accesses, self._portrait.held(step.task))
        if result.declared:
            if self._calm and tail:
                self._promise()
            self._mirror.saw(self._running(), self.runs)

    def covered(self) -> str:
        """Say how many states were visited."""
        count = f"{self.states} state" + ("" if self.states == 1 else "s")
        if not self._every_state:
            count += " between steps that concern more than one task"
        text = f"{'all ' if self.exhausted and self.sound else ''}{count}, {len(self.final)} of them final"
        if self.endless:
            text += f"; runs can go on for ever, round in circles ({', '.join(self.endless)})"
        if self.exhausted and not self.sound:
            text += ", as far as the touches recorded tell states apart (not all are, or a run was cut)"
        return text

    def progress(self) -> Position:
        """Say how many states were visited, and about how many are not."""
        self._estimate.see([(choice.done, choice.done + 1 + len(choice.left)) for choice in self._path], self.states)
        return Position(self.states, None if self._privacy.broken else self._estimate.left(), "states")

    @property
    def _has_tail(self) -> bool:
        """Whether the current run goes on behind a known state."""
        return self.runs < _TAIL_EVERY or self.runs % _TAIL_EVERY == 0

    def _promise(self) -> None:
        """Note what states a run had behind the known one at which it was left: all, or the end."""
        machine, portrait = self._running(), self._portrait
        while portrait.taken < len(machine.trace):
            portrait.take(machine)
            at_end = portrait.taken == len(machine.trace)
            if at_end or (self._every_state and not portrait.by_value):
                self._promised[state_of(portrait, machine)] = None

    def _check_promised(self) -> None:
        if self.proved and any(state not in self._known for state in self._promised):
            raise LabError(_MERGED)

    def _look(self) -> None:
        """Learn from a run at random who touches what."""
        machine, portrait = self._running(), self._blank()
        self._privacy.know(machine.alike)
        for step in machine.trace:
            self._privacy.saw(step.task, step.accesses, portrait.held(step.task))
            portrait.take(machine)

    # --- a run ----------------------------------------------------------------------

    def _running(self) -> Machine:
        assert self._machine is not None
        return self._machine

    def _resume(self, choice: Choice) -> None:
        """Be where the run was when it last came to this choice."""
        self._portrait = choice.before.copy()
        self._sleep = choice.sleep
        self._begun = choice if choice.names else choice.begun
        del self._trail[choice.depth :]
        del self._visited[choice.depth :]

    def _blank(self) -> Portrait:
        return Portrait(self._numbers, values=self.by_value)

    def _state(self, names: tuple[str, ...]) -> State:
        """Return the state of the run; `names` are the tasks on offer."""
        machine = self._running()
        return state_of(self._portrait, machine, [task.name for task in machine.awake] if names else [])

    def _advance(self, names: tuple[str, ...], *, is_value: bool = False) -> list[int] | None:
        """Visit the states behind the steps that ended; return what to try of `names` at the last.

        All but the last had one task that could run. None if there is nothing left to try. By value only the last
        is visited, and none in the midst of a step: what rules remember is known of no other.
        """
        machine = self._running()
        trace, portrait = machine.trace, self._portrait
        todo: list[int] = []
        while portrait.taken < len(trace):
            begun = self._begun
            self._leave(trace[portrait.taken])
            at_last = portrait.taken == len(trace)
            if portrait.by_value and (is_value or not at_last):
                continue
            ready = names if at_last else trace[portrait.taken].ready
            todo = self._visit(ready, begun, machine)
            if ready and not todo:
                self._calm = True
                return None
        return todo

    def _leave(self, step: Step) -> None:
        """Take the step. Wake what sleeps and conflicts with it; what is left sleeps on behind it."""
        portrait, begun = self._portrait, self._begun
        task, held, gone = portrait.task(step.task), portrait.held(step.task), portrait.gone
        alone = portrait.live <= 1
        portrait.take(self._running())
        self._privacy.know(self._running().alike)
        self._privacy.saw(step.task, step.accesses, held)
        self._strayed = self._strayed or portrait.strayed
        if portrait.uses and not alone:
            self._guards.saw(step.task, portrait.uses, locks_of(step.accesses, held))
        if not self._every_state:
            self._judge(step, task, held, gone)
        if begun is not None:
            touched = begun.touched = begun.touched or {}
            for name, mode in step.accesses:
                touched[name] = touched.get(name, 0) | WAKING[mode]
                if mode is Mode.ADD and name in self._privacy.thresholds:
                    touched[name] |= 1 << Mode.ADD
            self._begun = None
        self._sleep = {
            task: touches
            for task, touches in self._sleep.items()
            if task != step.task and not any(touches.get(name, 0) >> mode & 1 for name, mode in step.accesses)
        }

    def _judge(self, step: Step, task: int, held: Held, gone: tuple[str, ...]) -> None:
        """Spare the others where the step was private."""
        privacy, begun = self._privacy, self._begun
        self._habits[task] = step.accesses
        if begun is None or begun.public or not (begun.left or begun.spare):
            return
        if not privacy.private(step.task, step.accesses, held, gone, rely=True):
            begun.publish()
        elif begun.left:
            begun.spare_others(task)

    def _private_first(self, names: tuple[str, ...], todo: list[int]) -> list[int]:
        """Put first whose step is private, if it is as the last time from there."""
        portrait = self._portrait
        for at in todo if len(todo) > 1 and not self._every_state else ():
            name = names[at]
            accesses = self._habits.get(portrait.task(name))
            if accesses is not None and self._privacy.private(name, accesses, portrait.held(name), portrait.gone):
                return [at, *[other for other in todo if other != at]]
        return todo

    def _visit(self, ready: tuple[str, ...], begun: Choice | None, machine: Machine) -> list[int]:
        """Enter the current state among the known; return which of `ready` are to be tried."""
        state = self._state(ready)
        tasks = [self._portrait.task(name) for name in ready]
        trying = tasks
        if len(machine.awake) < len(machine.ready):
            # Whoever would try again and see what the last try saw need not.
            awake = [task.name for task in machine.awake]
            trying = [task for name, task in zip(ready, tasks, strict=True) if name in awake or len(ready) == 1]
        asleep = frozenset([self._portrait.task(name) for name in self._sleep])
        known = self._known.get(state)
        if known is None:
            # Most are the same as others, and kept once.
            same = self._same
            tries = tuple(sorted(trying))
            known = self._known[state] = Known(
                same.setdefault(tries, tries), same.setdefault(asleep, asleep), self._circles.state(ready)
            )
            self._come_to(known)
            return firsts(tasks, [task for task in trying if task not in asleep])
        if known.ready != tuple(sorted(trying)) and self._running().declared:
            raise LabError(_MERGED)
        if known in self._trail:
            self._goes_back = self._goes_back or self._portrait.by_value
            if begun is not None:
                begun.publish()
        self._come_to(known)
        if known.alone in asleep:
            # What sleeps was tried for all, in another place.
            return []
        woken = [task for task in trying if task in known.asleep and task not in asleep]
        if woken and known.alone is not None:
            woken = [known.alone]
        known.asleep &= asleep
        self._sleep = {
            name: touches for name, touches in self._sleep.items() if self._portrait.task(name) in known.asleep
        }
        return firsts(tasks, woken)

    def _come_to(self, known: Known) -> None:
        """Note that the run is in a state now, and how it came there."""
        trace = self._running().trace
        if self._trail and self._portrait.by_value:
            movers = dict.fromkeys([step.task for step in trace[self._visited[-1] : self._portrait.taken]])
            self._circles.way(self._trail[-1].number, known.number, movers)
        self._trail.append(known)
        self._visited.append(self._portrait.taken)
