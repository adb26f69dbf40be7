"""What the listing commands show: rows of names and sentences, for people and as JSON."""

import inspect
from collections.abc import Callable
from typing import Final

Row = dict[str, object]


def rules() -> list[Row]:
    """Every rule of the checker, in the order of its table."""
    from notifierlab.checker import RULES

    return [
        {
            "rule": rule.id,
            "family": rule.family,
            "severity": rule.severity,
            "invariant": rule.inv,
            "sentence": rule.sentence,
        }
        for rule in RULES
    ]


def scenarios() -> list[Row]:
    """Every installed scenario, with its parameters."""
    from notifierlab import catalogue
    from notifierlab.errors import InputError

    rows: list[Row] = []
    for name in catalogue.scenario_names():
        try:
            found = catalogue.scenario(name)
        except InputError as error:
            rows.append({"scenario": name, "parameters": {}, "sentence": f"(not usable) {error}"})
            continue
        parameters = {
            key: each.default
            for key, each in inspect.signature(found).parameters.items()
            if each.kind is each.KEYWORD_ONLY
        }
        rows.append({"scenario": name, "parameters": parameters, "sentence": _sentence(found)})
    return rows


def drivers() -> list[Row]:
    """Every installed driver."""
    from notifierlab import catalogue
    from notifierlab.errors import InputError

    rows: list[Row] = []
    for name in catalogue.driver_names():
        try:
            found = catalogue.driver(name)
        except InputError as error:
            rows.append({"driver": name, "class": "", "sentence": f"(not usable) {error}"})
            continue
        rows.append({"driver": name, "class": f"{found.__module__}:{found.__name__}", "sentence": _sentence(found)})
    return rows


def mutants() -> list[Row]:
    """Every mutant, with the rules that must speak and the scenario where they do."""
    from notifierlab import catalogue

    return [
        {
            "mutant": mutant.name,
            "where": mutant.where,
            "scenario": mutant.scenario,
            "rules": list(mutant.rules),
            "sentence": mutant.sentence,
        }
        for mutant in catalogue.mutants().values()
    ]


def profiles() -> list[Row]:
    """Every preset, as what it changes against `intended`, then every switch."""
    from notifierlab.mm.profile import HOLES, PRESETS, Profile, SWITCHES

    base = PRESETS["intended"].switches()
    rows: list[Row] = []
    for name, preset in PRESETS.items():
        changed = {switch: value for switch, value in preset.switches().items() if value != base[switch]}
        rows.append({"profile": name, "switches": changed})
    for switch in SWITCHES:
        row: Row = {
            "switch": switch.replace("_", "-"),
            "default": base[switch],
            "sentence": Profile.model_fields[switch].description or "",
        }
        if switch in HOLES:
            row |= {"commit": HOLES[switch].commit, "rules": list(HOLES[switch].rules)}
        rows.append(row)
    return rows


LISTS: Final[dict[str, Callable[[], list[Row]]]] = {
    "scenarios": scenarios,
    "rules": rules,
    "profiles": profiles,
    "mutants": mutants,
    "drivers": drivers,
}
"""The listing commands."""


def as_text(name: str, rows: list[Row], *, width: int = 100) -> str:
    """The rows of a list as a table."""
    from notifierlab.report.table import table

    if not rows:
        return f"No {name} are installed.\n"
    if name == "profiles":
        return _profiles_text(rows, width)
    if name == "mutants":
        rows = [{**row, "sentence": f"{row['sentence']} Caught by {_cell(row['rules'])}."} for row in rows]
    shown = [key for key in rows[0] if key not in ("parameters", "class", "invariant", "rules")]
    cells = [[_cell(row[key]) for key in shown] for row in rows]
    return table(cells, head=shown, width=width)


def _profiles_text(rows: list[Row], width: int) -> str:
    from notifierlab.report.table import table

    presets = [(str(row["profile"]), _cell(row["switches"])) for row in rows if "profile" in row]
    switches = [
        (str(row["switch"]), _cell(row["default"]), f"{row['sentence']}{_hole(row)}") for row in rows if "switch" in row
    ]
    upper = table(presets, head=("profile", "what it changes against intended"), width=width)
    return upper + "\n" + table(switches, head=("switch", "default", "what it says"), width=width)


def _hole(row: Row) -> str:
    return f" (a hole: {row['commit']}; breaks {_cell(row['rules'])})" if "commit" in row else ""


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', '-')}={_cell(each)}" for key, each in value.items()) or "nothing"
    if isinstance(value, list):
        return ", ".join(str(each) for each in value)
    return str(value)


def _sentence(thing: object) -> str:
    """The first sentence of a docstring, on one line."""
    text = " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())
    return text.partition(". ")[0].rstrip(".") + "." if text else ""
