"""The command line: arguments in, exit status out, no logic.

The commands stand in `commands/`, what they do in the rooms they call; those are imported
where they are used, so that `--help` and completion answer at once.
"""

import sys
from pathlib import Path
from typing import NoReturn

import click

from notifierlab.commands.driver import driver
from notifierlab.commands.listing import LISTINGS
from notifierlab.commands.logs import check, ledger, schema, story
from notifierlab.commands.report import report
from notifierlab.commands.running import explore, replay, run
from notifierlab.commands.showing import EPILOG

USAGE, BUG, PIPE = 2, 70, 141


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs the command line and leaves with its exit status."""
    sys.exit(_guarded(arguments))


def _guarded(arguments: list[str] | None) -> int:
    debug = "--debug" in (sys.argv[1:] if arguments is None else arguments)
    try:
        status = notifierlab.main(arguments, prog_name="notifierlab", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return USAGE
    except click.ClickException as error:
        error.show()
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except BrokenPipeError:
        # The reader went away; nobody is left to be told. The interpreter flushes once more at its end.
        sys.stdout = None
        return PIPE
    except Exception as error:
        if debug:
            raise
        return _explain(error)


def _explain(error: Exception) -> int:
    """Says what went wrong: a sentence for what people do, a report for what we did."""
    from notifierlab.errors import InputError

    # LabError stands in the machine, which `check` can do without.
    machine = sys.modules.get("notifierlab.machine.sched")
    wrong_use = (InputError, machine.LabError) if machine else (InputError,)
    if isinstance(error, wrong_use):
        click.echo(f"Error: {error}", err=True)
        for note in getattr(error, "__notes__", ()):
            click.echo(f"  {note}", err=True)
        return USAGE
    if isinstance(error, OSError):
        click.echo(f"Error: {error}", err=True)
        return USAGE
    from notifierlab import __version__

    click.echo(
        f"notifierlab has a bug: {type(error).__name__}: {error}\n"
        f"Please report it with this line, the command, and what `--debug` prints: `notifierlab --debug ...`\n"
        f"  notifierlab {__version__}, Python {sys.version.split()[0]}, {' '.join(sys.argv[1:])}",
        err=True,
    )
    return BUG


class _Group(click.Group):
    """Suggests the nearest command for one that does not exist."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            from notifierlab.errors import unknown_name

            ctx.fail(str(unknown_name("command", args[0], self.list_commands(ctx))))
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


def _version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from notifierlab import __version__

        click.echo(f"notifierlab {__version__}")
        ctx.exit()


@click.group(
    cls=_Group, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error of notifierlab itself.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Take options from [tool.notifierlab] of FILE, not of the nearest pyproject.toml.",
)
@click.option("--no-config", is_flag=True, help="Take options from the command line alone.")
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
@click.pass_context
def notifierlab(ctx: click.Context, config: Path | None, no_config: bool) -> None:
    """Run the logic of a secondary MMU in every order, check it, explain it, replay it.

    \b
    notifierlab explore founding-race --mutant no-take-all-locks
    """
    from notifierlab.config import defaults_from, nearest_file

    place = config or nearest_file()
    if place is not None and not no_config and not ctx.resilient_parsing:
        ctx.default_map = defaults_from(place, notifierlab.commands)
        # What a file says is not to be guessed: help shows it, also of options that have no default else.
        ctx.show_default = bool(ctx.default_map) or None


for _command in (run, explore, driver, check, replay, story, ledger, report, schema, *LISTINGS):
    notifierlab.add_command(_command)
