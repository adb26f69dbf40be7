"""What the suite found: a verdict for each obligation, and the tales of those that were broken.

An obligation is judged by the rules that stand in its row. It is *violated* if any
scenario broke one of them; *undecided* if in no scenario they had anything to judge;
*proved* if every scenario in which they had was searched to its last order; otherwise
there was no violation within the bound that stands beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from notifierlab.conformance.abilities import WORDS
from notifierlab.conformance.cells import CellResult, Effort
from notifierlab.conformance.obligations import HOST, Obligation, OBLIGATIONS, owed
from notifierlab.conformance.telling import Found
from notifierlab.report.outcome import EXIT_STATUS, INTERRUPTED, VERDICT_WORDS
from notifierlab.report.table import table

_WORST_FIRST: Final = ("violated", "undecided", "no-violation-within", "proved")


@dataclass(frozen=True, kw_only=True)
class About:
    """Who was judged. `place` is what logs call the driver, `where` its file and line."""

    name: str
    where: str
    place: str | None
    abilities: tuple[str, ...]
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, tuple[str, ...]]


class Row(NamedTuple):
    """One obligation on one profile. `orders` were tried in `scenarios` scenarios that put it to
    the test; `level` is how many deviations all of those were searched to, -1 for less than none;
    `scenarios_broken` names where it was broken."""

    profile: str
    obligation: Obligation
    verdict: str
    orders: int
    scenarios: int
    level: int
    scenarios_broken: tuple[str, ...]
    found: tuple[Found, ...]

    @property
    def bound(self) -> str:
        """How far it was searched, in words."""
        if not self.scenarios:
            return "untested"
        if self.verdict == "proved":
            return "all orders"
        return "under 0" if self.level < 0 else f"up to {self.level}"


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All that the suite found about a driver; `left` is how many scenarios an interruption left out."""

    about: About
    rows: tuple[Row, ...]
    cells: tuple[CellResult, ...]
    effort: Effort
    left: int = 0

    @property
    def verdict(self) -> str:
        """The worst of all rows."""
        verdicts = [row.verdict for row in self.rows] + (["undecided"] if self.left else [])
        return next((verdict for verdict in _WORST_FIRST if verdict in verdicts), "undecided")

    @property
    def clean(self) -> bool:
        """Whether every obligation is kept, as far as was searched."""
        return self.exit_status == 0

    @property
    def exit_status(self) -> int:
        """0 clean, 1 violated, 3 undecided, 130 interrupted."""
        return INTERRUPTED if self.left else EXIT_STATUS[self.verdict]

    @property
    def broken(self) -> tuple[str, ...]:
        """The ids of the obligations that are broken."""
        return tuple(dict.fromkeys(row.obligation.id for row in self.rows if row.verdict == "violated"))

    @property
    def rules(self) -> tuple[str, ...]:
        """Every rule that was broken."""
        return tuple(dict.fromkeys(rule for cell in self.cells for rule in cell.broken))

    def as_text(self, *, width: int = 100) -> str:
        """The table, then the tale of each broken obligation."""
        profiles = list(dict.fromkeys(row.profile for row in self.rows))
        text = f"{VERDICT_WORDS[self.verdict]}  {self.about.name} ({self.about.where})\n"
        text += f"  {_count(len(self.cells), 'scenario')}, {_count(sum(cell.runs for cell in self.cells), 'order')}"
        text += "; bound: the preemptions and faults of an order\n"
        text += f"  interrupted: {_count(self.left, 'scenario')} not searched\n" if self.left else ""
        for profile in profiles:
            text += f"\nprofile {profile}\n\n" + self._table(profile, width)
        text += self._notes()
        tales = [row for row in self.rows if row.found]
        for row in tales:
            text += _tale(row, width)
        return text

    def as_json(self) -> dict[str, object]:
        """One object: `verdict`, the rows, what was found, the cells."""
        return {
            "driver": self.about.name,
            "where": self.about.where,
            "abilities": list(self.about.abilities),
            "verdict": self.verdict,
            "runs": sum(cell.runs for cell in self.cells),
            "interrupted": bool(self.left),
            "obligations": [_row_json(row) for row in self.rows],
            "violations": [_found_json(row, found) for row in self.rows for found in row.found],
            "scenarios": [
                {
                    "scenario": cell.cell.name,
                    "profile": cell.cell.profile,
                    "verdict": cell.verdict,
                    "runs": cell.runs,
                    "bound": cell.level,
                    "broken": list(cell.broken),
                }
                for cell in self.cells
            ],
            "left_out": {ability: list(names) for ability, names in self.about.left_out.items()},
            "notes": list(self.about.notes),
        }

    def _table(self, profile: str, width: int) -> str:
        rows = [
            (
                row.obligation.id,
                VERDICT_WORDS[row.verdict],
                str(row.orders),
                row.bound,
                row.obligation.pointer,
                row.obligation.sentence,
            )
            for row in self.rows
            if row.profile == profile
        ]
        return table(rows, head=("obligation", "verdict", "orders", "bound", "see", "what is owed"), width=width)

    def _notes(self) -> str:
        lines = [f"note: {self.about.name} {note}" for note in self.about.notes]
        owed_not = [each for each in OBLIGATIONS if each.id not in [row.obligation.id for row in self.rows]]
        if owed_not and not self.effort.rules:
            lines.append(f"does not arise: {', '.join(each.id for each in owed_not)}")
        lines += [
            f"left out, as it does not say that it {WORDS[ability]}: {', '.join(names)}"
            for ability, names in self.about.left_out.items()
        ]
        return "\n" + "\n".join(lines) + "\n" if lines else ""


