"""Whose failure it is that something was raised, and where."""

from pathlib import Path

import notifierlab
from notifierlab.machine.raised import is_ours, place


def _failed_in(file: Path) -> AssertionError:
    try:
        exec(compile("assert False", str(file), "exec"), {})
    except AssertionError as error:
        return error
    raise AssertionError("nothing was raised")


def test_a_driver_in_a_folder_beside_the_bench_is_not_the_bench() -> None:
    home = Path(notifierlab.__file__).parent
    beside = _failed_in(home.with_name(home.name + "_drivers") / "mine.py")
    within = _failed_in(home / "machine" / "sched.py")

    assert not is_ours(beside)
    assert place(beside) == "mine.py:1"
    assert is_ours(within)
    assert place(within).startswith("test_raised.py:")
