"""How a search picks its next run, and a run its next choice.

A run is a function of its choices: who goes next at each step where more than one task
may, and the value of each `host.choose`. Choice 0 is always the calm one: carry on, no
fault. So a schedule is a list of small numbers, the empty list is the calmest run, and
what makes a schedule interesting is where it is not 0.

A choice is *free* where the current task cannot carry on: somebody else must go next
anyhow. Everywhere else, not taking 0 is a *deviation*: a preemption, or a fault.

A strategy sees a run through three doors: `new_run` (is there another, and from where),
`begin_run` (the machine, for a strategy that wants to know who is ready and what was
touched), `choose`; `end_run` hands it the result.
"""

import random
from array import array
from collections.abc import Iterator, Sequence
from typing import Final, Protocol, TYPE_CHECKING

from notifierlab.explore.estimate import Position
from notifierlab.machine.sched import LabError, Machine

if TYPE_CHECKING:
    from notifierlab.explore.run import RunResult


class Divergence(LabError):
    """A schedule met a choice that was not there when it was recorded."""


class Strategy(Protocol):
    """What the search asks for. One object serves all runs of one search."""

    name: str

    def new_run(self) -> bool:
        """Prepare the next run; return whether there is one."""

    def begin_run(self, machine: Machine) -> None:
        """See the machine of the run that begins."""

    def choose(self, options: int, carry_on: bool, is_value: bool) -> int:
        """Take one of `options`; `carry_on` and `is_value` as `machine.Decide` has them."""

    def end_run(self, result: "RunResult") -> None:
        """Learn from a run that ended."""


class Replay:
    """One run by its recorded choices; beyond them, the calm ones.

    When `strict`, a recorded choice that is not on offer is a `Divergence`; otherwise the
    calm choice is taken in its place.
    """

    name = "replay"

    def __init__(self, choices: Sequence[int] = (), *, strict: bool = True) -> None:
        self._choices = choices
        self._strict = strict
        self._next = 0
        self._runs = 0

    def new_run(self) -> bool:
        """Return true once: there is one run to replay."""
        self._runs += 1
        return self._runs == 1

    def begin_run(self, machine: Machine) -> None:
        """Start again at the first choice."""
        self._next = 0

    def choose(self, options: int, carry_on: bool, is_value: bool) -> int:
        """Take the recorded choice."""
        at = self._next
        self._next = at + 1
        if at >= len(self._choices):
            return 0
        choice = self._choices[at]
        if 0 <= choice < options:
            return choice
        if self._strict:
            raise Divergence(
                f"choice {at + 1} of the schedule takes option {choice}, but only {options} are on offer there; the "
                "scenario, driver or profile is not the one that was recorded, or it does not repeat itself"
            )
        return 0

    def end_run(self, result: "RunResult") -> None:
        """Learn nothing."""


class Calm(Replay):
    """The calmest run: everybody carries on, nothing fails."""

    name = "calm"

    def __init__(self) -> None:
        super().__init__(())


_FAULT_RATES: Final = (0.0, 0.0625, 0.25)
_SWITCH_RATES: Final = (1.0, 0.25, 0.0625, 0.015625)


class RandomWalk:
    """Draws each next task and each value; run `i` of seed `s` is run 0 of seed `s + i`.

    Drawn anew for each run is how restless it is: whether the next task is drawn evenly
    at each step, at one in 4, in 16 or in 64, and whether a value is not the calm one
    never, one time in 16, or one in 4. With a coin at each step hardly any task would come
    far while another stands, and hardly any run past its first fault.
    """

    name = "random"

    def __init__(self, seed: int = 0) -> None:
        self.first_seed = seed
        self._runs = 0
        self._random = random.Random(seed)
        self._draw = self._random.random
        self._fault_rate = 0.0
        self._switch_rate = 1.0

    @property
    def seed(self) -> int:
        """The seed that repeats the current run as a first run."""
        return self.first_seed + max(self._runs - 1, 0)

    def new_run(self) -> bool:
        """Return true: there is always another run."""
        self._runs += 1
        return True

    def begin_run(self, machine: Machine) -> None:
        """Seed the run. Python promises that `random()` of an int seed stays the same."""
        self._random.seed(self.seed)
        self._fault_rate = _FAULT_RATES[int(self._draw() * len(_FAULT_RATES))]
        self._switch_rate = _SWITCH_RATES[int(self._draw() * len(_SWITCH_RATES))]

    def choose(self, options: int, carry_on: bool, is_value: bool) -> int:
        """Draw."""
        draw = self._draw
        if is_value:
            return 0 if draw() >= self._fault_rate else 1 + int(draw() * (options - 1))
        if carry_on and self._switch_rate < 1.0 and draw() >= self._switch_rate:
            return 0
        return int(draw() * options)

    def end_run(self, result: "RunResult") -> None:
        """Learn nothing: runs are independent."""


