"""What there is to change besides the bench's own objects: which objects code can reach, and what stands in them.

An object of the bench records by itself, and so is a *leaf*: nobody looks into it. Nor does
anybody look into one that says `is_lab_object = True`, which is trusted to record by hand.
Of everything else the *places* are known: an attribute, a global, a class attribute, the
contents of a container or closure variable. Numbers, texts and tuples are compared by value,
other things by which object it is.

Objects are numbered in the order in which they are met, so in two executions of one run
the same one has the same number. All that was met is kept, so that nothing takes its place.

Not seen: what changes inside an object that is not written in Python (an iterator, a
`random.Random`), and more than `OBJECTS_MAX` objects or `ITEMS_MAX` items; `cut` says so.
"""

import dis
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from functools import lru_cache, partial
from types import BuiltinMethodType, CellType, CodeType, FunctionType, MemberDescriptorType, MethodType, SimpleNamespace
from typing import Any, Final, NamedTuple

OBJECTS_MAX: Final = 20_000
"""How many objects are looked at after a step."""

ITEMS_MAX: Final = 4096
"""How many items of a container are."""

Part = tuple[str, object]
"""A part of an object and its value. The name is empty for the contents of a container; one that begins with `=`
leads on and cannot change by itself."""

_PLAIN: Final = frozenset((int, str, bytes, type(None), complex))
_TYPED: Final = frozenset((bool, float))
_NOT_THEIRS: Final = frozenset(
    (*sys.stdlib_module_names, "notifierlab", "_pytest", "pytest", "pluggy", "trio", "hypothesis")
)
_BASES: Final = ("SharedState", "MmuNotifier")
# As keys within one run, of objects that are kept as long: nothing orders by it or shows it.
_which: Final = id


class Place(NamedTuple):
    """Where something may change: the part of an object, which has the number `of`."""

    of: int
    part: str


class Root(NamedTuple):
    """What a walk begins with: a variable `name` of `owner`."""

    name: str
    owner: str
    value: object


class Globals:
    """The variables of a module."""

    __slots__ = ("name", "names", "variables")

    def __init__(self, variables: dict[str, Any]) -> None:
        self.variables = variables
        self.name = str(variables.get("__name__", "?"))
        set_again = {name for value in variables.values() for name in _set_by(value)}
        self.names = tuple(
            name for name, value in variables.items() if name in set_again or _may_change(name, value, self.name)
        )


