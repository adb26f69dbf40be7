"""Optimal dynamic partial-order reduction: one run of each order that differs.

After each run the races in it are looked for; for each, the beginning of an order in
which it comes the other way round is planned at the point before it (a wakeup tree),
unless what sleeps there has shown that order already. What was tried at a point sleeps
there until a step that conflicts with it wakes it. (Abdulla, Aronis, Jonsson, Sagonas,
"Optimal dynamic partial order reduction", 2014.)

What differs from the book:
- Locks and waits: a race is between steps either of which could have run (`happens.py`).
  A step left waiting in a deadlock takes part.
- A choice of a value is part of its step: each value is tried wherever the step is, and
  sleeps by itself.
- A search that meets choices, or a wait for a condition, begins anew without trees and
  tries everybody everywhere; only sleep leaves orders out. That is the safe way, not the
  fast one: runs in which all that is left sleeps are given up, and counted.
- The last step of a plan was seen in another place. What it touches is learnt when it
  runs; if its condition does not hold after all, another step is taken in its place.

Where what a step touches depends on what others did before (`if x: y += 1`), a reversal is
planned with what it touched before, and orders can be lost: random programs of that kind
show it. So a search that has seen one step touch different things (`Habits`) proves nothing,
however many orders it tried. The yardstick has such steps; its counts are those of other tools.

With a seed, who goes first where nothing is planned is drawn, which makes a good hunter:
different searches begin in different corners. After `restart` runs it begins anew.
"""

import random
from collections.abc import Sequence
from typing import Final, Literal, TYPE_CHECKING

from notifierlab.explore.estimate import Estimate, Position
from notifierlab.explore.happens import History, Kinds, Taken
from notifierlab.explore.strategies import Divergence
from notifierlab.explore.wakeup import asleep, Branch, insert, is_weak_initial, known_of, Label
from notifierlab.machine.access import Access, Step
from notifierlab.machine.sched import Machine

if TYPE_CHECKING:
    from notifierlab.explore.run import RunResult

RESTART: Final = 50
"""After how many runs a search in random order begins anew: few are lost when it begins badly."""

_UNKNOWN: Final = -1

Values = tuple[int, ...]
Touches = tuple[Access, ...]

Method = Literal["optimal", "sleep"]
"""How orders are left out: by wakeup trees, or by sleep alone."""


class Habits:
    """Whether each step touches the same things in every order.

    A step is known by its task and by all that the task touched before. If one step was
    seen to touch this in one run and that in another, `steady` is false from then on.
    """

    def __init__(self) -> None:
        self.steady = True
        # By task, a number for its past, and what it took there: the number of the longer past.
        self._pasts: dict[tuple[str, int, Values, Touches], int] = {}
        self._touches: dict[tuple[str, int, Values], Touches] = {}

    def learn(self, trace: Sequence[Step]) -> None:
        """Compare the steps of a run with those of all runs before."""
        pasts: dict[str, int] = {}
        for step in trace:
            here = step.task, pasts.get(step.task, 0), step.values
            if self._touches.setdefault(here, step.accesses) != step.accesses:
                self.steady = False
            pasts[step.task] = self._pasts.setdefault((*here, step.accesses), len(self._pasts) + 1)


class _Node:
    """A point of the current run: what sleeps there, what is planned, what runs.

    `base` is the number of choices made before it; `explored` tells that a run went
    through it to its end, or that what lies behind it is known.
    """

    __slots__ = ("base", "explored", "plan", "running", "sleep", "taken")

    def __init__(self, sleep: dict[Label, Taken], plan: list[Branch], base: int) -> None:
        self.sleep = sleep
        self.plan = plan
        self.base = base
        self.running: Branch | None = None
        self.taken: Taken | None = None
        self.explored = False


