"""A part of a search by `dpor`: what lies below one branch of a point that several share.

Whoever searches there is given the points above, down to the one with the branch, and what
sleeps at them. It searches as if there were nothing else. An order that one of its races
asks for at a point above is not for it to try: it is sent out (`Report.out`), unless what
sleeps there covers it.

The points behind the branch at which somebody still sleeps whose own subtree is not done
(*young*) are not for it either: others will ask for orders there. They become shared.
It works for so many steps at a time, and what is left then is a value again. If others have
too little to do, the topmost points where something is planned become shared as well:

    shared    ─┐                              shared    ─┐
    shared     │ given                        shared     │
               ├── branch                                ├── branch
    young     ─┐                              shared now ┤
    own        │ planned: others    →         shared now │ what is planned here, others take
    own        │                                         ├── branch
    own        │                              own       ─┐
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from notifierlab.explore.dpor import Dpor
from notifierlab.explore.fingerprint import end_of
from notifierlab.explore.happens import Label, Taken
from notifierlab.explore.packing import Pack, Packer, Unpacker
from notifierlab.explore.wakeup import Branch, coverer, Point
from notifierlab.machine.sched import Machine

if TYPE_CHECKING:
    from notifierlab.explore.run import RunResult


class Errand(Struct, frozen=True):
    """What to search: below the branch that runs at the last point `above`, whose own points are `rest`,
    none where it is not begun.

    `steps` is how many to take, about; `share` how many points with something planned to
    give away if more is left then. `routes` are the steps asleep at the last point above behind which others may
    still ask for orders; at the points before, such steps are left out. `wide` are the
    tasks known to wait for several objects. `ends` asks for the states in which orders end.
    """

    above: Pack
    rest: Pack
    steps: int
    share: int = 0
    routes: tuple[Label, ...] = ()
    wide: tuple[str, ...] = ()
    ends: bool = False


class Report(Struct, frozen=True):
    """What came of it: the counts of `Dpor`, and what others must know.

    `branch` is the last point above, after its branch was taken for the first time: what it
    was, and what was planned in vain. `out` are the orders asked for above. `shared` are
    points that were its own or young, `rest` those that still are its own; it may be `done` with those.
    `wide` are tasks found to wait for several objects; `anew` says that this comes too
    late, or that a step was found to be loose, so that the search must begin anew. `ends` are the
    states in which orders ended, if that was asked for (`end_of`).
    """

    traces: int
    redundant: int
    declared: bool
    whole: bool
    branch: Pack
    out: Pack
    done: bool
    shared: Pack
    rest: Pack
    wide: tuple[str, ...] = ()
    loose: bool = False
    anew: bool = False
    ends: tuple[str, ...] = ()


class Above(Point):
    """A point above, number `at`."""

    __slots__ = ("at",)
    at: int


class Below(Dpor):
    """The strategy. Its `new_run` tells whether it is ready for a run, or done."""

    def __init__(self, errand: Errand) -> None:
        super().__init__()
        self._errand = errand
        self._wide.update(dict.fromkeys(errand.wide))
        self._anew = self._loose = False
        self._out: list[tuple[int, list[Taken]]] = []
        self._ends: dict[str, None] = {}
        above = Unpacker(self.kinds, errand.above).points(Above)
        for at, point in enumerate(above):
            # What else may run there is not for us to try.
            point.at, point.explored = at, True
        rest = Unpacker(self.kinds, errand.rest).points(Point)
        self._fresh = bool(above) and not rest
        self._begun = bool(above or rest)
        self._stack += [*above, *rest]
        self._floor = self._given = len(above)
        self._prefix = self._choices = errand.above.choices + errand.rest.choices

    def new_run(self) -> bool:
        """Go to where the next run departs; return whether there is one."""
        if self._fresh and self._runs == 1:
            self._pass_branch()
            young = (at for at in range(self._given, len(self._stack)) if not self._stack[at].young)
            self._floor = next(young, len(self._stack))
        return not self._anew and super().new_run()

    def begin_run(self, machine: Machine) -> None:
        """See the machine of the run that begins."""
        super().begin_run(machine)
        machine.noting = self._errand.ends

    def end_run(self, result: "RunResult") -> None:
        """Learn from a run that ended."""
        traces = self.traces
        super().end_run(result)
        if self._errand.ends and self.traces > traces:
            assert self._machine is not None
            self._ends[end_of(self._machine)] = None

    def report(self) -> Report:
        """Give up what is left; a run was made."""
        if not self.exhausted:
            self.new_run()
        stack, given = self._stack, self._given
        # Points from here on stay its own.
        own = len(stack) if self._anew or self.exhausted else self._own()
        return Report(
            self.traces,
            self.redundant,
            self.declared,
            self.whole,
            Packer(self.kinds).pack(self._branch()),
            Packer(self.kinds).pack((), (), self._out),
            self.exhausted,
            self._packed(given, own),
            self._packed(own, len(stack)),
            tuple(self._wide),
            self._loose,
            self._anew,
            tuple(self._ends),
        )

    def given_up(self) -> Report:
        """Return the counts alone: somebody ended a run in its middle."""
        nothing = Pack()
        counts = self.traces, self.redundant, self.declared, False
        return Report(*counts, branch=nothing, out=nothing, done=False, shared=nothing, rest=nothing)

    def _branch(self) -> list[Point]:
        """Return what is to be known of the last point above, if the branch was taken there for the first time."""
        if not self._fresh or self._anew:
            return []
        point = self._stack[self._given - 1]
        branch = Point({}, [], point.base)
        branch.taken, branch.waiting = point.taken, point.waiting
        return [branch]

    def _packed(self, begin: int, end: int) -> Pack:
        """Pack the points of the stack from `begin` to `end`; choices lead there from the point before."""
        points = self._stack[begin:end]
        if not points:
            return Pack()
        base = self._stack[begin - 1].base if begin else 0
        return Packer(self.kinds).pack(points, self._choices[base : points[-1].base])

    def _own(self) -> int:
        """Return the number of the first point that is not to be shared."""
        share = 0 if self._loose else self._errand.share
        own = self._floor
        for at in range(self._floor, len(self._stack)):
            if share <= 0:
                break
            point = self._stack[at]
            if point.plan or point.open or point.waiting:
                share -= 1
                own = at + 1
        return own

    # --- where it differs from a search of all ---------------------------------------

    def _plan(self, node: Point, steps: list[Taken]) -> None:
        if not isinstance(node, Above):
            super()._plan(node, steps)
        elif coverer(self.kinds, node.sleep, steps) in (None, *self._errand.routes):
            self._out.append((node.at, steps))

    def _plan_races(self, result: "RunResult") -> None:
        if self._fresh and self._runs == 1:
            self._pass_branch()
        super()._plan_races(result)

    def _pass_branch(self) -> None:
        """Make the last point above one like others, now that its branch was taken."""
        for label in self._errand.routes:
            self._stack[self._given - 1].sleep.pop(label, None)

    def _plan_everybody(self, node: Point, names: Sequence[str]) -> None:
        if not isinstance(node, Above):
            super()._plan_everybody(node, names)

    def _next(self, node: Point) -> Branch | None:
        return None if isinstance(node, Above) else super()._next(node)

    def _loosen(self, node: Point) -> None:
        """Have everybody tried at a point; nobody else may rely on what sleeps there then."""
        self._loose = True
        if self._floor:
            self._anew = True
        else:
            super()._loosen(node)

    def _saw_wider(self) -> bool:
        known = len(self._wide)
        wider = super()._saw_wider()
        self._anew = self._anew or (self._begun and len(self._wide) > known)
        return wider or self._anew

    def _begin_anew(self) -> None:
        """Leave it to whoever gave the errand."""
        self._anew = True
