"""Fills the reference pages from the package itself, at each build.

A page says `<!-- generated: rules -->` where the list of rules belongs; the text that takes
the place of that line is made here and stands in no file.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import model
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

MARK: Final = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)

NAME: Final = re.compile(r"(?<![\[`])`([a-z0-9]+(?:-[a-z0-9]+)+)`(?![\]`])")

ROOMS_FIRST: Final = (
    "notifierlab.mm.callbacks",
    "notifierlab.shadow",
    "notifierlab.machine.shared",
    "notifierlab.machine.locks",
    "notifierlab.host",
    "notifierlab.mm.mm",
)
"""What the author of a driver looks for, in this order; the other rooms follow."""

SEVERITIES: Final = ("the worst", "critical", "high", "medium", "low")


def setup(app: Sphinx) -> dict[str, object]:
    """Register with Sphinx."""
    app.connect("source-read", _fill)
    app.connect("env-get-outdated", _always)
    app.connect("sphinx-click-process-description", _show_example)
    app.connect("sphinx-click-process-epilog", _say_once)
    return {"parallel_read_safe": True}


def _fill(_app: Sphinx, _page: str, source: list[str]) -> None:
    source[0] = _linked(MARK.sub(lambda mark: "\n".join(LISTS[mark[1]]()), source[0]))


def _linked(text: str) -> str:
    """The text with every name of a rule, mutant, scenario or switch linked to what it is."""
    kinds = _kinds()
    parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    for n in range(0, len(parts), 2):
        parts[n] = NAME.sub(
            lambda name: _links(kinds[name[1]], [name[1]]) if name[1] in kinds else name[0],
            parts[n],
        )
    return "".join(parts)


@cache
def _kinds() -> dict[str, str]:
    from notifierlab import catalogue
    from notifierlab.checker import RULES
    from notifierlab.mm.profile import SWITCHES

    return {
        **{switch.replace("_", "-"): "switch" for switch in SWITCHES},
        **dict.fromkeys(catalogue.scenario_names(), "scenario"),
        **dict.fromkeys(catalogue.mutants(), "mutant"),
        **{rule.id: "rule" for rule in RULES},
    }


def _always(_app: Sphinx, env: BuildEnvironment, _added: set[str], _changed: set[str], _removed: set[str]) -> list[str]:
    """The pages that are filled: what fills them changes without them."""
    return sorted(page for page in env.found_docs if MARK.search(Path(env.doc2path(page)).read_text(encoding="utf-8")))


def _show_example(_app: Sphinx, _command: object, lines: list[str]) -> None:
    """Show the example that ends a command's help as one."""
    for n, line in enumerate(lines):
        example = line.removeprefix("| ")
        if example.startswith("notifierlab "):
            lines[n : n + 1] = ["", ".. code-block:: sh", "", f"   {example}", ""]
            return


def _say_once(_app: Sphinx, _command: object, lines: list[str]) -> None:
    """Leave out what is said below each command: the page says it once."""
    lines.clear()


# --- lists ----------------------------------------------------------------------------


def rules() -> Iterator[str]:
    """Every rule, family by family, with what its judge says of itself."""
    from notifierlab.checker import explain, RULES

    breakers = _by(lambda mutant: mutant.rules)
    family = ""
    for rule in RULES:
        if rule.family != family:
            family = rule.family
            yield f"\n## {family.capitalize()}\n"
        yield _label("rule", rule.id)
        yield f"### {rule.id}\n"
        yield from _prose(explain(rule.id))
        facts = [f"Severity: {SEVERITIES[rule.severity]}"]
        if rule.inv is not None:
            facts.append(f"invariant: INV-{rule.inv:02}")
        if rule.strict:
            facts.append("judged with `--strict` alone")
        yield f"\n{'; '.join(facts)}.\n"
        if rule.id in breakers:
            yield f"Broken by the mutants {_links('mutant', breakers[rule.id])}.\n"


