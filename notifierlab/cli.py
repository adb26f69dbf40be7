"""The command line: arguments in, exit status out, no logic.

What a command does stands in the room it calls; those are imported where they are
used, so that `--help` and completion answer at once.
"""

import json
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TYPE_CHECKING

import click

from notifierlab.options import complete_from, taking, WHAT_TO_RUN, WHO_SEARCHES

if TYPE_CHECKING:
    from notifierlab.report.lanes import Glyphs
    from notifierlab.report.outcome import Outcome
    from notifierlab.request import Request

EPILOG = """\b
Exit status: 0 clean, 1 violations, 2 wrong use or unreadable input, 3 undecided,
70 a bug of notifierlab, 130 interrupted."""

USAGE, BUG, PIPE = 2, 70, 141

# Those of `explore.menu`, written down here so that `--help` need not import it; a test compares.
STRATEGIES = (
    "bounded",
    "dpor",
    "dpor-random",
    "hunt",
    "random",
    "pct",
    "pct-2",
    "pct-3",
    "pct-4",
    "pos",
    "prove",
    "states",
    "surw",
)


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
@click.option("--debug", is_flag=True, help="Show the traceback of an error of notifierlab itself.")
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def notifierlab(debug: bool) -> None:
    """Run the logic of a secondary MMU in every order, check it, explain it, replay it.

    \b
    notifierlab explore founding-race --mutant no-take-all-locks
    """


# --- what several commands take -------------------------------------------------------


def _request(scenario: str, options: dict[str, Any]) -> "Request":
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


def _width() -> int:
    """Columns to write: those of the terminal, and 100 at most."""
    return min(shutil.get_terminal_size((100, 24)).columns, 100)


def _glyphs() -> "Glyphs":
    from notifierlab.report.lanes import ASCII, UNICODE

    try:
        "".join(UNICODE).encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return ASCII
    return UNICODE


def _print(text: str) -> None:
    from notifierlab.report.paint import painted, wants_colour

    click.echo(painted(text) if wants_colour(sys.stdout) else text, nl=False)


def _show(outcome: "Outcome", *, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps(outcome.as_json(), indent=2))
    else:
        _print(outcome.as_text(width=_width()))
    return outcome.exit_status


# --- the commands ---------------------------------------------------------------------


@notifierlab.command(epilog=EPILOG)
@taking(WHAT_TO_RUN)
@click.option("--seed", type=int, help="Draw the order at random from this seed; without it the calm order is run.")
def run(
    scenario: str, seed: int | None, rules: tuple[str, ...], log: Path | None, as_json: bool, **options: Any
) -> int:
    """Run SCENARIO once and check it.

    \b
    notifierlab run kvm-fault-vs-munmap --seed 7 --log run.jsonl
    """
    from notifierlab import bench

    return _show(bench.run(_request(scenario, options), seed=seed, rules=rules, log=log), as_json=as_json)


