"""What pytest's own reports carry of a search, and the lines at the end of the session.

A report goes through xdist and into JUnit XML with its properties, so what there is to
say of a test is said in properties: `notifierlab.verdict`, `notifierlab.orders`,
`notifierlab.bound`, and `attachment`, the log.
"""

from collections.abc import Iterator
from typing import Any, Final

import pytest

VERDICT: Final = "notifierlab.verdict"
ORDERS: Final = "notifierlab.orders"
BOUND: Final = "notifierlab.bound"
RULE: Final = "notifierlab.rule"
REPLAYED: Final = "notifierlab.replayed"
LOG: Final = "attachment"

_WORDS: Final = {"no-violation-within": "no violation in", "proved": "proved:", "violated": "violated:"}


def summary_lines(reporter: "pytest.TerminalReporter") -> list[str]:
    """A line for each test that ran in many orders, or was replayed; with `-q`, one for all."""
    told: list[tuple[str, dict[str, Any]]] = []
    for report in _calls(reporter):
        properties = dict(report.user_properties)
        if VERDICT in properties:
            told.append((report.nodeid, properties))
    told.sort(key=lambda each: each[0])
    if not told:
        return []
    if reporter.config.get_verbosity() < 0:
        orders = sum(int(properties[ORDERS]) for _, properties in told)
        return [f"{_count(len(told), 'test')} in {_count(orders, 'order')}"]
    return [f"{nodeid}: {_line(properties)}" for nodeid, properties in told]


def _calls(reporter: "pytest.TerminalReporter") -> Iterator[pytest.TestReport]:
    for reports in reporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport) and report.when == "call":
                yield report


def _line(properties: dict[str, Any]) -> str:
    if REPLAYED in properties:
        return str(properties[REPLAYED])
    verdict = str(properties[VERDICT])
    if RULE in properties:
        return f"violated: {properties[RULE]}, {_count(int(properties[ORDERS]), 'order')} tried"
    return f"{_WORDS.get(verdict, verdict + ':')} {properties[BOUND]}"


def _count(number: int, one: str) -> str:
    return f"{number} {one}{'' if number == 1 else 's'}"
