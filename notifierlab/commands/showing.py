"""What commands make of their options, and how they show what came out."""

import json
import shutil
import sys
from typing import Any, Final, TYPE_CHECKING

import click

if TYPE_CHECKING:
    from notifierlab.report.lanes import Glyphs
    from notifierlab.report.outcome import Outcome
    from notifierlab.request import Request

EPILOG: Final = """\b
Exit status: 0 clean, 1 violations, 2 wrong use or unreadable input, 3 undecided,
70 a bug of notifierlab, 130 interrupted."""


def request_of(scenario: str, options: dict[str, Any]) -> "Request":
    from notifierlab.request import Request

    return Request(
        scenario=scenario,
        params=options["params"],
        profile=options["profile"],
        switches=options["switches"],
        mutants=tuple(dict.fromkeys(options["mutants"])),
        driver=options["driver"],
        carrier=options["carrier"],
        strict=options["strict"],
    )


def width() -> int:
    """Columns to write: those of the terminal, and 100 at most."""
    return min(shutil.get_terminal_size((100, 24)).columns, 100)


def glyphs() -> "Glyphs":
    from notifierlab.report.lanes import ASCII, UNICODE

    try:
        "".join(UNICODE).encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return ASCII
    return UNICODE


def print_text(text: str) -> None:
    from notifierlab.report.paint import painted, wants_colour

    click.echo(painted(text) if wants_colour(sys.stdout) else text, nl=False)


def show(outcome: "Outcome", *, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps(outcome.as_json(), indent=2))
    else:
        print_text(outcome.as_text(width=width()))
    return outcome.exit_status
