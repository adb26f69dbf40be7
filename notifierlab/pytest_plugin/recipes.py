"""Fixtures that a run builds: what stands for them until then, and how they are built.

pytest sets fixtures up before the test and once, but each run has a host of its own. So
`host`, and every function-scoped fixture that is made from it, stays a recipe: the
function, and what pytest would have called it with. A run builds them inside itself, in
the task of the test: they may be `async`, await what tasks await, and tidy up after a
`yield`.
"""

import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self, TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from notifierlab.host import Host
    from notifierlab.pytest_plugin.items import Lab

_HOME: Final = "notifierlab.pytest_plugin"
_NOTHING: Final = object()


class Recipe:
    """What stands for a fixture until a run builds it."""

    __slots__ = ("func", "kwargs", "name")

    def __init__(self, name: str, func: Callable[..., Any], kwargs: dict[str, object]) -> None:
        self.name = name
        self.func = func
        self.kwargs = kwargs


def is_host(fixture: "pytest.FixtureDef[Any] | Recipe") -> bool:
    """Whether it is the fixture `host` of this plugin, and no other of that name."""
    func = fixture.func
    return getattr(func, "__module__", "") == _HOME and func.__name__ == "host"


def recipe_for(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest, lab: "Lab | None"
) -> Recipe | None:
    """The recipe of a function-scoped fixture, None for one that pytest can set up as usual."""
    if lab is None:
        if is_host(fixturedef):
            pytest.fail(f"`{request.node.name}` gets the fixture `host` by its name only; let it be a parameter.")
        return None
    if lab.building:
        pytest.fail(
            f"`{lab.name}` asks for the fixture `{fixturedef.argname}` while it runs; let it be a parameter.",
            pytrace=False,
        )
    kwargs = {name: request.getfixturevalue(name) for name in fixturedef.argnames}
    if not is_host(fixturedef) and not any(isinstance(value, Recipe) for value in kwargs.values()):
        return None
    for name, value in kwargs.items():
        if type(value).__module__.startswith("pytest_trio"):
            pytest.fail(
                f"the fixture `{fixturedef.argname}` is made from `host` and from `{name}` of pytest-trio; no fixture "
                "can be both. Let the test take both of them.",
                pytrace=False,
            )
    recipe = Recipe(fixturedef.argname, _bound(fixturedef.func, request.instance), kwargs)
    # What pytest's own set-up of a fixture leaves behind.
    fixturedef.cached_result = (recipe, fixturedef.cache_key(request), None)  # type: ignore[arg-type]  # a SubRequest
    return recipe


class Builder:
    """Builds the fixtures of one run, each once; they are taken down in reverse."""

    def __init__(self, host: "Host") -> None:
        self._host = host
        self._built: dict[Recipe, object] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # As with pytest's own: a fixture learns nothing of how the test ended.
        await self._stack.aclose()

    async def value(self, of: object) -> object:
        """What a parameter gets: the value itself, or what its recipe gives in this run."""
        if not isinstance(of, Recipe):
            return of
        if of not in self._built:
            self._built[of] = await self._build(of)
        return self._built[of]

    async def _build(self, recipe: Recipe) -> object:
        func = recipe.func
        if is_host(recipe):
            return self._host
        kwargs = {name: await self.value(each) for name, each in recipe.kwargs.items()}
        made = func(**kwargs)
        if inspect.isasyncgenfunction(func):
            self._stack.push_async_callback(_end_async, made, recipe.name)
            return _given(await anext(made, _NOTHING), recipe.name)
        if inspect.isgeneratorfunction(func):
            self._stack.callback(_end, made, recipe.name)
            return _given(next(made, _NOTHING), recipe.name)
        return await made if inspect.isawaitable(made) else made


def _given(value: object, name: str) -> object:
    if value is _NOTHING:
        raise _wrong(f"the fixture `{name}` did not yield")
    return value


async def _end_async(made: AsyncGenerator[object, None], name: str) -> None:
    if await anext(made, _NOTHING) is not _NOTHING:
        raise _wrong(f"the fixture `{name}` yields more than once")


def _end(made: Generator[object, None, None], name: str) -> None:
    if next(made, _NOTHING) is not _NOTHING:
        raise _wrong(f"the fixture `{name}` yields more than once")


def _wrong(what: str) -> Exception:
    from notifierlab.machine.sched import LabError

    return LabError(f"{what}; a fixture yields its value, once, and tidies up after that")


def _bound(func: Callable[..., Any], instance: object) -> Callable[..., Any]:
    """The fixture function, bound to the instance that the test has if it is a method of its class."""
    owner = getattr(func, "__self__", None)
    if owner is None or instance is None or not isinstance(instance, type(owner)):
        return func
    bound: Callable[..., Any] = func.__func__.__get__(instance)  # type: ignore[attr-defined]  # a method has it
    return bound
