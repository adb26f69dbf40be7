"""Objects that tell a recording machine by themselves who looks at them and who changes them.

The host is written as plain code over plain objects. Whatever tasks share must be recorded
all the same, or a search leaves orders out that matter; and what is to be recorded by hand
is forgotten somewhere. So a shared object is *watched*: while a machine records, each look
at a field is a `READ` and each change a `WRITE` of `name.field`, and a list or dict that
tasks share is of a kind that says the same of itself. While nobody records, all of them
are what they look like: plain slots, lists and dicts, at no cost.

    a field               READ, WRITE; a value that stands there already is no change: READ
    a mark                likewise, but whoever makes it true does not look at it first: INSERT
    a list                READ and WRITE of the whole
    a dict, one key       READ and WRITE of `name[key]`
    a dict, all of it     READ of `name`; a key that comes or goes is an INSERT

Whoever knows more (references commute) says so and touches by hand (`bare`).

With each change goes what is to be seen from then on (`Machine.shows`), for a search that
compares states. An object that takes the place of another one, under the same name (a pte
where one stood before), has a number behind it: whoever still has the old one has another.
"""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final, Protocol, TypeVar

from notifierlab.machine.access import Mode
from notifierlab.machine.plain import ABSENT

K = TypeVar("K")
V = TypeVar("V")
W = TypeVar("W", bound="Watched")

_VALUES: Final = (int, str, tuple)


class Hears(Protocol):
    """What is told of touches: a machine.

    `records` says whether it ever wants to know, `recording` whether it does already; what is
    made before that is to be put in `quiet`, and made to tell later (`telling`). `noting` says
    whether it wants to know what is shown, `incarnations` how many things had a name.
    """

    quiet: list[Any]
    incarnations: dict[str, int]

    @property
    def records(self) -> bool: ...
    @property
    def recording(self) -> bool: ...
    @property
    def noting(self) -> bool: ...

    def touch(self, name: str, mode: Mode) -> None:
        """Take note of a touch."""

    def shows(self, name: str, value: object) -> None:
        """Take note of what is to be seen from now on."""


class Watched:
    """An object some of whose fields tasks share: those in `WATCHED`; `MARKS` of them are marks."""

    __slots__ = ("known_as", "shows", "tells")
    WATCHED: ClassVar[tuple[str, ...]] = ()
    MARKS: ClassVar[tuple[str, ...]] = ()

    known_as: str
    tells: Callable[[str, Mode], None]
    shows: Callable[[str, object], None] | None


def watch(thing: W, machine: Hears, name: str) -> W:
    """Let `machine` hear of the fields of `thing`, which it knows as `name`; return it.

    To be called when `thing` is made and nobody else has it. Does nothing unless the
    machine records.
    """
    if machine.records:
        n = machine.incarnations[name] = machine.incarnations.get(name, 0) + 1
        thing.known_as = name if n == 1 else f"{name}#{n}"
        thing.tells = machine.touch
        thing.shows = machine.shows if machine.noting else None
        if machine.noting:
            for field in thing.WATCHED:
                machine.shows(f"{thing.known_as}.{field}", getattr(thing, field))
        _begin(thing, machine)
    return thing


def _begin(thing: Any, machine: Hears) -> None:
    if machine.recording:
        thing.__class__ = telling(thing)
    else:
        machine.quiet.append(thing)


def telling(thing: Any) -> type[Any]:
    """Return of what class a thing is that has been quiet, when it tells."""
    kind: type[Any] = type(thing)
    return _TELLING.get(kind) or _watching(kind)


def bare(thing: Watched, field: str) -> Any:
    """Return the value of a field without a touch, for whoever touches by hand."""
    kind = type(thing)
    watching = kind.__dict__.get(field)
    return watching.peek(thing) if isinstance(watching, _WatchedField) else getattr(thing, field)


def put_bare(thing: Watched, field: str, value: object) -> None:
    """Set a field without a touch, for whoever touches by hand."""
    watching = type(thing).__dict__.get(field)
    if isinstance(watching, _WatchedField):
        watching.poke(thing, value)
        watching.show(thing, value)
    else:
        setattr(thing, field, value)


class _WatchedField:
    """One field of a watched object: the slot (or entry of `__dict__`) behind a touch."""

    def __init__(self, kind: type, field: str) -> None:
        slot = getattr(kind, field, None)
        self._field = field
        self._suffix = f".{field}"
        self._slot: Any = slot if hasattr(slot, "__set__") else None

    def peek(self, thing: Any) -> Any:
        return thing.__dict__[self._field] if self._slot is None else self._slot.__get__(thing)

    def poke(self, thing: Any, value: object) -> None:
        if self._slot is None:
            thing.__dict__[self._field] = value
        else:
            self._slot.__set__(thing, value)

    def show(self, thing: Any, value: object) -> None:
        if thing.shows is not None:
            thing.shows(thing.known_as + self._suffix, value)

    def __get__(self, thing: Any, kind: type) -> Any:
        thing.tells(thing.known_as + self._suffix, Mode.READ)
        return self.peek(thing)

    def __set__(self, thing: Any, value: object) -> None:
        thing.tells(thing.known_as + self._suffix, Mode.READ if is_same(self.peek(thing), value) else Mode.WRITE)
        self.poke(thing, value)
        self.show(thing, value)


class _Mark(_WatchedField):
    """A field that is made true without a look at it."""

    def __set__(self, thing: Any, value: object) -> None:
        if value is True:
            thing.tells(thing.known_as + self._suffix, Mode.INSERT)
            self.poke(thing, value)
            self.show(thing, value)
        else:
            super().__set__(thing, value)


def is_same(old: object, new: object) -> bool:
    """Tell whether to put `new` in the place of `old` changes nothing."""
    return old is new or (type(old) is type(new) and isinstance(new, _VALUES) and old == new)


