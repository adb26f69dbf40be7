"""How many checked runs of founding-race a search makes in a second, and where the time goes.

Run as `python benchmarks/runs.py`.
"""

from dataclasses import replace

from timing import best_seconds, table, target

from notifierlab.explore.audit import audited
from notifierlab.explore.run import run_once, RunSpec
from notifierlab.explore.search import explore
from notifierlab.explore.strategies import Calm, RandomWalk
from notifierlab.host import Host
from notifierlab.machine.carriers import new_machine, run_machine
from notifierlab.request import Request

RUNS = 300
AUDITS = 30


class Recorded(Calm):
    """The calm run, with all that it touches."""

    records = True


def without_checker(spec: RunSpec) -> None:
    """Run calmly with nobody listening."""
    machine = new_machine(spec.carrier, lambda *_: 0)
    run_machine(machine, lambda: spec.scenario(Host(machine, spec.profile, spec.mutants, spec.drivers), **spec.params))


def main() -> None:
    """Measure and print."""
    spec = Request(scenario="founding-race").resolve()
    on_trio = replace(spec, carrier="trio")

    def repeat(spec: RunSpec, *, checked: bool) -> None:
        for _ in range(RUNS):
            if checked:
                run_once(spec, Calm())
            else:
                without_checker(spec)

    bare, bare_checked, trio, trio_checked, bounded, walk, recorded, looked_at, dpor, unaudited = best_seconds(
        lambda: repeat(spec, checked=False),
        lambda: repeat(spec, checked=True),
        lambda: repeat(on_trio, checked=False),
        lambda: repeat(on_trio, checked=True),
        lambda: explore(spec, "bounded", runs=RUNS),
        lambda: explore(spec, RandomWalk(0), runs=RUNS),
        lambda: [run_once(spec, Recorded()) for _ in range(RUNS)],
        lambda: [audited(spec, ()) for _ in range(AUDITS)],
        lambda: explore(spec, "dpor", runs=RUNS),
        lambda: explore(spec, "dpor", runs=RUNS, audit_every=0),
        passes=3,
    )
    one = run_once(spec, Calm())
    rows = [
        (name, round(RUNS / seconds), seconds / RUNS * 1e6, seconds / bare)
        for name, seconds in (
            ("bare, not checked", bare),
            ("bare, checked", bare_checked),
            ("trio, not checked", trio),
            ("trio, checked", trio_checked),
            ("explore bounded", bounded),
            ("explore random", walk),
            ("bare, checked, recorded", recorded),
            ("audited", looked_at * RUNS / AUDITS),
            ("explore dpor", dpor),
            ("explore dpor, no audit", unaudited),
        )
    ]
    title = f"founding-race: {one.steps} steps and {one.events} events in the calm run"
    table(title, ("what", "runs a second", "us a run", "x bare, not checked"), rows)
    target(f"at least 500 checked runs a second: {RUNS / bounded:.0f}", met=RUNS / bounded >= 500)


if __name__ == "__main__":
    main()
