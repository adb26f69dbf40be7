"""What commands make of their options, and how they show what came out."""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TYPE_CHECKING

import click

if TYPE_CHECKING:
    from notifierlab.report.ci import Place
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
    from notifierlab.report.lanes import glyphs_for

    return glyphs_for(sys.stdout.encoding)


def print_text(text: str) -> None:
    from notifierlab.report.paint import painted, wants_colour

    click.echo(painted(text) if wants_colour(sys.stdout) else text, nl=False)


class Shown(Protocol):
    """What a command came to."""

    @property
    def exit_status(self) -> int: ...
    def as_json(self) -> dict[str, object]: ...
    def as_text(self, *, width: int = 100) -> str: ...


def show(outcome: Shown, *, as_json: bool) -> int:
    """Print what came out, and return the exit status of it."""
    if as_json:
        click.echo(json.dumps(outcome.as_json(), indent=2))
    else:
        print_text(outcome.as_text(width=width()))
    return outcome.exit_status


@dataclass(frozen=True)
class ForCi:
    """What a CI job wants of a command besides: JUnit XML, annotations."""

    junit: Path | None
    annotations: str | None

    def check_writable(self) -> None:
        """Fail before the work is done, not after."""
        from notifierlab.errors import InputError

        if self.junit is not None and not os.access(self.junit.parent, os.W_OK):
            why = "permission denied" if self.junit.parent.exists() else f"there is no folder {self.junit.parent}"
            raise InputError(f"Cannot write {self.junit}: {why}. Give another place with --junit.")

    def tell(
        self,
        outcome: "Outcome",
        command: str,
        *,
        as_json: bool,
        place: "Place | None" = None,
        logs: Sequence[str] = (),
    ) -> None:
        """Write and print what was asked for; annotations beside JSON go to the error output."""
        from notifierlab.report.ci import annotations, junit

        if self.junit is not None:
            self.junit.write_bytes(junit(outcome, command, logs))
        if self.annotations is not None:
            for line in annotations(outcome, place):
                click.echo(line, err=as_json)
