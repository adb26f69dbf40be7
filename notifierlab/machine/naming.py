"""How a place that tasks share is called: by the attribute, variable or global from which it hangs."""

from types import CellType
from typing import Any

from notifierlab.machine.reach import Globals, Place, Reach


def called(reach: Reach, place: Place, before: object) -> str:
    """Return how people call a place, as the last walk came to it; `before` is what stood there."""
    thing = reach.objects[place.of]
    if place.part:
        return _part_of(thing, place.part, "")
    if type(thing) is CellType:
        return _held(reach, place.of, "")
    return _held(reach, place.of, _key(thing, before, reach))


def _held(reach: Reach, number: int, behind: str) -> str:
    """Climb from a container or variable to the first thing that has a name."""
    for _ in range(len(reach.objects)):
        root = reach.roots.get(number)
        if root is not None:
            return f"`{root.name}{behind}`, a variable of {root.owner.rpartition('.')[2]}"
        if number not in reach.came_from:
            break
        holder, part = reach.came_from[number]
        thing = reach.objects[holder]
        if part.startswith("=default "):
            return f"the default of `{part.removeprefix('=default ')}{behind}` in {getattr(thing, '__name__', '?')}"
        if part.startswith("=cell "):
            # Where the function was made.
            made_in = str(getattr(thing, "__qualname__", "?")).split(".")
            return f"`{part.removeprefix('=cell ')}{behind}`, a variable of {(['?', *made_in][:-2] or ['?'])[-1]}"
        if part and not part.startswith("="):
            return _part_of(thing, part, behind)
        if type(thing) is not CellType:
            behind = _index(thing, reach.objects[number]) + behind
        number = holder
    return f"a {type(reach.objects[number]).__name__}{behind}"


def _part_of(thing: object, part: str, behind: str) -> str:
    if isinstance(thing, Globals):
        return f"the global `{part}{behind}` of {thing.name}"
    if isinstance(thing, type):
        return f"the class attribute `{thing.__name__}.{part}{behind}`"
    return f"`{type(thing).__name__}.{part}{behind}`"


def _index(container: Any, item: object) -> str:
    """Return how one gets from a container to an item of it."""
    if isinstance(container, dict):
        return next((f"[{key!r}]" for key, value in dict.items(container) if value is item), "[...]")
    if isinstance(container, list):
        return next((f"[{n}]" for n, value in enumerate(list.__iter__(container)) if value is item), "[...]")
    return "[...]"


def _key(thing: object, before: object, reach: Reach) -> str:
    """Return which key of a dict has changed, if it is one and its key a plain value."""
    if not isinstance(thing, dict) or not isinstance(before, tuple):
        return ""
    then = {pair[1]: pair[2] for pair in before[1:]}
    now = {reach.content(key, []): reach.content(value, []) for key, value in dict.items(thing)}
    changed = [key for key in {**then, **now} if then.get(key, ...) != now.get(key, ...)]
    return f"[{changed[0]!r}]" if len(changed) == 1 and isinstance(changed[0], int | str) else ""