class Reach:
    """The objects of one run, and walks over them."""

    def __init__(self) -> None:
        self.objects: list[object] = []
        self.cut = False
        # How each object was come to first, in the last walk that asked for it.
        self.came_from: dict[int, tuple[int, str]] = {}
        self.roots: dict[int, Root] = {}
        self._numbers: dict[int, int] = {}
        self._kinds: dict[type, Callable[[Any], list[Part]] | None] = {}
        self._class_names: dict[type, tuple[str, ...]] = {}

    def number(self, thing: object) -> int:
        """Return the number of an object."""
        number = self._numbers.get(_which(thing))
        if number is None:
            number = self._numbers[_which(thing)] = len(self.objects)
            self.objects.append(thing)
        return number

    def is_leaf(self, value: object) -> bool:
        """Tell whether a value leads nowhere."""
        kind = type(value)
        return (
            kind in _PLAIN or kind in _TYPED or (not isinstance(value, tuple | frozenset) and self._kind(kind) is None)
        )

    def walk(
        self, roots: Iterable[Root], names: Mapping[str, None] | None = None, *, calling: bool = True
    ) -> dict[Place, object]:
        """Return every place that can be come to from `roots`, with what stands there.

        `names` are the attributes that are followed, None all; without `calling` what a
        function has for itself counts as out of reach.
        """
        found: dict[Place, object] = {}
        met: set[int] = set()
        if names is None:
            self.came_from, self.roots = {}, {}
        for root in roots:
            first: list[object] = []
            self.content(root.value, first)
            fresh = [number for number in map(self.number, first) if number not in met]
            if names is None:
                for number in fresh:
                    self.roots.setdefault(number, root)
            self._walk_on(deque(dict.fromkeys(fresh)), found, met, names, calling=calling)
        return found

    def _walk_on(
        self,
        left: deque[int],
        found: dict[Place, object],
        met: set[int],
        names: Mapping[str, None] | None,
        *,
        calling: bool,
    ) -> None:
        met.update(left)
        while left:
            if len(met) > OBJECTS_MAX:
                self.cut = True
                return
            of = left.popleft()
            for name, value in self.parts(self.objects[of], calling=calling):
                if names is not None and name and name[0] != "=" and name not in names:
                    continue
                children: list[object] = []
                content = self.content(value, children)
                if not name or name[0] != "=":
                    found[Place(of, name)] = content
                for child in children:
                    number = self.number(child)
                    if number not in met:
                        met.add(number)
                        left.append(number)
                        if names is None:
                            self.came_from[number] = of, name

    def content(self, value: object, children: list[object]) -> object:
        """Return what `value` is to be compared by, and add to `children` what it leads to."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind in _TYPED:
            return kind, value
        if isinstance(value, tuple):
            if len(value) > ITEMS_MAX:
                self.cut = True
                value = value[:ITEMS_MAX]
            return "()", *[self.content(item, children) for item in value]
        if isinstance(value, frozenset):
            return frozenset(map(partial(self.content, children=children), value))
        if self._kind(kind) is not None:
            children.append(value)
        return "#", self.number(value)

    def at(self, place: Place) -> object:
        """Return what stands at a place now."""
        return self.content(self.value_at(place), [])

    def value_at(self, place: Place) -> object:
        """Return the value at a place now; None where it is gone."""
        parts = self.parts(self.objects[place.of], calling=True)
        return next((value for name, value in parts if name == place.part), None)

    # --- what there is of an object -------------------------------------------------

    def parts(self, thing: object, *, calling: bool) -> list[Part]:
        """Return the parts of an object."""
        if not calling and isinstance(thing, FunctionType | MethodType):
            return []
        kind = self._kind(type(thing))
        return [] if kind is None else kind(thing)

    def _kind(self, kind: type) -> Callable[[Any], list[Part]] | None:
        """Return what lists the parts of objects of a type; None for a leaf."""
        try:
            return self._kinds[kind]
        except KeyError:
            made = self._kinds[kind] = self._new_kind(kind)
            return made

    def _new_kind(self, kind: type) -> Callable[[Any], list[Part]] | None:
        known = _OF_PYTHON.get(kind)
        if known is not None:
            return known
        if issubclass(kind, type):
            return self._class_parts
        if not is_theirs(kind) or getattr(kind, "is_lab_object", False) or issubclass(kind, Enum):
            return None
        contents = next((listed for base, listed in _CONTAINERS if issubclass(kind, base)), None)
        slots = _slots_of(kind)
        if slots is None:
            return None
        classes: list[Part] = [("=class", each) for each in kind.__mro__ if is_theirs(each)]

        def list_parts(thing: Any) -> list[Part]:
            parts = classes.copy()
            if contents is not None:
                parts += contents(thing)
            for name, slot in slots:
                try:
                    parts.append((name, slot.__get__(thing)))
                except AttributeError:
                    continue
            own = getattr(thing, "__dict__", None)
            if own:
                parts += [each for each in own.items() if type(each[0]) is str and not each[0].startswith("_shared_")]
            return parts

        return list_parts

    def _class_parts(self, kind: type) -> list[Part]:
        if not is_theirs(kind):
            return []
        names = self._class_names.get(kind)
        if names is None:
            names = tuple(
                name for name, value in vars(kind).items() if _may_change(name, value, kind.__module__, plain=True)
            )
            self._class_names[kind] = names
        own = vars(kind)
        return [(name, own[name]) for name in names if name in own]


def is_theirs(kind: type) -> bool:
    """Tell whether a class is neither Python's nor the bench's nor a test tool's."""
    module = str(kind.__module__)
    return kind is SimpleNamespace or module == "collections" or is_their_module(module)


def is_their_module(module: str) -> bool:
    """Tell the same of a module; what makes a named tuple has one of its own."""
    return module.partition(".")[0] not in _NOT_THEIRS and not module.startswith("namedtuple_")


