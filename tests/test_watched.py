"""What tasks share tells a recording machine of itself, and nobody else pays for it."""

from typing import Any

import pytest

from notifierlab.machine.access import Mode
from notifierlab.machine.plain import NotPlainError, plain
from notifierlab.machine.watched import bare, lab_dict, lab_list, put_bare, watch, Watched

R, W, I = Mode.READ, Mode.WRITE, Mode.INSERT  # noqa: E741 - as in the tables of modes


class Ear:
    """Hears touches, and what is shown."""

    def __init__(self, *, recording: bool = True) -> None:
        self.records = self.recording = self.noting = recording
        self.quiet: list[Any] = []
        self.incarnations: dict[str, int] = {}
        self.heard: list[tuple[str, Mode]] = []
        self.seen: dict[str, object] = {}

    def touch(self, name: str, mode: Mode) -> None:
        self.heard.append((name, mode))

    def shows(self, name: str, value: object) -> None:
        self.seen[name] = plain(value)


class Slotted(Watched):
    WATCHED = ("count", "owner")
    __slots__ = ("constant", "count", "owner")

    def __init__(self) -> None:
        self.constant = 1
        self.count = 0
        self.owner: object = None


class Open(Watched):
    WATCHED = ("count",)

    def __init__(self) -> None:
        self.count = 0


def test_a_look_and_a_change_are_heard_with_the_name_of_the_field() -> None:
    for kind in (Slotted, Open):
        ear = Ear()
        thing = watch(kind(), ear, "thing")
        thing.count += 1
        assert thing.count == 1
        assert ear.heard == [("thing.count", R), ("thing.count", W), ("thing.count", R)]


def test_a_field_that_is_not_watched_tells_nothing() -> None:
    ear = Ear()
    assert watch(Slotted(), ear, "thing").constant == 1
    assert ear.heard == []


def test_what_stands_there_already_is_no_change() -> None:
    ear = Ear()
    thing = watch(Slotted(), ear, "thing")
    thing.count = 0
    thing.owner = None
    thing.count = 2
    # An equal value of another type is another value.
    thing.count = True
    assert [mode for _, mode in ear.heard] == [R, R, W, W]


def test_whoever_knows_more_touches_by_hand() -> None:
    ear = Ear()
    for thing in (watch(Slotted(), ear, "thing"), Slotted()):
        put_bare(thing, "count", 7)
        assert bare(thing, "count") == 7
    assert ear.heard == []


def test_nobody_who_does_not_record_gets_anything_but_the_plain_thing() -> None:
    deaf = Ear(recording=False)
    thing = Slotted()
    assert watch(thing, deaf, "thing") is thing
    assert type(thing) is Slotted
    assert type(lab_list(deaf, "list")) is list
    assert type(lab_dict(deaf, "dict")) is dict


def test_a_watched_object_is_still_of_its_class() -> None:
    thing = watch(Slotted(), Ear(), "thing")
    assert isinstance(thing, Slotted)
    assert type(thing).__name__ == "Slotted"


def test_a_list_tells_of_itself_as_a_whole() -> None:
    ear = Ear()
    items: list[int] = lab_list(ear, "list")
    for change in (
        lambda: items.append(1),
        lambda: items.insert(0, 2),
        items.pop,
        items.clear,
        lambda: items.extend([3]),
    ):
        ear.heard.clear()
        change()
        assert ear.heard == [("list", W)]
    for look in (
        lambda: len(items),
        lambda: items[0],
        lambda: list(items),
        lambda: 3 in items,
        lambda: tuple(items),
        lambda: bool(items),
    ):
        ear.heard.clear()
        look()
        assert ("list", R) in ear.heard
        assert {mode for _, mode in ear.heard} == {R}


