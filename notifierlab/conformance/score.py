"""How good the judge is: the driver is broken in many small ways, and the suite must see each.

Every variant is run through the suite, the cheap searches first:

    1  few orders of every scenario          most are caught here
    2  the driver itself, once: in which scenarios can it be proved?
    3  what is left: the proof there, and in the others orders that differ (`dpor` shows none twice),
       then a hunt for rare ones

What becomes of a variant:

    caught       a rule that the driver keeps is broken; or the variant hangs, does not run, or does
                 so little that an obligation is put to no test (the suite says undecided then)
    equivalent   nothing is broken; in every scenario in which the driver can be proved the variant
                 is proved as well (`proofs`), and the host and the device do the very same there;
                 and what was changed ran in one of them
    missed       everything else

The score is how many were caught of those that are not equivalent. In a scenario where the
driver cannot be proved within the budget, "equivalent" rests on the orders that were tried:
so it is said in how many it can, and what the score is if nothing counts as equivalent.
"""

import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from notifierlab.checker import RULES
from notifierlab.conformance.cells import Cell, cells_for, Effort, exercised, request_for
from notifierlab.conformance.entrance import file_of, refuse_unfit
from notifierlab.conformance.mutate import Variant, variants
from notifierlab.conformance.obligations import OBLIGATIONS
from notifierlab.conformance.proofs import Proof, prove, runs_a_changed_line
from notifierlab.conformance.suite import entered, loaded, Plan, Progress, refuse_unknown, value_of
from notifierlab.conformance.watchdog import Answer, Children, Done, Hung, Refused, Task
from notifierlab.errors import InputError
from notifierlab.explore.menu import make_strategy
from notifierlab.explore.run import RunSpec
from notifierlab.explore.search import explore
from notifierlab.machine.sched import LabError
from notifierlab.mm.profile import profile
from notifierlab.report.outcome import INTERRUPTED
from notifierlab.report.table import table

FIRST_RUNS: Final = 80
"""How many orders of each scenario are tried before any scenario gets more."""

SHARES: Final[Mapping[str, int]] = {"dpor": 3, "hunt": 5}
"""How a scenario that cannot be proved is searched for what few orders have left: by which
strategies, and with which part of the runs of a search."""

CALM_RUNS: Final = 3
"""In how many orders of each scenario an obligation must have been put to the test."""


class Fate(NamedTuple):
    """What became of a variant: `caught`, `equivalent` or `missed`; by which rule (or how), in which scenario."""

    kind: str
    by: str = ""
    scenario: str = ""


