"""A search by `dpor` shared out: who searches below which branch, and what all must know.

Here are the *shared* points, from the root down to where what somebody has to do begins.
A branch that is planned at one of them is an errand (`below.py`). As soon as it was taken
once, it sleeps at its point, though what lies below is searched for long afterwards: it
will be searched, and that is all that a later sibling relies on. What its races ask for
at shared points comes back, and is planned there unless it is covered.

One thing is not as in a search alone. There, what sleeps is done, and all that its races
asked for was known when a later sibling began. Here it may be *young*, and ask for an order
which that sibling covers, but will not come to by itself, since the young one sleeps behind it,
too: its own races vouch for nothing that might as well begin with what sleeps. So the
points behind a sibling at which somebody young sleeps are shared, and stay until nobody
young does; such an order is handed down to them (`_plan`). Behind them the sibling is on its own.

    point ├── young             its races ask for an order that begins with `sibling`
          └── sibling
              point │ young sleeps: shared
              point ├── a step that wakes it
                    point   its own

A branch is tried once before its siblings are handed out: what its step touches is known
only then. What is asked for at its point in the meantime waits. A step that is loose
(`dpor.py`) must be known to be so before anything relies on its sleeping: once there is
one, the search begins anew and is not shared out.

Errands are made and their reports learnt in an order that depends on nothing but what was
learnt: `AHEAD` of them are on their way, and the oldest is learnt first, whoever does them
and however fast. So counts and findings are the same for any number of workers.
"""

from collections import deque
from itertools import pairwise
from typing import Final, NamedTuple

from notifierlab.explore.below import Errand, Report
from notifierlab.explore.happens import Label, Taken
from notifierlab.explore.packing import Pack, Packer, Unpacker
from notifierlab.explore.planning import Planning
from notifierlab.explore.wakeup import coverer, insert, Point

AHEAD: Final = 16
"""How many errands are on their way at a time, if there is that much to do."""

SLICE_STEPS: Final = 16_000
"""How many steps an errand has: about a quarter of a second. Where there are few errands, it has
fewer, so that there are more soon."""

_NOTHING: Final = Pack()
_NOBODY: Final[Label] = ("", ())


class _Shared(Point):
    """A shared point. It hangs on the point `above`, behind the step `by`; `choices` lead here from that.

    `busy` are the steps taken here behind which somebody searches, or will; `below` are
    the shared points behind them. `due` says that what is planned first will be handed out.
    """

    __slots__ = ("above", "below", "busy", "by", "choices", "due")
    above: "_Shared | None"
    below: "dict[Label, _Shared]"
    busy: dict[Label, None]
    by: Label
    choices: tuple[int, ...]
    due: bool

    @property
    def line(self) -> "list[_Shared]":
        """The points from the root down to this one."""
        line = [self]
        while (above := line[-1].above) is not None:
            line.append(above)
        return line[::-1]

    @property
    def routes(self) -> list[Label]:
        """The steps asleep here that cover an order only if it is handed down."""
        tasks = [label[0] for label, point in self.below.items() if point.young]
        return [label for label in self.sleep if label[0] in tasks] if tasks else []


class _Task(NamedTuple):
    """What is to be done behind a shared point, or all, where there is none yet.

    If it was begun, `rest` is what is left and `by` the step behind which that hangs; else
    it is what runs at the point.
    """

    point: _Shared | None
    by: Label = _NOBODY
    rest: Pack = _NOTHING


