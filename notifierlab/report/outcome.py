"""How a run, a search or a check ended: as an exit status, as text, as JSON."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from notifierlab.events import Violation
from notifierlab.report.table import table

EXIT_STATUS: Final = {"proved": 0, "no-violation-within": 0, "violated": 1, "undecided": 3}
"""The exit status of each verdict."""

INTERRUPTED: Final = 130

LISTED_MAX: Final = 20
"""How many violations the text lists; JSON has them all."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What there is to tell. None stands for "does not apply".

    `others` are violations that were seen and not looked for; `logs` the files written,
    by the rule they show; `where` names the log of each violation, or `TOGETHER`, if there are several;
    `story` goes to people only.
    """

    about: str
    verdict: str
    violations: tuple[Violation, ...]
    where: tuple[str, ...] = ()
    others: tuple[Violation, ...] = ()
    runs: int | None = None
    steps: int | None = None
    events: int | None = None
    traces: int | None = None
    states: int | None = None
    bound: str | None = None
    seconds: float = 0.0
    interrupted: bool = False
    notes: tuple[str, ...] = ()
    not_exercised: tuple[str, ...] | None = None
    logs: Mapping[str, str] = field(default_factory=dict)
    story: str = ""

    @property
    def exit_status(self) -> int:
        return INTERRUPTED if self.interrupted else EXIT_STATUS[self.verdict]

    def as_json(self) -> dict[str, object]:
        """One object; keys that do not apply are null."""
        return {
            "about": self.about,
            "verdict": self.verdict,
            "violations": self._violations(),
            "others": [_violation(each) for each in self.others],
            "runs": self.runs,
            "steps": self.steps,
            "events": self.events,
            "traces": self.traces,
            "states": self.states,
            "bound": self.bound,
            "seconds": round(self.seconds, 6),
            "interrupted": self.interrupted,
            "not_exercised": None if self.not_exercised is None else list(self.not_exercised),
            "logs": dict(self.logs),
            "notes": list(self.notes),
        }

    def _violations(self) -> list[dict[str, object]]:
        found = [_violation(each) for each in self.violations]
        for each, place in zip(found, self.where, strict=False):
            each["log"] = place
        return found

    def as_text(self, *, width: int = 100) -> str:
        """A few lines: the verdict first, then what it rests on, then what was found."""
        lines = [f"{VERDICT_WORDS[self.verdict]}  {self.about}", f"  {self._measure()}"]
        if self.bound:
            word = "covered" if self.violations or self.verdict == "undecided" else "within"
            lines += _wrapped(f"{word}: {self.bound}", width)
        for note in self.notes:
            lines += _wrapped(f"note: {note}", width)
        text = "\n".join(lines) + "\n"
        text += _listed(self.violations, self.where, width)
        text += _listed(self.others, ("also seen",) * len(self.others), width)
        if self.story:
            return text + "\n" + self.story
        for log in dict.fromkeys(self.logs.values()):
            text += f"\nlog     {log}\n"
            if self.violations:
                text += f"story   notifierlab story {log}\n"
            text += f"replay  notifierlab replay {log}\n"
        return text

    def _measure(self) -> str:
        parts = []
        for count, one in ((self.runs, "run"), (self.steps, "step"), (self.events, "event")):
            if count is not None:
                parts.append(f"{_grouped(count)} {one}{'' if count == 1 else 's'}")
        parts.append(f"{self.seconds:.2f} s" if self.seconds >= 0.01 else "under 0.01 s")
        if self.runs and self.runs > 1 and self.seconds > 0:
            parts.append(f"{_grouped(int(self.runs / self.seconds))} runs/s")
        return ", ".join(parts) + (", interrupted" if self.interrupted else "")


TOGETHER: Final = "together"
"""Where a violation is that only several logs show, none of them by itself."""

VERDICT_WORDS: Final = {
    "proved": "proved",
    "no-violation-within": "no violation",
    "violated": "VIOLATED",
    "undecided": "undecided",
}
"""The verdict as the first word of the text."""


def _violation(violation: Violation) -> dict[str, object]:
    return {
        "rule": violation.rule,
        "message": violation.message,
        "step": violation.step,
        "task": violation.task,
        "objects": list(violation.objects),
    }


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False, break_long_words=False
    )


def _listed(violations: tuple[Violation, ...], notes: tuple[str, ...], width: int) -> str:
    shown = violations[:LISTED_MAX]
    rows = [[f"  {each.rule}", f"step {each.step}", each.message] for each in shown]
    for row, note in zip(rows, notes, strict=False):
        row.insert(0, f"  {note}:")
    more = len(violations) - len(shown)
    return table(rows, width=width) + (f"  ... and {more} more\n" if more else "")


def _grouped(count: int) -> str:
    """Digits in threes, a narrow gap between them."""
    return f"{count:,}".replace(",", " ")
