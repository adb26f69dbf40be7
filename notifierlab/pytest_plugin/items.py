"""Which tests are ours, and which of them cannot be run as they are written.

Refused are fixtures that pytest makes once for a test that runs many times: what one order
leaves in such a fixture, the next one finds. Those of a wider scope are shared between
tests anyhow, and whoever wrote them knows; autouse ones were not asked for by the test.
"""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from notifierlab.pytest_plugin.recipes import is_host

MARKER: Final = "interleave"
OURS: Final = ("host", "mm", "kvm", "gru")

_LISTED: Final = "`host`, `mm`, `kvm` or `gru`"


class Lab:
    """A test of ours. `marked` says that it runs in every order, `told` is what its failure is told with.

    `building` is true while a run builds its fixtures or the test's body goes; `outcome` is
    what a test raised that somebody else runs. `function` is looked up at each set-up.
    """

    def __init__(self, item: pytest.Item, *, marked: bool, uses_host: bool) -> None:
        self.item = item
        self.marked = marked
        self.uses_host = uses_host
        self.building = False
        self.told = ""
        self.outcome: BaseException | None = None
        self.trial: Any = None
        self.function: Callable[..., Any] = lambda: None

    @property
    def name(self) -> str:
        """What sentences call it."""
        return self.item.name

    def refuse_wrong_use(self) -> None:
        """Fail, with a sentence, where the test cannot be run as it is written."""
        __tracebackhide__ = True
        self.outcome, self.told = None, ""
        self.function = getattr(self.item, "obj", self.function)
        problem = self._problem()
        if problem:
            pytest.fail(problem, pytrace=False)

    def _problem(self) -> str:
        what = f"the marker `{MARKER}`" if self.marked else f"the fixture {self._ours()}"
        if not isinstance(self.item, pytest.Function) or _is_unittest(self.item):
            return (
                f"`{self.name}` is no plain pytest test (a method of unittest.TestCase?): {what} is for `async def` "
                "functions and for methods of plain classes."
            )
        if hasattr(self.function, "hypothesis"):
            return (
                f"`{self.name}` has {what} and is a property of hypothesis: an example is no run. Parametrize "
                "the test, or let the run draw its values with `host.choose`."
            )
        if inspect.isasyncgenfunction(self.function):
            return f"`{self.name}` is a generator: a test with {what} is a plain `async def` without `yield`."
        if not inspect.iscoroutinefunction(self.function):
            return f"`{self.name}` has {what}, so it must be an `async def`: what it does is a task of the machine."
        if not self.marked:
            return ""
        if not self.uses_host:
            return (
                f"`{self.name}` uses none of {_LISTED}, so nothing in it has an order. Let it take one of them, or "
                f"drop the marker `{MARKER}`."
            )
        return self._refused_fixture()

    def _ours(self) -> str:
        assert isinstance(self.item, pytest.Function)
        # What the test asks for comes before what that is made from.
        return next((f"`{name}`" for name in self.item.fixturenames if name in OURS), "`host`")

    def _refused_fixture(self) -> str:
        for fixturedef, path in _closure(self.item):
            if fixturedef.scope != "function" or _is_parameter(fixturedef) or made_from_host(self.item, fixturedef):
                continue
            through = f" (asked for by `{path[-1]}`)" if path else ""
            why = "pytest makes it once for all of them (its scope is `function`), so one would find what another left"
            if _is_async(fixturedef):
                why = "it is asynchronous and not made from `host`, so it belongs to an event loop, and none runs"
            return (
                f"`{self.name}` runs in many orders and cannot use the fixture `{fixturedef.argname}`{through}: {why}. "
                "Give the fixture a wider scope, make it from `host`, or make what it gives inside the test."
            )
        return ""


LAB: Final = pytest.StashKey[Lab]()
"""Where a test of ours has its `Lab`."""


def adopted(item: pytest.Item) -> Lab | None:
    """The `Lab` of a test that is ours."""
    mine = any(mark.name == MARKER for mark in item.own_markers)
    if not isinstance(item, pytest.Function):
        return Lab(item, marked=True, uses_host=False) if mine else None
    # Most tests are nobody's of ours: they are told by a look into a dict.
    uses_host = OURS[0] in _info(item).name2fixturedefs and any(
        is_host(fixturedef) for fixturedef, _ in _closure(item, autouse=True)
    )
    # A marker on a module or class is for those in it that can have orders.
    inherited = uses_host and inspect.iscoroutinefunction(item.obj) and item.get_closest_marker(MARKER) is not None
    if not (mine or uses_host):
        return None
    return Lab(item, marked=mine or inherited, uses_host=uses_host)


def made_from_host(item: pytest.Item, fixturedef: pytest.FixtureDef[Any]) -> bool:
    """Whether the fixture is `host`, or has it among what it is made from."""
    return any(is_host(each) for each, _ in _walk(item, fixturedef, (), {}))


# --- which fixtures a test uses -----------------------------------------------------

_Path = tuple[str, ...]


def _closure(item: pytest.Item, *, autouse: bool = False) -> Iterator[tuple[pytest.FixtureDef[Any], _Path]]:
    """Every fixture that the test asks for or, with `autouse`, gets; and through which others."""
    assert isinstance(item, pytest.Function)
    if autouse:
        names = list(item.fixturenames)
    else:
        names = [*_info(item).argnames]
        names += [name for mark in item.iter_markers("usefixtures") for name in mark.args]
    seen: dict[pytest.FixtureDef[Any], None] = {}
    for name in names:
        fixturedefs = _info(item).name2fixturedefs.get(name)
        if fixturedefs:
            yield from _walk(item, fixturedefs[-1], (), seen)


def _walk(
    item: pytest.Item, fixturedef: pytest.FixtureDef[Any], path: _Path, seen: dict[pytest.FixtureDef[Any], None]
) -> Iterator[tuple[pytest.FixtureDef[Any], _Path]]:
    if fixturedef in seen:
        return
    seen[fixturedef] = None
    yield fixturedef, path
    for name in fixturedef.argnames:
        known = list(_info(item).name2fixturedefs.get(name, ()))
        if name == fixturedef.argname and fixturedef in known:
            # A fixture that asks for its own name overrides what stands before it.
            known = known[: known.index(fixturedef)]
        if known:
            yield from _walk(item, known[-1], (*path, fixturedef.argname), seen)


def _info(item: pytest.Item) -> Any:
    # There is no public way from a test to its fixtures; hypothesis and pytest-asyncio take this one too.
    return item._fixtureinfo  # type: ignore[attr-defined]  # noqa: SLF001


def _is_parameter(fixturedef: pytest.FixtureDef[Any]) -> bool:
    """Whether it is what pytest makes of `parametrize`: a value, the same for every order."""
    return getattr(fixturedef.func, "__module__", "") == "_pytest.python"


def _is_async(fixturedef: pytest.FixtureDef[Any]) -> bool:
    func = fixturedef.func
    return (
        inspect.iscoroutinefunction(func)
        or inspect.isasyncgenfunction(func)
        or getattr(func, "_force_trio_fixture", False)
    )


def _is_unittest(item: pytest.Function) -> bool:
    import unittest

    return isinstance(item.cls, type) and issubclass(item.cls, unittest.TestCase)
