"""The checker as a whole: its table, what it imports, and that no list of events upsets it."""

import ast
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

import notifierlab.checker
from notifierlab import events as ev
from notifierlab.checker import Checker, explain, RULES
from notifierlab.checker.core import JUDGES
from notifierlab.checker.rules import TAGS
from notifierlab.checker.world import World
from tests.event_list import END, Log, PFN, PTL, spoken, VA

ROOM = Path(notifierlab.checker.__file__).parent

FAMILIES = ("freeing", "windows", "locking", "lifetime", "flush", "books", "driver")


def imported(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            found |= (
                {f"{node.module}.{name.name}" for name in node.names} if node.module == "notifierlab" else {node.module}
            )
    return found


@pytest.mark.parametrize("file", sorted(ROOM.glob("*.py")), ids=lambda file: file.name)
def test_the_checker_imports_events_and_nothing_else(file: Path) -> None:
    for name in imported(file):
        ours = name.startswith(("notifierlab.checker", "notifierlab.events"))
        assert ours or name == "msgspec" or name.split(".")[0] in sys.stdlib_module_names, name


def test_every_rule_has_an_id_of_its_own_a_sentence_and_an_explanation() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.family in FAMILIES
        assert rule.sentence.endswith(".")
        assert "Verified:" in explain(rule.id)


def test_the_table_goes_family_by_family() -> None:
    assert list(dict.fromkeys(rule.family for rule in RULES)) == list(FAMILIES)


def test_freed_while_reachable_alone_is_the_worst() -> None:
    assert [rule.id for rule in RULES if rule.severity == 0] == ["freed-while-reachable"]


def test_every_invariant_of_the_reference_has_its_rule() -> None:
    assert {rule.inv for rule in RULES if rule.inv is not None} == set(range(1, 36))


@pytest.mark.parametrize("listener", [World, *JUDGES], ids=lambda listener: listener.__name__)
def test_every_method_that_listens_names_an_event(listener: type[object]) -> None:
    for name in dir(listener):
        when, _, tag = name.partition("_")
        if when in ("on", "before"):
            assert tag in TAGS, name


def found_twice() -> Log:
    log = Log()
    log.register()
    for _ in range(2):
        with log.holding("mm0.mmap_sem"):
            log.open("kvm0")
            log.map()
            log.unmap()
            log.close("kvm0")
    return log


def test_a_violation_of_the_same_objects_is_recorded_once() -> None:
    checker = Checker({})
    for event in found_twice().events:
        checker.feed(event)
    assert [violation.objects for violation in checker.violations] == [("kvm0", "0x10000")]


def test_a_violation_says_when_and_by_whom() -> None:
    checker = Checker({})
    log = found_twice()
    for event in log.events:
        checker.feed(event)
    (violation,) = checker.violations
    assert (violation.task, violation.rule) == ("host", "mapped-inside-window")
    assert log.events[violation.step] == next(event for event in log.events if isinstance(event, ev.SpteSet))


def test_a_disabled_rule_says_nothing() -> None:
    assert spoken(found_twice(), disabled=("mapped-inside-window",)) == []


VAS = st.sampled_from([VA, END, ev.Va(0), ev.Va(VA + 1), ev.ADDRESS_MAX])
NAMES = ["mm0", "mm1", "kvm0", "gru0", "a", "b", "win1", PTL, "pte_lock", "mmap_sem", "mm0.mmap_sem", "mine", "", "-3"]
KINDS = ["start", "end", "page", "young", "release", "change_pte", "write", "read", "wait", "try", "nest", "window"]
WORDS = st.sampled_from([*NAMES, *KINDS])
NUMBERS = st.sampled_from([-1, 0, 1, 2, PFN])


def anything(kind: type[ev.Event]) -> st.SearchStrategy[ev.Event]:
    by_type: dict[object, st.SearchStrategy[object]] = {
        str: WORDS,
        int: NUMBERS,
        bool: st.booleans(),
        ev.Va: VAS,
        tuple[ev.Waiting, ...]: st.just((ev.Waiting("a", "b", ()),)),
    }
    return st.builds(kind, **{name: by_type[type_] for name, type_ in fields_of(kind).items()})


def fields_of(kind: type[ev.Event]) -> dict[str, object]:
    return {
        name: type_
        for one in reversed(kind.__mro__)
        for name, type_ in getattr(one, "__annotations__", {}).items()
        if name in kind.__struct_fields__
    }


EVENT = st.one_of([anything(kind) for kind in ev.EVENTS])


@settings(max_examples=60, deadline=None)
@given(st.lists(EVENT, max_size=60), st.booleans())
def test_no_list_of_events_upsets_the_checker(events: list[ev.Event], strict: bool) -> None:
    checker = Checker({"smp": True}, strict=strict)
    for event in events:
        checker.feed(event)
    for violation in checker.finish(complete=True):
        assert violation.rule in {rule.id for rule in RULES}
    checker.ledger()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_list_that_was_cut_or_shuffled_is_judged(data: st.DataObject) -> None:
    log = Log()
    log.register(counter="count")
    log.map(tlb=True)
    with log.holding("mm0.mmap_sem"):
        log.open("kvm0")
        log.unmap(tlb=True)
        log.clear()
        log.close("kvm0")
    log.free()
    log.unregister()
    events = list(log.events)
    for _ in range(data.draw(st.integers(1, 5))):
        edit, n = data.draw(st.sampled_from(["drop", "swap", "twice"])), data.draw(st.integers(0, len(events) - 2))
        if edit == "drop":
            del events[n]
        elif edit == "swap":
            events[n], events[n + 1] = events[n + 1], events[n]
        else:
            events.insert(n, events[n])
    checker = Checker({}, strict=True)
    for event in events:
        checker.feed(event)
    checker.finish(complete=True)
    checker.ledger()


def kept(checker: Checker) -> list[dict[str, object]]:
    """What the checker and each of its listeners keep of a run."""
    ties = ("world", "_world", "report", "switches")
    listeners = [checker._report, checker._world, *checker._judges, checker._seer, checker._ledger]
    state = [{name: getattr(listener, name) for name in _names(listener) if name not in ties} for listener in listeners]
    return [*state, {"last": checker._last, "events": checker.events, "kinds": checker._kinds}]


def _names(listener: object) -> list[str]:
    return [*getattr(listener, "__slots__", ()), *getattr(listener, "__dict__", ())]


def everything() -> list[ev.Event]:
    """Every type of event, about every word."""
    made: dict[object, Any] = {int: PFN, bool: True, ev.Va: VA, tuple[ev.Waiting, ...]: ()}
    return [
        kind(**{name: made.get(type_, word) for name, type_ in fields_of(kind).items()})
        for word in [*NAMES, *KINDS]
        for kind in ev.EVENTS
    ]


def test_a_checker_that_begins_again_knows_nothing_of_the_run_before() -> None:
    checker = Checker({"smp": True}, strict=True)
    for event in everything():
        checker.feed(event)
    found = checker.finish(complete=True)
    before, copied = kept(checker), list(found)
    checker.begin()
    again = kept(checker)
    assert again == kept(Checker({"smp": True}, strict=True))
    assert found == copied
    for old, new in zip(before, again, strict=True):
        # What can change in place may be empty by luck: it must be another one.
        same = [name for name in new if new[name] is old[name] and isinstance(new[name], dict | list | set)]
        assert same == []
