"""How good the judge is: the driver is broken in many small ways, and the suite must see each.

Every variant is run through the suite, the cheap searches first: few orders of every
scenario, then more of them, then a hunt for rare ones. What becomes of it:

    caught       a rule that the driver keeps is broken; or the variant hangs, does not run, or does
                 so little that an obligation is put to no test (the suite says undecided then)
    equivalent   both it and the driver are proved in every scenario, and the host and the
                 device do the very same in both: there is nothing to catch
    missed       everything else

The score is how many were caught of those that are not equivalent.
"""

import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from notifierlab import events
from notifierlab.checker import RULES
from notifierlab.conformance.cells import Cell, cells_for, Effort, exercised, request_for
from notifierlab.conformance.entrance import file_of, refuse_unfit
from notifierlab.conformance.mutate import Variant, variants
from notifierlab.conformance.obligations import OBLIGATIONS
from notifierlab.conformance.suite import entered, loaded, Plan, Progress, refuse_unknown, value_of
from notifierlab.conformance.watchdog import Answer, Children, Done, Hung, Refused, Task
from notifierlab.errors import InputError
from notifierlab.events import Event
from notifierlab.explore.menu import make_strategy
from notifierlab.explore.prove import Prove
from notifierlab.explore.run import run_once, RunSpec
from notifierlab.explore.search import explore
from notifierlab.machine.sched import LabError
from notifierlab.mm.profile import profile
from notifierlab.report.outcome import INTERRUPTED
from notifierlab.report.table import table

FIRST_RUNS: Final = 80
"""How many orders of each scenario are tried before any scenario gets more."""

CALM_RUNS: Final = 3
"""In how many orders of each scenario an obligation must have been put to the test."""

PROOF_RUNS: Final = 2_000
"""How many runs a proof may take, for a variant that nothing has caught."""


class Fate(NamedTuple):
    """What became of a variant: `caught`, `equivalent` or `missed`; by which rule (or how), in which scenario."""

    kind: str
    by: str = ""
    scenario: str = ""


@dataclass(frozen=True, kw_only=True)
class Score:
    """Variants of a driver, and their fates; `left` is how many an interruption left unjudged."""

    driver: str
    file: str
    original: str
    variants: tuple[Variant, ...]
    fates: tuple[Fate, ...]
    left: int = 0

    @property
    def caught(self) -> int:
        """How many were caught."""
        return self._count("caught")

    @property
    def equivalent(self) -> int:
        """How many do what the driver does."""
        return self._count("equivalent")

    @property
    def missed(self) -> list[Variant]:
        """Those that nobody caught."""
        return [each for each, fate in zip(self.variants, self.fates, strict=True) if fate.kind == "missed"]

    @property
    def percent(self) -> float:
        """How many of a hundred that can be caught are."""
        possible = len(self.variants) - self.equivalent
        return 100.0 * self.caught / possible if possible else 100.0

    @property
    def exit_status(self) -> int:
        """0, for a score is no verdict on the driver; 130 if it was interrupted."""
        return INTERRUPTED if self.left else 0

    def as_text(self, *, width: int = 100) -> str:
        """The score, who caught what, and the patch of each variant that was missed."""
        text = (
            f"score {self.percent:.1f} %  {self.driver}\n"
            f"  {len(self.variants)} variants: {self.caught} caught, {self.equivalent} equivalent, "
            f"{len(self.missed)} missed{f'; interrupted, {self.left} not judged' if self.left else ''}\n\n"
        )
        tally: dict[str, int] = {}
        for fate in self.fates:
            if fate.kind == "caught":
                tally[fate.by] = tally.get(fate.by, 0) + 1
        rows = [(str(count), by) for by, count in sorted(tally.items(), key=lambda each: (-each[1], each[0]))]
        text += table(rows, head=("caught", "by"), width=width)
        for each in self.missed:
            text += f"\nmissed: {each.where}, line {each.line}: {each.what}\n{each.diff(self.original, self.file)}"
        return text

    def as_json(self) -> dict[str, object]:
        """One object: the numbers, and every variant."""
        return {
            "driver": self.driver,
            "percent": round(self.percent, 2),
            "variants": len(self.variants),
            "caught": self.caught,
            "equivalent": self.equivalent,
            "missed": len(self.missed),
            "left": self.left,
            "fates": [
                {
                    "where": each.where,
                    "line": each.line,
                    "what": each.what,
                    "fate": fate.kind,
                    "by": fate.by or None,
                    "scenario": fate.scenario or None,
                    "diff": each.diff(self.original, self.file) if fate.kind != "caught" else None,
                }
                for each, fate in zip(self.variants, self.fates, strict=True)
            ],
        }

    def _count(self, kind: str) -> int:
        return sum(fate.kind == kind for fate in self.fates)


