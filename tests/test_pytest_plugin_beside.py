"""Beside pytest-trio, xdist, JUnit XML, timeouts; and what the plugin costs who does not use it."""

import gc
import os
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Imported here, they are the same modules in every session below.
import drivers.broken  # noqa: F401
import notifierlab.pytest_plugin.trial  # noqa: F401
from notifierlab.explore.smaller import shrink_scenario
from tests.test_pytest_plugin import RIGHT, TWO_TASKS, WRONG

pytest_plugins = ["pytester"]

PLAIN = """
async def test_plain(mm, kvm):
    area = await mm.mmap(1)
    await mm.write(area.start, 1)
    assert (await mm.read(area.start)).value == EXPECTED
    assert kvm.mm is mm
"""
PASSES = PLAIN.replace("EXPECTED", "1")
FAILS = PLAIN.replace("EXPECTED", "2")


@pytest.fixture
def trio_mode(pytester: pytest.Pytester) -> None:
    """pytest-trio runs every async test."""
    pytester.makeini("[pytest]\ntrio_mode = true\nfilterwarnings = error\n")


def run(pytester: pytest.Pytester, text: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(test_it=text)
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", *arguments)


# --- one run on trio ------------------------------------------------------------------

RUNNERS = pytest.mark.parametrize("plugins", [(), ("-p", "no:trio")], ids=["with pytest-trio", "without"])


@RUNNERS
def test_a_plain_async_test_is_one_run_without_a_mode_or_mark(
    pytester: pytest.Pytester, plugins: tuple[str, ...]
) -> None:
    run(pytester, PASSES, "-W", "error", *plugins).assert_outcomes(passed=1)


@RUNNERS
def test_it_may_wait_for_trio_itself(pytester: pytest.Pytester, plugins: tuple[str, ...]) -> None:
    text = PASSES.replace("    area =", "    import trio\n    await trio.sleep(0.001)\n    area =", 1)
    run(pytester, text, "-W", "error", *plugins).assert_outcomes(passed=1)


@pytest.mark.parametrize("mark", ["", "import pytest\n@pytest.mark.trio"])
@RUNNERS
def test_its_failure_is_an_assertion_and_no_group(
    pytester: pytest.Pytester, plugins: tuple[str, ...], mark: str
) -> None:
    if not mark and not plugins:
        pytester.makeini("[pytest]\ntrio_mode = true\nfilterwarnings = error\n")
    # Without pytest-trio nobody registers its mark.
    result = run(pytester, mark + FAILS, "-W", "ignore::pytest.PytestUnknownMarkWarning", *plugins)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            ">       assert (await mm.read(area.start)).value == 2",
            "E*1 == 2*",
            "test_it.py:*: AssertionError",
            "driver-raised: main raised AssertionError: assert 1 == 2*",
            "replay  pytest test_it.py::test_plain --notifierlab-replay .notifierlab/*.jsonl",
            "FAILED test_it.py::test_plain - *1 == 2*",
        ]
    )
    assert "ExceptionGroup" not in str(result.stdout)


@RUNNERS
def test_its_log_is_run_again(pytester: pytest.Pytester, plugins: tuple[str, ...]) -> None:
    run(pytester, FAILS, *plugins)
    (log,) = (pytester.path / ".notifierlab").glob("*.jsonl")
    result = run(pytester, FAILS, "--notifierlab-replay", str(log), *plugins)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["test_it.py::test_plain: same: all * events"])
    mended = run(pytester, PASSES, "--notifierlab-replay", str(log), *plugins)
    mended.assert_outcomes(passed=1)
    mended.stdout.fnmatch_lines(
        ["test_it.py::test_plain: different: * events are the same as in *, then line * is not"]
    )


def test_the_log_of_a_test_that_waited_for_trio_is_not_run_again(pytester: pytest.Pytester) -> None:
    text = FAILS.replace("    area =", "    import trio\n    await trio.sleep(0.001)\n    area =", 1)
    result = run(pytester, text)
    (log,) = (pytester.path / ".notifierlab").glob("*.jsonl")

    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("replay *")
    again = run(pytester, text, "--notifierlab-replay", str(log))
    assert again.ret == pytest.ExitCode.USAGE_ERROR
    again.stderr.fnmatch_lines(["ERROR: *has a task that waited for trio itself*"])