class Subtrees(Planning):
    """The shared points, and what is known of the search as far as it was learnt."""

    def __init__(self) -> None:
        super().__init__()
        self._wide: tuple[str, ...] = ()
        self._loose = False
        self._begin()

    def _begin(self) -> None:
        """Begin, or begin anew."""
        self.traces = self.redundant = 0
        self._given: deque[_Task] = deque()
        self._begun: deque[_Task] = deque([_Task(None)])
        self._planned: deque[_Task] = deque()
        # Points where something may be done now that could not be before.
        self._changed: dict[_Shared, None] = {}

    # --- handing out ----------------------------------------------------------------

    def next_errand(self) -> Errand | None:
        """Return the next errand; None if something must be learnt first, or nothing is left."""
        known = len(self._given) + len(self._begun) + len(self._planned)
        if len(self._given) in (AHEAD, known):
            return None
        task = (self._begun or self._planned).popleft()
        self._given.append(task)
        share = 0 if self._loose else max(0, AHEAD - known)
        if task.point is not None and not task.rest.points:
            self._begin_branch(task.point)
        steps = max(1, SLICE_STEPS * min(known, AHEAD) // AHEAD)
        routes = () if task.point is None else tuple(task.point.routes)
        return Errand(self._above(task), task.rest, steps, share, routes, self._wide)

    def _begin_branch(self, point: _Shared) -> None:
        branch = self._next(point)
        assert branch is not None
        self._run_next(point, branch)
        point.due = False

    def _above(self, task: _Task) -> Pack:
        """Pack what whoever does a task has to know of the points above it."""
        if task.point is None:
            return _NOTHING
        line = task.point.line
        points = [_passed(point, below.by) for point, below in pairwise(line)]
        points.append(_passed(line[-1], task.by) if task.rest.points else _at_branch(line[-1]))
        return Packer(self.kinds).pack(points, [choice for point in line for choice in point.choices])

    # --- learning -------------------------------------------------------------------

    def count(self, report: Report) -> None:
        """Learn the counts alone."""
        self.declared = self.declared and report.declared
        self.whole = self.whole and report.whole
        self.traces += report.traces
        self.redundant += report.redundant

    def learn(self, report: Report) -> bool:
        """Learn what came of the oldest errand; return whether those that follow still count."""
        self.count(report)
        task = self._given.popleft()
        self._wide = report.wide
        self._loose = self._loose or report.loose
        if report.anew:
            self._begin()
            return False
        line = [] if task.point is None else task.point.line
        self._changed = dict.fromkeys(line)
        point, by = self._take_branch(task, report)
        point, by = self._take_over(point, by, report, begun=bool(task.rest.points))
        for at, steps in Unpacker(self.kinds, report.out).orders():
            self._ask(line[at], steps)
        if report.rest.points:
            self._begun.append(_Task(point, by, report.rest))
        elif report.done and point is not None:
            self._is_done(point, by)
        while self._changed:
            self._go_on(self._changed.popitem()[0])
        self.exhausted = not (self._given or self._begun or self._planned)
        return True

    def _take_branch(self, task: _Task, report: Report) -> tuple[_Shared | None, Label]:
        """Note what the branch of a task was, if it was taken for the first time."""
        point = task.point
        if point is None or task.rest.points:
            return point, task.by
        branch = Unpacker(self.kinds, report.branch).points(Point)[0]
        point.taken = branch.taken
        point.waiting += branch.waiting
        return point, _NOBODY if branch.taken is None else branch.taken.label

    def _take_over(
        self, above: _Shared | None, by: Label, report: Report, *, begun: bool
    ) -> tuple[_Shared | None, Label]:
        """Take over the points that somebody gives away; return the last one, and the step that was taken there."""
        points = Unpacker(self.kinds, report.shared).points(_Shared)
        choices = report.shared.choices
        base = first = 0 if above is None else above.base
        # A branch that was begun before was taken long ago.
        taken = [above] if above is not None and not begun else []
        for point in points:
            point.above, point.by, point.busy, point.below, point.due = above, by, {}, {}, False
            point.choices = choices[base - first : point.base - first]
            base = point.base
            if above is not None:
                above.below[by] = point
            above, by = point, _NOBODY if point.taken is None else point.taken.label
            if point.taken is not None:
                taken.append(point)
            elif point.running is not None:
                # Only the last one: what it was about to do may be anybody's.
                point.running.waiting, point.waiting = point.waiting, []
                point.plan.insert(0, point.running)
                point.running = None
        for point in taken:
            if point.taken is not None:
                point.busy[point.taken.label] = None
            self._finish(point, done=True)
        for point in points:
            self._age(point)
            self._changed[point] = None
        return above, by

    def _age(self, point: _Shared) -> None:
        """Note which steps that sleep at a point are young no more since somebody was sent there."""
        above = point.above
        known = {**above.young, **above.busy} if above is not None else {}
        point.young = {label: None for label in point.young if label in known}

    def _is_done(self, above: _Shared, by: Label) -> None:
        """Note that all behind a step was searched: it is young no more where it sleeps behind its siblings."""
        above.busy.pop(by, None)
        left = [above]
        while left:
            for point in left.pop().below.values():
                if by in point.young:
                    del point.young[by]
                    self._changed[point] = None
                    left.append(point)

    def _ask(self, point: _Shared, steps: list[Taken]) -> None:
        """Plan an order at a shared point, unless that was asked for before."""
        asked = tuple([step.mark for step in steps])
        if asked not in point.asked:
            point.asked[asked] = None
            self._plan(point, steps)

    def _plan(self, node: Point, steps: list[Taken]) -> None:
        """Plan an order at a shared point; if a step covers it behind which somebody young sleeps, plan it there."""
        left = [(node, steps)]
        while left:
            node, steps = left.pop()
            assert isinstance(node, _Shared)
            label = coverer(self.kinds, node.sleep, steps)
            if label is None and node.running is not None:
                # It may be covered by what runs.
                node.waiting.append(steps)
            elif label is None:
                insert(self.kinds, node.plan, steps)
                self._changed[node] = None
            else:
                left += _handed_down(node, label, steps)

    def _go_on(self, point: _Shared) -> None:
        """Hand out what is planned next at a point; where nothing can be any more, what it hangs on is done."""
        if point.due or point.running is not None or (point.busy and not point.plan):
            return
        branch = self._next(point)
        if branch is not None:
            # Until then it is planned: more may be asked for behind it.
            point.plan.insert(0, branch)
            point.due = True
            self._planned.append(_Task(point))
        elif not point.busy and not point.young and point.above is not None:
            above = point.above
            if above.below.pop(point.by, None) is not None:
                self._is_done(above, point.by)
                self._changed[above] = None


def _handed_down(point: _Shared, label: Label, steps: list[Taken]) -> list[tuple[Point, list[Taken]]]:
    """Return where an order is to be planned that a step covers: behind that, or behind each way in which it may
    choose; nowhere if nobody young sleeps there, or nothing is left of it."""
    task, values = label
    at = next((at for at, step in enumerate(steps) if step.task == task), -1)
    rest = steps[:at] + steps[at + 1 :] if at >= 0 else steps
    together = bool(values) and not (at >= 0 and steps[at].values == values)
    return [
        (below, rest)
        for each, below in point.below.items()
        if rest and below.young and (each == label or (together and each[0] == task))
    ]


def _passed(point: _Shared, by: Label) -> Point:
    """Return what is to be known of a point that one comes by, on the way to what is behind a step."""
    routes = point.routes
    sleep = {label: taken for label, taken in point.sleep.items() if label not in routes}
    passed = Point(sleep, [], point.base)
    passed.taken = point.sleep[by]
    return passed


def _at_branch(point: _Shared) -> Point:
    """Return what is to be known of a point where a branch is to be taken."""
    branch = Point(point.sleep, [], point.base)
    branch.running, branch.loose = point.running, point.loose
    branch.waiting, point.waiting = point.waiting, []
    branch.young = {**point.young, **point.busy}
    return branch