def _slots_of(kind: type) -> list[tuple[str, MemberDescriptorType]] | None:
    """Return the slots of a type that the bench has not made; None if its own cannot be told apart."""
    slots = []
    for base in kind.__mro__:
        if is_theirs(base):
            slots += [(name, value) for name, value in vars(base).items() if type(value) is MemberDescriptorType]
        elif (
            base.__module__.startswith("notifierlab")
            and base.__name__ not in _BASES
            and "__slots__" not in vars(base)
            and base.__dictoffset__
        ):
            return None
    return slots


def _may_change(name: str, value: object, module: str, *, plain: bool = False) -> bool:
    """Tell whether a global or class attribute is worth a look: not what is only ever defined.

    `plain` says whether numbers and texts are; those of a module are if a function sets them.
    """
    if name.startswith(("__", "@", "_shared_", "_abc_")):
        return False
    kind = type(value)
    if kind in _PLAIN or kind in _TYPED:
        return plain
    if kind is FunctionType:
        return bool(value.__defaults__ or value.__kwdefaults__ or value.__closure__)  # type: ignore[attr-defined]
    if isinstance(value, type):
        return value.__module__ == module
    return kind in _OF_PYTHON or isinstance(value, tuple) or is_theirs(kind)


def _set_by(value: object) -> Iterator[str]:
    """Yield which globals a function sets, or the functions of a class do."""
    if isinstance(value, FunctionType):
        yield from _set_in(value.__code__)
    elif isinstance(value, type):
        for function in vars(value).values():
            if isinstance(function, FunctionType):
                yield from _set_in(function.__code__)


@lru_cache(maxsize=4096)
def _set_in(code: CodeType) -> tuple[str, ...]:
    """Return which globals a function and those within it set."""
    own = [each.argval for each in dis.get_instructions(code) if each.opname in ("STORE_GLOBAL", "DELETE_GLOBAL")]
    within = [name for each in code.co_consts if isinstance(each, CodeType) for name in _set_in(each)]
    return *own, *within


def _dict_parts(thing: dict[Any, Any]) -> list[Part]:
    return [("", tuple(dict.items(thing)))]


def _list_parts(thing: Any) -> list[Part]:
    return [("", tuple(thing))]


def _set_parts(thing: set[Any]) -> list[Part]:
    return [("", frozenset(thing))]


def _bytes_parts(thing: bytearray) -> list[Part]:
    return [("", bytes(thing))]


def _cell_parts(thing: CellType) -> list[Part]:
    try:
        return [("", thing.cell_contents)]
    except ValueError:
        return [("", ())]


def _function_parts(thing: FunctionType) -> list[Part]:
    code = thing.__code__
    defaults = thing.__defaults__ or ()
    names = code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount]
    parts: list[Part] = [(f"=default {name}", value) for name, value in zip(names, defaults, strict=True)]
    parts += [(f"=default {name}", value) for name, value in (thing.__kwdefaults__ or {}).items()]
    parts += [(f"=cell {name}", cell) for name, cell in zip(code.co_freevars, thing.__closure__ or (), strict=True)]
    return parts


def _method_parts(thing: MethodType) -> list[Part]:
    return [("=self", thing.__self__), ("=function", thing.__func__)]


def _builtin_parts(thing: BuiltinMethodType) -> list[Part]:
    return [("=self", thing.__self__)]


def _partial_parts(thing: "partial[Any]") -> list[Part]:
    return [("=call", (thing.func, thing.args, tuple(thing.keywords.items())))]


def _globals_parts(thing: Globals) -> list[Part]:
    variables = thing.variables
    return [(name, variables[name]) for name in thing.names if name in variables]


_CONTAINERS: Final[tuple[tuple[type, Callable[[Any], list[Part]]], ...]] = (
    (dict, _dict_parts),
    (list, _list_parts),
    (deque, _list_parts),
    (set, _set_parts),
    (bytearray, _bytes_parts),
)

_OF_PYTHON: Final[dict[type, Callable[[Any], list[Part]]]] = {
    **dict(_CONTAINERS),
    CellType: _cell_parts,
    FunctionType: _function_parts,
    MethodType: _method_parts,
    BuiltinMethodType: _builtin_parts,
    partial: _partial_parts,
    Globals: _globals_parts,
}
