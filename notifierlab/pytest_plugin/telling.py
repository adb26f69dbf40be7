"""How the failure of a test is told: the story of its order, the log, the command that runs it again."""

import contextlib
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

import pytest

from notifierlab.again import replay_command
from notifierlab.events import Event, Violation
from notifierlab.explore.run import RunResult, RunSpec
from notifierlab.explore.tally import Finding
from notifierlab.keeping import end_log, Keeper, KEPT_IN, make_folder
from notifierlab.recheck import severity_of
from notifierlab.report.lanes import Glyphs, glyphs_for
from notifierlab.report.story import story
from notifierlab.request import header_of, Request
from notifierlab.trace import mark_external, Writer

E = TypeVar("E", bound=BaseException)

_WIDTH_MIN: Final = 60
_WIDTH_MAX: Final = 100
_NAME_MAX: Final = 100
_HOME: Final = str(Path(__file__).parent.parent)


@dataclass(frozen=True)
class Failure:
    """Why a test fails: `text` for people, what its body `raised` if that is it, the log if one was kept."""

    text: str
    raised: BaseException | None = None
    log: str = ""


class Teller:
    """Tells the failures of one test."""

    def __init__(self, item: pytest.Item, request: Request) -> None:
        self._config = item.config
        self._nodeid = item.nodeid
        self._request = request
        # A worker of xdist has no terminal: it tells as for a wide one.
        columns = shutil.get_terminal_size((_WIDTH_MAX, 24)).columns
        self._width = min(_WIDTH_MAX, max(_WIDTH_MIN, columns))

    def keeper(self, spec: RunSpec, *, hurried: bool) -> Keeper:
        """Who makes what a search found simple and writes it down."""
        return Keeper(self._request, spec, self._place(), hurried=hurried, again=self._again)

    def told(self, keeper: Keeper, finding: Finding, others: Sequence[str], raised: BaseException | None) -> Failure:
        """The failure that a search found, kept by `keeper`."""
        violation = keeper.as_kept(finding.violation)
        log = keeper.logs.get(violation.rule, "")
        lines = [
            f"{violation.rule}: {violation.message}",
            f"in order {finding.run} of the search, {_deviations(finding.deviations)}",
        ]
        if others:
            lines.append(f"also found: {', '.join(dict.fromkeys(others))}")
        lines += keeper.notes
        text = keeper.story(violation, width=self._width, glyphs=_glyphs())
        return Failure(self._joined(lines, text, log), raised, log)

    def of_run(
        self,
        events: Sequence[Event],
        violations: Sequence[Violation],
        log: str,
        raised: BaseException | None,
        *,
        comparison: str = "",
        external: bool = False,
    ) -> Failure | None:
        """The failure of one run; None if it broke no rule. A run that waited for trio itself cannot be run again."""
        if not violations:
            return None
        violation = min(violations, key=severity_of)
        again = self._again(log) if log and not external else ""
        text = story(events, violation, others=violations, replay=again, width=self._width, glyphs=_glyphs())
        lines = [f"{violation.rule}: {violation.message}", *([comparison] if comparison else [])]
        return Failure(self._joined(lines, text, log), raised, log)

    def write(self, spec: RunSpec, result: RunResult, events: Sequence[Event]) -> str:
        """Write the log of a run that was made already; return where, nothing if that cannot be."""
        path = self._place()
        try:
            with Writer.to(path, header_of(self._request, spec)) as writer:
                for event in events:
                    writer(event)
                end_log(writer, result)
        except OSError:
            return ""
        if result.external:
            mark_external(path)
        return str(path)

    def _joined(self, lines: Sequence[str], text: str, log: str) -> str:
        where = [f"log     {self._shown(log)}"] if log else []
        return "\n".join([*lines, "", text.rstrip("\n"), *where]) + "\n"

    def _again(self, log: str) -> str:
        # A node id counts from the root directory, what one types from where one is.
        file, colons, name = self._nodeid.partition("::")
        file = os.path.relpath(self._config.rootpath / file, self._config.invocation_params.dir)
        return replay_command(f"{file}{colons}{name}", self._shown(log))

    def _shown(self, log: str) -> str:
        """The path as one would type it where pytest was started."""
        relative = os.path.relpath(log, self._config.invocation_params.dir)
        return log if relative.startswith("..") else relative

    def _place(self) -> Path:
        """Where the log goes, in a folder that is there if it can be."""
        given = self._config.getoption("notifierlab_log")
        folder = self._config.invocation_params.dir / given if given else self._config.rootpath / KEPT_IN
        try:
            if given:
                folder.mkdir(parents=True, exist_ok=True)
            else:
                make_folder(folder)
        except OSError:
            # Writing fails as well, and says so.
            pass
        return folder / file_name(self._nodeid)


def file_name(nodeid: str) -> str:
    """What the log of a test is called: readable, and no other test's."""
    readable = re.sub(r"[^\w.\[\]-]+", "-", nodeid.replace("::", "."))[:_NAME_MAX]
    digest = hashlib.blake2b(nodeid.encode(), digest_size=3).hexdigest()
    return f"{readable}-{digest}.jsonl"


def own_part(error: E) -> E:
    """The error without those frames of the bench that lead to the first of somebody else; with none if all are."""
    trace = error.__traceback__
    while trace is not None and _is_bench(trace):
        trace = trace.tb_next
    return error.with_traceback(trace)


def callers_part(error: E) -> E:
    """The error with the frames alone that lead from the first to the last frame that is not of the bench."""
    frames = []
    trace = own_part(error).__traceback__
    while trace is not None:
        frames.append(trace)
        trace = trace.tb_next
    while frames and _is_bench(frames[-1]):
        frames.pop()
    trace = None
    for each in reversed(frames):
        trace = TracebackType(trace, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return error.with_traceback(trace)


def _is_bench(trace: TracebackType) -> bool:
    file = trace.tb_frame.f_code.co_filename
    return file.startswith(_HOME) or file == contextlib.__file__


def _deviations(count: int) -> str:
    if not count:
        return "without a preemption or fault"
    return "with 1 preemption or fault" if count == 1 else f"with {count} preemptions or faults"


def _glyphs() -> Glyphs:
    return glyphs_for(getattr(sys.__stdout__, "encoding", None))
