"""One scenario on one profile, explored with the driver under test: a cell of the suite.

A cell is searched until it has broken a rule, or its bound or its runs are used up; how
what it found is told stands in `telling`.
"""

import functools
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast, Final

from notifierlab import catalogue
from notifierlab.checker import Checker
from notifierlab.conformance.abilities import abilities_of, needs_of
from notifierlab.conformance.entrance import Maker
from notifierlab.explore.run import run_once, RunResult, RunSpec
from notifierlab.explore.search import explore, Progress, SearchResult
from notifierlab.explore.strategies import Bounded, Calm
from notifierlab.host import Host
from notifierlab.request import Request
from notifierlab.trace import RunHeader

STEPS_MAX: Final = 5_000
"""Steps after which a run of the suite is a livelock: ten times the longest of a correct driver."""

LATER: Final = 20
"""How many runs a search goes on after its first finding: a worse one may be near."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What is run: a scenario of the suite, as it is set for this driver, on one profile."""

    scenario: str
    profile: str = "intended"
    params: Mapping[str, int | bool] = field(default_factory=dict)
    switches: Mapping[str, bool] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The scenario, and what tells it from other cells of it."""
        return self.scenario + ("+atomic" if self.params.get("atomic") else "")


@dataclass(frozen=True, kw_only=True)
class CellResult:
    """How a cell was covered. `level` is how many deviations were searched to the end, -1 for none;
    `exercised` are the rules that had something to judge, `broken` those that were broken."""

    cell: Cell
    verdict: str
    runs: int
    level: int
    cut: str
    broken: tuple[str, ...]
    exercised: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How far a cell is searched, and what for: all rules, if none is named."""

    bound: int = 2
    runs: int = 1000
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SuiteRequest(Request):
    """A request whose driver is in hand, and which tells of each run that begins."""

    maker: Maker
    beat: Callable[[], None]

    def resolve(self) -> RunSpec:
        """Looks everything else up."""
        spec = Request.resolve(replace(self, driver=None))
        drivers = {**spec.drivers, **dict.fromkeys(_places(self.maker), cast(type[Any], self.maker))}
        return replace(spec, drivers=drivers, scenario=_telling(spec.scenario, self.beat))

    def like(self, header: RunHeader) -> "SuiteRequest":
        """The same driver in what a log has run."""
        return replace(
            self,
            scenario=header.scenario,
            params=header.params,
            profile=header.profile,
            switches=header.switches,
            steps_max=header.steps_max,
        )


class UntilFound(Bounded):
    """All orders within a bound, until one has broken a rule, and `later` more."""

    def __init__(self, bound: int, rules: Collection[str], *, later: int = LATER) -> None:
        super().__init__(bound)
        self.rules = rules
        self.later = later
        self._left = -1

    def new_run(self) -> bool:
        """Take the next order."""
        return self._left != 0 and super().new_run()

    def end_run(self, result: RunResult) -> None:
        """See whether it broke anything."""
        super().end_run(result)
        if self._left > 0:
            self._left -= 1
        elif any(not self.rules or violation.rule in self.rules for violation in result.violations):
            self._left = self.later


def cells_for(driver: Maker, profiles: Sequence[str]) -> list[Cell]:
    """Every cell that a driver's abilities allow, scenario by scenario on each profile."""
    return [
        cell for profile in profiles for name in catalogue.scenario_names() for cell in _cells_of(driver, name, profile)
    ]


def left_out(driver: Maker) -> dict[str, list[str]]:
    """The scenarios that a driver does not take part in, by the ability that it lacks."""
    has = abilities_of(driver)
    lacking: dict[str, list[str]] = {}
    for name in catalogue.scenario_names():
        needs = needs_of(catalogue.scenario(name))
        for ability in needs.abilities if needs is not None else ():
            if ability not in has:
                lacking.setdefault(ability, []).append(name)
    return lacking


