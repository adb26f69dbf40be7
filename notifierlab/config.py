"""Options that a project sets once: the table `[tool.notifierlab]` of its pyproject.toml.

Taken is the nearest pyproject.toml from the working directory upwards. A key is the long
name of an option; it holds for every command that has that option, and in a table of the
command's name (`[tool.notifierlab.explore]`) for that command alone. What stands on the
command line wins.

What is read becomes click's `default_map`, so `--help` shows it. No pydantic here: help
would wait for it, and what an option may be, the option itself knows.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from notifierlab.errors import InputError, nearest

FILE: Final = "pyproject.toml"
TABLE: Final = "tool.notifierlab"

Defaults = dict[str, dict[str, Any]]


def nearest_file() -> Path | None:
    """The pyproject.toml of the working directory, or else of the nearest one above it."""
    here = Path.cwd()
    place = next((place / FILE for place in (here, *here.parents) if (place / FILE).is_file()), None)
    return Path(FILE) if place == here / FILE else place


def defaults_from(path: Path, commands: Mapping[str, click.Command]) -> Defaults:
    """What the table of a file says for each command, by the names of parameters.

    Raises:
        InputError: the file cannot be read, a key is no option, or a value cannot be its.
    """
    table = _table(path)
    shared = {key: value for key, value in table.items() if not (isinstance(value, dict) and key in commands)}
    reader = _Reader(path, commands)
    for key in shared:
        reader.must_be_known(key)
    defaults: Defaults = {}
    for name, command in commands.items():
        options = _options(command)
        given = {key: reader.value(TABLE, key, value, options[key]) for key, value in shared.items() if key in options}
        own = table.get(name)
        # `driver` is an option as well: only a table is the command's.
        for key, value in own.items() if isinstance(own, dict) else ():
            reader.must_be_known(key, name)
            given[key] = reader.value(f"{TABLE}.{name}", key, value, options[key])
        if given:
            defaults[name] = {str(options[key].name): value for key, value in given.items()}
    return defaults


def _table(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes().decode()
        tools = tomllib.loads(text).get("tool", {})
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}. --no-config does without.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no TOML: {error}. Mend it; --no-config does without.") from None
    table = tools.get("notifierlab", {}) if isinstance(tools, dict) else None
    if not isinstance(table, dict):
        raise InputError(f"{path}: [{TABLE}] should be a table of options.")
    return table


def _options(command: click.Command) -> dict[str, click.Option]:
    """The options of a command by their long names, as a key has them."""
    return {
        spelling[2:]: option
        for option in command.params
        if isinstance(option, click.Option)
        for spelling in option.opts
        if spelling.startswith("--") and spelling != "--help"
    }


class _Reader:
    """Reads keys and values, and says where a wrong one stands."""

    def __init__(self, path: Path, commands: Mapping[str, click.Command]) -> None:
        self._path = path
        self._commands = commands

    def must_be_known(self, key: str, command: str = "") -> None:
        """Raise unless the command, or any command, has an option of that name."""
        asked = [self._commands[command]] if command else list(self._commands.values())
        known = dict.fromkeys(key for each in asked for key in _options(each))
        if key in known:
            return
        names = [*known, *([] if command else self._commands)]
        near = nearest(key, names)
        hint = f" Did you mean `{near}`?" if near else ""
        who = f"`notifierlab {command}` has" if command else "No command has"
        whose = "no such option" if command else "such an option"
        raise self._wrong(f"{TABLE}.{command}" if command else TABLE, key, f"{who} {whose}.{hint}")

    def value(self, table: str, key: str, value: object, option: click.Option) -> object:
        """The value as the option takes it."""
        if option.is_flag:
            if not isinstance(value, bool):
                raise self._wrong(table, key, f"{value!r} should be true or false.")
            return value
        if isinstance(value, dict) and (option.metavar or "").startswith("NAME="):
            value = [f"{name}={_text(given)}" for name, given in value.items()]
        if option.multiple:
            values = value if isinstance(value, list) else [value]
            return [self._single(table, key, each, option) for each in values]
        return self._single(table, key, value, option)

    def _single(self, table: str, key: str, value: object, option: click.Option) -> object:
        whole = isinstance(option.type, click.types.IntParamType)
        fits = isinstance(value, int) and not isinstance(value, bool) if whole else isinstance(value, str)
        if not fits:
            raise self._wrong(table, key, f"{value!r} should be {'a whole number' if whole else 'a text'}.")
        try:
            option.type.convert(value, option, None)
        except click.BadParameter as error:
            near = nearest(str(value), option.type.choices) if isinstance(option.type, click.Choice) else ""
            hint = f" Did you mean `{near}`?" if near else ""
            raise self._wrong(table, key, f"{error.message}{hint}") from None
        return value

    def _wrong(self, table: str, key: str, problem: str) -> InputError:
        return InputError(f"{self._path}, [{table}], key `{key}`: {problem}")


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
