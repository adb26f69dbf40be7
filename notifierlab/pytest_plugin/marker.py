"""What the marker says, made sure of: who misspells an argument is told so, by the test's name."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import pydantic
import pytest
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from notifierlab import catalogue
from notifierlab.errors import InputError, unknown_name
from notifierlab.explore.menu import STRATEGIES
from notifierlab.explore.repeat import REPEAT_EVERY
from notifierlab.explore.run import RunSpec
from notifierlab.explore.search import BOUND
from notifierlab.machine.sched import STEPS_MAX
from notifierlab.pytest_plugin.items import MARKER
from notifierlab.recheck import rules_but
from notifierlab.request import Request


def _names(given: object) -> object:
    """One name may stand for a list of one."""
    if isinstance(given, str):
        return (given,)
    return tuple(given) if isinstance(given, list) else given


def _class_or_name(given: object) -> object:
    if given is None or isinstance(given, str | type):
        return given
    raise ValueError("a driver is a class, or a name as --driver takes it")


Names = Annotated[tuple[str, ...], BeforeValidator(_names)]


class Settings(BaseModel):
    """The arguments of the marker; they mean what the options of `notifierlab explore` mean.

    `runs` is None where nobody set a limit; `driver` may be the class itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    strategy: str = "bounded"
    bound: int = Field(BOUND, ge=0)
    runs: int | None = Field(None, ge=1)
    seed: int = 0
    rules: Names = ()
    profile: str = "intended"
    switches: dict[str, bool | int | str] = Field(default_factory=dict)
    mutants: Names = ()
    driver: Annotated[Any, BeforeValidator(_class_or_name)] = None
    strict: bool = False
    steps_max: int = Field(STEPS_MAX, ge=1)
    repeat_every: int = Field(REPEAT_EVERY, ge=0)
    audit_every: int | None = Field(None, ge=0)

    def request(self, test: str) -> Request:
        """What the header of a log of the test says."""
        driver = self.driver
        return Request(
            scenario=test,
            profile=self.profile,
            switches=self.switches,
            mutants=tuple(dict.fromkeys(self.mutants)),
            driver=f"{driver.__module__}:{driver.__qualname__}" if isinstance(driver, type) else driver,
            strict=self.strict,
            steps_max=self.steps_max,
        )

    def spec(self, test: str, scenario: catalogue.Scenario) -> RunSpec:
        """What is run: the body of the test, as a scenario."""
        return self.request(test).around(scenario, driver=self.driver if isinstance(self.driver, type) else None)


_SAID: Final = {
    "int_type": "a whole number",
    "bool_type": "True or False",
    "string_type": "a text",
    "tuple_type": "a name, or a list of names",
    "dict_type": "a dict of switches and values",
}


def settings_of(item: pytest.Item) -> Settings:
    """The settings of a marked test: the nearest marker's, then those of its class and module; options win.

    Raises:
        InputError: an argument is unknown or cannot be.
    """
    given: dict[str, object] = {}
    for mark in item.iter_markers(MARKER):
        if mark.args:
            raise InputError(f"The marker `{MARKER}` takes its arguments by name (strategy=..., bound=...).")
        given = {**mark.kwargs, **given}
    settings = _settings(given)
    if settings.strategy not in STRATEGIES:
        raise unknown_name("strategy", settings.strategy, STRATEGIES)
    rules_but(settings.rules)
    option = item.config.getoption
    wanted = {"bound": option("interleave_bound"), "runs": option("interleave_runs")}
    return settings.model_copy(update={name: value for name, value in wanted.items() if value is not None})


def _settings(given: Mapping[str, object]) -> Settings:
    try:
        return Settings.model_validate(given)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            raise unknown_name(f"argument of the marker `{MARKER}` called", name, Settings.model_fields) from None
        should = _SAID.get(first["type"]) or first["msg"].removeprefix("Value error, ").replace("Input should be ", "")
        raise InputError(
            f"The marker `{MARKER}` has {name}={given[name]!r}, which cannot be: it should be {should}."
        ) from None