def run_score(plan: Plan, *, progress: Callable[[Progress], None] | None = None) -> Score:
    """Score the suite on variants of the plan's driver, in child processes.

    Raises:
        InputError: the driver cannot be driven, has no source, or is not clean itself.
    """
    refuse_unknown(plan.profiles, plan.effort.rules)
    with Children(plan.jobs, hang_seconds=plan.hang_seconds) as children:
        about, _ = entered(plan, children)
        ((_, answer),) = children.run([Task(_prepare, (plan,), "its own orders")])
        file, original = value_of(answer, plan, "its own orders")
        made = variants(original, profile(plan.profiles[0]).switches())
        fates: dict[int, Fate] = {}

        def watching() -> None:
            if progress is not None:
                progress(Progress(children.runs, (), len(fates), len(made) - len(fates)))

        tasks = [Task(_judge, (plan, each), f"variant {n}") for n, each in enumerate(made)]
        try:
            for number, answer in children.run(tasks, watching=watching):
                fates[number] = _fate(answer, plan)
        except KeyboardInterrupt:
            # What is known by then is worth something: a score takes minutes.
            pass
    known = sorted(fates)
    return Score(
        driver=about.name,
        file=Path(file).name,
        original=original,
        variants=tuple(made[number] for number in known),
        fates=tuple(fates[number] for number in known),
        left=len(made) - len(known),
    )


def _fate(answer: Answer, plan: Plan) -> Fate:
    if isinstance(answer, Done):
        found: Fate = answer.value
        return found
    if isinstance(answer, Hung):
        return Fate("caught", "hangs")
    if isinstance(answer, Refused):
        return Fate("caught", "refused by the bench")
    raise RuntimeError(f"a process died while it judged a variant of {plan.driver}: {answer.report}")


# --- what children do ---------------------------------------------------------------


def _prepare(plan: Plan, *, beat: Callable[[], None]) -> tuple[str, str]:
    """The driver's file and its text, once it is seen that the driver itself is clean."""
    driver = loaded(plan.driver)
    file = file_of(driver)
    if not file:
        raise InputError(f"`{plan.driver}` has no source file, so there is nothing to break.")
    broken = _broken(plan, driver, Effort(bound=1, runs=FIRST_RUNS), beat)
    if broken is not None:
        raise InputError(
            f"`{plan.driver}` itself breaks {broken.by} in {broken.scenario}: mend that first, "
            f"with `notifierlab driver {plan.driver}`."
        )
    return file, Path(file).read_text()


def _judge(plan: Plan, variant: Variant, *, beat: Callable[[], None]) -> Fate:
    """What becomes of one variant."""
    try:
        driver = _built(loaded(plan.driver), variant)
    except Exception as error:  # noqa: BLE001 - a variant that cannot be loaded is caught by Python
        return Fate("caught", f"does not load ({type(error).__name__})")
    try:
        refuse_unfit(driver)
    except InputError:
        return Fate("caught", "is no driver")
    first = Effort(bound=1, runs=FIRST_RUNS)
    caught = _broken(plan, driver, first, beat) or _untested(plan, driver, beat)
    caught = caught or _broken(plan, driver, plan.effort, beat)
    caught = caught or _broken(plan, driver, plan.effort, beat, strategy="hunt")
    if caught is not None:
        return caught
    return Fate("equivalent") if _equivalent(plan, driver, beat) else Fate("missed")


def _built(original: type[Any], variant: Variant) -> type[Any]:
    """The class of the variant's text, in a module of its own."""
    name = f"{original.__module__}__variant"
    module = types.ModuleType(name)
    module.__file__ = file_of(original)
    sys.modules[name] = module
    exec(compile(variant.text, f"<{variant.what}: {variant.where}>", "exec"), vars(module))  # noqa: S102 - it is the driver
    built: type[Any] = getattr(module, original.__qualname__)
    return built