def test_a_dict_tells_of_each_key_by_itself() -> None:
    ear = Ear()
    table: dict[int, str] = lab_dict(ear, "dict")
    table[1] = "one"
    assert ear.heard == [("dict[1]", W), ("dict", I)]
    ear.heard.clear()
    assert table.get(2) is None
    assert 1 in table
    table[1] = "one"
    assert ear.heard == [("dict[2]", R), ("dict[1]", R), ("dict[1]", R)]
    ear.heard.clear()
    table[1] = "uno"
    assert table.setdefault(1, "") == "uno"
    assert table.pop(3, None) is None
    assert ear.heard == [("dict[1]", W), ("dict[1]", R), ("dict[3]", R)]
    ear.heard.clear()
    del table[1]
    assert ear.heard == [("dict[1]", W), ("dict", I)]


def test_going_through_a_dict_looks_at_all_of_it() -> None:
    ear = Ear()
    table: dict[int, str] = lab_dict(ear, "dict")
    table[1] = "one"
    for look in (lambda: list(table), lambda: list(table.items()), lambda: sorted(table.values()), lambda: {**table}):
        ear.heard.clear()
        look()
        assert ("dict", R) in ear.heard
        assert ("dict[1]", R) in ear.heard
    ear.heard.clear()
    assert table
    assert ear.heard == [("dict", R)]


def test_a_key_with_a_name_is_known_by_it() -> None:
    class Named:
        name = "kvm0"

    ear = Ear()
    table: dict[Named, int] = lab_dict(ear, "nodes")
    table[Named()] = 1
    assert ear.heard[0] == ("nodes[kvm0]", W)


def test_with_each_change_goes_what_is_to_be_seen_from_then_on() -> None:
    ear = Ear()
    thing = watch(Slotted(), ear, "thing")
    assert ear.seen == {"thing.count": ("int", 0), "thing.owner": None}
    thing.count = 2
    thing.owner = watch(Open(), ear, "open")
    put_bare(thing, "count", 3)
    assert ear.seen == {"thing.count": ("int", 3), "thing.owner": ("@", "open"), "open.count": ("int", 0)}


def test_what_takes_the_place_of_another_has_a_name_of_its_own() -> None:
    ear = Ear()
    first, second = watch(Open(), ear, "open"), watch(Open(), ear, "open")
    second.count = 1
    first.count = 5
    assert ear.seen == {"open.count": ("int", 5), "open#2.count": ("int", 1)}


def test_containers_show_what_is_in_them() -> None:
    ear = Ear()
    numbers: list[int] = lab_list(ear, "list")
    table: dict[str, int] = lab_dict(ear, "dict")
    assert ear.seen == {"list": (), "dict": ()}
    numbers.append(1)
    table["a"] = 1
    table.setdefault("b", 2)
    assert ear.seen == {
        "list": (("int", 1),),
        "dict": ("dict[a]", "dict[b]"),
        "dict[a]": ("int", 1),
        "dict[b]": ("int", 2),
    }
    table["a"] = 3
    del table["b"]
    numbers.clear()
    assert (ear.seen["dict[a]"], ear.seen["dict[b]"]) == (("int", 3), "absent")
    assert (ear.seen["dict"], ear.seen["list"]) == (("dict[a]",), ())
    table.pop("a")
    table.clear()
    assert ear.seen["dict"] == ()


def test_who_only_hears_touches_is_shown_nothing() -> None:
    ear = Ear()
    ear.noting = False
    thing = watch(Slotted(), ear, "thing")
    thing.count = 1
    table: dict[str, int] = lab_dict(ear, "dict")
    table["a"] = 1
    assert ear.seen == {}


@pytest.mark.parametrize(
    ("one", "other"),
    [(True, 1), (1, 1.0), ("1", 1), (None, ()), ((1, (2, 3)), (1, 2, 3)), (frozenset("ab"), ("a", "b"))],
)
def test_values_that_somebody_can_tell_apart_are_not_alike(one: object, other: object) -> None:
    assert plain(one) != plain(other)
    assert plain(one) == plain(one)


def test_a_thing_without_a_name_cannot_be_compared() -> None:
    with pytest.raises(NotPlainError):
        plain((1, object()))
