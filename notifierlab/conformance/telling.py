"""What a cell found, told: the story, the lines of the driver that took part, the command that replays it.

What is found is made simple and kept as a log. The run of that log is executed once more,
and at each event the innermost line of the driver's file that is being executed is noted:
that line made it happen.
"""

import inspect
import linecache
from pathlib import Path
from typing import Final, NamedTuple

from notifierlab import bench
from notifierlab.conformance.cells import SuiteRequest
from notifierlab.conformance.entrance import files_of
from notifierlab.errors import InputError
from notifierlab.events import Event, Violation
from notifierlab.explore.run import run_once, RunSpec
from notifierlab.explore.search import SearchResult
from notifierlab.explore.strategies import Replay
from notifierlab.keeping import KEPT_IN, make_folder
from notifierlab.mm.profile import HOLES, Profile
from notifierlab.recheck import read_log
from notifierlab.report.lanes import Glyphs, UNICODE
from notifierlab.report.words import words

LINES_MAX: Final = 20
"""How many lines of the driver are shown beside a story."""


class Found(NamedTuple):
    """A violation of a cell, told. `lines` are those of the driver that took part, `holes` those of
    the profile that predict the rule."""

    rule: str
    message: str
    log: str = ""
    story: str = ""
    lines: tuple[str, ...] = ()
    holes: tuple[str, ...] = ()


def told(
    request: SuiteRequest, spec: RunSpec, result: SearchResult, *, width: int = 100, glyphs: Glyphs = UNICODE
) -> tuple[Found, ...]:
    """Tell the first of what a search found; of other rules that it broke, only what they say."""
    first = result.findings[0].violation
    plan = bench.SearchPlan(strategy="bounded", bound=0, runs=None, seed=0, log=_place(request, first.rule))
    outcome = bench.tell(request, spec, plan, result, width=width, glyphs=glyphs)
    kept = outcome.violations[0]
    log = outcome.logs.get(first.rule, "")
    lines = lines_that_took_part(log, request, kept) if log else ()
    found = {first.rule: Found(first.rule, kept.message, log, outcome.story, lines, holes(spec.profile, first.rule))}
    for finding in result.findings:
        rule = finding.violation.rule
        found.setdefault(rule, Found(rule, finding.violation.message, holes=holes(spec.profile, rule)))
    return tuple(found.values())


def holes(profile: Profile, rule: str) -> tuple[str, ...]:
    """The open holes of a profile that predict that a rule is broken."""
    return tuple(
        hole.replace("_", "-") for hole, what in HOLES.items() if getattr(profile, hole) and rule in what.rules
    )


def lines_that_took_part(log: str, request: SuiteRequest, violation: Violation) -> tuple[str, ...]:
    """The lines of the driver that were executed when events about the violation happened, with what happened."""
    files = files_of(request.maker)
    reader, _ = read_log(log)
    assert reader.verdict is not None
    kept = request.like(reader.header)
    shown: dict[tuple[str, str], str] = {}

    def look(event: Event) -> None:
        if event.step > violation.step or not _is_about(event, violation):
            return
        (file, line), text = _line_in(files), words(event)
        if line and text:
            place = f"{Path(file).name}:{line}"
            # Where a line was executed again, the last time counts.
            shown.pop((event.task, place), None)
            source = linecache.getline(file, line).strip()
            shown[event.task, place] = f"{place}  {source}\n    step {event.step}, {event.task}: {text}"

    replay = Replay(reader.verdict.choices)
    replay.new_run()
    run_once(kept.resolve(), replay, sink=look)
    return tuple(shown.values())[-LINES_MAX:]


def _place(request: SuiteRequest, rule: str) -> Path:
    parts = ["driver", getattr(request.maker, "__name__", "device"), request.scenario]
    parts += [request.profile] if request.profile != "intended" else []
    parts += ["atomic"] if request.params.get("atomic") else []
    make_folder(KEPT_IN)
    return KEPT_IN / f"{'-'.join([*parts, rule])}.jsonl"


def refuse_trio(request: SuiteRequest, result: SearchResult) -> None:
    """Raise an InputError if what a search found is that the driver awaits trio."""
    for finding in result.findings:
        violation = finding.violation
        # What trio says where trio does not run.
        if violation.rule == "driver-raised" and "must be called from async context" in violation.message:
            where = violation.message.rpartition(" in ")[2]
            raise InputError(
                f"The driver awaits trio at {where} (in {request.scenario}); the suite runs it without an event loop. "
                "Wait with `machine.step(until=...)`, a WaitQueue or a lock of the bench instead."
            )


_TOLD_LITTLE: Final = ("lock_released", "might_sleep", "task_started", "task_ended")


def _is_about(event: Event, violation: Violation) -> bool:
    """Whether an event names something that the violation is about."""
    if str(event.__struct_config__.tag) in _TOLD_LITTLE:
        return False
    field = f"{getattr(event, 'owner', '')}.{getattr(event, 'field', '')}"
    if field in violation.objects:
        return True
    said = [_as_object(name, getattr(event, name)) for name in event.__struct_fields__]
    return not violation.objects or any(about in said for about in violation.objects)


def _as_object(field: str, value: object) -> str:
    """A field of an event as the objects of a violation write it."""
    if field == "va":
        return f"{value:#x}"
    return f"pfn {value}" if field == "pfn" else str(value)


def _line_in(files: tuple[str, ...]) -> tuple[str, int]:
    """The innermost line of these files that is being executed; line 0 if none is."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_filename in files:
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return "", 0