FREE_MAX: Final = 8
"""How often an order departs at a free choice: from then on a choice costs, free or not.

Two tasks that try again, and let each other run, could do so for ever beside a third that was preempted,
without a further preemption."""


class _Record:
    """One run that was executed: its forced choices, and what was on offer after them.

    `options` has the options of every choice point from the end of `prefix` on, negative
    where the choice was free (see `Machine.options`). `cursor` and `option` say which
    alternative is next.
    """

    __slots__ = ("cursor", "option", "options", "prefix")

    def __init__(self, prefix: Sequence[int], options: Sequence[int]) -> None:
        self.prefix = array("H", prefix)
        self.options = array("h", options)
        self.cursor = 0
        self.option = 1

    def next_prefix(self, *, free: bool) -> "array[int] | None":
        """Return the next way to depart from this run, at a free choice or a paid one."""
        options = self.options
        while self.cursor < len(options):
            on_offer = options[self.cursor]
            if (on_offer < 0) == free and self.option < abs(on_offer):
                child = self.prefix + array("H", bytes(2 * self.cursor)) + array("H", (self.option,))
                self.option += 1
                return child
            self.cursor += 1
            self.option = 1
        return None

    def rewind(self) -> None:
        self.cursor = 0
        self.option = 1


class Bounded:
    """Every order with at most `bound` deviations: first 0, then 1, and so on.

    A schedule is written without its trailing zeros; each one is then the child of exactly
    one other (cut it before its last choice that is not 0), so a walk over that tree
    executes each order exactly once. A child that departs at a free choice belongs to
    the level of its parent, one that departs elsewhere to the next; and so does one that
    departs at a free choice after `FREE_MAX` others. Only executed runs are kept, and
    expanded when their turn comes.

    `counts[k]` is how many orders with exactly `k` deviations were executed, `finished`
    how many levels are complete; `exhausted` says that no level beyond has an order.
    """

    name = "bounded"

    def __init__(self, bound: int = 2) -> None:
        self.bound = bound
        self.counts: list[int] = [0]
        self.finished = 0
        self.exhausted = False
        self._prefix: array[int] = array("H")
        self._next = 0
        self._begun = False
        self._free: list[_Record] = []
        self._parents: list[_Record] = []
        self._children: list[_Record] = []
        # Ways to depart at a price: of this level, those taken, and of the next level.
        self._paid = 0
        self._paid_taken = 0
        self._paid_next = 0

    @property
    def prefix(self) -> Sequence[int]:
        """The forced choices of the current run."""
        return self._prefix

    @property
    def left(self) -> int | None:
        """About how many orders of this level are left, None if there is no telling yet."""
        if not self._paid_taken:
            return None
        return (self._paid - self._paid_taken) * self.counts[-1] // self._paid_taken

    def new_run(self) -> bool:
        """Take the next order of this level, else the first of the next one."""
        if not self._begun:
            self._begun = True
            return True
        prefix = self._next_prefix()
        if prefix is None:
            return False
        self._prefix = prefix
        return True

    def begin_run(self, machine: Machine) -> None:
        """Start at the first choice."""
        self._next = 0

    def choose(self, options: int, carry_on: bool, is_value: bool) -> int:
        """Follow the prefix, then stay calm."""
        at = self._next
        self._next = at + 1
        if at >= len(self._prefix):
            return 0
        choice = self._prefix[at]
        if choice >= options:
            raise Divergence(
                f"choice {at + 1} had more than {choice} options in an earlier run and has {options} now: the scenario "
                "or driver does not repeat itself (time, random numbers, the order of a set, state kept between runs?)"
            )
        return choice

    def end_run(self, result: "RunResult") -> None:
        """Keep what is needed to depart from this run later."""
        if result.ended == "interrupted":
            # Half an order: it is not counted, and nothing departs from it.
            return
        self.counts[-1] += 1
        if len(result.options) < len(self._prefix):
            raise Divergence(
                f"a run ended after {len(result.options)} choices where an earlier one had {len(self._prefix)}: the "
                "scenario or driver does not repeat itself (time, random numbers, state kept between runs?)"
            )
        rest = result.options[len(self._prefix) :]
        departed = sum(choice > 0 > on_offer for choice, on_offer in zip(self._prefix, result.options, strict=False))
        if departed >= FREE_MAX:
            rest = tuple(abs(on_offer) for on_offer in rest)
        if rest:
            record = _Record(self._prefix, rest)
            self._children.append(record)
            if min(rest) < 0:
                self._free.append(record)
            if len(self.counts) <= self.bound:
                self._paid_next += sum(on_offer - 1 for on_offer in rest if on_offer > 1)

    def progress(self) -> Position:
        """Say how far the current level is."""
        return Position(self.counts[-1], self.left, level=len(self.counts) - 1)

    def _next_prefix(self) -> "array[int] | None":
        while True:
            prefix = self._next_of(self._free, free=True)
            if prefix is None:
                prefix = self._next_of(self._parents, free=False)
                self._paid_taken += prefix is not None
            if prefix is not None:
                return prefix
            self._finish_level()
            if self.exhausted or self.finished > self.bound:
                return None
            self.counts.append(0)

    def _next_of(self, records: list[_Record], *, free: bool) -> "array[int] | None":
        while records:
            prefix = records[-1].next_prefix(free=free)
            if prefix is not None:
                return prefix
            records.pop().rewind()
        return None

    def _finish_level(self) -> None:
        """Let the runs of this level be the parents of the next, first ones first."""
        self.finished = len(self.counts)
        self._parents = [record for record in reversed(self._children) if max(record.options) > 1]
        self._children = []
        self._paid, self._paid_taken, self._paid_next = self._paid_next, 0, 0
        self.exhausted = not self._parents


