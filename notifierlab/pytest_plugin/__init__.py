"""pytest: fixtures `host`, `mm`, `kvm`, `gru`, and a marker that runs a test in every order.

An `async def` test that uses one of these fixtures is ours. Without the marker it is one
run, on the trio carrier: under pytest-trio where that runs the test, else by ourselves. With
`@pytest.mark.interleave` it is a scenario, run again and again on the bare carrier, and
pytest-trio never gets to call it.

This room is what pytest loads at its start, so it imports nothing: no trio, no machine.
What runs tests stands in `trial`, imported when the first such test is.
"""

from collections.abc import Generator
from typing import Any, TYPE_CHECKING

import pytest

from notifierlab.pytest_plugin.items import adopted, LAB, MARKER
from notifierlab.pytest_plugin.recipes import recipe_for

if TYPE_CHECKING:
    from notifierlab import Host, Mm

# --- fixtures -----------------------------------------------------------------------


@pytest.fixture
def host() -> "Host":
    """A machine for one run, built anew for each order (notifierlab)."""
    raise AssertionError("a run gives its own")


@pytest.fixture
def mm(host: "Host") -> "Mm":
    """An empty mm on `host`, as `host.new_mm()` makes it (notifierlab)."""
    return host.new_mm()


@pytest.fixture
def kvm(host: "Host", mm: "Mm") -> Any:
    """A VM of `mm`, not yet created: the installed driver `kvm`, or what takes its place (notifierlab)."""
    return host.driver("kvm")(mm)


@pytest.fixture
def gru(host: "Host", mm: "Mm") -> Any:
    """A GRU of `mm`, not yet registered: the installed driver `gru`, or what takes its place (notifierlab)."""
    return host.driver("gru")(mm)


# --- options ------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("notifierlab", "tests in every order (notifierlab)")
    group.addoption(
        "--interleave-bound",
        metavar="N",
        type=_at_least(0),
        help="Preemptions and faults that `bounded` tries, whatever the marker says.",
    )
    group.addoption(
        "--interleave-runs",
        metavar="N",
        type=_at_least(1),
        help="Make no more runs than this for a test, whatever the marker says.",
    )
    group.addoption(
        "--notifierlab-log",
        metavar="DIR",
        help="Where the logs of failures are kept (default: .notifierlab in the root directory).",
    )
    group.addoption(
        "--notifierlab-replay", metavar="LOG", help="Run the test of LOG again, by the one schedule that LOG has."
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{MARKER}(*, strategy, bound, runs, seed, rules, profile, switches, mutants, driver, strict, steps_max, "
        "repeat_every, audit_every): run this async test in every order (notifierlab)",
    )


def _at_least(least: int) -> Any:
    def number(text: str) -> int:
        if int(text) < least:
            raise ValueError
        return int(text)

    # argparse names it where the value is none.
    number.__name__ = f"whole number from {least} on"
    return number


# --- tests --------------------------------------------------------------------------


def pytest_itemcollected(item: pytest.Item) -> None:
    lab = adopted(item)
    if lab is not None:
        item.stash[LAB] = lab


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    log = config.getoption("notifierlab_replay")
    if log:
        from notifierlab.pytest_plugin.again import select_test_of

        select_test_of(log, config, items)


def pytest_runtest_setup(item: pytest.Item) -> None:
    lab = item.stash.get(LAB, None)
    if lab is not None:
        lab.refuse_wrong_use()
        from notifierlab.pytest_plugin.trial import prepare

        prepare(lab)


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest) -> object | None:
    if fixturedef.scope != "function":
        return None
    return recipe_for(fixturedef, request, request.node.stash.get(LAB, None))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Put the run in the place of the test; take what it raised out of the groups of trio and pytest-trio."""
    __tracebackhide__ = True
    lab = item.stash.get(LAB, None)
    if lab is None or not isinstance(item, pytest.Function):
        return (yield)
    if not lab.marked:
        # Before pytest-trio looks at it.
        item.obj = lab.trial.as_async_test()
    try:
        return (yield)
    except BaseException as error:
        only = _only_one(error)
        if lab.outcome is None or only is None or not isinstance(only, type(lab.outcome)):
            raise
    finally:
        item.obj = lab.function
    # Not inside the handler: the error would be told with the group as its context.
    raise lab.outcome


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    __tracebackhide__ = True
    lab = pyfuncitem.stash.get(LAB, None)
    if lab is None:
        return None
    from notifierlab.pytest_plugin.trial import call

    return call(lab)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    lab = item.stash.get(LAB, None)
    if lab is not None and lab.told and report.when == "call":
        if hasattr(report.longrepr, "addsection"):
            report.longrepr.addsection("notifierlab", lab.told)
        else:
            report.sections.append(("notifierlab", lab.told))
    return report


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter") -> None:
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    if not any(getattr(report, "user_properties", None) for report in reports):
        return
    from notifierlab.pytest_plugin.summary import summary_lines

    lines = summary_lines(terminalreporter)
    if lines:
        terminalreporter.section("notifierlab")
        for line in lines:
            terminalreporter.write_line(line)


def _only_one(error: BaseException) -> BaseException | None:
    """What an exception group is about, if that is one exception."""
    while isinstance(error, BaseExceptionGroup):
        if len(error.exceptions) != 1:
            return None
        error = error.exceptions[0]
    return error
