"""The same choices make the same log on both carriers, byte for byte, in every scenario."""

import io
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from notifierlab import catalogue
from notifierlab.explore.run import run_once, RunSpec
from notifierlab.explore.strategies import Bounded, Calm, RandomWalk, Replay, Strategy
from notifierlab.request import header_of, Request
from notifierlab.trace import Writer
from tests.test_strategies import PROGRAMS, run_all
from tests.toys import run_program

SEEDS = range(6)


def log_of(request: Request, spec: RunSpec, strategy: Strategy) -> bytes:
    """The log of one run, under one and the same header for both carriers."""
    file = io.BytesIO()
    strategy.new_run()
    writer = Writer(file, header_of(request, replace(spec, carrier="bare")))
    result = run_once(spec, strategy, sink=writer)
    assert result.ended != "left"
    writer.end(ended=result.ended, violations=result.violations, steps=result.steps, choices=result.choices)
    return file.getvalue()


SMALL = [name for name in catalogue.scenario_names() if name != "churn"]


@pytest.mark.parametrize("profile", ["intended", "v2_6_27"])
@pytest.mark.parametrize("scenario", [*SMALL, pytest.param("churn", marks=pytest.mark.slow)])
def test_both_carriers_write_the_same_log(scenario: str, profile: str) -> None:
    request = Request(scenario=scenario, profile=profile)
    spec = request.resolve()
    on_trio = replace(spec, carrier="trio")
    assert log_of(request, spec, Calm()) == log_of(request, on_trio, Calm())
    for seed in SEEDS:
        assert log_of(request, spec, RandomWalk(seed)) == log_of(request, on_trio, RandomWalk(seed)), f"seed {seed}"


@pytest.mark.parametrize("name", PROGRAMS)
def test_both_carriers_make_the_same_events_of_every_order(name: str) -> None:
    program = PROGRAMS[name]
    for bare in run_all(program, Bounded(bound=2))[:40]:
        assert run_program(program, Replay(bare.choices).choose, carrier="trio") == bare


@pytest.mark.slow
def test_a_log_does_not_depend_on_the_seed_of_hashes() -> None:
    logs = [_log_in_new_process(hash_seed) for hash_seed in ("1", "2", "random")]
    assert logs[0]
    assert logs[1:] == logs[:1] * 2


def _log_in_new_process(hash_seed: str) -> bytes:
    code = (
        "import sys; from tests.test_carriers import log_of; from notifierlab.request import Request; "
        "from notifierlab.explore.strategies import RandomWalk; request = Request(scenario='churn'); "
        "sys.stdout.buffer.write(log_of(request, request.resolve(), RandomWalk(3)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        check=True,
    )
    return done.stdout
