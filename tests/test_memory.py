"""What the checker remembers, as a value: after runs that are remembered alike the same events break the same rules."""

import ast
import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from notifierlab import events as ev
from notifierlab.checker import Checker, core, memory, state, tasks
from notifierlab.checker.rules import Judge
from notifierlab.events import Event, PAGE_SIZE
from tests.event_list import END, Log, PFN, PTL, VA

LOOKUPS: Final = {"host": ("l0", "l1"), "device": ()}
LOCKS: Final = (
    ("mmu_lock", "mmu_lock"),
    ("own", "drivers_own"),
    (PTL, "pte_lock"),
    ("mm0.mmap_sem", "mmap_sem"),
    ("file0.i_mmap_lock", "i_mmap_lock"),
)
FIELDS: Final[dict[str, tuple[Any, ...]]] = {
    "pfn": (PFN, 8),
    "gen": (1, 2),
    "holder": ("mm0", "kvm0"),
    "va": (VA, END),
    "start": (VA,),
    "end": (END, END + PAGE_SIZE),
    "mm": ("mm0",),
    "mmu": ("kvm0", "gru0"),
    "owner": ("kvm0", "file0"),
    "field": ("count",),
    "counter": ("count",),
    "value": ("0", "1"),
    "win": ("w0", "w1", ""),
    "notify": ("window", "page", "none"),
    "ptl": (PTL,),
    "callback": ("start", "end", "page", "release", "young"),
    "result": (0, 1, -4),
    "lookup": ("l0", "l1", ""),
    "cpu": ("kvm0.vcpu0", "gru0.ctx0"),
    "flush": ("f0", "f1"),
    "mode": ("write", "read"),
    "how": ("wait", "nest"),
    "users": (0, 1),
    "count": (0, 1, 2),
    "vma": ("vma0", "vma1"),
    "mapping": ("file0", ""),
    "anon_vma": ("av0", ""),
    "context": ("process", "interrupt"),
    "name": ("device",),
}
BOOLEANS: Final = ("write", "dirty", "cleared", "pinned", "ready", "tagged", "notifiers")
# What these speak of goes by more than what is remembered as a value (see Checker.memory).
OTHERWISE: Final = ("data-race", "livelock", "lock-order")
LEFT_OUT: Final = {
    # Order, counted over the whole run or search, for the rules above.
    "DataRace": "",
    "LockOrder": "",
    "Livelock": "",
}
KINDS: Final = [
    kind for kind in ev.EVENTS if kind not in (ev.Deadlocked, ev.StepsExhausted, ev.Interrupted, ev.TaskRaised)
]


def drawn(draw: random.Random, step: int) -> Event:
    """Return an event of any kind, of few things."""
    kind = draw.choice(KINDS)
    values: dict[str, Any] = {}
    lock, cls = draw.choice(LOCKS)
    for field in kind.__struct_fields__:
        if field in ("lock", "cls"):
            values[field] = {"lock": lock, "cls": cls}[field]
        elif field in BOOLEANS:
            values[field] = draw.random() < 0.5
        else:
            values[field] = draw.choice(FIELDS.get(field, ("x",)))
    return kind(**{**values, "step": step, "task": draw.choice(("host", "device"))})


def fed(events: Sequence[Event], checker: Checker) -> list[tuple[str, tuple[str, ...]]]:
    """Return what is broken, but for rules that go by more."""
    checker.begin()
    checker.feed_all(events)
    return [(broken.rule, broken.objects) for broken in checker.violations if broken.rule not in OTHERWISE]


@pytest.mark.slow
@pytest.mark.parametrize("strict", [False, True])
def test_after_what_is_remembered_alike_the_same_is_broken(strict: bool) -> None:
    """Random events, most of them nonsense: the more ways there are to come to one memory."""
    draw = random.Random(int(strict))
    checker = Checker({"smp": True}, strict=strict, ledger=False)
    begun = Log().events
    ways: dict[Any, list[list[Event]]] = {}
    for _ in range(6000):
        events = [*begun, *[drawn(draw, len(begun) + n) for n in range(draw.randrange(1, 6))]]
        fed(events, checker)
        ways.setdefault(checker.memory(LOOKUPS), []).append(events)
    pairs = 0
    for some in ways.values():
        for first, second in pairwise(some[:12]):
            known = (*fed(first, checker), *fed(second, checker))
            for _ in range(4):
                rest = [drawn(draw, 100 + n) for n in range(6)]
                new = [
                    sorted(broken for broken in fed([*events, *rest], checker) if broken not in known)
                    for events in (first, second)
                ]
                assert new[0] == new[1], f"{first[len(begun) :]}\n{second[len(begun) :]}\n{rest}"
            pairs += 1
    assert pairs > 500


@pytest.mark.slow
@pytest.mark.parametrize("part", range(3))
def test_without_a_part_of_it_something_else_is_broken_then(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison has teeth: without what is known of mms, of MMUs or of frames it fails."""
    whole = memory.memory_of

    def forgetful(*args: Any) -> Any:
        parts = whole(*args)
        assert isinstance(parts, tuple)
        return (*parts[:part], *parts[part + 1 :])

    monkeypatch.setattr(core, "memory_of", forgetful)
    with pytest.raises(AssertionError, match=r"host|device"):
        test_after_what_is_remembered_alike_the_same_is_broken(strict=False)


def names_in(path: str | None) -> dict[str, None]:
    """Return the attributes that a module names."""
    assert path is not None
    tree = ast.parse(Path(path).read_text())
    return {node.attr: None for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def test_all_that_the_world_keeps_is_remembered_or_said_not_to_count() -> None:
    not_asked = {
        "Mm": ("changes", "forgotten"),
        "Mmu": ("invalidations", "forgotten"),
        # A spinlock is known by its class, the classes and the highest rank by the locks.
        "Task": ("classes", "number", "spins", "top", "unranked"),
        "Frame": ("reach",),
        "Translation": ("mmu",),
        "Delivered": ("tick",),
        "Held": ("cls", "rank"),
        "Removal": ("step",),
    }
    named = names_in(memory.__file__)
    for record in (*_records(state), *_records(tasks)):
        fields: Any = getattr(record, "__struct_fields__", None) or getattr(record, "__slots__", ())
        for field in fields:
            assert field in named or field in not_asked.get(record.__name__, ()), f"{record.__name__}.{field}"


def _records(room: Any) -> list[type]:
    things = vars(room).values()
    return [thing for thing in things if isinstance(thing, type) and thing.__module__ == room.__name__]


@pytest.mark.parametrize("judge", core.JUDGES, ids=lambda judge: judge.rule.id)
def test_whoever_keeps_something_of_the_run_says_what(judge: type[Judge]) -> None:
    keeps = judge.begin is not Judge.begin
    assert (judge.memory is not Judge.memory) == (keeps and judge.__name__ not in LEFT_OUT)