def search_cell(
    request: SuiteRequest, cell: Cell, effort: Effort, *, progress: Callable[[Progress], None] | None = None
) -> tuple[CellResult, RunSpec, SearchResult]:
    """Explore one cell.

    Raises:
        LabError: the driver uses the bench wrongly.
    """
    spec = request.resolve()
    strategy = UntilFound(effort.bound, effort.rules)
    result = explore(
        spec, strategy, runs=effort.runs, rules=effort.rules, find_all=True, shrinking=False, progress=progress
    )
    covered = CellResult(
        cell=cell,
        verdict=_verdict(result, strategy),
        runs=result.runs,
        level=strategy.finished - 1,
        cut=result.cut,
        broken=tuple(dict.fromkeys(finding.violation.rule for finding in result.findings)),
        exercised=exercised(spec, result),
    )
    return covered, spec, result


def request_for(cell: Cell, maker: Maker, *, driver: str | None, beat: Callable[[], None]) -> SuiteRequest:
    """What a cell asks to have run."""
    return SuiteRequest(
        scenario=cell.scenario,
        params=dict(cell.params),
        profile=cell.profile,
        switches=dict(cell.switches),
        driver=driver,
        steps_max=STEPS_MAX,
        maker=maker,
        beat=beat,
    )


def exercised(spec: RunSpec, result: SearchResult) -> tuple[str, ...]:
    """The rules that had something to judge in a search."""
    judged = Checker(spec.profile.switches(), strict=spec.strict).rules
    return tuple(rule for rule in judged if rule not in result.not_exercised)


# --- which cells --------------------------------------------------------------------


def _cells_of(driver: Maker, name: str, profile: str) -> list[Cell]:
    scenario = catalogue.scenario(name)
    needs = needs_of(scenario)
    if needs is None:
        return _cells_of_kind(driver, name, scenario, profile)
    has = abilities_of(driver)
    if not set(needs.abilities) <= set(has):
        return []
    params = dict(needs.params)
    modes = [mode == "atomic" for mode in ("sleeping", "atomic") if mode in has] or [False]
    if "atomic" not in inspect.signature(scenario).parameters:
        return [Cell(scenario=name, profile=profile, params=params, switches=needs.switches)]
    return [
        Cell(scenario=name, profile=profile, params={**params, "atomic": mode}, switches=needs.switches)
        for mode in modes
    ]


def _cells_of_kind(driver: Maker, name: str, scenario: catalogue.Scenario, profile: str) -> list[Cell]:
    """A scenario for one kind of driver, if this is of that kind; not those that are drawn at random."""
    kinds = [kind for kind in _places(driver) if kind != catalogue.DEVICE]
    if not kinds or "seed" in inspect.signature(scenario).parameters:
        return []
    asked = _asked_for(name)
    return [Cell(scenario=name, profile=profile)] if any(kind in asked for kind in kinds) else []


@functools.cache
def _asked_for(name: str) -> tuple[str, ...]:
    """The kinds of driver that a scenario asks for, seen in its calm run, once for each process."""
    hosts: list[Host] = []
    spec = Request(scenario=name).resolve()
    scenario = spec.scenario

    async def seen(host: Host, **params: Any) -> None:
        hosts.append(host)
        await scenario(host, **params)

    calm = Calm()
    calm.new_run()
    run_once(replace(spec, scenario=seen), calm)
    return tuple(hosts[0].asked_for)


def _places(maker: Maker) -> tuple[str, ...]:
    """The kinds of driver whose place the driver under test takes."""
    if not isinstance(maker, type):
        return (catalogue.DEVICE,)
    kinds = catalogue.kind_of(maker)
    # Of no kind in particular: only the scenarios for any driver are for it.
    return (
        (catalogue.DEVICE,)
        if len(kinds) == len(catalogue.kinds())
        else tuple({catalogue.DEVICE: None, **dict.fromkeys(kinds)})
    )


def _telling(scenario: Callable[..., Any], beat: Callable[[], None]) -> Callable[..., Any]:
    @functools.wraps(scenario)
    def told(*args: Any, **kwargs: Any) -> Any:
        beat()
        return scenario(*args, **kwargs)

    return told


def _verdict(result: SearchResult, strategy: Bounded) -> str:
    if result.findings:
        return "violated"
    if result.cut == "interrupted" or not result.runs:
        return "undecided"
    return "proved" if strategy.exhausted or result.verdict == "proved" else "no-violation-within"