@RUNNERS
def test_a_broken_rule_in_one_run_is_told(pytester: pytest.Pytester, plugins: tuple[str, ...]) -> None:
    text = """
async def test_it(host):
    lock = host.mm_all_locks_mutex
    await lock.acquire()
    await lock.acquire()
"""
    result = run(pytester, text, "-W", "error", *plugins)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["deadlock: *", "replay  pytest *", "test_it.py::test_it: violated: deadlock, *"])
    assert "Error" not in str(result.stdout)


@RUNNERS
def test_outcomes_of_pytest_keep_their_reasons(pytester: pytest.Pytester, plugins: tuple[str, ...]) -> None:
    text = """
import pytest

async def test_skips(host):
    pytest.skip("no hardware")

async def test_known(host):
    pytest.xfail("known hole")

async def test_fails(host):
    pytest.fail("this must not be")
"""
    result = run(pytester, text, "-W", "error", "-rsx", *plugins)

    result.assert_outcomes(skipped=1, xfailed=1, failed=1)
    result.stdout.fnmatch_lines(["*Failed: this must not be*", "SKIPPED*no hardware", "XFAIL*known hole"])


@pytest.mark.usefixtures("trio_mode")
def test_fixtures_of_both_meet_in_one_test(pytester: pytest.Pytester) -> None:
    text = """
import pytest
import trio

@pytest.fixture
async def started(nursery):
    event = trio.Event()
    nursery.start_soon(event.wait)
    yield event
    event.set()

@pytest.fixture
async def area(mm):
    area = await mm.mmap(1)
    yield area
    await mm.munmap(area.start, area.end)

async def test_both(started, area, mm, tmp_path, autojump_clock):
    await trio.sleep(1000)
    assert await mm.write(area.start, 1)
    assert not started.is_set()
    assert tmp_path.exists()

async def test_of_trio_alone(started):
    await trio.sleep(0)

@pytest.mark.interleave(runs=2)
async def test_of_ours(area, mm):
    assert await mm.write(area.start, 1)

def test_of_nobody(tmp_path):
    pass
"""
    result = run(pytester, text)

    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["test_it.py::test_of_ours: *"])
    result.stdout.no_fnmatch_line("test_it.py::test_both: *")


@pytest.mark.parametrize("mark", ["@pytest.mark.trio\n@pytest.mark.interleave", "@pytest.mark.interleave"])
@pytest.mark.usefixtures("trio_mode")
def test_a_marked_test_is_ours_whatever_pytest_trio_thinks(pytester: pytest.Pytester, mark: str) -> None:
    result = run(pytester, WRONG.replace("@pytest.mark.interleave", mark) + "\n" + RIGHT.replace(TWO_TASKS, ""))

    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines([">       assert await names_in_order(host) == *", "test_it.py:*: AssertionError"])


# --- what others make of it -----------------------------------------------------------


def test_it_needs_no_terminal(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=WRONG)
    result = pytester.runpytest_inprocess("-p", "no:terminal", "--junit-xml", "out.xml")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    (failure,) = suite(pytester.path / "out.xml").iter("failure")
    assert "replay  pytest test_it.py::test_the_first_comes_first" in (failure.text or "")


def suite(path: Path) -> ElementTree.Element:
    (found,) = ElementTree.parse(path).getroot().iter("testsuite")
    return found


