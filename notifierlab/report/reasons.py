"""Why a run broke its rule, in the few lines that end a story.

Three things, each found by running other orders: the last step at which it could still
have gone well, the two steps whose order decides, and the run that passes and stays the
same for longest. Here they are only said; `explore/why.py` finds them.
"""

import textwrap
from dataclasses import dataclass
from typing import Final, NamedTuple

_INDENT: Final = " " * 16
_ALSO_MAX: Final = 2


class Told(NamedTuple):
    """Something that a task did; `step` is None where the violating run never comes to it."""

    step: int | None
    task: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Reasons:
    """What was found by running other orders.

    `no_return` is the first step after which every continuation breaks the rule (no other
    fault striking); `orders` counts the continuations that were executed: all there are
    if `whole`, else at least those that take up to `changes` choices otherwise. None: no
    order that was tried passes. `fault` says that a value decides there, not who goes.

    `no_return` and `second` are the conflicting pair: in this order the rule is broken, and
    with the second before the first it is not. `passing` is what the nearest passing run
    does at `no_return` instead, `choices` its schedule, `also` the rules that it breaks.
    """

    rule: str
    no_return: Told | None
    orders: int
    changes: int
    whole: bool
    fault: bool = False
    second: Told | None = None
    passing: Told | None = None
    choices: tuple[int, ...] = ()
    also: tuple[str, ...] = ()


def reasons_lines(reasons: Reasons, *, width: int = 100) -> list[str]:
    """The reasons as lines of text, none wider than `width`."""
    lines = ["why"]
    for label, texts in (
        ("no way back", _no_return(reasons)),
        ("what decides", _pair(reasons)),
        ("nearest pass", _passing(reasons)),
    ):
        for n, text in enumerate(texts):
            first = f"  {label if n == 0 else '':<12}  "
            lines += textwrap.wrap(
                text, width, initial_indent=first, subsequent_indent=_INDENT, break_on_hyphens=False
            ) or [first.rstrip()]
    return lines


def _no_return(reasons: Reasons) -> list[str]:
    each = "it breaks" if reasons.orders == 1 else "each breaks"
    if reasons.no_return is None:
        if reasons.whole:
            only = "this is the only order" if reasons.orders == 1 else f"all {reasons.orders} orders break the rule"
            return [f"there never was one: {only}"]
        return [f"none found: {_orders(reasons.orders)} tried, {_bound(reasons)}: {each} the rule"]
    if reasons.whole:
        rest = f"from there {_orders(reasons.orders)}, all there are: {each} the rule"
    else:
        rest = f"from there {_orders(reasons.orders)} tried, {_bound(reasons)}: {each} the rule"
    return [f"after {_told(reasons.no_return)}", f"({rest})"]


def _bound(reasons: Reasons) -> str:
    if not reasons.changes:
        return "not all there are"
    changes = "1 other choice" if reasons.changes == 1 else f"{reasons.changes} other choices"
    return f"all with up to {changes} among them"


def _pair(reasons: Reasons) -> list[str]:
    if reasons.second is None:
        return ["the fault: without it the rule holds"] if reasons.fault else []
    return [f"that it comes before {_told(reasons.second)}", "(the other way round the rule holds)"]


def _passing(reasons: Reasons) -> list[str]:
    if reasons.passing is None:
        return []
    shown = ", ".join(reasons.also[:_ALSO_MAX]) + (" and more" if len(reasons.also) > _ALSO_MAX else "")
    also = f" (though it breaks {shown})" if reasons.also else ""
    step, task, text = reasons.passing
    instead = "goes on without it" if reasons.fault else "goes instead"
    return [f"the same before step {step}; there {task} {instead}{': ' if text else ''}{text}{also}"]


def _told(told: Told) -> str:
    return f"step {told.step}, {_who(told)}" if told.step is not None else _who(told)


def _who(told: Told) -> str:
    return f"{told.task}: {told.text}" if told.text else told.task


def _orders(n: int) -> str:
    return "1 order" if n == 1 else f"{n} orders"
