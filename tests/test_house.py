"""The floor plan: which room may import which, and how large a room may be."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

HOME = Path(__file__).parent.parent
ROOTS = ("notifierlab", "drivers", "guests")

FILE_LINES_MAX = 450
FUNCTION_LINES_MAX = 70
# 25, and four more for whoever writes a driver and has it judged.
DOOR_NAMES_MAX = 29

# From the ground up: a room imports what stands above it in this list, and its own neighbours.
FLOORS = (
    ("notifierlab", "notifierlab.again", "notifierlab.errors", "notifierlab.events"),
    ("notifierlab.wire", "notifierlab.checker", "notifierlab.machine"),
    ("notifierlab.trace", "notifierlab.mm"),
    ("notifierlab.reading", "notifierlab.shadow"),
    ("notifierlab.report", "notifierlab.host", "notifierlab.catalogue"),
    ("notifierlab.explore",),
    ("notifierlab.request", "notifierlab.recheck", "notifierlab.replay"),
    ("notifierlab.keeping",),
    ("notifierlab.bench", "notifierlab.lists"),
    ("notifierlab.conformance",),
    ("notifierlab.pytest_plugin",),
    ("notifierlab.options", "notifierlab.config"),
    ("notifierlab.commands",),
    ("notifierlab.cli",),
    ("notifierlab.__main__",),
)

# What a room must not know, whatever floor it stands on.
NEVERS = {
    "notifierlab.checker": ("notifierlab.wire", "notifierlab.trace", "notifierlab.mm", "notifierlab.machine"),
    "notifierlab.report": ("notifierlab.host", "notifierlab.mm", "notifierlab.machine", "notifierlab.shadow"),
    "notifierlab.mm": ("notifierlab.trace", "notifierlab.checker", "notifierlab.explore", "notifierlab.report"),
    "notifierlab.recheck": ("notifierlab.host", "notifierlab.mm", "notifierlab.machine", "notifierlab.shadow"),
    "notifierlab": ("drivers", "guests", "tests"),
}

# Where each library of others may be imported.
LIBRARIES = {
    "trio": ("notifierlab/machine/carriers.py", "notifierlab/__init__.py", "notifierlab/pytest_plugin/"),
    "structlog": ("notifierlab/trace.py",),
    # Where people's data comes in: run headers (written, read back), profiles, what a driver declares.
    "pydantic": (
        "notifierlab/trace.py",
        "notifierlab/reading.py",
        "notifierlab/mm/profile.py",
        "notifierlab/pytest_plugin/marker.py",
        "notifierlab/conformance/abilities.py",
    ),
    "click": ("notifierlab/cli.py", "notifierlab/commands/", "notifierlab/options.py", "notifierlab/config.py"),
    "distributed": ("notifierlab/explore/workers.py",),
    "jinja2": ("notifierlab/report/page/",),
    "markupsafe": ("notifierlab/report/page/",),
    "perfetto": ("notifierlab/report/perfetto.py",),
    "random": ("notifierlab/explore/",),
    "time": (
        "notifierlab/bench.py",
        "notifierlab/recheck.py",
        "notifierlab/report/progress.py",
        # How long a driver may be silent before it is said to hang.
        "notifierlab/conformance/watchdog.py",
    ),
    "multiprocessing": ("notifierlab/conformance/watchdog.py", "notifierlab/explore/workers.py"),
    "datetime": (),
    "asyncio": (),
    "threading": ("notifierlab/explore/interrupts.py", "notifierlab/explore/workers.py"),
}

BANNED = {
    r"\bid\(": "Python ids differ from run to run; give the object a name",
    r"\bhash\(": "hashes differ from run to run; order by name",
    r"\b(?:XXX|TODO|FIXME|HACK)\b": "do it, or write `XX` and the question",
}


def _files() -> list[Path]:
    return [path for root in ROOTS for path in sorted((HOME / root).rglob("*.py"))]


FILES = _files()
TREES = {path: ast.parse(path.read_text()) for path in FILES}
OURS = [path for path in FILES if path.relative_to(HOME).parts[0] == "notifierlab"]


def _name(path: Path) -> str:
    return path.relative_to(HOME).as_posix()


def _module(path: Path) -> str:
    parts = list(path.relative_to(HOME).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in the file, also for types only."""
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{_name(path)}: imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                place = HOME / inner.replace(".", "/")
                yield inner if place.is_dir() or place.with_suffix(".py").exists() else node.module