@notifierlab.command(epilog=EPILOG)
@taking(WHAT_TO_RUN)
@click.option(
    "--strategy",
    type=click.Choice(STRATEGIES),
    default="bounded",
    show_default=True,
    help="All orders within a bound, several strategies in turn (hunt), or orders drawn at random.",
)
@click.option(
    "--bound",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="How many preemptions and faults `bounded` tries.",
)
@click.option("--runs", type=click.IntRange(min=1), help="Make no more runs than this.")
@click.option("--seed", type=int, default=0, show_default=True, help="Where drawing begins.")
@click.option("--all", "find_all", is_flag=True, help="Go on after the first; keep one run for each kind of violation.")
@taking(WHO_SEARCHES)
def explore(
    scenario: str,
    strategy: str,
    bound: int,
    runs: int | None,
    seed: int,
    find_all: bool,
    jobs: int | None,
    cluster: str | None,
    checkpoint: Path | None,
    repeat_every: int,
    rules: tuple[str, ...],
    log: Path | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Search the orders of SCENARIO for one that breaks a rule, and tell its story.

    \b
    notifierlab explore founding-race --mutant no-take-all-locks
    """
    from notifierlab import bench

    plan = bench.SearchPlan(
        strategy=strategy,
        bound=bound,
        runs=runs,
        seed=seed,
        rules=rules,
        find_all=find_all,
        log=log,
        jobs=jobs,
        cluster=cluster,
        checkpoint=checkpoint,
        repeat_every=repeat_every,
    )
    from notifierlab.report.progress import ProgressLine

    with ProgressLine(sys.stderr) as progress:
        outcome = bench.explore(_request(scenario, options), plan, progress=progress, width=_width(), glyphs=_glyphs())
    return _show(outcome, as_json=as_json)


@notifierlab.command(epilog=EPILOG)
@click.argument("logs", nargs=-1, required=True, metavar="LOG...")
@click.option(
    "--rule",
    "rules",
    metavar="ID",
    multiple=True,
    shell_complete=complete_from("rules"),
    help="Judge by this rule alone (repeatable).",
)
@click.option("--strict", is_flag=True, help="Judge by the strict rules too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def check(logs: tuple[str, ...], rules: tuple[str, ...], strict: bool, as_json: bool) -> int:
    """Judge each LOG (`-` is standard input), without the simulator.

    Two or more logs are also judged together, for locks taken in opposite orders.

    \b
    notifierlab check run.jsonl
    """
    from notifierlab import recheck

    return _show(recheck.check_logs(logs, strict=strict, rules=rules), as_json=as_json)


@notifierlab.command(epilog=EPILOG)
@click.argument("log")
@click.option("--lenient", is_flag=True, help="Do not stop at a difference: follow LOG as far as it can be done.")
@click.option(
    "--then",
    type=click.Choice(("calm", *STRATEGIES)),
    default="calm",
    show_default=True,
    help="How to go on where it cannot (with --lenient).",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Where drawing begins (with --then).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def replay(log: str, lenient: bool, then: str, seed: int, as_json: bool) -> int:
    """Run LOG again by its schedule and compare event by event.

    \b
    notifierlab replay run.jsonl
    """
    from notifierlab import bench

    outcome, comparison = bench.follow_log(log, then, seed=seed) if lenient else bench.replay_log(log)
    if as_json:
        click.echo(comparison, nl=False, err=True)
    else:
        _print(comparison)
    return _show(outcome, as_json=as_json)


@notifierlab.command(epilog=EPILOG)
@click.argument("log")
@click.option(
    "--rule",
    "rules",
    metavar="ID",
    multiple=True,
    shell_complete=complete_from("rules"),
    help="Tell of this rule; otherwise of the most severe.",
)
@click.option("--full", is_flag=True, help="Tell all that happened, not only what led to the violation.")
@click.option("--why", is_flag=True, help="Run other orders to find out what decides, and say it at the end.")
def story(log: str, rules: tuple[str, ...], full: bool, why: bool) -> int:
    """Tell the story of the violation in LOG: the events that matter, one lane a task.

    \b
    notifierlab story run.jsonl
    """
    from notifierlab import recheck

    explain = None
    if why:
        from notifierlab import bench

        explain = partial(bench.why, width=_width())

    text, status = recheck.tell(log, rules=rules, width=_width(), glyphs=_glyphs(), full=full, explain=explain)
    _print(text)
    return status


@notifierlab.command(epilog=EPILOG)
@click.argument("log")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def ledger(log: str, as_json: bool) -> int:
    """List each freed page of LOG and how each registered MMU was told before.

    \b
    notifierlab ledger run.jsonl
    """
    from notifierlab import recheck

    text, status = recheck.ledger_of(log, as_json=as_json, width=_width())
    click.echo(text, nl=False)
    return status


@notifierlab.command()
def schema() -> None:
    """Print the JSON Schema of one line of a log.

    \b
    notifierlab schema > log.schema.json
    """
    from notifierlab.trace import schema

    click.echo(json.dumps(schema(), indent=2))


def _listing(name: str, help_text: str) -> None:
    @notifierlab.command(name, help=f"{help_text}\n\n\b\nnotifierlab {name} --json")
    @click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of text.")
    def show(as_json: bool) -> None:
        from notifierlab import lists

        rows = lists.LISTS[name]()
        click.echo(json.dumps(rows, indent=2) if as_json else lists.as_text(name, rows, width=_width()), nl=as_json)


_listing("scenarios", "List what can be run.")
_listing("rules", "List what must hold.")
_listing("profiles", "List the kernels that can be modelled, and their switches.")
_listing("mutants", "List the deliberate deviations, and the rules that must catch them.")
_listing("drivers", "List the secondary MMUs.")