class Subtree(Bounded):
    """Part of a level of `Bounded`: `roots`, and all that departs from them at free choices.

    The parts of a level, one after the other, are the level: the same orders in the same
    order. Prefixes and options are handed on as bytes, since that is what processes send.
    """

    def __init__(self, roots: Sequence[bytes]) -> None:
        super().__init__(0)
        self._roots = [array("H", root) for root in reversed(roots)]

    def new_run(self) -> bool:
        """Take the next order below the current root, else the next root."""
        prefix = self._next_of(self._free, free=True)
        if prefix is None and self._roots:
            prefix = self._roots.pop()
        if prefix is None:
            return False
        self._prefix = prefix
        return True

    def pending(self) -> list[bytes]:
        """Give up, and return the roots of what was not executed, in order."""
        left = []
        while (prefix := self._next_of(self._free, free=True)) is not None:
            left.append(prefix.tobytes())
        left += [root.tobytes() for root in reversed(self._roots)]
        self._roots = []
        return left

    @property
    def deeper(self) -> bool:
        """Whether the next level departs from one of these orders."""
        return any(max(record.options) > 1 for record in self._children)

    def parents(self) -> list[tuple[bytes, bytes]]:
        """Return what `departures` wants of each order from which the next level departs, in order."""
        return [
            (record.prefix.tobytes(), record.options.tobytes()) for record in self._children if max(record.options) > 1
        ]


def departures(prefix: bytes, options: bytes) -> Iterator[bytes]:
    """Iterate over the ways to depart at a price from an order that was executed, as prefixes."""
    record = _Record(array("H", prefix), array("h", options))
    while (child := record.next_prefix(free=False)) is not None:
        yield child.tobytes()


def departures_count(options: bytes) -> int:
    """Count the ways to depart at a price."""
    return sum(on_offer - 1 for on_offer in array("h", options) if on_offer > 1)


def deviations(choices: Sequence[int], options: Sequence[int]) -> int:
    """Count the choices that were neither calm nor free."""
    return sum(1 for choice, on_offer in zip(choices, options, strict=True) if choice and on_offer > 0)
