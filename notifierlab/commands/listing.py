"""The commands that list what there is."""

import json
from typing import Final

import click

from notifierlab.commands.showing import width


def _listing(name: str, help_text: str) -> click.Command:
    @click.command(name, help=f"{help_text}\n\n\b\nnotifierlab {name} --json")
    @click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of text.")
    def show(as_json: bool) -> None:
        from notifierlab import lists

        rows = lists.LISTS[name]()
        click.echo(json.dumps(rows, indent=2) if as_json else lists.as_text(name, rows, width=width()), nl=as_json)

    return show


LISTINGS: Final = (
    _listing("scenarios", "List what can be run."),
    _listing("rules", "List what must hold."),
    _listing("profiles", "List the kernels that can be modelled, and their switches."),
    _listing("mutants", "List the deliberate deviations, and the rules that must catch them."),
    _listing("drivers", "List the secondary MMUs."),
)
"""One command for each list."""
