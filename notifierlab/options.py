"""What the commands that run something take, as options of the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def complete_from(names: str) -> Callable[..., list[str]]:
    """Completion by the names of a listing."""

    def complete(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        from notifierlab import lists

        key = names.removesuffix("s")
        return [str(row[key]) for row in lists.LISTS[names]() if str(row.get(key, "")).startswith(incomplete)]

    return complete


def _pairs(_ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for value in values:
        name, equals, given = value.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"`{value}` is not NAME=VALUE.", param=parameter)
        pairs[name] = given
    return pairs


def by_rule(what_for: str) -> Callable[[F], F]:
    """The option that names rules."""
    return click.option(
        "--rule",
        "rules",
        metavar="ID",
        multiple=True,
        shell_complete=complete_from("rules"),
        help=what_for,
    )


AS_JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")

WHAT_TO_RUN: Final = (
    click.argument("scenario", shell_complete=complete_from("scenarios")),
    click.option(
        "--set", "params", metavar="NAME=VALUE", multiple=True, callback=_pairs, help="Set a parameter of the scenario."
    ),
    click.option(
        "--profile",
        default="intended",
        show_default=True,
        shell_complete=complete_from("profiles"),
        help="Which kernel is modelled.",
    ),
    click.option(
        "--switch",
        "switches",
        metavar="NAME=VALUE",
        multiple=True,
        callback=_pairs,
        help="Set one switch of the profile.",
    ),
    click.option(
        "--mutant",
        "mutants",
        metavar="NAME",
        multiple=True,
        shell_complete=complete_from("mutants"),
        help="Switch a deliberate deviation on.",
    ),
    click.option(
        "--driver",
        metavar="NAME",
        help="Put a driver in the place of the usual: a name, FILE.py:CLASS or MODULE:CLASS.",
    ),
    click.option(
        "--carrier", type=click.Choice(["bare", "trio"]), default="bare", show_default=True, help="What resumes tasks."
    ),
    by_rule("Look for this rule alone (repeatable)."),
    click.option(
        "--log", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write the log to FILE."
    ),
    click.option("--strict", is_flag=True, help="Judge by the strict rules too: start and end before the freelist."),
    AS_JSON,
)
"""Every command that runs a scenario takes these."""

FOR_CI: Final = (
    click.option(
        "--junit", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write JUnit XML to FILE too."
    ),
    click.option(
        "--annotations",
        type=click.Choice(["github"]),
        help="Print what was found as commands that GitHub shows beside the code.",
    ),
)
"""How a command tells a machine that shows it to people."""

WHO_SEARCHES: Final = (
    click.option(
        "--jobs", type=click.IntRange(min=1), metavar="N", help="Search in N processes; the result does not hang on N."
    ),
    click.option(
        "--cluster", metavar="ADDRESS", help="Search on the workers of the Dask scheduler at ADDRESS (HOST:PORT)."
    ),
    click.option(
        "--checkpoint",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Keep what is done in FILE, and go on from there.",
    ),
    click.option(
        "--repeat-every",
        type=click.IntRange(min=0),
        default=64,
        show_default=True,
        metavar="N",
        help="Execute every N-th run twice and compare; 0 is never.",
    ),
    click.option(
        "--audit-every",
        type=click.IntRange(min=0),
        metavar="N",
        help="Where orders are left out, look in every N-th run for shared state that is not recorded; 0 is never.",
    ),
)
"""Who searches, and how sure of it one is."""


def taking(options: tuple[Callable[[F], F], ...]) -> Callable[[F], F]:
    """Gives a command these options, in this order."""

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
