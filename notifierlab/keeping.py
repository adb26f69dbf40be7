"""Keeping what a search found: as simple as it can be, written down as a log, told as a story."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from notifierlab.again import replay_command
from notifierlab.events import Violation
from notifierlab.explore.kinds import kind_of
from notifierlab.explore.run import run_once, RunResult, RunSpec
from notifierlab.explore.shape import shape_of_run
from notifierlab.explore.shrink import REPLAYS_MAX, Same
from notifierlab.explore.smaller import shrink_scenario, Smaller
from notifierlab.explore.strategies import Replay, Strategy
from notifierlab.explore.tally import Finding
from notifierlab.explore.why import explain
from notifierlab.recheck import read_log
from notifierlab.report.lanes import Glyphs
from notifierlab.report.reasons import reasons_lines
from notifierlab.report.story import story
from notifierlab.request import header_of, Request
from notifierlab.trace import mark_external, Writer

KEPT_IN: Final = Path(".notifierlab")
"""Where a search puts the logs of what it finds, unless it is told otherwise."""

_LESSER_MAX: Final = 300
_HURRIED_MAX: Final = 100
"""How many runs shrinking may take for a finding after the first, and when somebody interrupted the search."""


class Keeper:
    """Makes what a search found as simple as it can be, writes it down, and tells it."""

    def __init__(
        self,
        request: Request,
        spec: RunSpec,
        log: Path | None,
        *,
        same: Same = kind_of,
        hurried: bool,
        again: Callable[[str], str] | None = None,
    ) -> None:
        self.notes: tuple[str, ...] = ()
        self.logs: dict[str, str] = {}
        self._same = same
        self._seen: dict[tuple[str, ...], Violation] = {}
        # What was kept, by kind and by how it came about.
        self._shapes: dict[tuple[str, ...], Violation] = {}
        self._request = request
        self._spec = spec
        self._log = log
        self._hurried = hurried
        # The command that runs a log again.
        self._again = again or partial(replay_command, request.scenario)
        self._shrunk: dict[str, Smaller] = {}

    def keep(self, finding: Finding) -> None:
        """Writes a log of the finding, two if only two runs show it; none if one like it was kept."""
        rule = finding.violation.rule
        if len(finding.schedules) > 1:
            if rule in self.logs:
                return
            written = [self._write(rule, schedule, n) for n, schedule in enumerate(finding.schedules, 1)]
            if all(written):
                self._note(f"no single run shows {rule}: `notifierlab check {' '.join(written)}` does")
            return
        smaller = shrink_scenario(
            self._spec,
            finding.schedules[0],
            finding.violation,
            keep=frozenset(name.replace("-", "_") for name in self._request.params),
            # The first one is told; for the others it is enough to be short.
            replays_max=_HURRIED_MAX if self._hurried else _LESSER_MAX if self.logs else REPLAYS_MAX,
            hurried=self._hurried,
            same=self._same,
        )
        shrunk = smaller.shrunk
        shape = (shape_of_run(smaller.spec, shrunk.choices, shrunk.violation), *kind_of(shrunk.violation))
        if shape in self._shapes:
            self._seen.setdefault(self._same(finding.violation), self._shapes[shape])
            return
        self._shapes[shape] = shrunk.violation
        name = rule if rule not in self.logs else f"{rule}.{sum(kept[1] == rule for kept in self._shapes)}"
        self._write(name, shrunk.choices, 0, smaller.spec)
        if smaller.params:
            params = ", ".join(f"{param}={value}" for param, value in smaller.params.items())
            self._note(f"the log has a smaller scenario that shows {rule} too: {params}")
        self._shrunk[name] = smaller
        for violation in (shrunk.violation, *shrunk.result.violations):
            self._seen.setdefault(self._same(violation), violation)
            self._seen.setdefault(kind_of(violation), violation)

    def as_kept(self, violation: Violation) -> Violation:
        """The violation as a log that was kept has it, if one does: its steps and pages are that log's."""
        return self._seen.get(self._same(violation)) or self._seen.get(kind_of(violation), violation)

    def schedule(self, rule: str) -> tuple[int, ...] | None:
        """The choices of the simplest run that shows a violation of the rule; None if no one run does."""
        return self._shrunk[rule].shrunk.choices if rule in self._shrunk else None

    def story(self, violation: Violation, *, width: int, glyphs: Glyphs) -> str:
        """The story of a violation, as its log tells it; nothing when no one log does."""
        log = self.logs.get(violation.rule, "")
        smaller = self._shrunk.get(violation.rule)
        if not log or smaller is None or kind_of(violation) not in self._seen:
            return ""
        reader, events = read_log(log)
        others = reader.verdict.violations if reader.verdict else ()
        closing = [] if self._hurried else reasons_of(smaller.spec, smaller.shrunk.choices, violation, width=width)
        return story(
            events,
            violation,
            others=others,
            replay=self._again(log),
            width=width,
            glyphs=glyphs,
            closing=closing,
        )

    def _write(self, rule: str, schedule: tuple[int, ...], part: int, spec: RunSpec | None = None) -> str:
        path = self._path(rule, part)
        try:
            if self._log is None:
                make_folder(KEPT_IN)
            write_run(path, self._request, spec or self._spec, Replay(schedule), schedule=schedule)
        except OSError as error:
            self._note(f"no log written to {path}: {error.strerror}; give a place with --log FILE")
            return ""
        self.logs.setdefault(rule, str(path))
        return str(path)

    def _path(self, rule: str, part: int) -> Path:
        """The first log has the name that was asked for; others say whose they are."""
        place = self._log or KEPT_IN / f"{Path(self._request.scenario).stem}.jsonl"
        marks = ([rule] if any(other != rule for other in self.logs) else []) + ([str(part)] if part > 1 else [])
        return place.with_name(".".join([place.stem, *marks]) + place.suffix)

    def _note(self, note: str) -> None:
        self.notes = (*self.notes, note)


def write_run(
    path: Path,
    request: Request,
    spec: RunSpec,
    strategy: Strategy,
    *,
    seed: int | None = None,
    schedule: tuple[int, ...] = (),
    disabled: Collection[str] = (),
) -> RunResult:
    """Executes one run and writes its log while it goes."""
    strategy.new_run()
    with Writer.to(path, header_of(request, spec, seed=seed, schedule=schedule)) as writer:
        result = run_once(spec, strategy, sink=writer, disabled=disabled)
        end_log(writer, result)
    if result.external:
        mark_external(path)
    return result


def end_log(writer: Writer, result: RunResult) -> None:
    """Writes the verdict line of a run that was made."""
    assert result.ended != "left", "only a search leaves a run, and a log is of a whole one"
    writer.end(ended=result.ended, violations=result.violations, steps=result.steps, choices=result.choices)


def make_folder(folder: Path) -> None:
    """Makes a folder for logs, unless it is there; it belongs to this machine, not into anybody's repository."""
    if not folder.exists():
        folder.mkdir(exist_ok=True)
        (folder / ".gitignore").write_text("*\n")


def reasons_of(spec: RunSpec, schedule: Sequence[int], violation: Violation, *, width: int) -> list[str]:
    """Why the run of `schedule` shows `violation`, in a few lines: other orders are run to find out."""
    reasons = explain(lambda strategy, sink: run_once(spec, strategy, sink=sink), schedule, violation)
    return reasons_lines(reasons, width=width) if reasons is not None else []
