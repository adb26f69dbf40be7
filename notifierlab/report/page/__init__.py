"""A run as one page for a browser: everything in one file, nothing from the network.

The verdict, the rule, the story and how to replay it stand in the HTML itself, so that
they can be read (and printed) whatever becomes of the script. Timeline, list of events
and ledger are drawn by the script from compact JSON; of those only what is visible is in
the document, so that a run of a hundred thousand events can be used.

The texts come from logs, which anybody may have written: the template escapes them, the
JSON cannot end its element, and the page's policy lets no script run but its own.
"""

import base64
import gzip
import hashlib
from collections.abc import Sequence
from importlib import resources
from itertools import groupby
from pathlib import PurePath
from typing import Final

import msgspec

from notifierlab import __version__
from notifierlab.events import Violation
from notifierlab.report.outcome import VERDICT_WORDS
from notifierlab.report.page.data import page_data
from notifierlab.report.stories import stories, Told
from notifierlab.report.story import SENTENCES
from notifierlab.report.svg import drawing
from notifierlab.report.timeline import Run, Timeline
from notifierlab.wire import encode_event

SCRIPTS: Final = ("data", "view", "lanes", "paint", "timeline", "lists", "ledger", "main")
"""The parts of the script, in the order in which they are put together."""

PAPER_ROWS_MAX: Final = 40
"""How long a story may be to be printed as a drawing, which stands on one sheet; else it is a list."""

LISTED_MAX: Final = 200
"""How many violations are listed; the heading counts all."""


def page(run: Run, line: Timeline) -> str:
    """The page of a run as HTML."""
    # Imported here since they belong to an extra.
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("notifierlab.report.page", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    tales = stories(run)
    script = _script()
    style = _asset("page.css")
    data = msgspec.json.encode(page_data(run, line, [tale.rows for tale in tales])).decode()
    return environment.get_template("page.html.j2").render(
        run=run,
        title=_title(run),
        sentence=SENTENCES.get(run.violations[0].rule, "") if run.violations else "",
        verdict=VERDICT_WORDS[run.verdict].capitalize(),
        listed=_listed(run, tales),
        stories=tales,
        steps=run.claimed.steps if run.claimed is not None else (run.events[-1].step if run.events else 0),
        schedule=schedule_words(run.choices),
        replay=run.replay,
        log=base64.b64encode(log_of(run)).decode(),
        log_name="run.jsonl" if run.name == "-" else PurePath(run.name).name,
        version=__version__,
        paper_rows=PAPER_ROWS_MAX,
        figure=Markup(drawing(run, line, tales[0].rows, inline=True)) if tales else "",  # noqa: S704 - our own
        style=Markup(style),  # noqa: S704 - our own
        script=Markup(script),  # noqa: S704 - our own
        policy=f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'",
        # Inside a script element `<` could end it; as an escape it means the same in JSON.
        data=Markup(data.replace("<", "\\u003c")),  # noqa: S704 - escaped on this line
    )


def _title(run: Run) -> str:
    what = run.violations[0].rule if run.violations else VERDICT_WORDS[run.verdict]
    return f"{what}: {run.header.scenario}"


def log_of(run: Run) -> bytes:
    """The log of a run, byte for byte and packed, so that whoever has the page can replay it."""
    lines = [run.header.model_dump_json().encode(), *(encode_event(event) for event in run.events)]
    if run.claimed is not None:
        lines.append(msgspec.json.encode(run.claimed))
    return gzip.compress(b"\n".join(lines) + b"\n", mtime=0)


def schedule_words(choices: Sequence[int]) -> list[str]:
    """The choices of a run in words: how often it carried on, and what it did otherwise."""
    words = []
    for choice, group in groupby(choices):
        count = len(list(group))
        if choice == 0:
            words.append("carry on" if count == 1 else f"carry on {count} times")
        else:
            words += [f"take alternative {choice}"] * count
    return words


def _listed(run: Run, tales: Sequence[Told]) -> list[tuple[Violation, int, int]]:
    """Violations with their places, and the number of the story that each has; -1 if none."""
    numbers = {tale.violation.rule: n for n, tale in enumerate(tales)}
    pairs = zip(run.violations, run.places, strict=True)
    return [(each, place, numbers.get(each.rule, -1)) for each, place in pairs][:LISTED_MAX]


def _asset(name: str) -> str:
    return resources.files("notifierlab.report.page").joinpath(name).read_text(encoding="utf-8")


def _script() -> str:
    parts = [_asset(f"{name}.js") for name in SCRIPTS]
    return '(() => {\n"use strict";\n' + "\n".join(parts) + "})();\n"


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