def obligations() -> Iterator[str]:
    """What a driver owes, with the rules that judge it."""
    from notifierlab.conformance.obligations import OBLIGATIONS

    for owed in OBLIGATIONS:
        yield f"## {owed.id}\n"
        yield f"{owed.sentence} ({owed.pointer})\n"
        if owed.hint:
            yield f"To keep it: {owed.hint}.\n"
        if owed.needs:
            yield f"Owed by a device with the ability `{owed.needs}`.\n"
        yield f"Judged by {_links('rule', owed.rules)}.\n"


def profiles() -> Iterator[str]:
    """Every preset and every switch."""
    from notifierlab.lists import profiles as rows
    from notifierlab.mm.profile import HOLES

    known = rows()
    yield "## Presets\n"
    yield from _table(
        ("profile", "what it changes against `intended`"),
        ((f"`{row['profile']}`", _settings(row["switches"])) for row in known if "profile" in row),
    )
    yield "\n## Switches\n"
    for row in known:
        if "switch" not in row:
            continue
        name = str(row["switch"])
        yield _label("switch", name)
        yield f"### {name}\n"
        yield f"{_sentence(str(row['sentence']))} Default: `{_value(row['default'])}`.\n"
        hole = HOLES.get(name.replace("-", "_"))
        if hole is not None:
            yield f"A hole: {hole.commit}. {hole.sentence} Breaks {_links('rule', hole.rules)}.\n"


def mutants() -> Iterator[str]:
    """Every mutant, by where it is."""
    from notifierlab import catalogue

    where = ""
    for mutant in sorted(catalogue.mutants().values(), key=lambda mutant: mutant.where):
        if mutant.where != where:
            where = mutant.where
            yield f"\n## In the {where}\n"
        yield _label("mutant", mutant.name)
        yield f"**{mutant.name}**"
        yield f": {' '.join(mutant.sentence.split())}"
        yield f"  Caught by {_links('rule', mutant.rules)} in {_links('scenario', [mutant.scenario])}.\n"


def scenarios() -> Iterator[str]:
    """Every scenario, its parameters, and which mutants it finds."""
    from notifierlab import catalogue
    from notifierlab.lists import scenarios as rows

    found = _by(lambda mutant: (mutant.scenario,))
    for row in rows():
        name, parameters = str(row["scenario"]), row["parameters"]
        yield _label("scenario", name)
        yield f"## {name}\n"
        yield from _prose(catalogue.scenario(name).__doc__ or "")
        if parameters:
            yield f"\nParameters: {_settings(parameters)}.\n"
        if name in found:
            yield f"\nMutants that it shows: {_links('mutant', found[name])}.\n"


def drivers() -> Iterator[str]:
    """Every installed driver."""
    from notifierlab import catalogue

    for name in catalogue.driver_names():
        found = catalogue.driver(name)
        yield f"## {name}\n"
        yield from _prose(found.__doc__ or "")
        yield f"\nThe class `{found.__name__}` of `{found.__module__}`.\n"


def events() -> Iterator[str]:
    """Every event, by the room that owns it, with its fields."""
    from notifierlab.events import EVENTS

    room = ""
    for kind in EVENTS:
        if kind.__module__ != room:
            room = kind.__module__
            yield f"\n## {_headline(room)}\n"
        fields = [f"`{name}: {_type(each)}`" for name, each in kind.__annotations__.items()]
        tag = str(kind.__struct_config__.tag)
        yield _label("event", tag.replace("_", "-"))
        yield f"**{tag}** {', '.join(fields)}"
        yield f": {' '.join((kind.__doc__ or '').split())}\n"


def simplifications() -> Iterator[str]:
    """Every line of the sources that says how the model is simpler than the kernel."""
    home = Path(inspect.getfile(model)).parent.parent.parent
    for path, sentences in model.simplifications(home):
        yield f"`{path}`"
        for where, sentence in sentences:
            yield f": {f'In `{where}`: ' if where else ''}{sentence if where else _capital(sentence)}\n"
        yield ""


