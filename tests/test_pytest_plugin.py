"""A test in every order: what passes, what fails, and how it is told."""

from collections.abc import Callable

import pytest

# Imported here, they are the same modules in every session below.
import drivers.broken  # noqa: F401
import notifierlab.pytest_plugin.trial  # noqa: F401
from notifierlab.cli import _guarded

pytest_plugins = ["pytester"]

TWO_TASKS = """
import pytest

async def names_in_order(host):
    order = []
    async def task(name):
        await host.machine.step()
        order.append(name)
    async with host.together() as tasks:
        for name in ("first", "second"):
            tasks.start(task, name, name=name)
    return order
"""

RIGHT = (
    TWO_TASKS
    + """
@pytest.mark.interleave
async def test_both_come(host):
    assert sorted(await names_in_order(host)) == ["first", "second"]
"""
)

WRONG = (
    TWO_TASKS
    + """
@pytest.mark.interleave
async def test_the_first_comes_first(host):
    print("this order")
    assert await names_in_order(host) == ["first", "second"]
"""
)

GUEST = """
import pytest

async def unmap_under_guest(mm, kvm):
    area = await mm.mmap(1)
    await mm.write(area.start, 1)
    if await kvm.create():
        return
    await kvm.create_slot(0, area.start, 1)
    async with mm.host.together() as tasks:
        tasks.start(mm.munmap, area.start, area.end, name="unmapper")
        tasks.start(kvm.vcpus[0].read, area.start, name="vcpu")
    await kvm.close()
    await mm.exit()
"""

Run = Callable[..., pytest.RunResult]


def text_of(result: pytest.RunResult) -> str:
    return str(result.stdout)


# --- passing --------------------------------------------------------------------------


def test_a_test_runs_in_every_order_and_the_summary_says_how_many(run: Run) -> None:
    result = run(RIGHT)

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*= notifierlab =*", "test_it.py::test_both_come: proved: all * orders"])


def test_a_bound_is_named_in_the_summary(run: Run) -> None:
    result = run(RIGHT.replace("interleave", "interleave(bound=0)"))

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["test_it.py::test_both_come: no violation in all * without a preemption or fault"])


def test_the_option_for_the_bound_wins_over_the_marker(run: Run) -> None:
    result = run(RIGHT.replace("interleave", "interleave(bound=2)"), "--interleave-bound", "0")

    result.stdout.fnmatch_lines(["*no violation in all * without a preemption or fault"])


def test_the_option_for_runs_wins_over_the_marker(run: Run) -> None:
    result = run(RIGHT.replace("interleave", "interleave(runs=100)"), "--interleave-runs", "2")

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*no violation in 2 orders*(cut after 2 runs)"])


def test_quiet_sums_up_in_one_line(run: Run) -> None:
    result = run(RIGHT, "-q")

    result.stdout.fnmatch_lines(["1 test in * orders"])
    result.stdout.no_fnmatch_line("test_it.py::*")


