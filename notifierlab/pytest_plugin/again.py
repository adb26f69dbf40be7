"""One test by the schedule of its log: which test that is, and how the run went beside the log."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from notifierlab.again import is_test
from notifierlab.bench import following
from notifierlab.errors import InputError
from notifierlab.events import Event
from notifierlab.explore.run import RunSpec
from notifierlab.machine.sched import LabError
from notifierlab.recheck import read_log
from notifierlab.replay import follow
from notifierlab.trace import RunHeader, Verdict


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A log that is to be run again."""

    name: str
    header: RunHeader
    events: Sequence[Event]
    verdict: Verdict


RECORDED = pytest.StashKey[Recorded]()
"""Where the configuration of a session has the log that it replays."""


def select_test_of(log: str, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the test of the log alone among `items`, and keep the log.

    Raises:
        pytest.UsageError: the log cannot be run again, or none of them is its test.
    """
    try:
        recorded = config.stash[RECORDED] = _recorded(log)
    except InputError as error:
        raise pytest.UsageError(str(error)) from None
    test = recorded.header.scenario
    chosen = [item for item in items if item.nodeid == test]
    if not chosen:
        among = f"the test that was selected, {items[0].nodeid}" if len(items) == 1 else "among those selected here"
        which = f"is the log of `{test}`, which is not {among}"
        if not is_test(test):
            which = f"is the log of the scenario `{test}`, not of a test: `notifierlab replay {log}` runs it again"
        raise pytest.UsageError(f"{log} {which}.")
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def _recorded(log: str) -> Recorded:
    reader, events = read_log(log)
    if reader.verdict is None:
        raise InputError(f"{log} was cut off: without its verdict line nobody knows its choices.")
    if reader.header.external:
        raise InputError(
            f"{log} has a task that waited for trio itself (a timer, a socket), so its choices alone do not repeat it. "
            f"`notifierlab check {log}` judges it all the same."
        )
    return Recorded(name=log, header=reader.header, events=events, verdict=reader.verdict)


def followed(spec: RunSpec, recorded: Recorded) -> tuple[tuple[int, ...], str]:
    """Run `spec` as the log says, calmly where that cannot be; return the choices, and how it compares, in a line."""
    try:
        run = follow(spec, recorded.events, recorded.verdict)
    except LabError as error:
        error.add_note(f"in the replay of {recorded.name}")
        raise
    text = following(recorded.name, run, "calmly")
    return run.result.choices, "; ".join(line.strip() for line in text.splitlines())


def beside(recorded: Recorded, events: Sequence[Event]) -> str:
    """How the events of a run compare to those of the log, in a line."""
    same = next(
        (n for n, pair in enumerate(zip(events, recorded.events, strict=False)) if pair[0] != pair[1]),
        min(len(events), len(recorded.events)),
    )
    if same == len(events) == len(recorded.events):
        return f"same: all {same} events"
    return f"different: {same} events are the same as in {recorded.name}, then line {same + 2} is not"