def test_junit_xml_has_what_was_searched(pytester: pytest.Pytester) -> None:
    run(pytester, WRONG + RIGHT.replace(TWO_TASKS, ""), "--junit-xml", "out.xml")
    cases = {case.get("name"): case for case in suite(pytester.path / "out.xml").iter("testcase")}

    def properties(name: str) -> dict[str | None, str | None]:
        return {each.get("name"): each.get("value") for each in cases[name].iter("property")}

    right, wrong = properties("test_both_come"), properties("test_the_first_comes_first")
    assert right["notifierlab.verdict"] == "proved"
    assert int(right["notifierlab.orders"] or "") > 1
    assert (right["notifierlab.bound"] or "").startswith("all ")
    assert wrong["notifierlab.verdict"] == "violated"
    assert wrong["notifierlab.rule"] == "driver-raised"
    assert Path(wrong["attachment"] or "").read_bytes().startswith(b'{"ev":"run"')
    (failure,) = cases["test_the_first_comes_first"].iter("failure")
    assert "assert ['second', 'first'] == ['first', 'second']" in (failure.get("message") or "")
    assert "replay  pytest test_it.py::test_the_first_comes_first" in (failure.text or "")


@pytest.mark.slow
def test_workers_of_xdist_search_and_the_summary_has_all(pytester: pytest.Pytester) -> None:
    text = WRONG + RIGHT.replace(TWO_TASKS, "") + PASSES
    pytester.makepyfile(test_it=text)
    result = pytester.runpytest_subprocess("-n", "2", "--junit-xml", "out.xml")

    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            ">       assert await names_in_order(host) == *",
            "replay  pytest test_it.py::test_the_first_comes_first --notifierlab-replay .notifierlab/*",
            "test_it.py::test_both_come: proved: *",
            "test_it.py::test_the_first_comes_first: violated: driver-raised, *",
        ]
    )
    names = [each.get("name") for each in suite(pytester.path / "out.xml").iter("property")]
    assert names.count("notifierlab.verdict") == 2

    (log,) = (pytester.path / ".notifierlab").glob("*.jsonl")
    again = pytester.runpytest_subprocess("-n", "2", "--notifierlab-replay", str(log))
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["test_it.py::test_the_first_comes_first: same: all * events"])


ENDLESS = """
import pytest

@pytest.mark.interleave(strategy="random", runs=100_000)
async def test_it(host):
    async def task():
        for _ in range(50):
            await host.machine.step()
    async with host.together() as tasks:
        tasks.start(task, name="a")
        tasks.start(task, name="b")
"""


@pytest.fixture
def no_callbacks_of_gc() -> Iterator[None]:
    """Python drops what a signal handler raises inside a callback of the collector (hypothesis has one)."""
    kept = gc.callbacks[:]
    gc.callbacks.clear()
    yield
    # What is left of the test under test is remarked on here, or in the midst of some later one.
    for name in ("last_exc", "last_type", "last_value", "last_traceback"):
        vars(sys).pop(name, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        gc.collect()
    gc.callbacks[:] = kept


# Where time is up between the call that makes a coroutine and its first step, Python remarks on it.
TIME_IS_UP = ("--timeout", "0.5", "-W", "ignore:coroutine:RuntimeWarning")


@pytest.mark.slow
@pytest.mark.usefixtures("no_callbacks_of_gc")
def test_a_timeout_ends_the_search_and_is_no_violation(pytester: pytest.Pytester) -> None:
    result = run(pytester, ENDLESS, *TIME_IS_UP)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*Failed: Timeout*>0.5s*"])
    result.stdout.no_fnmatch_line("*driver-raised*")
    result.stdout.no_fnmatch_line("*violated*")


@pytest.mark.slow
@pytest.mark.usefixtures("no_callbacks_of_gc")
def test_a_timeout_does_not_hide_what_was_found_before(pytester: pytest.Pytester) -> None:
    lesser = ENDLESS.replace("    async def task", "    host.machine.bug('here', 'a thing')\n    async def task", 1)
    result = run(pytester, lesser, *TIME_IS_UP)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["test_it.py::test_it: violated: *"])


