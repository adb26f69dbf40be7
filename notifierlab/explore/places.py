"""Where a search over states has been: the states it knows, and the choices of its current run."""

from notifierlab.explore.fingerprint import Portrait

Touches = dict[str, int]
"""What steps touch: for each object the modes that conflict with that, as bits."""


class Known:
    """What is known of a state: who may run, and who of them was not tried since it slept.

    `alone` is the task whose step there is private, if it was tried for all.
    """

    __slots__ = ("alone", "asleep", "number", "ready")

    def __init__(self, ready: tuple[int, ...], asleep: frozenset[int], number: int) -> None:
        self.number = number
        self.ready = ready
        self.asleep = asleep
        self.alone: int | None = None


class Choice:
    """A choice of the current run, and what is still to be tried there.

    `names` are the tasks on offer, none if it is of a value. `before` is the state with
    all that is asleep in it; `begun` the choice of a task that began the step in which a
    value is chosen. `touched` is what the steps of the task now taken touch, as far as known.
    `spare` need not be tried as long as all steps of the task now taken are private.
    `depth` states had been visited by then, and `steps` had been taken.
    """

    __slots__ = (
        "before",
        "begun",
        "depth",
        "done",
        "known",
        "left",
        "names",
        "options",
        "public",
        "sleep",
        "spare",
        "steps",
        "taken",
        "touched",
    )

    def __init__(
        self,
        options: int,
        names: tuple[str, ...],
        todo: list[int],
        before: Portrait,
        sleep: dict[str, Touches],
        begun: "Choice | None",
    ) -> None:
        self.options = options
        self.names = names
        self.taken = todo[0]
        self.left = todo[1:]
        self.done = 0
        self.spare: list[int] = []
        self.public = False
        self.before = before
        self.sleep = sleep
        self.begun = begun
        self.touched: Touches | None = None
        self.known: Known | None = None
        self.depth = 0
        self.steps = 0

    def next(self) -> bool:
        """Take what is next; the task that was tried sleeps from now on."""
        if self.names and self.touched is not None:
            self.sleep[self.names[self.taken]] = self.touched
        self.touched = None
        self.done += 1
        if not self.left:
            return False
        self.taken = self.left.pop(0)
        return True

    def spare_others(self, task: int) -> None:
        """Try nobody else: the step of `task` is private."""
        assert self.known is not None
        self.known.alone = task
        self.spare, self.left = self.left, []

    def publish(self) -> None:
        """Try the others after all, now and whenever the step taken turns out private."""
        self.public = True
        if self.spare:
            assert self.known is not None
            self.known.alone = None
            self.left, self.spare = self.spare, []


def firsts(tasks: list[int], wanted: list[int]) -> list[int]:
    """Return where each of `wanted` stands first in `tasks`."""
    return list(dict.fromkeys(tasks.index(task) for task in wanted))
