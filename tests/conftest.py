"""What every test begins with, and what some share."""

import signal
from collections.abc import Callable

import pytest

# A shell that starts a job in the background has it ignore Ctrl-C, and whatever it starts
# would inherit that: tests of Ctrl-C would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., pytest.RunResult]:
    """Runs pytest inside this process over one file with this text."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(text: str, *arguments: str) -> pytest.RunResult:
        pytester.makepyfile(test_it=text)
        return pytester.runpytest_inprocess("-p", "no:cacheprovider", "-W", "error", *arguments)

    return run