def test_a_timeout_while_the_story_is_sought_tells_what_was_found(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    def time_is_up(*_: object, **__: object) -> None:
        pytest.fail("Timeout (>1.0s) from pytest-timeout.")

    # Shrinking may take long; here it takes for ever.
    shrink, asked = shrink_scenario, []

    def shrink_late(*arguments: Any, **more: Any) -> Any:
        asked.append(more["hurried"])
        return shrink(*arguments, **more) if more["hurried"] else time_is_up()

    monkeypatch.setattr("notifierlab.keeping.shrink_scenario", shrink_late)
    result = run(pytester, WRONG)

    assert asked == [False, True]
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*second', 'first'] == *", "replay  pytest *", "*violated: driver-raised, *"])


def test_a_skip_after_what_is_not_looked_for_skips(pytester: pytest.Pytester) -> None:
    text = TWO_TASKS + (
        """
@pytest.mark.interleave(rules=["deadlock"])
async def test_it(host):
    if await names_in_order(host) == ["second", "first"]:
        pytest.skip("not this one")
    host.machine.bug("here", "a thing")
"""
    )
    run(pytester, text).assert_outcomes(skipped=1)


@pytest.mark.slow
def test_ctrl_c_ends_the_session(pytester: pytest.Pytester) -> None:
    text = ENDLESS.replace(
        "    async def task",
        "    import os, signal\n    RUNS.append(1)\n    if len(RUNS) == 3:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n    async def task",
        1,
    )
    pytester.makepyfile(test_it="RUNS = []\n" + text)
    result = pytester.runpytest_subprocess()

    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*KeyboardInterrupt*"])


@RUNNERS
def test_a_test_can_be_run_again(pytester: pytest.Pytester, plugins: tuple[str, ...]) -> None:
    pytester.makeconftest(
        """
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    for _ in range(2):
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        runtestprotocol(item, nextitem=nextitem)
    return True
"""
    )
    methods = """
class TestThings:
    @pytest.mark.interleave
    async def test_marked(self, mm):
        assert isinstance(self, TestThings)

    async def test_plain(self, mm):
        assert isinstance(self, TestThings)
"""
    if not plugins:
        pytester.makeini("[pytest]\ntrio_mode = true\n")
    run(pytester, RIGHT + PASSES + methods, "-W", "error", *plugins).assert_outcomes(passed=8)
    run(pytester, WRONG + FAILS, *plugins).assert_outcomes(failed=4)


@pytest.mark.parametrize("option", ["--setup-show", "--setup-only", "--setup-plan", "--collect-only"])
def test_what_is_set_up_can_be_seen(pytester: pytest.Pytester, option: str) -> None:
    result = run(pytester, RIGHT + PASSES, "-W", "error", option)

    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*Function test_both_come*" if option == "--collect-only" else "*SETUP*F host*"])


# --- who does not use it --------------------------------------------------------------


def test_it_can_be_switched_off(pytester: pytest.Pytester) -> None:
    result = run(pytester, "def test_x(host):\n    pass\n", "-p", "no:notifierlab")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'host' not found*"])


def test_a_host_fixture_of_somebody_else_is_not_ours(pytester: pytest.Pytester) -> None:
    text = """
import pytest

@pytest.fixture
def host():
    return "example.org"

def test_x(host):
    assert host == "example.org"
"""
    run(pytester, text, "-W", "error").assert_outcomes(passed=1)


def test_loading_it_imports_nothing_heavy(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_x(tmp_path):\n    pass\n")
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pytest", "-q", "-p", "notifierlab.pytest_plugin"],
        cwd=pytester.path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    imported = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert "notifierlab.pytest_plugin.items" in imported
    light = ("notifierlab", *(f"notifierlab.pytest_plugin{room}" for room in ("", ".items", ".recipes")))
    assert [name for name in imported if name.startswith("notifierlab") and name not in light] == []
    heavy = ("trio", "pydantic", "structlog", "msgspec", "click")
    assert [name for name in imported if name.partition(".")[0] in heavy] == []


def test_the_options_and_the_marker_are_explained(pytester: pytest.Pytester) -> None:
    text = str(pytester.runpytest_inprocess("--help").stdout)
    for option in ("--interleave-bound", "--interleave-runs", "--notifierlab-log", "--notifierlab-replay"):
        assert option in text
    pytester.runpytest_inprocess("--markers").stdout.fnmatch_lines(["@pytest.mark.interleave(*, strategy, bound, *"])
    fixtures = str(pytester.runpytest_inprocess("--fixtures").stdout)
    for fixture in ("host", "mm", "kvm", "gru"):
        assert f"\n{fixture} -- " in fixtures
