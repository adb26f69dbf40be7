"""Whether a class can be driven at all: what is wrong with it, in a sentence, before anything runs.

A driver that gets in may still be wrong in every order; but it can be made, it has the
methods that are called, and they can be awaited.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from notifierlab import catalogue
from notifierlab.conformance.abilities import Abilities, CALLBACKS, declared, OPTIONAL, overridden
from notifierlab.errors import InputError
from notifierlab.events import Event, TaskRaised
from notifierlab.explore.run import run_once, RunSpec
from notifierlab.explore.strategies import Calm
from notifierlab.host import Host
from notifierlab.machine.sched import LabError
from notifierlab.mm.callbacks import MmuNotifier
from notifierlab.mm.profile import Profile

Maker = Callable[..., Any]
"""What makes a device for an mm: a driver class, or a function."""

PROTOCOL: Final = {
    "open": "async def open(self) -> int",
    "close": "async def close(self) -> None",
    "access": "async def access(self, va, *, write, value, context=0)",
}
"""What the suite calls on a device, besides the callbacks."""

_WRITTEN: Final = {
    "invalidate_range_start": "(self, mm, range)",
    "invalidate_range_end": "(self, mm, range)",
    "invalidate_page": "(self, mm, address)",
    "clear_flush_young": "(self, mm, address)",
    "change_pte": "(self, mm, address, page, write)",
    "release": "(self, mm)",
}


def driver_called(name: str) -> type[Any]:
    """The driver class at `name`, fit to be driven.

    Raises:
        InputError: there is none, it does not import, or it is no driver; the message says what to do.
    """
    found = catalogue.driver(name)
    refuse_unfit(found)
    return found


def refuse_unfit(driver: type[Any]) -> None:
    """Raise an InputError that says what is wrong with a class, if something is."""
    what = f"`{driver.__name__}` ({place_of(driver)})"
    if not issubclass(driver, MmuNotifier):
        raise InputError(
            f"{what} is no driver: it must be a subclass of MmuNotifier, as in "
            f"`class {driver.__name__}(SharedState, MmuNotifier)`."
        )
    if inspect.isabstract(driver):
        missing = ", ".join(sorted(getattr(driver, "__abstractmethods__", ())))
        raise InputError(f"{what} is abstract: it lacks {missing}. Name the class that has them.")
    for name in overridden(driver):
        _refuse_callback(what, driver, name)
    said = getattr(driver, "abilities", None)
    if said is not None and not isinstance(said, Abilities):
        raise InputError(f"{what} has `abilities` of type {type(said).__name__}: write `abilities = Abilities(...)`.")
    if getattr(driver, "under_test", None) is None:
        _refuse_constructor(what, driver)
        _refuse_device(what, driver)


def make_device(maker: Maker, host: Host) -> object:
    """Make a device of a fresh process, as the scenarios do."""
    mm = host.new_mm()
    under_test = getattr(maker, "under_test", None)
    if under_test is None:
        return maker(mm)
    said = declared(maker)
    return under_test(mm, contexts=said.contexts, atomic=said.atomic_lookup)


def refuse_unmakable(maker: Maker, name: str) -> None:
    """Make one, and look at it.

    Raises:
        InputError: making it raises, or what comes out cannot be driven.
    """
    seen: list[Event] = []
    made: list[object] = []

    async def scene(host: Host) -> None:
        made.append(make_device(maker, host))

    try:
        run_once(RunSpec(name="entrance", scenario=scene, profile=Profile()), _calm(), sink=seen.append)
    except LabError as error:
        raise InputError(f"`{name}` cannot be made: {error}") from error
    for event in seen:
        if isinstance(event, TaskRaised):
            raise InputError(
                f"`{name}` cannot be made: it raises {event.error} ({event.where}). The suite makes a driver by "
                "`Class(mm)`, or by its class method `under_test(mm, *, contexts, atomic)`."
            )
    (device,) = made
    _refuse_device(f"what `{name}` makes", device)
    if not isinstance(getattr(device, "name", None), str):
        raise InputError(f"What `{name}` makes has no `name`: call `super().__init__(mm.host.machine, name)` first.")


def place_of(thing: Callable[..., object]) -> str:
    """`file:line` of a class or function, as far as it is known."""
    try:
        file = inspect.getsourcefile(thing) or "?"
        line = inspect.getsourcelines(thing)[1]
    except (OSError, TypeError):
        return "?"
    path = Path(file)
    return f"{path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}:{line}"


def file_of(driver: Callable[..., object]) -> str:
    """The file in which a driver stands; empty if nobody knows."""
    try:
        return inspect.getsourcefile(driver) or ""
    except TypeError:
        return ""


def files_of(driver: Callable[..., object]) -> tuple[str, ...]:
    """The files of a driver's code: its own, and those of what it inherits from, the bench's left out."""
    owners = driver.__mro__ if isinstance(driver, type) else (driver,)
    files = [file_of(owner) for owner in owners if not owner.__module__.startswith(("notifierlab.", "builtins"))]
    return tuple(dict.fromkeys(file for file in files if file))


def _calm() -> Calm:
    calm = Calm()
    calm.new_run()
    return calm


def _refuse_callback(what: str, driver: type[Any], name: str) -> None:
    function = getattr(driver, name)
    shape = _WRITTEN[name]
    if not inspect.iscoroutinefunction(function):
        raise InputError(
            f"{what}: `{name}` ({place_of(function)}) is not async, so nothing could happen while it runs; "
            f"write `async def {name}{shape}`."
        )
    arguments = shape.count(",") + 1
    try:
        inspect.signature(function).bind(*[None] * arguments)
    except TypeError:
        raise InputError(
            f"{what}: `{name}` ({place_of(function)}) takes other arguments than the host gives; "
            f"write `async def {name}{shape}`."
        ) from None


def _refuse_constructor(what: str, driver: type[Any]) -> None:
    try:
        # That of the class itself says nothing: its metaclass takes whatever comes.
        inspect.signature(driver.__init__).bind(None, None)
    except TypeError as error:
        raise InputError(
            f"{what} cannot be made by `{driver.__name__}(mm)`: {error}. Give its other arguments defaults, or a class "
            "method `under_test(mm, *, contexts, atomic)` that makes one."
        ) from None


def _refuse_device(what: str, device: object) -> None:
    for name, shape in PROTOCOL.items():
        method = getattr(device, name, None)
        if method is None:
            raise InputError(f"{what} has no `{name}`, so nobody can drive it; write `{shape}`.")
        if not inspect.iscoroutinefunction(method):
            raise InputError(f"{what}: `{name}` ({place_of(method)}) is not async; write `{shape}`.")
        given = {"write": None, "value": None, "context": None} if name == "access" else {}
        places = [None] * (isinstance(device, type) + (name == "access"))
        try:
            inspect.signature(method).bind(*places, **given)
        except TypeError as error:
            raise InputError(
                f"{what}: `{name}` ({place_of(method)}) does not fit ({error}); write `{shape}`."
            ) from None


def too_little(driver: Maker) -> list[str]:
    """What a driver declares too little of, as sentences: the suite cannot drive what it is not told of."""
    notes = []
    if getattr(driver, "abilities", None) is None:
        notes.append(
            "declares no abilities: it is driven by one processor that writes and dies with its process; "
            "say otherwise by `abilities = Abilities(contexts=2, ...)`"
        )
    missing = [name for name in CALLBACKS if name not in overridden(driver)]
    notes += [
        f"does not override {name}: what the host says by it goes unheard" for name in missing if name not in OPTIONAL
    ]
    idle = [name for name in missing if name in OPTIONAL]
    return [*notes, f"does not override {' and '.join(idle)}: not asked for"] if idle else notes