OPEN: Final = Fate("open")
"""Nothing has caught it yet."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """Variants of a driver, and their fates; `left` is how many an interruption left unjudged.

    The driver itself was proved in `proved` of its `scenarios`, if there was need to know.
    """

    driver: str
    file: str
    original: str
    variants: tuple[Variant, ...]
    fates: tuple[Fate, ...]
    left: int = 0
    proved: int = 0
    scenarios: int = 0

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
        return self._of("missed")

    @property
    def percent(self) -> float:
        """How many of a hundred that can be caught are."""
        possible = len(self.variants) - self.equivalent
        return 100.0 * self.caught / possible if possible else 100.0

    @property
    def percent_of_all(self) -> float:
        """How many of a hundred are caught, if none counts as equivalent."""
        return 100.0 * self.caught / len(self.variants) if self.variants else 100.0

    @property
    def exit_status(self) -> int:
        """0, for a score is no verdict on the driver; 130 if it was interrupted."""
        return INTERRUPTED if self.left else 0

    def as_text(self, *, width: int = 100) -> str:
        """The score, who caught what, and the patch of each variant that was missed."""
        text = (
            f"score {self.percent:.1f} %  {self.driver}\n"
            f"  {len(self.variants)} variants: {self.caught} caught, {self.equivalent} equivalent, "
            f"{len(self.missed)} missed{f'; interrupted, {self.left} not judged' if self.left else ''}\n"
        )
        if self.equivalent:
            text += (
                f"  equivalent: the same in the {self.proved} of {self.scenarios} scenarios that end proved, clean in "
                f"the others; {self.percent_of_all:.1f} % if none is\n"
            )
        text += "\n"
        tally: dict[str, int] = {}
        for fate in self.fates:
            if fate.kind == "caught":
                tally[fate.by] = tally.get(fate.by, 0) + 1
        rows = [(str(count), by) for by, count in sorted(tally.items(), key=lambda each: (-each[1], each[0]))]
        text += table(rows, head=("caught", "by"), width=width)
        for kind in ("missed", "equivalent"):
            for each in self._of(kind):
                text += f"\n{kind}: {each.where}, line {each.line}: {each.what}\n{each.diff(self.original, self.file)}"
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
            "percent_of_all": round(self.percent_of_all, 2),
            "proved": self.proved,
            "scenarios": self.scenarios,
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

    def _of(self, kind: str) -> list[Variant]:
        return [each for each, fate in zip(self.variants, self.fates, strict=True) if fate.kind == kind]

    def _count(self, kind: str) -> int:
        return sum(fate.kind == kind for fate in self.fates)


def run_score(plan: Plan, *, progress: Callable[[Progress], None] | None = None) -> Score:
    """Score the suite on variants of the plan's driver, in child processes.

    Raises:
        InputError: the driver cannot be driven, has no source, or is not clean itself.
    """
    refuse_unknown(plan.profiles, plan.effort.rules)
    with Children(plan.jobs, hang_seconds=plan.hang_seconds) as children:
        about, cells = entered(plan, children)
        ((_, answer),) = children.run([Task(_prepare, (plan,), "its own orders")])
        file, original = value_of(answer, plan, "its own orders")
        made = variants(original, profile(plan.profiles[0]).switches())
        scoring = _Scoring(plan, children, progress, made)
        try:
            scoring.first()
            if scoring.open:
                scoring.know(cells)
                scoring.further()
        except KeyboardInterrupt:
            # What is known by then is worth something: a score takes minutes.
            pass
    known = [number for number in range(len(made)) if scoring.fates.get(number, OPEN) is not OPEN]
    return Score(
        driver=about.name,
        file=Path(file).name,
        original=original,
        variants=tuple(made[number] for number in known),
        fates=tuple(scoring.fates[number] for number in known),
        left=len(made) - len(known),
        proved=sum(own.proof.proved for own in scoring.owns.values()),
        scenarios=len(cells),
    )


class Own(NamedTuple):
    """What is known of the driver itself in a cell: its proof, and by which strategies it is clean if there is none."""

    proof: Proof = Proof()
    clean_by: tuple[str, ...] = ()


Owns = Mapping[tuple[str, str], Own]
"""What is known of the driver itself, by profile and cell."""


class _Scoring:
    """What is known of the variants of one driver."""

    def __init__(
        self, plan: Plan, children: Children, progress: Callable[[Progress], None] | None, made: Sequence[Variant]
    ) -> None:
        self.fates: dict[int, Fate] = {}
        self.owns: dict[tuple[str, str], Own] = {}
        self._plan = plan
        self._children = children
        self._progress = progress
        self._made = made

    @property
    def open(self) -> list[int]:
        """The variants that nothing has caught."""
        return [number for number, fate in self.fates.items() if fate == OPEN]

    def first(self) -> None:
        """Judge every variant in few orders."""
        tasks = [Task(_judge_first, (self._plan, each), f"variant {n}") for n, each in enumerate(self._made)]
        for number, answer in self._run(tasks, done=0):
            self.fates[number] = _fate(answer, self._plan)

    def know(self, cells: Sequence[Cell]) -> None:
        """Prove the driver itself wherever that can be done; in the other cells see by which strategies it is clean."""
        tasks = [Task(_know, (self._plan, cell), f"the proof of {cell.name}") for cell in cells]
        for number, answer in self._run(tasks, done=len(self.fates) - len(self.open)):
            self.owns[_key(cells[number])] = value_of(answer, self._plan, tasks[number].about)

    def further(self) -> None:
        """Judge those that nothing has caught in more orders, and prove them where the driver can be."""
        numbers = self.open
        done = len(self._made) - len(numbers)
        tasks = [Task(_judge_further, (self._plan, self._made[n], self.owns), f"variant {n}") for n in numbers]
        for number, answer in self._run(tasks, done=done):
            self.fates[numbers[number]] = _fate(answer, self._plan)

    def _run(self, tasks: Sequence[Task], *, done: int) -> Iterator[tuple[int, Answer]]:
        came = 0

        def watching() -> None:
            if self._progress is not None:
                self._progress(Progress(self._children.runs, (), done + came, len(tasks) - came))

        for each in self._children.run(tasks, watching=watching):
            came += 1
            yield each


def _fate(answer: Answer, plan: Plan) -> Fate:
    if isinstance(answer, Done):
        found: Fate = answer.value
        return found
    if isinstance(answer, Hung):
        return Fate("caught", "hangs")
    if isinstance(answer, Refused):
        return Fate("caught", "refused by the bench")
    raise RuntimeError(f"a process died while it judged a variant of {plan.driver}: {answer.report}")


def _key(cell: Cell) -> tuple[str, str]:
    return cell.profile, cell.name


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


def _judge_first(plan: Plan, variant: Variant, *, beat: Callable[[], None]) -> Fate:
    """What becomes of one variant in few orders of each scenario."""
    try:
        driver = _built(loaded(plan.driver), variant)
    except Exception as error:  # noqa: BLE001 - a variant that cannot be loaded is caught by Python
        return Fate("caught", f"does not load ({type(error).__name__})")
    try:
        refuse_unfit(driver)
    except InputError:
        return Fate("caught", "is no driver")
    return _broken(plan, driver, Effort(bound=1, runs=FIRST_RUNS), beat) or _untested(plan, driver, beat) or OPEN


def _know(plan: Plan, cell: Cell, *, beat: Callable[[], None]) -> Own:
    """Try to prove the driver itself in a cell, or else search it as its variants will be."""
    spec = request_for(cell, loaded(plan.driver), driver=None, beat=beat).resolve()
    proof = prove(spec, runs=plan.effort.runs)
    if proof.proved:
        return Own(proof)
    # Not all orders are fair: where two can steal from each other for ever, `dpor` finds that.
    return Own(proof, tuple(each for each in SHARES if _searched(spec, _share(plan, each), each) is None))


def _share(plan: Plan, strategy: str) -> Effort:
    return replace(plan.effort, runs=-(-plan.effort.runs // SHARES[strategy]))


def _judge_further(plan: Plan, variant: Variant, owns: Owns, *, beat: Callable[[], None]) -> Fate:
    """What becomes of one variant that few orders do not catch."""
    driver = _built(loaded(plan.driver), variant)
    original = Path(file_of(driver)).read_text()
    alike, ran = True, False
    for cell, spec in _specs(plan, driver, beat, lambda cell: owns[_key(cell)].proof.proved):
        try:
            # It may take a little more than the driver itself.
            proof = prove(spec, runs=2 * plan.effort.runs)
            ran = ran or (proof.proved and runs_a_changed_line(spec, variant, original))
        except LabError:
            return Fate("caught", "refused by the bench", cell.name)
        if proof.broken:
            return Fate("caught", proof.broken, cell.name)
        alike = alike and proof == owns[_key(cell)].proof
    for strategy in SHARES:

        def tells(cell: Cell, strategy: str = strategy) -> bool:
            return strategy in owns[_key(cell)].clean_by

        caught = _broken(plan, driver, _share(plan, strategy), beat, strategy, tells)
        if caught is not None:
            return caught
    return Fate("equivalent") if alike and ran else Fate("missed")


def _built(original: type[Any], variant: Variant) -> type[Any]:
    """The class of the variant's text, in a module of its own."""
    name = f"{original.__module__}__variant"
    module = types.ModuleType(name)
    module.__file__ = file_of(original)
    sys.modules[name] = module
    exec(compile(variant.text, variant.place, "exec"), vars(module))  # noqa: S102 - it is the driver
    built: type[Any] = getattr(module, original.__qualname__)
    return built


