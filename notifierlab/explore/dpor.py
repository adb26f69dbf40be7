"""Optimal dynamic partial-order reduction: one run of each order that differs.

After each run the races in it are looked for; for each, the beginning of an order in
which it comes the other way round is planned at the point before it (a wakeup tree),
unless what sleeps there has shown that order already. What was tried at a point sleeps
there until a step that conflicts with it wakes it. (Abdulla, Aronis, Jonsson, Sagonas,
"Optimal dynamic partial order reduction", 2014.)

What differs from the book, where a step touches the same in every order:

- Only the last step of a plan was seen elsewhere than where it is planned, after the step
  that it is to come before. What it touches is a guess there (`wakeup.py`). All else that is
  compared is exact. Two things keep that from losing orders. A sequence that seemed to be
  covered by such a step is looked at again when the step has run. And a sleeper that seems
  to be independent of it, but is not, is found out: the step touches things one after the
  other, as what it sees tells it to; so of all that it conflicts with where it is planned,
  whatever comes last in that is in a race with it that shows all the others as well.
- A plan made in vain ends at a point where somebody still sleeps whom it was to wake, and
  nothing is planned: all behind was seen. Such a run is thrown away, and counted.
- Locks and waits: a race is between steps either of which could have run (`races.py`).
  A step left waiting in a deadlock takes part. Where no race tells enough, the step is
  *loose*: everybody is tried where it was, and wherever it sleeps.
- A section that is begun behind a grace period is not tried before it, unless then two might wait
  for each other (`graces.py`).
- A choice of a value is part of its step's name: each value is tried wherever the step is,
  and sleeps by itself; a step covers others' only with all its values.

With a seed, who goes first where nothing is planned is drawn, which makes a good hunter:
different searches begin in different corners.
"""

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from notifierlab.explore.estimate import Estimate, Position
from notifierlab.explore.graces import needless
from notifierlab.explore.happens import Taken
from notifierlab.explore.planning import Planning
from notifierlab.explore.races import Race, Races
from notifierlab.explore.strategies import Divergence
from notifierlab.explore.wakeup import asleep, Branch, covered_by, known_of, Point
from notifierlab.machine.access import Step
from notifierlab.machine.recording import NAME
from notifierlab.machine.sched import Machine

if TYPE_CHECKING:
    from notifierlab.explore.run import RunResult


