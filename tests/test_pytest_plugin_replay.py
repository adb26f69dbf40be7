"""The order of a failure is run again by its log; and what holds whatever the search."""

from pathlib import Path

import pytest

from notifierlab.cli import _guarded
from notifierlab.commands.running import STRATEGIES
from tests.test_pytest_plugin import RIGHT, Run, TWO_TASKS, WRONG

pytest_plugins = ["pytester"]

# --- replay ---------------------------------------------------------------------------


def replay_line(result: pytest.RunResult) -> list[str]:
    """The arguments of the command that a failure prints."""
    (line,) = [line for line in result.outlines if line.startswith("replay  pytest ")]
    return line.split()[2:]


def test_the_printed_command_runs_the_one_order_again(run: Run) -> None:
    arguments = replay_line(run(WRONG))
    again = run(WRONG, *arguments)

    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(
        ["*'second', 'first'] == [[]'first', 'second']*", "same: all * events", "*: same: all * events"]
    )


def test_the_log_alone_selects_its_test(run: Run) -> None:
    both = WRONG + RIGHT.replace(TWO_TASKS, "")
    arguments = replay_line(run(both))

    run(both, *arguments[1:]).assert_outcomes(failed=1, deselected=1)


def test_a_test_that_was_mended_passes_by_the_log_of_its_failure(run: Run) -> None:
    arguments = replay_line(run(WRONG))
    mended = WRONG.replace("await names_in_order(host)", "sorted(await names_in_order(host))")
    again = run(mended, *arguments)

    again.assert_outcomes(passed=1)
    again.stdout.fnmatch_lines(["*: different: * events are the same, then *"])


def test_a_log_of_another_test_is_refused(run: Run, pytester: pytest.Pytester) -> None:
    arguments = replay_line(run(WRONG))
    other = run(RIGHT, *arguments[1:])

    assert other.ret == pytest.ExitCode.USAGE_ERROR
    other.stderr.fnmatch_lines(
        ["ERROR: *.jsonl is the log of `test_it.py::test_the_first_comes_first`, which is not the test that was *"]
    )


def test_logs_that_cannot_be_run_again_are_refused(run: Run, pytester: pytest.Pytester) -> None:
    for name, sentence in (("none.jsonl", "*Cannot read the log none.jsonl*"), ("bad.jsonl", "*bad.jsonl, line 1*")):
        (pytester.path / "bad.jsonl").write_text("{}\n")
        result = run(RIGHT, "--notifierlab-replay", name)

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"ERROR: {sentence}"])


def test_a_log_of_a_scenario_is_refused(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "run.jsonl"
    assert _guarded(["run", "kvm-fault-vs-munmap", "--log", str(log)]) == 0
    result = run(RIGHT, "--notifierlab-replay", str(log))

    result.stderr.fnmatch_lines(["ERROR: *is the log of the scenario `kvm-fault-vs-munmap`, not of a test*"])


# --- whatever the search --------------------------------------------------------------


RECORDED = """
import pytest
from notifierlab import Atomic, shared, SharedState

class Order(SharedState):
    names: Atomic[tuple[str, ...]] = shared((), atomic=True)

@pytest.mark.interleave
async def test_the_first_comes_first(host):
    order = Order(host.machine, "order")
    async def task(name):
        await order.names.change(lambda names: (*names, name))
    async with host.together() as tasks:
        for name in ("first", "second"):
            tasks.start(task, name, name=name)
    assert await order.names.get() == ("first", "second")
"""
"""Tasks that share what the bench can see."""


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_finds_it_and_its_log_replays(run: Run, strategy: str) -> None:
    wrong = RECORDED.replace("interleave", f"interleave(strategy={strategy!r}, runs=50)")
    result = run(wrong)

    result.assert_outcomes(failed=1)
    again = run(wrong, *replay_line(result))
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["*: same: all * events"])


APART = """
import pytest

@pytest.mark.interleave
async def test_both_come(host):
    came = [[], []]
    async def task(mine):
        await host.machine.step()
        mine.append(True)
    async with host.together() as tasks:
        tasks.start(task, came[0], name="first")
        tasks.start(task, came[1], name="second")
    assert came == [[True], [True]]
"""


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_says_what_it_has_covered(run: Run, strategy: str) -> None:
    result = run(APART.replace("interleave", f"interleave(strategy={strategy!r}, runs=50)"))

    result.assert_outcomes(passed=1)
    result.stdout.re_match_lines([r"test_it.py::test_both_come: (proved: |no violation in )\S+"])


@pytest.mark.parametrize("strategy", ["dpor", "prove", "states"])
def test_variables_that_tasks_share_are_no_secret_to_who_leaves_orders_out(run: Run, strategy: str) -> None:
    result = run(WRONG.replace("interleave", f"interleave(strategy={strategy!r})"))

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*task first changed `order`, a variable of names_in_order, *",
            "*changed *test_it.py:7",
            "*used *(task second)",
        ]
    )


def test_unless_nobody_looks(run: Run) -> None:
    run(WRONG.replace("interleave", "interleave(strategy='dpor', audit_every=0)")).assert_outcomes(passed=1)


def test_the_same_failure_leaves_the_same_log(run: Run, pytester: pytest.Pytester) -> None:
    kept = []
    for _ in range(2):
        run(WRONG)
        (log,) = (pytester.path / ".notifierlab").glob("*.jsonl")
        kept.append(log.read_bytes())
        log.unlink()

    assert kept[0] == kept[1]


def test_what_the_test_asserts_counts_whatever_rules_are_looked_for(run: Run) -> None:
    result = run(WRONG.replace("interleave", "interleave(rules='deadlock')"))

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*: violated: driver-raised, *"])


def test_other_rules_than_those_looked_for_do_not_fail_it(run: Run) -> None:
    late = TWO_TASKS + (
        """
@pytest.mark.interleave(rules=["deadlock"])
async def test_it(host):
    host.machine.bug("here", "a thing")
    await names_in_order(host)
"""
    )
    run(late).assert_outcomes(passed=1)
    run(late.replace('rules=["deadlock"]', "")).assert_outcomes(failed=1)


def test_what_only_two_orders_show_together_is_told_with_both_logs(run: Run, pytester: pytest.Pytester) -> None:
    result = run(
        """
import pytest
from notifierlab import Mutex

@pytest.mark.interleave
async def test_it(host):
    a, b = Mutex(host.machine, "a", "class_a"), Mutex(host.machine, "b", "class_b")
    first, second = (a, b) if host.choose("other way", False, True) else (b, a)
    async with first, second:
        await host.machine.step()
"""
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["lock-order: *", "no single run shows lock-order: `notifierlab check *.jsonl *.jsonl` does"]
    )
    assert len(list((pytester.path / ".notifierlab").glob("*.jsonl"))) == 2
    result.stdout.no_fnmatch_line("replay *")
