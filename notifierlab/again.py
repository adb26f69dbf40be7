"""How a run is done again: the command for its log.

A log of a scenario is run again by `notifierlab replay`. The scenario of a log may also be
a test; only pytest can find that, so pytest runs it again.
"""

import shlex


def is_test(scenario: str) -> bool:
    """Whether the name is that of a pytest test (`tests/test_kvm.py::test_unmap`)."""
    return "::" in scenario


def replay_command(scenario: str, log: str) -> str:
    """The command that runs `log` again, a log of `scenario`; it works in a shell as it stands."""
    if is_test(scenario):
        return f"pytest {shlex.quote(scenario)} --notifierlab-replay {shlex.quote(log)}"
    return f"notifierlab replay {shlex.quote(log)}"
