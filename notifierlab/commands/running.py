"""The commands that run something: `run`, `explore`, `replay`."""

import sys
from pathlib import Path
from typing import Any

import click

from notifierlab.commands.showing import EPILOG, ForCi, glyphs, print_text, request_of, show, width
from notifierlab.options import AS_JSON, FOR_CI, taking, WHAT_TO_RUN, WHO_SEARCHES

# As in `explore.search` and `explore.menu`, written down here so that `--help` need not import them; a test compares.
BOUND = 2
STRATEGIES = (
    "auto",
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


def _said(*options: str) -> bool:
    """Whether any of these options of the current command was given, on the command line or in a file."""
    context = click.get_current_context()
    left_alone = (None, click.core.ParameterSource.DEFAULT)
    return any(context.get_parameter_source(option) not in left_alone for option in options)


@click.command(epilog=EPILOG)
@taking(WHAT_TO_RUN)
@click.option("--seed", type=int, help="Draw the order at random from this seed; without it the calm order is run.")
@taking(FOR_CI)
def run(
    scenario: str,
    seed: int | None,
    rules: tuple[str, ...],
    log: Path | None,
    as_json: bool,
    junit: Path | None,
    annotations: str | None,
    **options: Any,
) -> int:
    """Run SCENARIO once and check it.

    \b
    notifierlab run kvm-fault-vs-munmap --seed 7 --log run.jsonl
    """
    from notifierlab import bench

    for_ci = ForCi(junit, annotations)
    for_ci.check_writable()
    request = request_of(scenario, options)
    outcome = bench.run(request, seed=seed, rules=rules, log=log)
    status = show(outcome, as_json=as_json)
    for_ci.tell(outcome, "run", as_json=as_json, place=bench.place_of(request) if annotations else None)
    return status


@click.command(epilog=EPILOG)
@taking(WHAT_TO_RUN)
@click.option(
    "--strategy",
    type=click.Choice(STRATEGIES),
    default="auto",
    show_default=True,
    help="Look near by, then prove, then hunt (auto); one of those alone; or orders drawn at random. "
    "With --bound it is bounded unless said.",
)
@click.option(
    "--bound",
    type=click.IntRange(min=0),
    default=BOUND,
    show_default=True,
    help="How many preemptions and faults `bounded` tries.",
)
@click.option("--runs", type=click.IntRange(min=1), help="Make no more runs than this.")
@click.option("--seed", type=int, default=0, show_default=True, help="Where drawing begins.")
@click.option(
    "--all",
    "find_all",
    is_flag=True,
    help="Go on after the first; keep a run for each violation that came about in its own way.",
)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@taking(WHO_SEARCHES)
@taking(FOR_CI)
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
    audit_every: int | None,
    quiet: bool,
    rules: tuple[str, ...],
    log: Path | None,
    as_json: bool,
    junit: Path | None,
    annotations: str | None,
    **options: Any,
) -> int:
    """Search the orders of SCENARIO for one that breaks a rule, and tell its story.

    \b
    notifierlab explore founding-race --mutant no-take-all-locks
    """
    from notifierlab import bench

    plan = bench.SearchPlan(
        strategy="bounded" if not _said("strategy") and _said("bound") else strategy,
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
        audit_every=audit_every,
    )
    from notifierlab.report.progress import ProgressLine

    for_ci = ForCi(junit, annotations)
    for_ci.check_writable()
    request = request_of(scenario, options)
    with ProgressLine(sys.stderr, quiet=quiet) as progress:
        outcome = bench.explore(request, plan, progress=progress, width=width(), glyphs=glyphs())
    status = show(outcome, as_json=as_json)
    for_ci.tell(outcome, "explore", as_json=as_json, place=bench.place_of(request) if annotations else None)
    return status


@click.command(epilog=EPILOG)
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
@AS_JSON
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
        print_text(comparison)
    return show(outcome, as_json=as_json)
