"""What it costs to draw a long run, and how soon its page can be used in a browser.

The run is `churn`, over a hundred thousand events. A page with nothing but the same data,
which is parsed and done with, is what no page can beat; it says what the machine is worth.
Run as `python benchmarks/report.py`; the times of a browser are wall-clock times.
"""

import contextlib
import io
import re
import tempfile
from pathlib import Path

from timing import best_seconds, table, target

from notifierlab import recheck
from notifierlab.cli import _guarded
from notifierlab.report.page import page
from notifierlab.report.perfetto import trace
from notifierlab.report.timeline import Run, timeline
from tests.browser import browser, installed, LACKING, Page

OPS = 2000
PASSES = 5
INTERACTIVE_MS_MAX = 2000

BARE = """<!doctype html><meta charset="utf-8"><script type="application/json" id="run">{}</script>
<script>
const read = JSON.parse(document.getElementById("run").textContent);
requestAnimationFrame(() => requestAnimationFrame(() => {{
  document.documentElement.dataset.ready = "true";
  performance.mark("ready");
}}));
</script>"""
"""A page that does nothing but read the data."""

CHOOSE_A_PAGE = """
  const pages = document.getElementById("f-page");
  pages.selectedIndex = 3;
  pages.dispatchEvent(new Event("change", { bubbles: true }))"""

ACTIONS = (
    ("show everything", "document.querySelector('input[value=all]').click()"),
    ("filter by a page", CHOOSE_A_PAGE),
    ("clear the filters", "document.getElementById('f-clear').click()"),
    ("next event", "document.getElementById('next').click()"),
    ("zoom in", "document.getElementById('zoom-in').click()"),
    ("sort the ledger", "document.querySelector('#ledger th button').click()"),
)
"""What a reader does on the page, in this order."""


def draw(run: Run) -> str:
    """Print what drawing costs, and return the page."""
    line = timeline(run.events, run.violations)
    text = page(run, line)
    judging, finding, drawing, tracing = best_seconds(
        lambda: recheck.run_of(run.name),
        lambda: timeline(run.events, run.violations),
        lambda: page(run, line),
        lambda: trace(run, line),
        passes=3,
    )
    n = len(run.events)
    rows = [
        (name, seconds / n * 1e6, seconds, seconds / judging)
        for name, seconds in (
            ("read and judge the log", judging),
            ("find what lasted", finding),
            ("the page", drawing),
            ("the trace for Perfetto", tracing),
        )
    ]
    table(f"churn of {OPS} operations: {n:,} events", ("what", "us an event", "s of CPU", "x judging"), rows)
    print(f"  the page has {len(text.encode()) / 1e6:.1f} MB\n")
    return text


def ready_ms(shown: Page, path: Path) -> float:
    """Return the milliseconds from navigation until the page has painted and can be used, the best of several."""
    times = []
    for _ in range(PASSES):
        shown.open(path)
        times.append(float(shown.ask("performance.getEntriesByName('ready')[0].startTime")))
    return min(times)


def acted_ms(shown: Page, action: str) -> float:
    """Return the milliseconds from an action to the picture after it."""
    taken: float = shown.driver.execute_async_script(f"""
        const done = arguments[0], began = performance.now();
        {action};
        requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began)));
    """)
    return taken


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        log = place / "churn.jsonl"
        with contextlib.redirect_stdout(io.StringIO()):
            _guarded(["run", "churn", "--set", f"ops={OPS}", "--seed", "3", "--log", str(log)])
        text = draw(recheck.run_of(str(log)))
        if not installed():
            print(f"  no browser: this {LACKING}")
            return
        data = re.search(r'id="run">(.*?)</script>', text, re.DOTALL)
        assert data is not None
        (place / "page.html").write_text(text, encoding="utf-8")
        (place / "bare.html").write_text(BARE.format(data[1]), encoding="utf-8")
        with browser(place / "profile") as driver:
            shown = Page(driver)
            bare, full = ready_ms(shown, place / "bare.html"), ready_ms(shown, place / "page.html")
            rows: list[tuple[str, float, float]] = [("data alone", bare, 1.0), ("the page", full, full / bare)]
            rows += [(what, taken, taken / bare) for what, action in ACTIONS for taken in [acted_ms(shown, action)]]
        table("in the browser", ("what", "ms", "x data alone"), rows)
        target(f"the page can be used in under two seconds: {full:.0f} ms", met=full < INTERACTIVE_MS_MAX)


if __name__ == "__main__":
    main()