def _specs(
    plan: Plan, driver: type[Any], beat: Callable[[], None], wanted: Callable[[Cell], bool] = lambda _: True
) -> list[tuple[Cell, RunSpec]]:
    """What is run: the cells of the driver itself, with `driver` in its place wherever it stands."""
    original = loaded(plan.driver)
    found = []
    for cell in filter(wanted, _cells(plan)):
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
    plan: Plan,
    driver: type[Any],
    effort: Effort,
    beat: Callable[[], None],
    strategy: str = "bounded",
    wanted: Callable[[Cell], bool] = lambda _: True,
) -> Fate | None:
    """The first scenario in which a rule is broken."""
    for cell, spec in _specs(plan, driver, beat, wanted):
        by = _searched(spec, effort, strategy)
        if by is not None:
            _CATCHES[cell.name] = _CATCHES.get(cell.name, 0) + 1
            return Fate("caught", by, cell.name)
    return None


def _searched(spec: RunSpec, effort: Effort, strategy: str) -> str | None:
    """What a search finds to be wrong."""
    chosen = make_strategy(strategy, bound=effort.bound, seed=0)
    try:
        result = explore(spec, chosen, runs=effort.runs, rules=_EVERY_RULE, shrinking=False, repeat_every=0)
    except LabError:
        return "refused by the bench"
    return result.findings[0].violation.rule if result.findings else None


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
