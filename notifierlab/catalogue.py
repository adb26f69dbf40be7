"""What is there to be run: scenarios, drivers and mutants, found by name.

They come from the entry-point groups `notifierlab.scenarios`, `notifierlab.drivers` and
`notifierlab.mutants` (a mutants entry is a table of them), so a package of somebody else
adds its own without a line here. A scenario or driver may also be given as a place:
`path/to/file.py:name` or `package.module:name`.

Looking into the installed packages takes tens of milliseconds: ask once, and only when
a name is wanted.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Coroutine, Mapping
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TYPE_CHECKING

from notifierlab.again import is_test, replay_command
from notifierlab.errors import InputError, unknown_name

if TYPE_CHECKING:
    from notifierlab.mm.mutants import Mutant

Scenario = Callable[..., Coroutine[Any, Any, object]]

DEVICE: Final = "device"
"""The kind that scenarios for any driver ask for. One is installed for those who name no driver."""


def scenario_names() -> list[str]:
    """Every scenario that is installed."""
    return sorted(_entries("scenarios"))


def driver_names() -> list[str]:
    """Every kind of driver that is installed."""
    return sorted(_entries("drivers"))


def scenario(name: str) -> Scenario:
    """The scenario called `name`, or the one that stands at the place `name`."""
    if is_test(name):
        raise InputError(f"`{name}` is a test, no scenario: `{replay_command(name, 'LOG')}` runs a log of it again.")
    found = _find("scenario", "scenarios", name)
    if not callable(found):
        raise InputError(f"`{name}` is no scenario: it must be an async function that takes a Host.")
    return found  # what it takes and returns shows when it is called


def driver(name: str) -> type[Any]:
    """The driver class called `name`, or the one that stands at the place `name`."""
    found = _find("driver", "drivers", name)
    if not isinstance(found, type):
        raise InputError(f"`{name}` is no driver: it must be a class, a subclass of MmuNotifier.")
    return found


@cache
def kinds() -> Mapping[str, type[Any]]:
    """The installed drivers by kind. One that does not import is left out here; asked for by name, it says why."""
    found = {}
    for name in driver_names():
        try:
            found[name] = driver(name)
        except InputError:
            continue
    return found


@cache
def mutants() -> Mapping[str, "Mutant"]:
    """Every mutant of every installed table that loads, by name."""
    found: dict[str, Mutant] = {}
    for table in sorted(_entries("mutants")):
        try:
            found.update(_table(table))
        except InputError:
            continue
    return found


def mutant(name: str) -> "Mutant":
    """The mutant called `name`. When there is none, the error also says which tables do not load."""
    known = mutants()
    if name in known:
        return known[name]
    unknown = unknown_name("mutant", name, known, listing="notifierlab mutants")
    for table in sorted(_entries("mutants")):
        try:
            _table(table)
        except InputError as error:
            unknown.add_note(str(error))
    raise unknown


def _table(name: str) -> Mapping[str, "Mutant"]:
    loaded = _find("table of mutants", "mutants", name)
    if not isinstance(loaded, Mapping):
        raise InputError(f"The entry point `{name}` of notifierlab.mutants is no table of mutants.")
    return loaded


def kind_of(driver_class: type[Any]) -> tuple[str, ...]:
    """Which kinds of driver the class takes the place of: that of its nearest relative, else all."""
    for ancestor in driver_class.__mro__:
        found = tuple(kind for kind, known in kinds().items() if known is ancestor)
        if found:
            return found
    return tuple(kinds())


# --- finding ------------------------------------------------------------------------


@cache
def _entries(group: str) -> Mapping[str, str]:
    return {entry.name: entry.value for entry in entry_points(group=f"notifierlab.{group}")}


def _find(kind: str, group: str, name: str) -> object:
    place = name if _is_place(name) else _entries(group).get(name)
    if place is None:
        raise unknown_name(kind, name, _entries(group), listing=f"notifierlab {group}")
    where, _, attribute = place.rpartition(":")
    if not where:
        where, attribute = place, ""
    module = _load(kind, name, where)
    if not attribute:
        return _only_one(kind, name, module)
    try:
        return getattr(module, attribute)
    except AttributeError:
        names = [each for each, value in vars(module).items() if _is_own(module, value)]
        raise unknown_name(f"{kind} in {where} called", attribute, names) from None


def _is_place(name: str) -> bool:
    return ":" in name or name.endswith(".py")


def _load(kind: str, name: str, where: str) -> ModuleType:
    try:
        return _load_file(kind, Path(where)) if where.endswith(".py") else importlib.import_module(where)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"The {kind} `{name}` does not import: {_failure(error)}. Mend it, or leave `{name}` out."
        ) from error


def _load_file(kind: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise InputError(f"There is no file {path} to take a {kind} from; paths count from {Path.cwd()}.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and the like look their own module up while it loads.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _failure(error: BaseException) -> str:
    """The error in a line, with the place in the file that made it."""
    what = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        return what
    trace = error.__traceback__
    places, theirs = [""], []
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith("<frozen") and file != __file__ and "importlib" not in file:
            places.append(f" ({file}, line {trace.tb_lineno})")
            if Path(__file__).parent not in Path(file).parents and "site-packages" not in file:
                theirs.append(places[-1])
        trace = trace.tb_next
    return what + (theirs or places)[-1]


def _is_own(module: ModuleType, value: object) -> bool:
    """Whether the module itself defines the class or function, and did not import it."""
    return getattr(value, "__module__", None) == module.__name__


def _only_one(kind: str, name: str, module: ModuleType) -> object:
    """The one thing of the wanted kind that the file itself defines."""
    own = [value for value in vars(module).values() if _is_own(module, value)]
    if kind == "driver":
        fits = [value for value in own if isinstance(value, type) and hasattr(value, "invalidate_range_start")]
    else:
        fits = [value for value in own if callable(value) and getattr(value, "__code__", None) is not None]
    if len(fits) == 1:
        return fits[0]
    listed = ", ".join(f"`{name}:{value.__name__}`" for value in fits) or "none that would do"
    raise InputError(f"Say which {kind} of {name} is meant. There are: {listed}.")
