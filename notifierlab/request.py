"""What somebody asks to have run: names and values as they were given.

Made from a command line or from the header of a log, resolved to a `RunSpec` by looking
everything up, and written to the header of a log again. A wrong name or value is an
`InputError` that says what would be right.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from notifierlab import __version__, catalogue
from notifierlab.errors import InputError, unknown_name
from notifierlab.explore.run import RunSpec
from notifierlab.machine.sched import STEPS_MAX
from notifierlab.mm.profile import Profile, profile, with_switches
from notifierlab.trace import RunHeader

Value = bool | int | float | str | None

_YES_NO: Final = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to run, in names. `params` and `switches` may hold text or values."""

    scenario: str
    params: Mapping[str, Value] = field(default_factory=dict)
    profile: str = "intended"
    switches: Mapping[str, bool | int | str] = field(default_factory=dict)
    mutants: tuple[str, ...] = ()
    driver: str | None = None
    carrier: str = "bare"
    strict: bool = False
    steps_max: int = STEPS_MAX

    def resolve(self) -> RunSpec:
        """Looks everything up; what comes back can be run."""
        scenario = catalogue.scenario(self.scenario)
        return self.around(scenario, _params(self.scenario, scenario, self.params))

    def around(
        self,
        scenario: catalogue.Scenario,
        params: Mapping[str, Value] | None = None,
        *,
        driver: type[Any] | None = None,
    ) -> RunSpec:
        """The same for a scenario that is at hand, and a driver's class: the catalogue need not know them."""
        return RunSpec(
            name=self.scenario,
            scenario=scenario,
            params=params or {},
            profile=with_switches(profile(self.profile), self.switches),
            mutants=frozenset(catalogue.mutant(name).name for name in self.mutants),
            drivers=_drivers(driver or self.driver, self.mutants),
            carrier=self.carrier,
            strict=self.strict,
            steps_max=self.steps_max,
        )

    def seeded(self, seed: int) -> "Request":
        """The same, for a run drawn by `seed`: a scenario with a parameter `seed` gets it, unless it was set."""
        takes = inspect.signature(catalogue.scenario(self.scenario)).parameters
        if "seed" not in takes or "seed" in self.params:
            return self
        return replace(self, params={**self.params, "seed": seed})


def request_of(header: RunHeader) -> Request:
    """The request that the header of a log repeats."""
    return Request(
        scenario=header.scenario,
        params=header.params,
        profile=header.profile,
        switches=header.switches,
        mutants=header.mutants,
        driver=header.driver,
        carrier=header.carrier,
        strict=header.strict,
        steps_max=header.steps_max,
    )


def header_of(request: Request, spec: RunSpec, *, seed: int | None = None, schedule: tuple[int, ...] = ()) -> RunHeader:
    """The header of a log of the run."""
    assert spec.carrier in ("bare", "trio")
    return RunHeader(
        scenario=request.scenario,
        params=dict(spec.params),
        profile=spec.profile.name,
        switches=dict(spec.profile.switches()),
        mutants=tuple(sorted(spec.mutants)),
        driver=request.driver,
        carrier=spec.carrier,  # type: ignore[arg-type]  # asserted above
        seed=seed,
        schedule=schedule,
        strict=spec.strict,
        steps_max=spec.steps_max,
        versions={"notifierlab": __version__},
    )


def changed_switches(spec_profile: Profile, name: str) -> dict[str, bool | int]:
    """The switches of a profile that differ from the preset of that name."""
    base = profile(name).switches()
    return {switch: value for switch, value in spec_profile.switches().items() if base[switch] != value}


def _params(name: str, scenario: catalogue.Scenario, given: Mapping[str, Value]) -> dict[str, Value]:
    signature = inspect.signature(scenario, eval_str=True)
    known = {key: each for key, each in signature.parameters.items() if each.kind is each.KEYWORD_ONLY}
    params = {key: each.default for key, each in known.items() if each.default is not each.empty}
    for key, value in given.items():
        parameter = known.get(key.replace("-", "_"))
        if parameter is None:
            if not known:
                raise InputError(f"The scenario `{name}` has no parameters, so `--set {key}=...` sets nothing.")
            raise unknown_name(f"parameter of `{name}` called", key, known)
        params[parameter.name] = _value(name, parameter, value)
    for key in known:
        if key not in params:
            raise InputError(f"The scenario `{name}` needs `{key}`: give it with --set {key}=VALUE.")
    return params


def _value(name: str, parameter: inspect.Parameter, given: Value) -> Value:
    """The value that was meant: what comes as text is read as the parameter's type says."""
    kind: Any = parameter.annotation
    if kind is str or not isinstance(given, str):
        return given
    if kind is bool:
        if given.lower() in _YES_NO:
            return _YES_NO[given.lower()]
        raise InputError(f"The parameter `{parameter.name}` of `{name}` is yes or no; `{given}` is neither.")
    if kind is not int and kind is not float:
        return given
    try:
        return kind(given) if kind is float else int(given, 0)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise InputError(f"The parameter `{parameter.name}` of `{name}` is {what}; `{given}` is none.") from None


def _drivers(asked: str | type[Any] | None, mutants: tuple[str, ...]) -> dict[str, type[Any]]:
    """The class of each kind: the installed one, unless something takes its place.

    Whatever is put in a place is also what the scenarios for any driver use (`DEVICE`).
    """
    drivers = dict(catalogue.kinds())
    replaced: dict[str, str] = {}
    for name, driver_class in _replacements(asked, mutants):
        for kind in catalogue.kind_of(driver_class):
            if kind in replaced:
                raise InputError(f"{replaced[kind]} and {name} both take the place of the driver `{kind}`: drop one.")
            replaced[kind] = name
            drivers[kind] = driver_class
        if catalogue.DEVICE not in replaced:
            drivers[catalogue.DEVICE] = driver_class
    return drivers


def _replacements(asked: str | type[Any] | None, mutants: tuple[str, ...]) -> list[tuple[str, type[Any]]]:
    found = [(f"--driver {asked}", catalogue.driver(asked))] if isinstance(asked, str) else []
    if isinstance(asked, type):
        found.append((f"the driver {asked.__qualname__}", asked))
    for name in mutants:
        mutant = catalogue.mutant(name)
        if mutant.driver is not None:
            found.append((f"--mutant {name}", mutant.driver))
    return found
