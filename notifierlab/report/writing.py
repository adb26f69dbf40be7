"""Which form a picture of a run has, by the name of its file; and writing it there."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from notifierlab.errors import InputError, nearest
from notifierlab.report.timeline import Run, timeline


class Form(NamedTuple):
    """A form that a run can be drawn in, and the libraries it takes, which are an extra."""

    draw: Callable[[Run], bytes]
    needs: tuple[str, ...] = ()


def _page(run: Run) -> bytes:
    from notifierlab.report.page import page

    return page(run, timeline(run.events, run.violations)).encode()


def _lanes(run: Run) -> bytes:
    from notifierlab.report.stories import plain, stories
    from notifierlab.report.svg import drawing

    line = timeline(run.events, run.violations)
    return drawing(run, line, stories(run)[0].rows if run.violations else plain(run)).encode()


def _perfetto(run: Run) -> bytes:
    from notifierlab.report.perfetto import trace

    return trace(run, timeline(run.events, run.violations))


FORMS: Final = {
    ".html": Form(_page, ("jinja2",)),
    ".perfetto-trace": Form(_perfetto, ("perfetto.trace_builder.proto_builder",)),
    ".svg": Form(_lanes),
}
"""The forms, by the suffix of the file."""


def form_of(path: Path) -> Form:
    """The form that `path` asks for, ready to be drawn.

    Raises:
        InputError: no form has this suffix, its libraries are not installed, or there is
            no such directory.
    """
    form = FORMS.get(path.suffix)
    if form is None:
        near = nearest(path.suffix, FORMS)
        hint = f" Did you mean `{path.with_suffix(near).name}`?" if near and path.suffix else ""
        raise InputError(f"No picture has the suffix of `{path.name}`.{hint} There are: {', '.join(FORMS)}.")
    missing = [name for name in form.needs if not _installed(name)]
    if missing:
        raise InputError(
            f"A `{path.suffix}` file needs {missing[0].partition('.')[0]}, which is not installed, or too old: "
            "pip install 'notifierlab[report]'"
        )
    if path.is_dir():
        raise InputError(f"Cannot write {path}: it is a directory. Give the name of a file.")
    if not path.parent.is_dir():
        raise InputError(f"Cannot write {path}: there is no directory {path.parent}. Make it first.")
    return form


def write(form: Form, run: Run, path: Path) -> None:
    """Draws the run and writes it to `path`: all of it, or nothing.

    Raises:
        InputError: the file cannot be written.
    """
    drawn = form.draw(run)
    try:
        path.write_bytes(drawn)
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror}. Choose another place with -o.") from None


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
