"""The command that draws a log: a page, a trace for Perfetto, lanes on paper."""

import json
from pathlib import Path

import click

from notifierlab.commands.showing import EPILOG
from notifierlab.options import AS_JSON, by_rule


@click.command(epilog=EPILOG)
@click.argument("log")
@click.option(
    "-o",
    "--output",
    "output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Where to write; its suffix says what: .html, .perfetto-trace or .svg.",
)
@by_rule("Begin with this rule (repeatable); otherwise with the most severe.")
@AS_JSON
def report(log: str, output: Path, rules: tuple[str, ...], as_json: bool) -> int:
    """Draw LOG (`-` is standard input), to look at it and to show it.

    .html is one page for a browser that needs no network: timeline, story, ledger. .perfetto-trace
    opens in ui.perfetto.dev. .svg is the story in lanes, for papers and mails.

    The exit status is that of the log's verdict, as `check` gives it; 2 if nothing could be written.

    \b
    notifierlab report run.jsonl -o run.html
    """
    from notifierlab import recheck
    from notifierlab.report import writing
    from notifierlab.report.outcome import EXIT_STATUS, VERDICT_WORDS

    form = writing.form_of(output)
    run = recheck.run_of(log, rules=rules)
    written = None
    try:
        writing.write(form, run, output)
        written = str(output)
    finally:
        # Whatever becomes of the picture, the verdict is known and said.
        if as_json:
            click.echo(json.dumps({"written": written, "verdict": run.verdict}, indent=2))
        else:
            about = run.violations[0].rule if run.violations else run.header.scenario
            click.echo(f"{VERDICT_WORDS[run.verdict]}  {about}")
            for note in run.notes:
                click.echo(f"  note: {note}")
            if written is not None:
                click.echo(f"written  {written}")
    return EXIT_STATUS[run.verdict]
