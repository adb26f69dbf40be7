"""What a value is to somebody who compares states: two that are the same here can be told apart by nobody.

Numbers, texts and tuples of them are what they are. An object of the bench is its name, for
what stands in its fields is known by them; unless it says what it is `as_value`.
"""

from collections.abc import Hashable
from typing import Any, Final

_ALIKE: Final = frozenset((str, bytes, type(None)))
# One and True are equal, and are not the same.
_TYPED: Final = frozenset((bool, int, float))

ABSENT: Final = "absent"
"""What stands in a dict where there is no such key."""


class NotPlainError(Exception):
    """There is an object in a value that has no name."""


def plain(value: Any) -> Hashable:
    """Return `value` as something to compare.

    Raises:
        NotPlainError: it has no name, or is made of something that has none.
    """
    kind = type(value)
    if kind in _ALIKE:
        return value  # type: ignore[no-any-return]  # a text, bytes, or None
    if kind in _TYPED:
        return kind.__name__, value
    if isinstance(value, tuple | list):
        # Of a list that tells of its readers, whoever asks here is none.
        items = tuple.__iter__(value) if isinstance(value, tuple) else list.__iter__(value)
        return tuple([plain(item) for item in items])
    if isinstance(value, frozenset):
        return "{}", *sorted([plain(item) for item in value], key=repr)
    as_value = getattr(value, "as_value", None)
    if as_value is not None:
        return as_value()  # type: ignore[no-any-return]  # so its class promises
    name = getattr(value, "known_as", None) or getattr(value, "name", None)
    if name is None:
        raise NotPlainError
    return "@", name