class Dpor(Planning):
    """The strategy."""

    name = "dpor"
    records = True

    def __init__(self, *, seed: int | None = None, start: Sequence[int] = ()) -> None:
        super().__init__()
        self._draw = None if seed is None else random.Random(seed)
        self._start = tuple(start)
        self._machine: Machine | None = None
        self._wide: dict[str, None] = {}
        self._forget()

    def _forget(self) -> None:
        self._runs = 0
        self._stack: list[Point] = []
        self._history = Races()
        self._history.wide = self._wide
        # How many steps at the beginning of the run are those of all runs since races were last planned.
        self._kept = 0
        self._choices: tuple[int, ...] = ()
        # The machine of the run that went to the top of the stack.
        self._last: Machine | None = None
        self._prefix: tuple[int, ...] = self._start
        # How many steps the choices of `start` have fixed.
        self._floor = 0
        self._at = 0
        self._picked: list[int] = []
        self._picked_in = -1
        # Whether the current run shows nothing new.
        self._useless = False
        self._estimate = Estimate()

    def progress(self) -> Position:
        """Say how many orders were executed, and about how many are left of those known of."""
        points = [(len(node.sleep), len(node.sleep) + len(node.plan) + 1) for node in self._stack]
        self._estimate.see(points, self.traces)
        return Position(self.traces, self._estimate.left())

    # --- the search -----------------------------------------------------------------

    def new_run(self) -> bool:
        """Go back to the last point where something is planned; return whether there is one."""
        self._runs += 1
        self._at = 0
        self._useless = False
        self._picked_in = -1
        if self._runs == 1:
            return True
        done = True
        while len(self._stack) > self._floor:
            node = self._stack[-1]
            taken, branch = node.taken, None
            if node.plan or node.open or node.waiting or (taken is not None and taken.arity):
                if node.running is not None:
                    self._finish(node, done=done)
                branch = self._next(node)
            elif node.running is not None and done and taken is not None:
                # Nothing is left here: whether what ran here sleeps, nobody will ask.
                node.explored = True
            if branch is not None:
                self._run_next(node, branch)
                self._prefix = self._choices[: node.base]
                self._history.cut(len(self._stack) - 1)
                self._kept = min(self._kept, len(self._stack) - 1)
                return True
            done = node.explored
            self._stack.pop()
        self.exhausted = True
        return False

    # --- a run ----------------------------------------------------------------------

    def begin_run(self, machine: Machine) -> None:
        """See the machine of the run that begins."""
        self._machine = machine
        machine.noting = False
        if self._stack and self._last is not None:
            self._at = len(self._prefix)
            machine.repeat(self._last, len(self._stack) - 1, self._at)

    def choose(self, options: int, carry_on: bool, is_value: bool) -> int:
        """Follow the plan; where there is none, take the first that does not sleep."""
        at = self._at
        self._at = at + 1
        if at < len(self._prefix):
            value = self._prefix[at]
            return value if value < options else options - 1
        machine = self._machine
        assert machine is not None
        if self._useless:
            return 0
        step = len(machine.trace)
        if self._runs == 1 and at == len(self._start) > 0:
            self._floor = step
        if is_value:
            return self._choose_value(machine, step, options)
        node = self._reach(machine.trace, step)
        if node is None:
            return 0
        awake = machine.awake
        names = list(map(NAME, awake))
        if node.loose and node.running is None and not node.explored:
            self._plan_everybody(node, names)
        if not self._settle(node, names):
            return 0
        assert node.running is not None
        return machine.option_of(awake[names.index(node.running.task)], carry_on=carry_on)

    def _settle(self, node: Point, names: list[str]) -> bool:
        """Say who runs at a point, where those named could; return whether that shows anything new."""
        running = node.running
        while running is None or running.task not in names:
            if running is not None:
                # Planned in the hope that its condition would hold.
                waiting, node.waiting, node.running = node.waiting, [], None
                for steps in waiting:
                    self._plan(node, steps)
            running = self._next(node) or self._pick(node, names)
            if running is None:
                self._useless = True
                return False
            self._run_next(node, running)
        return True

    def _pick(self, node: Point, names: list[str]) -> Branch | None:
        """Return somebody to run where nothing is planned; None if all there is to see was seen."""
        if node.explored:
            return None
        awake = [name for name in names if not node.is_asleep(name)] if node.sleep else names
        if len(awake) < len(names):
            # What sleeps here was planned to be woken, and was not; or nobody is awake.
            node.explored = True
            return None
        if node.sleep:
            sleeping = {task for task, _ in node.sleep}
            awake = [name for name in awake if name not in sleeping] or awake
        return Branch(awake[0] if self._draw is None else self._draw.choice(awake))

    def _choose_value(self, machine: Machine, step: int, options: int) -> int:
        node = self._reach(machine.trace, step)
        task = machine.current.name
        if node is None or not self._settle(node, [task]):
            return 0
        assert node.running is not None
        if self._picked_in != step:
            self._picked_in, self._picked = step, []
        at = len(self._picked)
        values = node.running.values or ()
        known = known_of(node.sleep, task) if node.running.leaf else {}
        if at < len(values) and values[at] < options and not asleep(known, (*self._picked, values[at])):
            value = values[at]
        else:
            left = [value for value in range(options) if not asleep(known, (*self._picked, value))] or [0]
            value = left[0] if self._draw is None else self._draw.choice(left)
        self._picked.append(value)
        return value

    def _reach(self, trace: Sequence[Step], step: int) -> Point | None:
        """Return the node of a step, having learnt from the steps before; None if those are of no use."""
        stack = self._stack
        if not stack:
            stack.append(Point({}, [], 0))
        while len(stack) <= step:
            at = len(stack) - 1
            if not self._learn(stack[at], trace[at]):
                return None
            self._push(stack[at], trace[at])
        return stack[-1]

    def _learn(self, node: Point, step: Step) -> bool:
        """Compare the step that was taken at a point with what was planned there."""
        running = node.running
        if running is None and self._draw is None and not (node.plan or node.open or node.sleep or node.explored):
            node.running = Branch(step.task)
        elif (running is None or running.task != step.task) and not self._settle(node, [step.task]):
            return False
        if node.sleep and (step.task, step.values) in node.sleep:
            self._useless = True
            node.explored = True
            node.running = None
            return False
        node.taken = self.kinds.taken(step)
        return True

    def _push(self, before: Point, step: Step) -> None:
        taken, running = before.taken, before.running
        assert taken is not None
        assert running is not None
        sleep = before.sleep
        if sleep:
            waking, touched = self.kinds.waking, self.kinds.touched[taken.kind]
            sleep = {
                label: other
                for label, other in sleep.items()
                if label[0] != taken.task and not waking[other.kind] & touched
            }
        else:
            sleep = {}
        node = Point(sleep, running.children, before.base + (step.choice >= 0) + len(step.values))
        if before.loose:
            node.loose = {label: None for label in before.loose if label in sleep}
        if before.young:
            node.young = {label: None for label in before.young if label in sleep}
        self._stack.append(node)
        if running.leaf and before.waiting:
            self._hand_down(before, node, running, taken)

    def _hand_down(self, before: Point, node: Point, running: Branch, taken: Taken) -> None:
        """Now that a leaf has run, see what it covers of what waited there.

        Behind a leaf that woke all who slept, every order is tried anyhow.
        """
        exact = Branch(taken.task, taken.values, taken.kind, leaf=False)
        waiting = []
        for steps in before.waiting:
            rest = covered_by(self.kinds, exact, steps)
            if rest is None:
                waiting.append(steps)
            elif node.sleep and rest:
                self._plan(node, rest)
        before.waiting = waiting

    # --- after a run ----------------------------------------------------------------

    def end_run(self, result: "RunResult") -> None:
        """Learn from a run that ended; plan what its races ask for."""
        if result.ended == "interrupted":
            self.whole = False
            return
        self._choices = result.choices
        self._last = self._machine
        if self._saw_wider():
            return
        trace, stack = result.trace, self._stack
        whole = not self._useless and self._reach(trace, len(trace) - 1) is not None
        if not whole or not self._learn(stack[-1], trace[len(stack) - 1]):
            self.redundant += 1
            return
        if len(stack) != len(trace):
            raise Divergence(
                f"a run ended after {len(trace)} steps where an earlier one had {len(stack)}: the scenario or "
                "driver does not repeat itself (time, random numbers, state kept between runs?)"
            )
        self.traces += 1
        self.declared = self.declared and result.declared
        self.whole = self.whole and result.ended in ("complete", "deadlock")
        self._plan_races(result)

    def _saw_wider(self) -> bool:
        """Begin anew if a task was seen to wait for several objects, and that was not known."""
        assert self._machine is not None
        new = [task for task in self._machine.wide if task not in self._wide]
        self._wide.update(dict.fromkeys(new))
        if new and self._runs > 1:
            self._begin_anew()
            return True
        return False

    def _begin_anew(self) -> None:
        """Forget which orders were seen."""
        self.traces = self.redundant = 0
        self._forget()

    def _plan_races(self, result: "RunResult") -> None:
        stack, history = self._stack, self._history
        for node in stack[len(history.steps) :]:
            assert node.taken is not None
            history.append(node.taken)
        blocked = history.ended([self.kinds.taken(step) for step in result.blocked])
        for at in dict.fromkeys(history.loose):
            self._loosen(stack[at])
        history.loose = []
        kept, tasks, spread = self._kept, history.tasks, history.spread(self._kept)
        for races in (*history.races, blocked):
            for race in races:
                # What was asked for is asked for again where none but what happened after the first has changed.
                if not (0 <= race.asked < kept and race.first <= spread[tasks[race.first]]):
                    self._reverse(race)
        self._kept = len(stack)

    def _loosen(self, node: Point) -> None:
        """Have everybody tried at a point."""
        running, taken = node.running, node.taken
        assert running is not None
        assert taken is not None
        node.loosened = True
        self._plan_everybody(node, [name for name in taken.ready if name != running.task])

    def _reverse(self, race: Race) -> None:
        """Plan an order in which the second step of a race comes before the first."""
        if 0 <= race.settled < self._kept:
            return
        race.settled = -1
        history, first = self._history, race.first
        if needless(history, race):
            return
        node = self._stack[first]
        if node.sleep and not race.others:
            who = history.tasks[first]
            for task, values in node.sleep:
                at = history.next_of(task, first)
                if (
                    at >= 0
                    and history.clocks[at][who] < first
                    and history.behind[at] < first
                    and history.steps[at].values == values
                    and at != race.second
                ):
                    race.settled = at
                    return
        steps = history.without(race)
        steps.append(race.step)
        # Mostly it is what many runs have asked for.
        asked = tuple([step.mark for step in steps])
        if asked not in node.asked:
            node.asked[asked] = None
            self._plan(node, steps)