def door() -> Iterator[str]:
    """Every name that `notifierlab` exports, by the room where it is made."""
    import notifierlab

    rooms: dict[str, list[str]] = {}
    for name in notifierlab.__all__:
        room = notifierlab._ROOM_OF[name] or name  # noqa: SLF001 - nobody else knows
        rooms.setdefault(f"notifierlab.{room}", []).append(name)
    for room in sorted(rooms, key=lambda room: ROOMS_FIRST.index(room) if room in ROOMS_FIRST else len(ROOMS_FIRST)):
        yield f"\n## {_headline(room).partition(':')[0]}\n"
        for name in rooms[room]:
            yield f"### {name}\n"
            yield from _documented(name, room, getattr(notifierlab, name))


def _documented(name: str, room: str, thing: object) -> Iterator[str]:
    yield "```{eval-rst}"
    if inspect.ismodule(thing) and name == "events":
        yield "The module of :doc:`all events <events>`."
    elif inspect.ismodule(thing):
        yield ".. automodule:: " + room
        yield "   :no-members:"
        for each, function in vars(thing).items():
            if inspect.isfunction(function) and function.__module__ == room and not each.startswith("_"):
                yield f"\n.. autofunction:: {room}.{each}"
    elif inspect.isclass(thing):
        yield f".. autoclass:: notifierlab.{name}"
        yield "   :members:"
    elif inspect.isfunction(thing):
        yield f".. autofunction:: notifierlab.{name}"
    else:
        yield f".. autodata:: {room}.{name}"
    yield "```\n"


LISTS: Final[dict[str, Callable[[], Iterable[str]]]] = {
    "rules": rules,
    "obligations": obligations,
    "profiles": profiles,
    "mutants": mutants,
    "scenarios": scenarios,
    "drivers": drivers,
    "events": events,
    "simplifications": simplifications,
    "door": door,
}
"""What may stand in a mark, and what fills it."""


# --- words ----------------------------------------------------------------------------


def _by(keys: Callable[[Any], Iterable[str]]) -> dict[str, list[str]]:
    """The names of all mutants by something that they name."""
    from notifierlab import catalogue

    found: dict[str, list[str]] = {}
    for mutant in catalogue.mutants().values():
        for key in keys(mutant):
            found.setdefault(key, []).append(mutant.name)
    return found


def _label(kind: str, name: str) -> str:
    return f"({kind}-{name})="


def _links(kind: str, names: Iterable[str]) -> str:
    return ", ".join(f"[`{name}`](#{kind}-{name})" for name in names)


def _settings(values: object) -> str:
    assert isinstance(values, dict)
    return ", ".join(f"`{name.replace('_', '-')}={_value(value)}`" for name, value in values.items()) or "nothing"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def _sentence(text: str) -> str:
    return f"{_capital(text)}."


def _capital(text: str) -> str:
    """Begin with a capital, unless the first word is a name."""
    first = text.split(maxsplit=1)[0]
    return text[0].upper() + text[1:] if re.fullmatch(r"[A-Za-z'-]+", first) else text


def _type(annotation: object) -> str:
    return getattr(annotation, "__name__", str(annotation))


def _headline(module: str) -> str:
    """The first sentence of a module's docstring, without its full stop."""
    import importlib

    text = " ".join((importlib.import_module(module).__doc__ or module).partition("\n\n")[0].split())
    return text.rstrip(".")


def _prose(docstring: str) -> Iterator[str]:
    """A docstring as Markdown: what a judge verifies, and what not, in paragraphs of their own."""
    for line in inspect.cleandoc(docstring).splitlines():
        head, colon, rest = line.partition(":")
        if colon and head in ("Verified", "Not verified"):
            yield f"\n**{head}**:{rest}"
        else:
            yield line
    yield ""


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for row in (head, ("---",) * len(head), *rows):
        yield f"| {' | '.join(row)} |"