def _within(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def _room(module: str) -> str:
    """The room with the longest name that holds the module."""
    return max((room for floor in FLOORS for room in floor if _within(module, room)), key=len)


def _floor(module: str) -> int:
    return next(n for n, rooms in enumerate(FLOORS) if _room(module) in rooms)


def test_imports_point_down() -> None:
    wrong = [
        f"{_name(path)} imports {imported}, which does not stand below"
        for path in OURS
        if _module(path) != "notifierlab"  # the door opens to every room
        for imported in _imports(path)
        if _within(imported, "notifierlab")
        and _room(imported) != _room(_module(path))
        and _floor(imported) >= _floor(_module(path))
    ]
    assert wrong == []


def test_no_room_knows_what_it_must_not() -> None:
    wrong = [
        f"{_name(path)} must not know {never}, but imports {imported}"
        for room, forbidden in NEVERS.items()
        for path in FILES
        if _within(_module(path), room)
        for imported in _imports(path)
        for never in forbidden
        if _within(imported, never)
    ]
    assert wrong == []


def test_the_checker_imports_events_and_nothing_else() -> None:
    allowed = ("notifierlab.events", "notifierlab.checker")
    wrong = [
        f"{_name(path)} imports {imported}"
        for path in OURS
        if _within(_module(path), "notifierlab.checker")
        for imported in _imports(path)
        if _within(imported, "notifierlab") and not any(_within(imported, room) for room in allowed)
    ]
    assert wrong == []


def test_drivers_and_guests_use_the_door_only() -> None:
    import notifierlab

    through_the_door = [f"notifierlab.{name}" for name in notifierlab.__all__]
    wrong = [
        f"{_name(path)}: import from notifierlab itself, not from {imported}"
        for path in FILES
        if path not in OURS
        for imported in _imports(path)
        if imported.startswith("notifierlab.") and imported not in through_the_door
    ]
    assert wrong == []


def test_each_library_has_its_home() -> None:
    wrong = [
        f"{_name(path)} imports {imported}"
        for path in FILES
        for imported in _imports(path)
        for homes in [LIBRARIES.get(imported.partition(".")[0])]
        if homes is not None
        and not any(_name(path) == home or (home.endswith("/") and _name(path).startswith(home)) for home in homes)
    ]
    assert wrong == []


def test_no_file_is_crowded() -> None:
    lines = {_name(path): len(path.read_text().splitlines()) for path in FILES}
    assert {name: count for name, count in lines.items() if count > FILE_LINES_MAX} == {}


def test_no_function_is_long() -> None:
    lines = {
        f"{_name(path)}: {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path in FILES
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: count for name, count in lines.items() if count > FUNCTION_LINES_MAX} == {}


def test_every_room_says_what_it_is() -> None:
    silent = [_name(path) for path in FILES if TREES[path].body and not ast.get_docstring(TREES[path])]
    assert silent == []


def test_no_banned_word_stands_in_code() -> None:
    wrong = [
        f"{_name(path)}, line {number}: {why}"
        for path in FILES
        for number, line in enumerate(_without_strings(path), 1)
        for pattern, why in BANNED.items()
        if re.search(pattern, line)
    ]
    assert wrong == []
    assert [_name(path) for path in FILES if re.search(r"\b(utils?|helpers?|misc|common)\b", path.stem)] == []


def _without_strings(path: Path) -> list[str]:
    """The lines of a file with its strings blanked."""
    text = path.read_text()
    lines = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.STRING:
            (first, begin), (last, end) = token.start, token.end
            for number in range(first, last + 1):
                line = lines[number - 1]
                left = begin if number == first else 0
                right = end if number == last else len(line)
                lines[number - 1] = line[:left] + " " * (right - left) + line[right:]
    return lines


def test_nothing_iterates_over_a_set() -> None:
    wrong = [
        f"{_name(path)}, line {iterated.lineno}"
        for path in FILES
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.For | ast.AsyncFor | ast.comprehension)
        for iterated in [node.iter]
        if isinstance(iterated, ast.Set | ast.SetComp)
        or (
            isinstance(iterated, ast.Call)
            and isinstance(iterated.func, ast.Name)
            and iterated.func.id in ("set", "frozenset")
        )
    ]
    assert wrong == []


def test_the_door_has_few_names_and_each_opens() -> None:
    import notifierlab

    assert len(notifierlab.__all__) <= DOOR_NAMES_MAX
    assert sorted(notifierlab.__all__) == sorted(dict.fromkeys(notifierlab.__all__))
    for name in notifierlab.__all__:
        assert getattr(notifierlab, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        notifierlab.Nothing  # noqa: B018 - looking it up is the test


def test_the_type_checker_sees_the_same_door() -> None:
    tree = ast.parse((HOME / "notifierlab" / "__init__.py").read_text())
    import notifierlab

    seen = [
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.If)
        for inner in node.body
        if isinstance(inner, ast.ImportFrom)
        for alias in inner.names
    ]
    assert sorted(seen) == sorted(notifierlab.__all__)


def test_every_entry_point_leads_somewhere() -> None:
    import tomllib

    project = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]
    for group in project["entry-points"].values():
        for value in group.values():
            module, _, name = value.partition(":")
            place = HOME / module.replace(".", "/")
            path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
            assert path.exists(), f"{value}: there is no {path}"
            assert re.search(rf"\b{name}\b", path.read_text()), f"{value}: {path} has no {name}"