class Dpor:
    """The strategy. `traces` counts the orders executed, `redundant` the runs thrown away.

    `exhausted` says that no order is left, `declared` that the runs recorded all that
    tasks share, `whole` that none was cut short, and `habits.steady` that no step was seen to
    touch other things in another order: together they are a proof.
    """

    name = "dpor"
    records = True

    def __init__(self, *, seed: int | None = None, restart: int = 0) -> None:
        self.traces = 0
        self.redundant = 0
        self.exhausted = False
        self.declared = True
        self.whole = True
        self.method: Method = "optimal"
        self.kinds = Kinds()
        self.habits = Habits()
        self._draw = None if seed is None else random.Random(seed)
        self._restart = restart
        self._machine: Machine | None = None
        self._forget()

    def _forget(self) -> None:
        self._runs = 0
        self._stack: list[_Node] = []
        self._choices: tuple[int, ...] = ()
        self._prefix: tuple[int, ...] = ()
        self._at = 0
        self._picked: list[int] = []
        self._picked_in = -1
        # Whether the current run shows nothing new.
        self._useless = False
        self._estimate = Estimate()

    @property
    def proved(self) -> bool:
        """Tell whether every order that differs was executed."""
        return self.exhausted and self.declared and self.whole and (self.habits.steady or self.method == "sleep")

    def covered(self) -> str:
        """Say which orders were executed."""
        orders = f"{self.traces} order" + ("s" if self.traces != 1 else "")
        thrown = f" ({self.redundant} more runs were of no use)" if self.redundant else ""
        if self.proved:
            return f"all {orders} that differ in what conflicts{thrown}"
        if self.exhausted and not self.declared:
            return (
                f"{orders} that differ in the locks and fields recorded{thrown}; the scenario does not record all "
                "that its tasks share, so orders may be missing"
            )
        if self.exhausted and not self.whole:
            return f"{orders}, every one that differs{thrown}, but some were cut short"
        if self.exhausted:
            return (
                f"{orders} that differ in what conflicts{thrown}; what some step touches depends on the order, and "
                "such orders may be missing"
            )
        since = " since the search last began anew" if self._restart else ""
        return f"{orders}{since}, no two the same{thrown}; others are left"

    def progress(self) -> Position:
        """Say how many orders were executed, and about how many are left of those known of."""
        points = [(len(node.sleep), len(node.sleep) + len(node.plan) + 1) for node in self._stack]
        self._estimate.see(points, self.traces)
        return Position(self.traces, self._estimate.left())

    # --- the search -----------------------------------------------------------------

    def new_run(self) -> bool:
        """Go back to the last point where something is planned; return whether there is one."""
        if self._restart and self._draw is not None and self._runs >= self._restart:
            self._begin_anew(self.method)
        self._runs += 1
        self._at = 0
        self._useless = False
        self._picked_in = -1
        if self._runs == 1:
            return True
        done = True
        while self._stack:
            node = self._stack[-1]
            if node.running is not None:
                self._finish(node, done=done)
            if self._take_plan(node):
                self._prefix = self._choices[: node.base]
                return True
            done = node.explored
            self._stack.pop()
        self.exhausted = True
        return False

    def _finish(self, node: _Node, *, done: bool) -> None:
        """Put what ran at a point to sleep there, and plan the values it did not take."""
        running, taken = node.running, node.taken
        assert running is not None
        node.running = None
        if not done or taken is None:
            return
        node.explored = True
        node.sleep[taken.task, taken.values] = taken
        if running.every and taken.arity:
            planned = any(branch.task == taken.task for branch in node.plan)
            if not planned and not asleep(known_of(node.sleep, taken.task), ()):
                node.plan.insert(0, Branch(taken.task, None, _UNKNOWN, every=True))

    def _take_plan(self, node: _Node) -> bool:
        while node.plan:
            branch = node.plan.pop(0)
            if branch.values is not None and (branch.task, branch.values) in node.sleep:
                continue
            node.running = branch
            node.taken = None
            return True
        return False

    # --- a run ----------------------------------------------------------------------

    def begin_run(self, machine: Machine) -> None:
        """See the machine of the run that begins."""
        self._machine = machine

    def choose(self, options: int, carry_on: bool, is_value: bool) -> int:
        """Follow the plan; where there is none, take the first that does not sleep."""
        at = self._at
        self._at = at + 1
        if at < len(self._prefix):
            return min(self._prefix[at], options - 1)
        machine = self._machine
        assert machine is not None
        if self._useless:
            return 0
        step = len(machine.trace)
        if is_value:
            return self._choose_value(machine, step, options)
        node = self._reach(machine.trace, step)
        if node is None:
            return 0
        ready = machine.ready
        names = [task.name for task in ready]
        running = node.running
        while running is None or running.task not in names:
            # A planned step whose condition does not hold after all gives way to the next.
            running = node.running if self._take_plan(node) else self._pick(names, node)
            if running is None:
                self._asleep(node)
                return 0
        node.running = running
        index = names.index(running.task)
        if carry_on:
            me = ready.index(machine.current)
            return 0 if index == me else index + (index < me)
        return index

    def _pick(self, names: list[str], node: _Node) -> Branch | None:
        """Return a task that may run and of which nothing is asleep, if there is one.

        If there is none, any that has a value left will do; but then its races say nothing
        of the values that sleep, so the others are planned as well.
        """
        if node.sleep:
            names = [name for name in names if not asleep(known_of(node.sleep, name), ())]
            sleeping = {task for task, _ in node.sleep}
            awake = [name for name in names if name not in sleeping]
            if not awake and self.method != "sleep":
                node.plan += [Branch(name, None, _UNKNOWN, every=True) for name in names[1:]]
                names = names[:1]
            elif awake:
                names = awake if self.method != "sleep" else names
        if not names:
            return None
        if self.method == "sleep":
            planned = {branch.task for branch in node.plan}
            node.plan += [Branch(name, None, _UNKNOWN, every=True) for name in names[1:] if name not in planned]
            names = names[:1]
        return Branch(names[0] if self._draw is None else self._draw.choice(names), None, _UNKNOWN, every=True)

    def _asleep(self, node: _Node) -> None:
        """Give the run up: what comes from here on was seen."""
        self._useless = True
        node.explored = True
        node.running = None
        node.taken = None

    def _choose_value(self, machine: Machine, step: int, options: int) -> int:
        node = self._reach(machine.trace, step)
        task = machine.current.name
        if node is None:
            return 0
        if node.running is None:
            self._take_plan(node)
        if node.running is None or node.running.task != task:
            # Nobody else could run: there was nothing to choose.
            node.running = Branch(task, None, _UNKNOWN, every=True)
        if self._picked_in != step:
            self._picked_in, self._picked = step, []
        at = len(self._picked)
        values = node.running.values
        if values is not None:
            value = min(values[at], options - 1) if at < len(values) else 0
        else:
            known = known_of(node.sleep, task)
            left = [value for value in range(options) if not asleep(known, (*self._picked, value))] or [0]
            value = left[0] if self._draw is None else self._draw.choice(left)
        self._picked.append(value)
        return value

    def _reach(self, trace: Sequence[Step], step: int) -> _Node | None:
        """Return the node of a step, having learnt from the steps before; None if those are of no use."""
        stack = self._stack
        if not stack:
            stack.append(_Node({}, [], 0))
        while len(stack) <= step:
            at = len(stack) - 1
            if not self._learn(stack[at], trace[at]):
                return None
            self._push(stack[at], trace[at])
        return stack[-1]

    def _learn(self, node: _Node, step: Step) -> bool:
        """Compare the step that was taken at a point with what was planned there."""
        kind = self.kinds.of(step.accesses)
        if node.running is None:
            self._take_plan(node)
        if node.running is None or node.running.task != step.task:
            # Nobody else could run: there was nothing to choose.
            node.running = Branch(step.task, None, kind, every=True)
        if (step.task, step.values) in node.sleep:
            self._asleep(node)
            return False
        node.taken = Taken(step, kind)
        return True

    def _push(self, before: _Node, step: Step) -> None:
        taken, running = before.taken, before.running
        assert taken is not None
        assert running is not None
        kind, task, dependent = taken.kind, taken.task, self.kinds.dependent
        sleep = {
            label: other
            for label, other in before.sleep.items()
            if label[0] != task and not dependent(other.kind, kind)
        }
        self._stack.append(_Node(sleep, running.children, before.base + (step.choice >= 0) + len(step.values)))

    # --- after a run ----------------------------------------------------------------

    def end_run(self, result: "RunResult") -> None:
        """Learn from a run that ended; plan what its races ask for."""
        if result.ended == "interrupted":
            self.whole = False
            return
        self._choices = result.choices
        trace, stack = result.trace, self._stack
        whole = not self._useless and self._reach(trace, len(trace) - 1) is not None
        if not whole or not self._learn(stack[-1], trace[len(stack) - 1]):
            self.redundant += 1
            if self.method == "optimal":
                # With trees there is no such run: something here is beyond them.
                self._begin_anew("sleep")
            return
        if len(stack) != len(trace):
            raise Divergence(
                f"a run ended after {len(trace)} steps where an earlier one had {len(stack)}: the scenario or "
                "driver does not repeat itself (time, random numbers, state kept between runs?)"
            )
        self.traces += 1
        self.habits.learn(trace)
        self.declared = self.declared and result.declared
        self.whole = self.whole and result.ended in ("complete", "deadlock")
        self._plan(result)

    def _begin_anew(self, method: Method) -> None:
        """Forget what was seen, and leave orders out by `method` from now on."""
        self.method = method
        self.traces = self.redundant = 0
        self._forget()

    def _plan(self, result: "RunResult") -> None:
        if self.method == "sleep":
            # Everybody is tried everywhere: no race has to ask for it.
            return
        steps = [node.taken for node in self._stack if node.taken is not None]
        steps += [Taken(step, self.kinds.of(step.accesses)) for step in result.trace[len(steps) :]]
        blocked = [Taken(step, self.kinds.of(step.accesses)) for step in result.blocked]
        if self.kinds.waits or any(step.arity for step in steps):
            self._begin_anew("sleep")
        else:
            self._plan_races(History(steps, blocked))

    def _plan_races(self, history: History) -> None:
        steps, blocked = history.steps, history.blocked
        for race in history.races:
            if race.first >= len(self._stack):
                continue
            second = steps[race.second] if race.second < len(steps) else blocked[race.second - len(steps)]
            self._reverse(self._stack[race.first], [steps[at] for at in history.without(race)], second)

    def _reverse(self, node: _Node, between: list[Taken], second: Taken) -> None:
        """Plan at `node` an order in which `second` comes before what ran there."""
        between.append(second)
        for task, _ in node.sleep:
            if is_weak_initial(self.kinds, node.sleep, task, between):
                return
        insert(self.kinds, node.plan, between)
