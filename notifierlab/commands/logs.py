"""The commands that read a log and run nothing: `check`, `story`, `ledger`, `schema`."""

import json
from functools import partial
from pathlib import Path

import click

from notifierlab.commands.showing import EPILOG, ForCi, glyphs, print_text, show, width
from notifierlab.options import AS_JSON, by_rule, FOR_CI, taking


@click.command(epilog=EPILOG)
@click.argument("logs", nargs=-1, required=True, metavar="LOG...")
@by_rule("Judge by this rule alone (repeatable).")
@click.option("--strict", is_flag=True, help="Judge by the strict rules too.")
@AS_JSON
@taking(FOR_CI)
def check(
    logs: tuple[str, ...],
    rules: tuple[str, ...],
    strict: bool,
    as_json: bool,
    junit: Path | None,
    annotations: str | None,
) -> int:
    """Judge each LOG (`-` is standard input), without the simulator.

    Two or more logs are also judged together, for locks taken in opposite orders.

    \b
    notifierlab check run.jsonl
    """
    from notifierlab import recheck
    from notifierlab.report.ci import Place

    for_ci = ForCi(junit, annotations)
    for_ci.check_writable()
    outcome = recheck.check_logs(logs, strict=strict, rules=rules)
    status = show(outcome, as_json=as_json)
    for_ci.tell(outcome, "check", as_json=as_json, place=Place(logs[0], 1) if len(logs) == 1 else None, logs=logs)
    return status


@click.command(epilog=EPILOG)
@click.argument("log")
@by_rule("Tell of this rule; otherwise of the most severe.")
@click.option("--full", is_flag=True, help="Tell all that happened, not only what led to the violation.")
@click.option("--why", is_flag=True, help="Run other orders to find out what decides, and say it at the end.")
@AS_JSON
def story(log: str, rules: tuple[str, ...], full: bool, why: bool, as_json: bool) -> int:
    """Tell the story of the violation in LOG: the events that matter, one lane a task.

    \b
    notifierlab story run.jsonl
    """
    from notifierlab import recheck

    explain = None
    if why:
        from notifierlab import bench

        explain = partial(bench.why, width=width())

    if as_json:
        told, status = recheck.tell_json(log, rules=rules, full=full, explain=explain)
        click.echo(json.dumps(told, indent=2))
        return status
    text, status = recheck.tell(log, rules=rules, width=width(), glyphs=glyphs(), full=full, explain=explain)
    print_text(text)
    return status


@click.command(epilog=EPILOG)
@click.argument("log")
@AS_JSON
def ledger(log: str, as_json: bool) -> int:
    """List each freed page of LOG and how each registered MMU was told before.

    \b
    notifierlab ledger run.jsonl
    """
    from notifierlab import recheck

    text, status = recheck.ledger_of(log, as_json=as_json, width=width())
    click.echo(text, nl=False)
    return status


@click.command()
def schema() -> None:
    """Print the JSON Schema of one line of a log.

    \b
    notifierlab schema > log.schema.json
    """
    from notifierlab.trace import schema

    click.echo(json.dumps(schema(), indent=2))