def _specs(plan: Plan, driver: type[Any], beat: Callable[[], None]) -> list[tuple[Cell, RunSpec]]:
    """What is run: the cells of the driver itself, with `driver` in its place wherever it stands."""
    original = loaded(plan.driver)
    found = []
    for cell in _cells(plan):
        spec = request_for(cell, original, driver=None, beat=beat).resolve()
        drivers = {kind: driver if known is original else known for kind, known in spec.drivers.items()}
        found.append((cell, replace(spec, drivers=drivers)))
    # Those that have caught others come first.
    return sorted(found, key=lambda each: -_CATCHES.get(each[0].name, 0))


_CATCHES: dict[str, int] = {}
_EVERY_RULE: Final = tuple(rule.id for rule in RULES)


@cache
def _cells(plan: Plan) -> Sequence[Cell]:
    return cells_for(loaded(plan.driver), plan.profiles)


def _broken(
    plan: Plan, driver: type[Any], effort: Effort, beat: Callable[[], None], *, strategy: str = ""
) -> Fate | None:
    """The first scenario in which a rule is broken."""
    for cell, spec in _specs(plan, driver, beat):
        chosen = make_strategy(strategy or "bounded", bound=effort.bound, seed=0)
        try:
            result = explore(spec, chosen, runs=effort.runs, rules=_EVERY_RULE, shrinking=False, repeat_every=0)
        except LabError:
            _CATCHES[cell.name] = _CATCHES.get(cell.name, 0) + 1
            return Fate("caught", "refused by the bench", cell.name)
        if result.findings:
            _CATCHES[cell.name] = _CATCHES.get(cell.name, 0) + 1
            return Fate("caught", result.findings[0].violation.rule, cell.name)
    return None


_TESTED: dict[Plan, set[str]] = {}


def _untested(plan: Plan, driver: type[Any], beat: Callable[[], None]) -> Fate | None:
    """The first obligation that the driver's calm runs put to the test, and those of `driver` do not."""
    # What the driver itself does is found out once for each process.
    if plan not in _TESTED:
        _TESTED[plan] = _tested(plan, loaded(plan.driver), beat)
    before, now = _TESTED[plan], _tested(plan, driver, beat)
    for each in OBLIGATIONS:
        if not set(each.rules).isdisjoint(before) and set(each.rules).isdisjoint(now):
            return Fate("caught", f"{each.id} is untested")
    return None


def _tested(plan: Plan, driver: type[Any], beat: Callable[[], None]) -> set[str]:
    """The rules that have something to judge in the first orders of any scenario."""
    return {
        rule
        for _, spec in _specs(plan, driver, beat)
        for rule in exercised(spec, explore(spec, "bounded", bound=0, runs=CALM_RUNS, repeat_every=0, shrinking=False))
    }


# --- whether there is anything to catch ---------------------------------------------

_FACTS: Final = tuple(
    kind for kind in events.EVENTS if kind.__module__.rpartition(".")[2] in ("host", "shadow", "notifier")
)


def _equivalent(plan: Plan, driver: type[Any], beat: Callable[[], None]) -> bool:
    """Whether variant and driver are proved in every scenario, and do the same in them."""
    for cell, spec in _specs(plan, driver, beat):
        expected = _proved_facts(plan, cell, beat)
        if expected is None or _facts_of(spec) != expected:
            return False
    return True


_PROVED: dict[tuple[str, str, str], Mapping[Event, None] | None] = {}


def _proved_facts(plan: Plan, cell: Cell, beat: Callable[[], None]) -> Mapping[Event, None] | None:
    """What the driver itself does in a cell, found out once for each process."""
    key = (plan.driver, cell.profile, cell.name)
    if key not in _PROVED:
        _PROVED[key] = _facts_of(request_for(cell, loaded(plan.driver), driver=None, beat=beat).resolve())
    return _PROVED[key]


def _facts_of(spec: RunSpec) -> Mapping[Event, None] | None:
    """What host and device do in all runs together, whenever they do it; None if the search does not end proved."""
    if explore(spec, "prove", runs=PROOF_RUNS, shrinking=False, repeat_every=0).verdict != "proved":
        return None
    facts: dict[Event, None] = {}

    def note(event: Event) -> None:
        if isinstance(event, _FACTS):
            facts[type(event)(0, *(getattr(event, name) for name in event.__struct_fields__[1:]))] = None

    strategy = Prove()
    strategy.begin_search(spec)
    while strategy.new_run():
        run_once(spec, strategy, sink=note)
    return facts
