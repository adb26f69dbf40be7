"""The yardstick side by side with SPIN and with frontrun: proofs, first bugs, executions a second.

    python benchmarks/exploring.py [--four] [--executions N] [--frontrun-python PATH]

SPIN is Debian's package `spin` and needs gcc; its model is `yardstick.pml`. frontrun is on PyPI and
its model is `frontrun_yardstick.py`; it may be installed in an environment of its own, whose
interpreter `--frontrun-python` names. What is not installed is left out, and said to be.

Everything but the rates and what is compared with frontrun runs in a process of its own, from its start to its end:
figures are CPU seconds of that process and of those it starts, and the most memory that one of them had. Beside
frontrun stand CPU seconds without the start of either.
"""

import argparse
import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from timing import table, target

from notifierlab.explore.search import explore, SearchResult
from notifierlab.request import Request

HERE = Path(__file__).parent
EXECUTIONS = 400
# It ends by itself after about a thousand, which take it less than a minute.
FRONTRUN_MOST = ("--executions", "100000", "--seconds", "600")
FASTER = 100
BUGS = {
    "a": ("window-count", ("-DTAKE_ALL=0",)),
    "b": ("freed-while-reachable", ("-DCHECK_COUNT=0", "-DCHECK_SEQ=0")),
    "c": ("freed-while-reachable", ("-DCHECK_SEQ=0",)),
    "d": ("freed-while-reachable", ("-DCHECK_COUNT=0",)),
    "e": ("freed-while-reachable", ("-DTAKE_ALL=0", "-DCOUNTED=0")),
}
"""For each bug the rule that speaks of it, and what makes it in the model for SPIN."""


@dataclass(frozen=True)
class Cost:
    """What a process has cost, and what it printed."""

    seconds: float
    megabytes: float
    output: str


def run(*command: str, cwd: str = ".", may_fail: bool = False) -> Cost:
    """Run a command to its end."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, cwd=cwd, stdout=out, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        errors.seek(0)
        text, said = out.read(), errors.read()
    if process.returncode and not may_fail:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{text}{said}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, text)


def ours(*options: str) -> Cost:
    """Run our command as a user would."""
    return run(sys.executable, "-m", "notifierlab", "explore", "yardstick", "--json", *options, may_fail=True)


@dataclass(frozen=True)
class Spin:
    """What SPIN's three stages have cost, and how many states it stored."""

    generate: float
    compile: float
    search: float
    megabytes: float
    states: int
    errors: int

    @property
    def seconds(self) -> float:
        """All three."""
        return self.generate + self.compile + self.search


def spin(*flags: str) -> Spin | None:
    """Prove or refute the model for SPIN; None where SPIN or gcc is not installed."""
    if shutil.which("spin") is None or shutil.which("gcc") is None:
        return None
    with tempfile.TemporaryDirectory() as place:
        generate = run("spin", "-a", *flags, str(HERE / "yardstick.pml"), cwd=place)
        compiled = run("gcc", "-O2", "-w", "-DSAFETY", "-o", "pan", "pan.c", cwd=place)
        # A small table where it is enough: by default SPIN reserves 128 MB.
        table_size = () if "-DGUESTS=4" in flags else ("-w20",)
        search = run("./pan", "-m100000", *table_size, cwd=place)
    states = errors = -1
    for line in search.output.splitlines():
        words = line.split()
        if "states, stored" in line:
            states = int(float(words[0]))
        if "errors:" in words:
            errors = int(words[-1])
    return Spin(generate.seconds, compiled.seconds, search.seconds, search.megabytes, states, errors)


def frontrun(python: str, *options: str) -> dict[str, Any] | None:
    """Explore the threads with frontrun; None where it is not installed."""
    command = Path(python).parent / "frontrun"
    if not command.exists():
        return None
    printed = run(str(command), python, str(HERE / "frontrun_yardstick.py"), *options).output
    report: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return report


def proofs(most: int) -> None:
    """Print what a proof costs that the yardstick is right."""
    rows: list[tuple[object, ...]] = []
    for guests in range(1, most + 1):
        cost = ours("--strategy", "prove", "--runs", "100000000", "--set", f"guests={guests}")
        said = json.loads(cost.output)
        rows.append((f"{guests} notifierlab", said["states"] or "", "", "", "", cost.seconds, cost.megabytes))
        if said["verdict"] != "proved":
            sys.exit(f"not proved: {said}")
        other = spin(f"-DGUESTS={guests}")
        if other is None:
            continue
        rows.append(
            (
                f"{guests} SPIN",
                other.states,
                other.generate,
                other.compile,
                other.search,
                other.seconds,
                other.megabytes,
            )
        )
        rows.append((f"{guests} ratio", "", "", "", "", cost.seconds / other.seconds, cost.megabytes / other.megabytes))
        if guests < 4:
            text = f"{guests} guests proved sooner than by SPIN and 2 s: {cost.seconds:.2f} s, {other.seconds:.2f} s"
            target(text, met=cost.seconds <= other.seconds + 2)
        else:
            text = f"4 guests proved as soon as by SPIN: {cost.seconds:.2f} s, {other.seconds:.2f} s"
            target(text, met=cost.seconds <= other.seconds)
            text = f"with a tenth of its memory: {cost.megabytes:.0f} MB, {other.megabytes:.0f} MB"
            target(text, met=cost.megabytes <= other.megabytes / 10)
    columns = ("proof, guests", "states", "spin -a", "gcc -O2", "search", "CPU s", "MB")
    table("What a proof costs, from the start of the first process to the end of the last", columns, rows)


