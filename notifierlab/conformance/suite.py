"""The suite: every cell that a driver's abilities allow, and one verdict for each obligation.

`check_driver` runs it where it is called, for a test. The command line runs it in child
processes, so that a driver that hangs can be named (`watchdog`): first every cell is
searched; then, for each obligation that was broken, the simplest run that shows it is
told.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final, NamedTuple

from notifierlab.conformance.abilities import abilities_of
from notifierlab.conformance.cells import Cell, CellResult, cells_for, Effort, left_out, request_for, search_cell
from notifierlab.conformance.entrance import (
    driver_called,
    file_of,
    Maker,
    place_of,
    refuse_unfit,
    refuse_unmakable,
    too_little,
)
from notifierlab.conformance.findings import About, Findings, judged
from notifierlab.conformance.obligations import HOST, of_rule
from notifierlab.conformance.telling import Found, refuse_trio, told
from notifierlab.conformance.watchdog import Answer, Children, Died, Done, HANG_SECONDS, Hung, Refused, Task
from notifierlab.errors import InputError
from notifierlab.explore.kinds import severity
from notifierlab.explore.search import SearchResult
from notifierlab.mm.profile import profile
from notifierlab.recheck import rules_but
from notifierlab.report.lanes import Glyphs, UNICODE

STORIES_MAX: Final = 6
"""How many broken obligations are told; the rest are listed."""


class DriverAtFault(AssertionError):
    """A driver that does not keep its obligations; the text is the suite's findings, `findings` the data."""

    def __init__(self, findings: Findings) -> None:
        super().__init__(f"{findings.about.name} does not keep what it owes\n\n{findings.as_text()}")
        self.findings = findings


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is asked of the suite: the driver by name or place, the profiles, how far, in how many processes."""

    driver: str
    profiles: tuple[str, ...] = ("intended",)
    effort: Effort = field(default_factory=Effort)
    jobs: int = 1
    hang_seconds: float = HANG_SECONDS
    width: int = 100
    glyphs: Glyphs = UNICODE


@dataclass(frozen=True)
class Progress:
    """How far the suite is, for whoever waits: how many searches are done, and how many are not."""

    runs: int
    found: tuple[str, ...]
    orders: int
    left: int
    level: int | None = None
    unit: str = "searches"


def check_driver(
    maker: Maker,
    *,
    profiles: Sequence[str] = ("intended",),
    bound: int = 1,
    runs: int = 1000,
    rules: Sequence[str] = (),
) -> Findings:
    """Explore every scenario that a driver's abilities allow, here and now, and judge what it owes.

    Args:
        maker: the driver class, or a function that makes a driver for an mm.
        profiles: the kernels to run it on.
        bound: how many preemptions and faults an order may have.
        runs: how many orders of a scenario are tried at most.
        rules: look for these alone; empty is all.

    Returns:
        The findings, if every obligation is kept.

    Raises:
        DriverAtFault: an obligation is broken, or undecided; the text is what to show. Logs are in `.notifierlab/`.
        InputError: this is no driver, or there is no such profile or rule.
        LabError: the driver uses the bench wrongly.
    """
    effort = Effort(bound=bound, runs=runs, rules=tuple(rules))
    refuse_unknown(profiles, effort.rules)
    if isinstance(maker, type):
        refuse_unfit(maker)
    about = _about(maker)
    cells = cells_for(maker, profiles)
    requests = [request_for(cell, maker, driver=about.place, beat=_silent) for cell in cells]
    specs, results = [], []
    for request, cell in zip(requests, cells, strict=True):
        covered, spec, result = search_cell(request, cell, effort)
        refuse_trio(request, result)
        specs.append(spec)
        results.append((covered, result))
    tales = {
        chosen.key: told(requests[chosen.number], specs[chosen.number], chosen.result)
        for chosen in worth_telling(results)
    }
    findings = judged(about, [covered for covered, _ in results], tales, effort)
    if not findings.clean:
        raise DriverAtFault(findings)
    return findings


def run_suite(plan: Plan, *, progress: Callable[[Progress], None] | None = None) -> Findings:
    """Run the suite in child processes. Ctrl-C ends it with what is known by then, untold.

    Raises:
        InputError: the driver cannot be driven, or hangs; the message says where.
    """
    refuse_unknown(plan.profiles, plan.effort.rules)
    with Children(plan.jobs, hang_seconds=plan.hang_seconds) as children:
        about, cells = entered(plan, children)
        found: dict[str, None] = {}
        answers: dict[int, tuple[CellResult, SearchResult]] = {}

        def watching() -> None:
            if progress is not None:
                progress(Progress(children.runs, tuple(found), len(answers), len(cells) - len(answers)))

        searches = [Task(_search, (plan, cell), cell.name) for cell in cells]
        try:
            for number, answer in children.run(searches, watching=watching):
                answers[number] = value_of(answer, plan, cells[number].name)
                found |= dict.fromkeys(answers[number][0].broken)
        except KeyboardInterrupt:
            known = [answers[number][0] for number in sorted(answers)]
            return judged(about, known, {}, plan.effort, left=len(cells) - len(answers))
        results = [answers[number] for number in range(len(cells))]
        chosen = worth_telling(results)
        telling = [Task(_tell, (plan, cells[each.number], each.result), cells[each.number].name) for each in chosen]
        tales = {
            chosen[number].key: value_of(answer, plan, telling[number].about)
            for number, answer in children.run(telling, watching=watching)
        }
    return judged(about, [covered for covered, _ in results], tales, plan.effort)


def entered(plan: Plan, children: Children) -> tuple[About, list[Cell]]:
    """Let a child load the driver, and say what it is and which cells there are for it."""
    ((_, answer),) = children.run([Task(_enter, (plan,), "")])
    found: tuple[About, list[Cell]] = value_of(answer, plan, "")
    return found


class Chosen(NamedTuple):
    """A broken obligation, as (profile, id), and the cell with the simplest run that shows it."""

    key: tuple[str, str]
    number: int
    result: SearchResult


def worth_telling(results: Sequence[tuple[CellResult, SearchResult]]) -> list[Chosen]:
    """For each broken obligation of each profile the simplest finding, the most severe first."""
    found: dict[tuple[str, str], list[tuple[tuple[int, ...], int, SearchResult]]] = {}
    for number, (covered, result) in enumerate(results):
        for finding in result.findings:
            rest = tuple(each for each in result.findings if each is not finding)
            rank = (*severity(finding.violation.rule), finding.deviations, finding.steps)
            key = (covered.cell.profile, of_rule(finding.violation.rule).id)
            found.setdefault(key, []).append((rank, number, replace(result, findings=(finding, *rest))))
    best = {key: min(each, key=lambda one: one[:2]) for key, each in found.items()}
    ranked = sorted(best, key=lambda key: (key[1] == HOST.id, best[key][0]))
    return [Chosen(key, best[key][1], best[key][2]) for key in ranked[:STORIES_MAX]]


def refuse_unknown(profiles: Sequence[str], rules: Sequence[str]) -> None:
    """Raise an InputError for a profile or rule that does not exist."""
    for name in profiles:
        profile(name)
    rules_but(rules)


def value_of(answer: Answer, plan: Plan, about: str) -> Any:
    """What a child's function returned; an error that says what went wrong where it did not.

    Raises:
        InputError: the driver was refused, or hangs.
        RuntimeError: the child is gone: our bug, or the system's.
    """
    if isinstance(answer, Done):
        return answer.value
    if isinstance(answer, Refused):
        error = InputError(answer.message)
        for note in answer.notes:
            error.add_note(note)
        raise error
    if isinstance(answer, Died):
        raise RuntimeError(f"a process of the suite died in {about or plan.driver}: {answer.report}")
    raise InputError(hang_sentence(answer, plan, about))


def hang_sentence(hung: Hung, plan: Plan, about: str) -> str:
    """Where a driver hangs, and what to do about it."""
    where = f"{hung.file}, line {hung.line}, in {hung.name}" if hung.line else "a place that this system does not tell"
    during = f" (in {about})" if about else " (while it was loaded)"
    return (
        f"`{plan.driver}` hangs at {where}{during}: no step ended for {plan.hang_seconds:g} s. A loop must come to its "
        "end by itself; to wait for somebody else, await a lock, a WaitQueue or `machine.step(until=...)`."
    )


# --- what children do ---------------------------------------------------------------


@cache
def loaded(name: str) -> type[Any]:
    """The driver of that name, once for each process."""
    return driver_called(name)


def _enter(plan: Plan, *, beat: Callable[[], None]) -> tuple[About, list[Cell]]:
    driver = loaded(plan.driver)
    beat()
    return _about(driver, plan.driver), cells_for(driver, plan.profiles)


def _search(plan: Plan, cell: Cell, *, beat: Callable[[], None]) -> tuple[CellResult, SearchResult]:
    request = request_for(cell, loaded(plan.driver), driver=plan.driver, beat=beat)
    covered, _, result = search_cell(request, cell, plan.effort)
    refuse_trio(request, result)
    return covered, result


def _tell(plan: Plan, cell: Cell, result: SearchResult, *, beat: Callable[[], None]) -> tuple[Found, ...]:
    request = request_for(cell, loaded(plan.driver), driver=plan.driver, beat=beat)
    return told(request, request.resolve(), result, width=plan.width, glyphs=plan.glyphs)


def _about(maker: Maker, place: str | None = None) -> About:
    name = getattr(maker, "__name__", "driver")
    refuse_unmakable(maker, name)
    return About(
        name=name,
        where=place_of(maker),
        place=place or _place_named(maker),
        abilities=abilities_of(maker),
        notes=tuple(too_little(maker)),
        left_out={ability: tuple(names) for ability, names in left_out(maker).items()},
    )


def _place_named(maker: Maker) -> str | None:
    """By what a log may call the driver; None for what is no class of a file's own."""
    file = file_of(maker)
    if not isinstance(maker, type) or not file or maker.__qualname__ != maker.__name__:
        return None
    return f"{file}:{maker.__name__}"


def _silent() -> None:
    """Tell nobody that a run begins."""