def test_a_search_cut_by_the_usual_limit_warns(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notifierlab.explore.search.RUNS_MAX", 2)
    result = run(RIGHT, "-W", "default")

    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*InterleaveWarning: `test_both_come`: no violation in 2 orders*less than the test*"])


def test_such_a_warning_as_an_error_fails_the_test(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notifierlab.explore.search.RUNS_MAX", 2)

    run(RIGHT).assert_outcomes(failed=1)


def test_what_had_nothing_to_judge_does_not_pass(run: Run) -> None:
    result = run(RIGHT.replace("interleave", "interleave(rules='pin-imbalance')"))

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["undecided: pin-imbalance had nothing to judge in any of * orders*"])


def test_every_fixture_is_new_in_each_order(run: Run) -> None:
    result = run(
        """
import pytest

SEEN = []

@pytest.mark.interleave(runs=3, repeat_every=0, strategy="random")
async def test_new(host, mm, kvm, gru):
    assert kvm.mm is gru.mm is mm
    assert mm.host is host
    SEEN.append((host, mm, kvm, gru))

def test_they_were():
    assert len(SEEN) == 3
    assert all(len({id(each) for each in objects}) == 3 for objects in zip(*SEEN))
"""
    )
    result.assert_outcomes(passed=2)


# --- fixtures made from ours ------------------------------------------------------------


def test_fixtures_made_from_host_are_built_in_each_run(run: Run) -> None:
    result = run(
        """
import pytest

LOG = []

@pytest.fixture
async def area(mm):
    return await mm.mmap(2)

@pytest.fixture(params=[1, 2])
def named(request, host):
    LOG.append("made")
    yield f"{request.param} of {host.new_name('thing')}"
    LOG.append("gone")

@pytest.fixture
async def written(mm, area):
    await mm.write(area.start, 5)
    yield area.start
    await mm.munmap(area.start, area.end)

@pytest.mark.interleave(runs=2, repeat_every=0, strategy="random")
async def test_all(mm, area, written, named):
    assert written == area.start
    assert named in ("1 of thing0", "2 of thing0")
    assert (await mm.read(written)).value == 5

def test_taken_down():
    assert LOG == ["made", "gone"] * 4
"""
    )
    result.assert_outcomes(passed=3)


def test_fixtures_of_classes_and_overridden_ones_are_built_too(run: Run) -> None:
    result = run(
        """
import pytest

@pytest.fixture
def mm(mm):
    mm.mine = True
    return mm

@pytest.mark.interleave(runs=2)
class TestThings:
    @pytest.fixture
    def helper(self, mm):
        return self, mm

    @pytest.fixture(autouse=True)
    def always(self, host):
        host.seen = True

    async def test_it(self, helper, host):
        assert helper[0] is self
        assert helper[1].mine
        assert host.seen

@pytest.mark.interleave
class TestOthers:
    def test_in_no_order(self):
        pass
"""
    )
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["test_it.py::TestThings::test_it: *"])


def test_wider_fixtures_parameters_and_autouse_ones_are_as_usual(run: Run) -> None:
    result = run(
        """
import pytest

@pytest.fixture(scope="module")
def shared():
    return {"n": 1}

@pytest.fixture(autouse=True)
def always(monkeypatch):
    monkeypatch.setenv("ALWAYS", "1")

@pytest.mark.parametrize("pages", [1, pytest.param(2, id="two")])
@pytest.mark.interleave(runs=2)
async def test_it(shared, mm, pages, request):
    import os
    assert os.environ["ALWAYS"] == "1"
    assert shared == {"n": 1}
    assert len((await mm.mmap(pages)).pages) == pages
    assert request.node.name.startswith("test_it[")
"""
    )
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["test_it.py::test_it[[]two[]]: *"])


# --- failing --------------------------------------------------------------------------


def test_an_assertion_that_fails_in_some_order_is_shown_with_its_values_and_its_story(run: Run) -> None:
    result = run(WRONG)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            ">       assert await names_in_order(host) == [[]*",
            "E       *second', 'first'] == [[]'first', 'second']*",
            "test_it.py:*: AssertionError",
            "*- notifierlab -*",
            "driver-raised: main raised AssertionError: assert [[]'second', 'first'] == *",
            "in order * of the search, with*",
            "step  main*",
            "replay  pytest *test_it.py::test_the_first_comes_first --notifierlab-replay .notifierlab/test_it*.jsonl",
            "log     .notifierlab/test_it*.jsonl",
            "test_it.py::test_the_first_comes_first: violated: driver-raised, * orders tried",
            "FAILED test_it.py::test_the_first_comes_first - *",
        ]
    )
    assert "/notifierlab/explore/" not in text_of(result), "no frame of the bench"


def test_only_the_order_that_fails_is_heard(run: Run) -> None:
    result = run(WRONG)

    assert text_of(result).splitlines().count("this order") == 1


@pytest.mark.slow
def test_a_broken_rule_is_told_instead_of_a_traceback(run: Run) -> None:
    result = run(
        GUEST
        + """
@pytest.mark.interleave(bound=1, mutants=["kvm-start-never-clears"])
async def test_unmap(mm, kvm):
    await unmap_under_guest(mm, kvm)
"""
    )
    result.assert_outcomes(failed=1)
    text = text_of(result)
    result.stdout.fnmatch_lines(
        ["*_ test_unmap _*", "freed-while-reachable: page * reached the freelist*", "in order *", "", "*", "*━━━▶*"]
    )
    assert "Error" not in text
    assert "await unmap_under_guest" not in text