_WATCHING: Final[dict[type[Watched], type[Any]]] = {}


def _watching(kind: type[Watched]) -> type[Any]:
    """Return the class of watched objects of `kind`: the same layout, with fields that tell."""
    watching = _WATCHING.get(kind)
    if watching is None:
        members: dict[str, object] = {
            field: (_Mark if field in kind.MARKS else _WatchedField)(kind, field) for field in kind.WATCHED
        }
        members |= {"__slots__": (), "__module__": kind.__module__}
        watching = _WATCHING[kind] = type(kind.__name__, (kind,), members)
    return watching


# --- containers -----------------------------------------------------------------------


def lab_list(machine: Hears, name: str) -> list[V]:
    """Return an empty list that tasks may share."""
    return _named(_QuietList(), machine, name) if machine.records else []


def lab_dict(machine: Hears, name: str) -> dict[K, V]:
    """Return an empty dict that tasks may share; nobody may care in which order its keys came."""
    return _named(_QuietDict(), machine, name) if machine.records else {}


def _named(thing: Any, machine: Hears, name: str) -> Any:
    thing.name = name
    thing.touch = machine.touch
    thing.shows = machine.shows if machine.noting else None
    if machine.noting:
        machine.shows(name, ())
    _begin(thing, machine)
    return thing


class _QuietList(list[V]):
    """A list that does not tell yet."""

    __slots__ = ("name", "shows", "touch")

    name: str
    touch: Callable[[str, Mode], None]
    shows: Callable[[str, object], None] | None


class _List(_QuietList[V]):
    """A list that tells of itself, as a whole."""

    __slots__ = ()


def _reading(method: str) -> Callable[..., Any]:
    plain = getattr(list, method)

    def tell(self: _List[Any], *args: Any) -> Any:
        self.touch(self.name, Mode.READ)
        return plain(self, *args)

    return tell


def _writing(method: str) -> Callable[..., Any]:
    plain = getattr(list, method)

    def tell(self: _List[Any], *args: Any) -> Any:
        self.touch(self.name, Mode.WRITE)
        answer = plain(self, *args)
        if self.shows is not None:
            self.shows(self.name, self)
        return answer

    return tell


for _method in ("__getitem__", "__iter__", "__len__", "__contains__", "index", "__eq__"):
    setattr(_List, _method, _reading(_method))
for _method in ("__setitem__", "__delitem__", "append", "insert", "remove", "pop", "clear", "extend", "sort"):
    setattr(_List, _method, _writing(_method))


class _QuietDict(dict[K, V]):
    """A dict that does not tell yet."""

    __slots__ = ("name", "shows", "touch")

    name: str
    touch: Callable[[str, Mode], None]
    shows: Callable[[str, object], None] | None


class _Dict(_QuietDict[K, V]):
    """A dict that tells of each key by itself."""

    __slots__ = ()

    def _name_of(self, key: object) -> str:
        return f"{self.name}[{getattr(key, 'name', key)}]"

    def _tell(self, key: object, mode: Mode) -> None:
        self.touch(self._name_of(key), mode)

    def _changes(self, key: K) -> None:
        """A key comes or goes."""
        self._tell(key, Mode.WRITE)
        self.touch(self.name, Mode.INSERT)

    def _show(self, key: K, *, changed: bool = True) -> None:
        """What stands at a key now, and if one has come or gone, which there are."""
        if self.shows is not None:
            self.shows(self._name_of(key), dict.get(self, key, ABSENT))
            if changed:
                self.shows(self.name, tuple(sorted([self._name_of(each) for each in dict.__iter__(self)])))

    def _all(self) -> None:
        self.touch(self.name, Mode.READ)
        for key in dict.__iter__(self):
            self._tell(key, Mode.READ)

    def __getitem__(self, key: K) -> V:
        self._tell(key, Mode.READ)
        return super().__getitem__(key)

    def get(self, key: K, default: Any = None) -> Any:
        self._tell(key, Mode.READ)
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self._tell(key, Mode.READ)
        return super().__contains__(key)

    def __setitem__(self, key: K, value: V) -> None:
        is_new = not dict.__contains__(self, key)
        if is_new:
            self._changes(key)
        else:
            self._tell(key, Mode.READ if is_same(dict.__getitem__(self, key), value) else Mode.WRITE)
        super().__setitem__(key, value)
        self._show(key, changed=is_new)

    def __delitem__(self, key: K) -> None:
        self._changes(key)
        super().__delitem__(key)
        self._show(key)

    def setdefault(self, key: K, default: Any = None) -> Any:
        if dict.__contains__(self, key):
            self._tell(key, Mode.READ)
            return super().setdefault(key, default)
        self._changes(key)
        super().__setitem__(key, default)
        self._show(key)
        return default

    def pop(self, key: K, *default: Any) -> Any:
        if not dict.__contains__(self, key):
            self._tell(key, Mode.READ)
            return super().pop(key, *default)
        self._changes(key)
        value = super().pop(key)
        self._show(key)
        return value

    def clear(self) -> None:
        keys = list(dict.__iter__(self))
        for key in keys:
            self._changes(key)
        super().clear()
        for key in keys:
            self._show(key)

    def __iter__(self) -> Iterator[K]:
        self._all()
        return super().__iter__()

    def __len__(self) -> int:
        self.touch(self.name, Mode.READ)
        return super().__len__()

    def values(self) -> Any:
        self._all()
        return super().values()

    def items(self) -> Any:
        self._all()
        return super().items()

    def keys(self) -> Any:
        self._all()
        return super().keys()


_TELLING: Final[dict[type[Any], type[Any]]] = {_QuietList: _List, _QuietDict: _Dict}