def bugs() -> None:
    """Print what it costs to find each bug."""
    rows: list[tuple[object, ...]] = []
    for bug, (rule, flags) in BUGS.items():
        with tempfile.TemporaryDirectory() as place:
            options = ("--mutant", f"yardstick-{bug}", "--rule", rule, "--log", f"{place}/log.jsonl")
            cost = ours("--strategy", "hunt", *options)
        said = json.loads(cost.output)
        if said["verdict"] != "violated":
            sys.exit(f"bug {bug} was not found: {said}")
        other = spin(*flags)
        if other is None:
            rows.append((f"bug {bug.upper()}", said["runs"], cost.seconds, "", "", ""))
            continue
        if other.errors != 1:
            sys.exit(f"SPIN did not find bug {bug}")
        compiled = other.generate + other.compile
        rows.append((f"bug {bug.upper()}", said["runs"], cost.seconds, compiled, other.search, cost.seconds / compiled))
        target(f"bug {bug.upper()} found before gcc has ended", met=cost.seconds < compiled)
    columns = ("with hunt, 1 guest", "runs", "CPU s", "spin -a, gcc", "pan", "ratio")
    table("The first bug: found, shrunk, logged and told; beside SPIN's compilation and search", columns, rows)


def best_rate(body: Callable[[], int], passes: int = 3) -> float:
    """Return how many runs a second of CPU time `body` makes in its best pass."""
    best = 0.0
    for _ in range(passes):
        gc.collect()
        began = time.process_time()
        runs = body()
        best = max(best, runs / (time.process_time() - began))
    return best


def rates(python: str, executions: int) -> None:
    """Print how many executions a second each makes."""
    one = Request(scenario="yardstick").resolve()
    two = Request(scenario="yardstick", params={"guests": 2}).resolve()
    walk = best_rate(lambda: explore(one, "random", runs=3000).runs)
    dpor = best_rate(lambda: explore(two, "dpor").runs)
    rows: list[tuple[object, ...]] = [
        ("notifierlab random, 1 guest", 3000, round(walk), ""),
        ("notifierlab dpor, 2 guests", 288, round(dpor), ""),
    ]
    target(f"random walk at least 12,000 runs a second: {walk:,.0f}", met=walk >= 12_000)
    target(f"dpor at least 3,000 runs a second: {dpor:,.0f}", met=dpor >= 3_000)
    other = frontrun(python, "--executions", str(executions))
    if other is not None:
        rate = other["executions"] / other["seconds"]
        said = "property holds" if other["holds"] else "property fails"
        rows.append((f"frontrun dpor, 1 guest ({said}, not exhausted)", other["executions"], round(rate), walk / rate))
        text = f"{FASTER} times frontrun's executions a second: {walk / rate:.0f} times"
        target(text, met=walk >= FASTER * rate)
    table("Executions a second of CPU time", ("what", "executions", "a second", "random / this"), rows)


def best_cost(body: Callable[[], SearchResult], passes: int = 5) -> tuple[float, SearchResult]:
    """Return the CPU seconds of the best pass, and what came of it."""
    best = float("inf")
    for _ in range(passes):
        gc.collect()
        began = time.process_time()
        result = body()
        best = min(best, time.process_time() - began)
    return best, result


def answers(python: str) -> None:
    """Print what it costs to come to the same answer as frontrun."""
    rows: list[tuple[object, ...]] = []
    for bug, strategy in (("", "dpor"), *((bug, "hunt") for bug in BUGS)):
        rules = BUGS[bug][:1] if bug else ()
        spec = Request(scenario="yardstick", mutants=(f"yardstick-{bug}",) if bug else ()).resolve()
        seconds, found = best_cost(partial(explore, spec, strategy, rules=rules, shrinking=False))
        if found.verdict != ("violated" if bug else "proved"):
            sys.exit(f"{bug or 'no bug'}: {found}")
        other = frontrun(python, *FRONTRUN_MOST, *(("--bug", bug) if bug else ()))
        if other is None:
            return
        wrong = other["holds"] == bool(bug) or not (bug or other["ended"])
        ratio = other["seconds"] / seconds
        what = f"bug {bug.upper()}" if bug else "all orders"
        answer = "not found" if bug else "not to its end"
        rows.append((what, found.runs, seconds, other["executions"], other["seconds"], answer if wrong else ratio))
        if not bug and not wrong:
            target(f"all orders seen {FASTER} times sooner than by frontrun: {ratio:.0f}", met=ratio >= FASTER)
    columns = ("1 guest", "our runs", "CPU s", "executions of frontrun", "CPU s", "frontrun / ours")
    table("The same answer, in processes that run already", columns, rows)


def missing(python: str) -> None:
    """Say what is not installed."""
    for tool in ("spin", "gcc"):
        if shutil.which(tool) is None:
            print(f"{tool} is not installed (apt-get install spin gcc): nothing is compared with SPIN\n")
    if not (Path(python).parent / "frontrun").exists():
        print(f"frontrun is not installed beside {python} (pip install 'frontrun>=0.7'): it is left out\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--four", action="store_true", help="prove 4 guests as well: SPIN takes 1.5 GB and 20 s")
    parser.add_argument("--executions", type=int, default=EXECUTIONS, help="how many frontrun makes")
    parser.add_argument("--frontrun-python", default=sys.executable, metavar="PATH")
    wanted = parser.parse_args(arguments)
    missing(wanted.frontrun_python)
    proofs(4 if wanted.four else 3)
    bugs()
    rates(wanted.frontrun_python, wanted.executions)
    answers(wanted.frontrun_python)


if __name__ == "__main__":
    main()
