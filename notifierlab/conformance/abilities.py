"""What a driver can do: what it declares, what its callbacks show, and what a scenario needs.

A driver that is to be driven offers three methods besides its callbacks (`Device`), and
says in a class attribute `abilities` what kind of device it is. What can be seen from
the class (which callbacks it overrides) is not declared. A scenario of the suite says by
the decorator `needs` what a driver must be able to do to take part.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol, TypeVar

import pydantic

from notifierlab.events import Va
from notifierlab.mm.callbacks import MmuNotifier
from notifierlab.mm.page import Content

F = TypeVar("F", bound=Callable[..., object])


class Abilities(pydantic.BaseModel):
    """What a device can do beyond what its callbacks show. The defaults are those of the simplest."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True)

    contexts: int = pydantic.Field(
        1, ge=1, le=8, description="how many processors (vCPUs, queues) use its translations at once"
    )
    writes: bool = pydantic.Field(True, description="the device writes memory, not only reads it")
    sleeping_lookup: bool = pydantic.Field(
        True, description="it asks the host for a page by shadow.look_up, which may sleep and takes a reference"
    )
    atomic_lookup: bool = pydantic.Field(
        False, description="it asks by shadow.look_up_atomic, from an interrupt or under a lock"
    )
    outlives_process: bool = pydantic.Field(
        False, description="its accesses go on while the process exits, as those of a queue do that needs no thread"
    )

    @pydantic.model_validator(mode="wrap")
    @classmethod
    def _in_a_line(cls, said: object, handler: pydantic.ModelWrapValidatorHandler["Abilities"]) -> "Abilities":
        """Say what is wrong as Python says it of a call."""
        try:
            return handler(said)
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            known = ", ".join(cls.model_fields)
            raise TypeError(f"Abilities({name}={first['input']!r}): {first['msg']}; there are: {known}") from None


class Device(Protocol):
    """What the suite drives: the driver itself, or what its `under_test` returns.

    `name` is that of the notifier. A class is made by `Class(mm)`; one that needs more
    has a class method `under_test(mm, *, contexts, atomic)` that returns a device with so
    many processors, which looks up atomically or may sleep.
    """

    @property
    def name(self) -> str:
        """What events call the notifier."""

    async def open(self) -> int:
        """Register with the mm. Return 0, or the negative errno of the registration."""

    async def close(self) -> None:
        """Unregister and give everything back; nobody touches the device afterwards.

        It comes once for each `open` that returned 0, before or after the process has exited.
        """

    async def access(self, va: Va, *, write: bool, value: int, context: int) -> Content | None:
        """Read at `va`, or write `value`, as processor number `context` does, faulting until it is through.

        Return what was read or written, or None if there is no memory at `va`.
        """


class Needs(NamedTuple):
    """What a scenario asks of a driver, and how the suite runs it."""

    abilities: tuple[str, ...] = ()
    params: Mapping[str, int | bool] = {}
    switches: Mapping[str, bool] = {}


CALLBACKS: Final[Mapping[str, str]] = {
    "invalidate_range_start": "windows",
    "invalidate_range_end": "windows",
    "invalidate_page": "pages",
    "clear_flush_young": "young",
    "change_pte": "change_pte",
    "release": "release",
}
"""Which ability it shows that a callback is overridden."""

OPTIONAL: Final = ("clear_flush_young", "change_pte")
"""Callbacks that a driver may do without."""

WORDS: Final[Mapping[str, str]] = {
    "windows": "hears windows open and close",
    "pages": "hears of single pages",
    "young": "tells which pages its device used",
    "change_pte": "takes a new page in the place of an old one",
    "release": "lets go when the process goes",
    "contexts": "has several processors",
    "writes": "writes memory",
    "sleeping": "looks pages up by a call that may sleep",
    "atomic": "looks pages up without sleeping",
    "outlives_process": "goes on while the process exits",
}
"""Every ability that a scenario may need, in words."""


def needs(*abilities: str, switches: Mapping[str, bool] | None = None, **params: int | bool) -> Callable[[F], F]:
    """Put a scenario into the conformance suite, for drivers with all of `abilities`.

    Args:
        abilities: of `WORDS`; none is for every driver.
        switches: switches of the profile that the scenario is about.
        params: parameters of the scenario as the suite sets them, where not the default.

    Raises:
        ValueError: there is no such ability.
    """
    unknown = [ability for ability in abilities if ability not in WORDS]
    if unknown:
        raise ValueError(f"there is no ability {unknown[0]!r}; there are: {', '.join(WORDS)}")

    def mark(scenario: F) -> F:
        scenario.needs = Needs(abilities, params, switches or {})  # type: ignore[attr-defined]  # read back by `needs_of`
        return scenario

    return mark


def needs_of(scenario: Callable[..., object]) -> Needs | None:
    """What a scenario of the suite needs; None for one that is not in it."""
    found = getattr(scenario, "needs", None)
    return found if isinstance(found, Needs) else None


def overridden(driver: Callable[..., object]) -> tuple[str, ...]:
    """The callbacks that a driver has of its own, in the order of `CALLBACKS`.

    What a function makes cannot be seen: it has those that a driver must have.
    """
    if not isinstance(driver, type):
        return tuple(name for name in CALLBACKS if name not in OPTIONAL)
    return tuple(name for name in CALLBACKS if getattr(driver, name, None) is not getattr(MmuNotifier, name))


def declared(driver: object) -> Abilities:
    """What a driver declares, or the defaults."""
    found = getattr(driver, "abilities", None)
    return found if isinstance(found, Abilities) else Abilities()


def abilities_of(driver: Callable[..., object]) -> tuple[str, ...]:
    """Every ability of a driver, declared or shown by its callbacks, in the order of `WORDS`."""
    said = declared(driver)
    has = {CALLBACKS[name] for name in overridden(driver)}
    words = {
        "contexts": said.contexts > 1,
        "writes": said.writes,
        "sleeping": said.sleeping_lookup,
        "atomic": said.atomic_lookup,
        "outlives_process": said.outlives_process,
    }
    return tuple(ability for ability in WORDS if ability in has or words.get(ability, False))
