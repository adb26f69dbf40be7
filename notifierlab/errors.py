"""What goes back to a person whose input cannot be used, and the nearest right name."""

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """Input from outside is wrong; the message says what, where, and what to do next."""


def nearest(name: str, names: Iterable[str]) -> str:
    """The name most like `name`, or nothing when none is alike."""
    found = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return found[0] if found else ""


def unknown_name(kind: str, name: str, names: Iterable[str], *, listing: str = "") -> InputError:
    """The error for a name that is not there: it offers the nearest, then where all stand.

    Args:
        kind: what it should have been, in the singular (`scenario`).
        name: what was given.
        names: every right name.
        listing: what shows them all (`notifierlab scenarios`); empty names them here.
    """
    names = sorted(names)
    near = nearest(name, names)
    hint = f" Did you mean `{near}`?" if near else ""
    where = f"`{listing}` lists them all." if listing else f"There are: {', '.join(names) or 'none'}."
    return InputError(f"There is no {kind} `{name}`.{hint} {where}")