def judged(
    about: About,
    cells: Sequence[CellResult],
    tales: Mapping[tuple[str, str], tuple[Found, ...]],
    effort: Effort,
    *,
    left: int = 0,
) -> Findings:
    """Judge each obligation on each profile by what its scenarios came to."""
    profiles = list(dict.fromkeys(cell.cell.profile for cell in cells))
    asked = [each for each in owed(about.abilities) if not effort.rules or set(each.rules) & set(effort.rules)]
    rows = []
    for profile in profiles:
        here = [cell for cell in cells if cell.cell.profile == profile]
        broken = [rule for cell in here for rule in cell.broken]
        # What was not asked for, or is not the driver's to keep, has a row where it was broken.
        extra = [
            each for each in (*OBLIGATIONS, HOST) if each not in asked and any(rule in each.rules for rule in broken)
        ]
        made = [_row(profile, each, here, tales, effort) for each in [*asked, *extra]]
        rows += [row for row in made if row.scenarios or row.scenarios_broken or not row.obligation.may_not_arise]
    return Findings(about=about, rows=tuple(rows), cells=tuple(cells), effort=effort, left=left)


def _row(
    profile: str,
    obligation: Obligation,
    cells: Sequence[CellResult],
    tales: Mapping[tuple[str, str], tuple[Found, ...]],
    effort: Effort,
) -> Row:
    rules = [rule for rule in obligation.rules if not effort.rules or rule in effort.rules]
    tested = [cell for cell in cells if any(rule in cell.exercised for rule in rules)]
    broken = [cell for cell in cells if any(rule in cell.broken for rule in rules)]
    whole = [cell for cell in tested if cell not in broken]
    if broken:
        verdict = "violated"
    elif not tested or any(cell.verdict == "undecided" for cell in tested):
        verdict = "undecided"
    elif all(cell.verdict == "proved" for cell in tested):
        verdict = "proved"
    else:
        verdict = "no-violation-within"
    return Row(
        profile,
        obligation,
        verdict,
        sum(cell.runs for cell in tested),
        len(tested),
        min((cell.level for cell in whole if cell.verdict != "proved"), default=-1 if broken else effort.bound),
        tuple(cell.cell.name for cell in broken),
        tuple(found for found in tales.get((profile, obligation.id), ()) if found.rule in rules),
    )


def _tale(row: Row, width: int) -> str:
    told = row.found[0]
    text = f"\n{'─' * min(width, 100)}\n{row.obligation.id}: {row.obligation.sentence} ({row.obligation.pointer})\n"
    text += f"  broken in {', '.join(row.scenarios_broken)}\n"
    if told.holes:
        text += f"  the profile {row.profile} predicts this: it has the hole {', '.join(told.holes)}\n"
    if row.obligation.hint:
        text += f"  to do: {row.obligation.hint}\n"
    text += f"\n{told.story}" if told.story else f"\n{told.rule}: {told.message}\n"
    if told.lines:
        text += "\nthe driver's lines that took part\n" + "".join(f"  {line}\n" for line in told.lines)
    return text


def _row_json(row: Row) -> dict[str, object]:
    return {
        "profile": row.profile,
        "obligation": row.obligation.id,
        "sentence": row.obligation.sentence,
        "pointer": row.obligation.pointer,
        "rules": list(row.obligation.rules),
        "verdict": row.verdict,
        "orders": row.orders,
        "bound": None if row.verdict == "proved" else row.level,
        "broken_in": list(row.scenarios_broken),
    }


def _found_json(row: Row, found: Found) -> dict[str, object]:
    return {
        "profile": row.profile,
        "obligation": row.obligation.id,
        "rule": found.rule,
        "message": found.message,
        "log": found.log or None,
        "replay": f"notifierlab replay {found.log}" if found.log else None,
        "lines": list(found.lines),
        "holes": list(found.holes),
        "hint": row.obligation.hint or None,
    }


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
