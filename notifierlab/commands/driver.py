"""The command for whoever writes a driver: `driver`."""

import sys

import click

from notifierlab.commands.showing import EPILOG, glyphs, show, Shown, width
from notifierlab.options import AS_JSON, by_rule, complete_from


@click.command(epilog=EPILOG)
@click.argument("driver", required=False, shell_complete=complete_from("drivers"))
@click.option("--new", metavar="NAME", help="Write a first driver to NAME.py and its test to test_NAME.py.")
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    default=("intended",),
    show_default=True,
    shell_complete=complete_from("profiles"),
    help="Which kernel to run it on (repeatable).",
)
@by_rule("Look for this rule alone (repeatable).")
@click.option(
    "--bound",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="How many preemptions and faults an order may have.",
)
@click.option(
    "--runs",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="How many orders of a scenario to try at most.",
)
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="In how many processes.")
@click.option(
    "--hang-after",
    type=click.FloatRange(min=0.5),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long no step may end before the driver is said to hang.",
)
@click.option("--score", is_flag=True, help="Judge the judge: break the driver in many ways and see which are caught.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@AS_JSON
def driver(
    driver: str | None,
    new: str | None,
    profiles: tuple[str, ...],
    rules: tuple[str, ...],
    bound: int,
    runs: int,
    jobs: int,
    hang_after: float,
    score: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Judge DRIVER (a name, FILE.py:CLASS or MODULE:CLASS) by everything that a secondary MMU owes the host.

    \b
    notifierlab driver --new mydevice
    notifierlab driver mydevice.py:MyDevice
    """
    if new is not None:
        return _new(new, driver)
    if driver is None:
        raise click.UsageError("Name a DRIVER, or begin one with --new NAME.")
    from notifierlab.conformance.cells import Effort
    from notifierlab.conformance.suite import Plan, run_suite
    from notifierlab.report.progress import ProgressLine

    plan = Plan(
        driver=driver,
        profiles=tuple(dict.fromkeys(profiles)),
        effort=Effort(bound=bound, runs=runs, rules=tuple(dict.fromkeys(rules))),
        jobs=jobs,
        hang_seconds=hang_after,
        width=width(),
        glyphs=glyphs(),
    )
    judged: Shown
    with ProgressLine(sys.stderr, quiet=quiet) as progress:
        if score:
            from notifierlab.conformance.score import run_score

            judged = run_score(plan, progress=progress)
        else:
            judged = run_suite(plan, progress=progress)
    return show(judged, as_json=as_json)


def _new(name: str, driver: str | None) -> int:
    if driver is not None:
        raise click.UsageError("--new writes a driver, it judges none: leave DRIVER out.")
    from notifierlab.conformance.skeleton import write_skeleton

    module, test = write_skeleton(name)
    click.echo(f"wrote {module} and {test}; try\n  pytest {test}\n  notifierlab driver {module}")
    return 0
