"""What a rule is, and what the judges of rules have in common.

A rule is a row of a table: a permanent id, the family (one room each), how bad it is when
broken, one sentence, and the invariant of the kernel reference that it puts to work. Its
judge is a class that holds that row; the class's docstring says what is verified and what
is not, and why. A judge asks for events by the names of its methods: `before_<event>` is
called before the world has changed by that event, `on_<event>` after.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cache
from typing import ClassVar, Final, TypeAlias

from msgspec import Struct

from notifierlab.checker.world import World
from notifierlab.events import Event, EVENTS, Violation

Handler: TypeAlias = Callable[[Event], None]
Chain: TypeAlias = tuple[Handler, ...]
Switches: TypeAlias = Mapping[str, bool | int | str]

WORST: Final = 0
CRITICAL: Final = 1
HIGH: Final = 2
MEDIUM: Final = 3
LOW: Final = 4


class Rule(Struct, frozen=True):
    """One thing that must hold. `severity` 0 is the worst; `inv` is INV-nn of the kernel
    reference, if it stands there; `strict` rules are judged on demand only."""

    id: str
    family: str
    severity: int
    sentence: str
    inv: int | None = None
    strict: bool = False


class Report:
    """Violations in the order in which they were found, each kind once."""

    __slots__ = ("_known", "disabled", "violations")

    def __init__(self, disabled: frozenset[str]) -> None:
        self.disabled = disabled
        self.begin()

    def begin(self) -> None:
        """Starts an empty report."""
        self.violations: list[Violation] = []
        self._known: dict[tuple[str, tuple[str, ...]], None] = {}

    def add(self, rule: str, event: Event, message: str, *objects: str) -> None:
        """Records that `rule` was broken at `event`, unless that is known of these objects."""
        if rule in self.disabled or (rule, objects) in self._known:
            return
        self._known[rule, objects] = None
        self.violations.append(Violation(rule, message, event.step, event.task, objects))


class Judge:
    """Base of the classes that judge one rule each.

    Whatever a judge keeps of the run that it judges, it makes in `begin`: one judge serves
    one run after the other.
    """

    rule: ClassVar[Rule]

    def __init__(self, world: World, report: Report, switches: Switches) -> None:
        self.world = world
        self.report = report
        self.switches = switches
        self.begin()

    def begin(self) -> None:
        """Knows nothing: a run begins."""

    def applies(self) -> bool:
        """Whether the rule holds under the switches of this run."""
        return True

    def broken(self, event: Event, message: str, *objects: str) -> None:
        """Records that this judge's rule was broken at `event`."""
        self.report.add(self.rule.id, event, message, *objects)

    def memory(self) -> Hashable:
        """What the judge knows besides the world and may still ask, as a value: from two runs in one world that are
        remembered alike, what comes next is judged alike."""
        return ()

    def at_end(self, last: Event) -> None:
        """Judges what can only be said at the end of a run that came to its end."""


TAGS: Final[dict[str, type[Event]]] = {str(kind.__struct_config__.tag): kind for kind in EVENTS}
"""Event types by the tag that stands in a log."""


class Chains(dict[type[Event], Chain]):
    """Who is called for which event, and in which order; `of` makes one when its type first comes."""

    def __init__(self, world: World | None, judges: Sequence[object]) -> None:
        super().__init__()
        self._listeners = (*judges, world)
        self._plan = _plan(tuple(type(listener) for listener in self._listeners))

    def tell(self, events: Sequence[Event]) -> None:
        """Calls whoever is to hear of these events."""
        for event in events:
            try:
                chain = self[type(event)]
            except KeyError:
                chain = self.of(type(event))
            for handler in chain:
                handler(event)

    def of(self, kind: type[Event]) -> Chain:
        """The chain of a type that has not come yet."""
        chain = tuple(getattr(self._listeners[n], name) for n, name in self._plan.get(kind, ()))
        self[kind] = chain
        return chain


@cache
def _plan(listeners: tuple[type, ...]) -> dict[type[Event], tuple[tuple[int, str], ...]]:
    """Which methods hear which event, as (number of the listener, name); the last listener is the world."""
    *judges, world = enumerate(listeners)
    plan = {}
    for tag, kind in TAGS.items():
        asked = [(n, judge, f"before_{tag}") for n, judge in judges]
        asked += [(n, listener, f"on_{tag}") for n, listener in (world, *judges)]
        plan[kind] = tuple((n, name) for n, listener, name in asked if hasattr(listener, name))
    return plan


def hexed(va: int) -> str:
    """An address as objects and messages write it."""
    return f"{va:#x}"