def test_the_log_of_a_failure_is_checked_told_and_refused_by_replay(
    run: Run, pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    run(WRONG)
    (log,) = (pytester.path / ".notifierlab").glob("*.jsonl")
    assert (log.parent / ".gitignore").read_text() == "*\n"
    capsys.readouterr()

    assert _guarded(["check", str(log)]) == 1
    assert _guarded(["story", str(log)]) == 1
    told = capsys.readouterr().out
    assert f"replay  pytest test_it.py::test_the_first_comes_first --notifierlab-replay {log}" in told
    for command in (["replay", str(log)], ["replay", str(log), "--lenient"], ["story", "--why", str(log)]):
        assert _guarded(command) == 2
        assert f"`pytest test_it.py::test_the_first_comes_first --notifierlab-replay {log}`" in capsys.readouterr().err
    assert _guarded(["run", "test_it.py::test_x"]) == 2
    assert "is a test, no scenario" in capsys.readouterr().err


def test_a_folder_for_logs_can_be_given(run: Run, pytester: pytest.Pytester) -> None:
    result = run(WRONG, "--notifierlab-log", "kept/here")

    assert len(list((pytester.path / "kept" / "here").glob("*.jsonl"))) == 1
    result.stdout.fnmatch_lines(["replay  pytest * --notifierlab-replay kept/here/test_it*"])


def test_where_no_log_can_be_written_the_story_says_so(run: Run, pytester: pytest.Pytester) -> None:
    (pytester.path / "taken").write_text("")
    result = run(WRONG, "--notifierlab-log", "taken")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["no log written to *taken/*: *"])


def test_an_exception_of_another_task_is_shown_where_it_was_raised(run: Run) -> None:
    result = run(
        """
import pytest

@pytest.mark.interleave
async def test_it(host):
    done = []
    async def early():
        await host.machine.step()
        done.append(1)
    async def late():
        await host.machine.step()
        raise KeyError("nothing there") if not done else None
    async with host.together() as tasks:
        tasks.start(early)
        tasks.start(late)
""".replace('raise KeyError("nothing there") if not done else None', 'assert done, "too early"')
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([">*assert done, *", "E*AssertionError: too early", "*driver-raised: late raised *"])


def test_outcomes_inside_the_body_are_those_of_pytest(run: Run) -> None:
    result = run(
        TWO_TASKS
        + """
@pytest.mark.interleave
async def test_skips(host):
    if await names_in_order(host) == ["second", "first"]:
        pytest.skip("not this one")

@pytest.mark.interleave
async def test_known(host):
    if await names_in_order(host) == ["second", "first"]:
        pytest.xfail("known")

@pytest.mark.interleave
async def test_fails(host):
    if await names_in_order(host) == ["second", "first"]:
        pytest.fail("this must not be")

@pytest.mark.interleave
async def test_fails_first(host):
    order = await names_in_order(host)
    assert order != ["first", "second"]
    pytest.skip("too late")

@pytest.mark.interleave
@pytest.mark.skip(reason="not today")
async def test_skipped(host, tmp_path):
    assert False

@pytest.mark.interleave
async def test_unittest_skip(host):
    import unittest
    raise unittest.SkipTest("as in unittest")
""",
        "-rsx",
    )
    result.assert_outcomes(skipped=3, xfailed=1, failed=2)
    result.stdout.fnmatch_lines(["driver-raised: main raised Failed: this must not be in test_it.py:*"])
    result.stdout.fnmatch_lines(["SKIPPED * not this one", "SKIPPED * not today", "XFAIL *test_known - *known"])


def test_xfail_means_what_it_means_elsewhere(run: Run) -> None:
    result = run(
        WRONG.replace("@pytest.mark.interleave", "@pytest.mark.xfail(raises=AssertionError)\n@pytest.mark.interleave")
        + """
@pytest.mark.xfail(strict=True)
@pytest.mark.interleave
async def test_passes(host):
    pass

@pytest.mark.xfail
@pytest.mark.interleave
async def test_passes_too(host):
    pass
"""
    )
    result.assert_outcomes(xfailed=1, failed=1, xpassed=1)


def test_exit_first_and_selection_work(run: Run) -> None:
    both = WRONG + RIGHT.replace(TWO_TASKS, "")
    run(both, "-x").assert_outcomes(failed=1)
    run(both, "-k", "both").assert_outcomes(passed=1, deselected=1)


def test_a_test_that_does_not_repeat_itself_is_told_so(run: Run) -> None:
    result = run(
        """
import pytest

COUNT = []

@pytest.mark.interleave
async def test_it(mm):
    COUNT.append(1)
    await mm.mmap(len(COUNT))
"""
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*does not repeat itself*", "*in run 1 of the search*"])
