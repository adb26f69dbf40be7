"""What a search by `dpor` does with its points and says of its runs, whether it is one or shared out."""

from collections.abc import Sequence

from notifierlab.explore.happens import Kinds, Taken
from notifierlab.explore.wakeup import Branch, covered, insert, Point


class Planning:
    """What is done with a point between two runs through it, and what the runs have come to.

    `traces` counts the orders executed, `redundant` the runs thrown away. `exhausted` says
    that no order is left, `declared` that the runs recorded all that tasks share, `whole` that none
    was cut short: together they are a proof.
    """

    def __init__(self) -> None:
        self.kinds = Kinds()
        self.traces = 0
        self.redundant = 0
        self.exhausted = False
        self.declared = True
        self.whole = True

    @property
    def proved(self) -> bool:
        """Tell whether every order that differs was executed."""
        return self.exhausted and self.declared and self.whole

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
        if self.exhausted:
            return f"{orders}, every one that differs{thrown}, but some were cut short"
        return f"{orders}, no two the same{thrown}; others are left"

    # --- points --------------------------------------------------------------------

    def _finish(self, node: Point, *, done: bool) -> None:
        """Put what ran at a point to sleep there, and plan the values it did not take."""
        running, taken = node.running, node.taken
        assert running is not None
        node.running = None
        waiting, node.waiting = node.waiting, []
        if done and taken is not None:
            node.explored = True
            node.sleep[taken.label] = taken
            if node.loosened:
                node.loose[taken.label] = None
            if taken.arity and not node.is_asleep(taken.task):
                if running.values is None or (running.leaf and not running.values):
                    closing = Branch(taken.task)
                    closing.waiting, waiting = waiting, []
                    node.plan.insert(0, closing)
                else:
                    must = running.values != taken.values or node.open.get(taken.task, False)
                    node.open[taken.task] = must
        node.loosened = False
        for steps in waiting:
            self._plan(node, steps)

    def _next(self, node: Point) -> Branch | None:
        """Take the next branch planned at a point, leaving out those that were covered since."""
        while node.plan:
            branch = node.plan.pop(0)
            if (branch.task, branch.values) not in node.sleep and not (branch.leaf and node.is_asleep(branch.task)):
                return branch
            for steps in branch.waiting:
                self._plan(node, steps)
        if not node.open:
            return None
        full = [task for task in dict.fromkeys(task for task, _ in node.sleep) if node.is_asleep(task)]
        for task, must in node.open.items():
            if task not in full and (must or not full or node.loose):
                return Branch(task)
        return None

    def _run_next(self, node: Point, branch: Branch) -> None:
        node.running = branch
        node.taken = None
        node.waiting, branch.waiting = branch.waiting, []

    def _plan(self, node: Point, steps: list[Taken]) -> None:
        """Plan an order at a point, unless it is covered there."""
        if not covered(self.kinds, node.sleep, steps):
            insert(self.kinds, node.plan, steps)

    def _plan_everybody(self, node: Point, names: Sequence[str]) -> None:
        planned = [branch.task for branch in node.plan if not branch.values]
        node.plan += [Branch(name) for name in names if name not in planned and not node.is_asleep(name)]
