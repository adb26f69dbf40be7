"""The story of a violation: the few events that matter, in lanes, ending in the replay line.

What matters is chosen by the violation's objects: its page, its address, its secondary
MMU. From those the other names of the same thing are learnt (the page that stood at the
address, the windows around it), and every event about them is told, from the page's last
allocation on. Registrations are told from the beginning, since what a driver was not
there to hear is half of most stories. Locks are told only where the rule is about locks.
"""

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from notifierlab import events as e
from notifierlab.checker import RULES
from notifierlab.events import Event, PAGE_SIZE, Violation
from notifierlab.report.lanes import Glyphs, lanes, Row, UNICODE
from notifierlab.report.words import words

SENTENCES: Final = {rule.id: rule.sentence for rule in RULES}
"""What each rule says must hold."""

ROWS_MAX: Final = 60
"""A longer story is cut in the middle of its past."""

AFTERMATH_MAX: Final = 8
"""How many events after the violation may still be told, if something bad is among them."""

_ALWAYS: Final = (
    e.ChoiceMade,
    e.TaskRaised,
    e.Deadlocked,
    e.StepsExhausted,
    e.RegisterBegun,
    e.NotifierAdded,
    e.RegisterDone,
    e.NotifierRemoved,
    e.UnregisterBegun,
    e.UnregisterDone,
    e.DriverFreed,
)
_PLACES: Final = (
    e.PageAllocated,
    e.PageFreed,
    e.PteSet,
    e.PteCleared,
    e.PteDowngraded,
    e.PteUpgraded,
    e.WindowOpened,
    e.WindowClosed,
    e.CbEntered,
    e.LookupBegun,
    e.LookupDone,
    e.SpteSet,
    e.SpteCleared,
    e.SpteDowngraded,
    e.TlbFilled,
    e.TlbDropped,
    e.TlbFlushBegun,
    e.TlbFlushDone,
    e.SecAccessed,
    e.FaultRetried,
    e.DropinIgnored,
)
_LIFETIME: Final = (e.ExitBegun, e.ExitDone, e.MmFreed, e.MmForked)
_TAKE_ALL: Final = (e.TakeAllBegun, e.TakeAllDone, e.TakeAllInterrupted, e.TakeAllDropped)

_MORE: Final[dict[str, tuple[type[Event], ...]]] = {
    "wrong-data": (e.DataChecked,),
    "lost-dirty": (e.DirtyTested,),
    "freed-before-cpu-flush": (e.CpuTlbFlushed,),
    "pin-imbalance": (e.PageGot, e.PagePut),
    "release-count": _LIFETIME,
    "release-gap": _LIFETIME,
    "mapped-after-release": _LIFETIME,
    "call-after-unregister": (*_LIFETIME, e.CbLeft),
    "mm-pin": _LIFETIME,
    "inherited-by-child": _LIFETIME,
    "callback-order": (e.CbLeft,),
    "changed-before-start": (e.CbLeft,),
    "take-all-incomplete": _TAKE_ALL,
    "interrupted-register-leaves-trace": (*_TAKE_ALL, e.TagSet, e.TagCleared),
    "lock-tag-leak": (*_TAKE_ALL, e.TagSet, e.TagCleared, e.HeadRead),
    "vma-list-moved": (*_TAKE_ALL, e.VmaLinked, e.VmaChanged, e.VmaUnlinked, e.AnonVmaAttached),
    "registered-mid-window": _TAKE_ALL,
    "deadlock": (e.QueueWoken, e.CbEntered, e.CbLeft),
    "sleep-in-atomic": (e.MightSleep,),
    "data-race": (e.FieldRead, e.FieldWritten, e.AtomicWritten),
}
"""What a rule's stories tell besides the usual."""

_LIFETIME_RULES: Final = (*(rule for rule, more in _MORE.items() if e.ExitBegun in more), "unregistered-driver-maps")

_LOCK_RULES: Final = (
    "deadlock",
    "lock-order",
    "sleep-in-atomic",
    "take-all-incomplete",
    "lock-tag-leak",
    "interrupted-register-leaves-trace",
    "illegitimate-walk",
    "data-race",
)


@dataclass
class _Focus:
    """What the story is about. An empty list knows nothing and excludes nothing."""

    pfns: list[int] = field(default_factory=list)
    vas: list[int] = field(default_factory=list)
    mmus: list[str] = field(default_factory=list)
    mms: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


def story(
    events: Sequence[Event],
    violation: Violation,
    *,
    others: Iterable[Violation] = (),
    replay: str = "",
    width: int = 100,
    glyphs: Glyphs = UNICODE,
    full: bool = False,
    closing: Sequence[str] = (),
) -> str:
    """The story of `violation` as text.

    Args:
        events: the whole run.
        violation: what is to be explained.
        others: more violations of the run; those that fall into the story are noted in it.
        replay: the command that runs it again, for the last line.
        width: columns of the page.
        glyphs: what the terminal can show.
        full: tell all that can be told, not only what led to the violation.
        closing: lines that stand after the lanes.
    """
    rows = told(events, violation, others=others, full=full)
    set_up, rows = _set_up(rows)
    head = textwrap.wrap(f"{violation.rule}: {SENTENCES.get(violation.rule, violation.message)}", width)
    tail = [*([""] if closing else []), *closing]
    tail += ["", f"replay  {replay}"] if replay else []
    return "\n".join([*head, "", *set_up, *lanes(rows, width=width, glyphs=glyphs), *tail]) + "\n"


def told(
    events: Sequence[Event], violation: Violation, *, others: Iterable[Violation] = (), full: bool = False
) -> list[Row]:
    """The rows of a story, for whoever draws it in another form; arguments as of `story`."""
    tell = _all_rows if full else _rows
    return tell(events, violation, list(others))


def _rows(events: Sequence[Event], violation: Violation, others: list[Violation]) -> list[Row]:
    focus = _focus(events, violation)
    begin = _beginning(events, violation, focus)
    held = _locks_held(events, violation)
    chosen = [
        (n, event)
        for n, event in enumerate(events)
        if words(event) and (n in held or _matters(event, violation, focus, early=n < begin))
    ]
    before = [(n, event) for n, event in chosen if event.step <= violation.step]
    after = [(n, event) for n, event in chosen if event.step > violation.step and not _tidies_up(event, violation)]
    after = after[: _consequences([event for _, event in after[:AFTERMATH_MAX]], others)]
    listeners = _Listeners()
    past = [event for _, event in before]
    rows = _shortened([_row(n, event, listeners) for n, event in before if not _repeats(event, past, violation)])
    rows.append(Row(violation.step, "", f"{violation.rule}: {violation.message}", strong=True))
    rows += [_row(n, event, listeners) for n, event in after]
    last = after[-1][1].step if after else violation.step
    noted = [each for each in others if each != violation and _step_at(events, begin) <= each.step <= last]
    return _with_notes(rows, noted, violation)


def _all_rows(events: Sequence[Event], violation: Violation, others: list[Violation]) -> list[Row]:
    """Every event that has words, up to the violation and beyond."""
    listeners = _Listeners()
    spoken = [(n, event) for n, event in enumerate(events) if words(event)]
    rows = [_row(n, event, listeners) for n, event in spoken if event.step <= violation.step]
    rows.append(Row(violation.step, "", f"{violation.rule}: {violation.message}", strong=True))
    rows += [_row(n, event, listeners) for n, event in spoken if event.step > violation.step]
    return _with_notes(rows, [each for each in others if each != violation], violation)


def _consequences(after: list[Event], others: list[Violation]) -> int:
    """How many of what follows lead to something: a device's access, or another violation."""
    last = max((other.step for other in others), default=0)
    leads = [
        n for n, event in enumerate(after) if isinstance(event, e.SecAccessed | e.DataChecked) or event.step <= last
    ]
    return leads[-1] + 1 if leads else 0


def _step_at(events: Sequence[Event], begin: int) -> int:
    return events[begin].step if begin < len(events) else 0


# --- what the story is about --------------------------------------------------------


def _focus(events: Sequence[Event], violation: Violation) -> _Focus:
    focus = _Focus()
    mmus = dict.fromkeys(event.mmu for event in events if isinstance(event, e.RegisterBegun | e.SpteSet | e.TlbFilled))
    mms = dict.fromkeys(event.mm for event in events if isinstance(event, e.MmCreated | e.RegisterBegun))
    for name in violation.objects:
        if found := re.fullmatch(r"(?:pfn|page) (\d+)", name):
            focus.pfns.append(int(found[1]))
        elif re.fullmatch(r"0x[0-9a-f]+", name):
            focus.vas.append(int(name, 16) // PAGE_SIZE * PAGE_SIZE)
        elif name in mmus:
            focus.mmus.append(name)
        elif name in mms:
            focus.mms.append(name)
        else:
            focus.names.append(name)
    _learn_places(events, violation, focus)
    return focus


def _learn_places(events: Sequence[Event], violation: Violation, focus: _Focus) -> None:
    """A page known by its frame is learnt by its addresses, and the other way round."""
    learn_va, learn_pfn = not focus.vas, not focus.pfns
    for event in events:
        if event.step > violation.step:
            break
        if isinstance(event, e.PageAllocated) and learn_va and event.pfn in focus.pfns:
            # Another life of the frame: what it was before does not matter.
            focus.vas.clear()
        if not isinstance(event, e.PteSet | e.SpteSet | e.TlbFilled):
            continue
        if learn_va and event.pfn in focus.pfns and event.va not in focus.vas:
            focus.vas.append(event.va)
        if learn_pfn and event.va in focus.vas and event.pfn not in focus.pfns and event.pfn > 0:
            focus.pfns.append(event.pfn)
    windows = [event for event in events if isinstance(event, e.WindowOpened) and event.win in focus.names]
    if not focus.vas and windows:
        focus.vas = [window.start for window in windows]


def _beginning(events: Sequence[Event], violation: Violation, focus: _Focus) -> int:
    """The place in the run from which everything about the focus is told."""
    begin = 0
    for n, event in enumerate(events):
        if event.step > violation.step:
            break
        if isinstance(event, e.PageAllocated) and event.pfn in focus.pfns[:1]:
            begin = n
    return begin


def _matters(event: Event, violation: Violation, focus: _Focus, *, early: bool) -> bool:
    rule = violation.rule
    more = _MORE.get(rule, ())
    if isinstance(event, _ALWAYS):
        return _of(focus.mmus, event, "mmu")
    if early or not isinstance(event, (*_PLACES, *more)):
        return False
    if isinstance(event, e.FieldRead | e.FieldWritten | e.AtomicWritten):
        return f"{event.owner}.{event.field}" in focus.names
    if isinstance(event, e.MightSleep):
        return event.step == violation.step and event.task == violation.task
    if isinstance(event, e.DataChecked) and event.expected == event.got:
        return False
    if isinstance(event, e.CbEntered) and event.callback == "young" and rule != "young-lost":
        return False
    if isinstance(event, _PLACES) and not isinstance(event, more) and rule in _LOCK_RULES and not _is_somewhere(focus):
        return False
    if isinstance(event, e.PageAllocated) and event.pfn not in focus.pfns:
        return False
    return _of(focus.mmus, event, "mmu") and _of(focus.mms, event, "mm") and _placed(focus, event)


def _is_somewhere(focus: _Focus) -> bool:
    return bool(focus.pfns or focus.vas)


def _of(known: list[str], event: Event, attribute: str) -> bool:
    value = getattr(event, attribute, "")
    return not known or not value or value in known


def _placed(focus: _Focus, event: Event) -> bool:
    if not _is_somewhere(focus):
        return True
    va, pfn, start = getattr(event, "va", None), getattr(event, "pfn", None), getattr(event, "start", None)
    if pfn in focus.pfns or va in focus.vas:
        return True
    if start is not None:
        end: int = getattr(event, "end", start + 1)
        return any(start <= place < max(end, start + 1) for place in focus.vas)
    return va is None and pfn is None


def _locks_held(events: Sequence[Event], violation: Violation) -> list[int]:
    """Where the locks were taken that were held at the violation, for rules about locks."""
    if violation.rule not in _LOCK_RULES:
        return []
    holders = None if violation.rule in ("deadlock", "data-race") else (violation.task,)
    held: dict[tuple[str, str], int] = {}
    for n, event in enumerate(events):
        if event.step > violation.step:
            break
        if isinstance(event, e.LockAcquired) and (holders is None or event.task in holders):
            held[event.task, event.lock] = n
        elif isinstance(event, e.LockReleased):
            held.pop((event.task, event.lock), None)
    return list(held.values())


# --- how it is told -----------------------------------------------------------------


class _Listeners:
    """Who is on each mm's list while the story goes on, to say what nobody hears."""

    def __init__(self) -> None:
        self._lists: dict[str, list[str]] = {}
        self._heard: dict[tuple[str, str], bool] = {}

    def note(self, event: Event) -> str:
        """What to add to the words of the event."""
        if isinstance(event, e.NotifierAdded):
            self._lists.setdefault(event.mm, []).append(event.mmu)
        elif isinstance(event, e.NotifierRemoved) and event.mmu in self._lists.get(event.mm, []):
            self._lists[event.mm].remove(event.mmu)
        elif isinstance(event, e.WindowOpened) and not self._lists.get(event.mm):
            return ": nobody hears it"
        elif isinstance(event, e.CbEntered) and event.win:
            if event.callback == "start":
                self._heard[event.mmu, event.win] = True
            elif event.callback == "end" and (event.mmu, event.win) not in self._heard:
                return ", whose start it never heard"
        return ""


def _row(place: int, event: Event, listeners: _Listeners) -> Row:
    return Row(event.step, event.task, words(event) + listeners.note(event), place=place)


def _repeats(event: Event, events: list[Event], violation: Violation) -> bool:
    """Whether another row says the same: a page's first mapping its allocation, the banner the deadlock."""
    if isinstance(event, e.PageAllocated):
        return any(isinstance(each, e.PteSet) and each.pfn == event.pfn for each in events)
    return isinstance(event, e.Deadlocked) and violation.rule == "deadlock"


def _tidies_up(event: Event, violation: Violation) -> bool:
    """Whether the event only ends the scene: a driver goes after the damage is done."""
    if violation.rule in _LIFETIME_RULES:
        return False
    return isinstance(event, e.UnregisterBegun | e.UnregisterDone | e.NotifierRemoved | e.DriverFreed | e.MightSleep)


def _set_up(rows: list[Row]) -> tuple[list[str], list[Row]]:
    """The scenario's own task sets the scene; if that is all it does, its lines come first and it has no lane."""
    tasks = list(dict.fromkeys(row.task for row in rows))
    first = rows[0].task
    count = next((n for n, row in enumerate(rows) if row.task != first), len(rows))
    needs_lane = count < len(rows) and rows[count].strong
    if len(tasks) < 3 or first != "main" or needs_lane or any(row.task == first for row in rows[count:]):
        return [], rows
    return [f"{row.step:>4}  {first}: {row.text}" for row in rows[:count]] + [""], rows[count:]


def _shortened(rows: list[Row]) -> list[Row]:
    if len(rows) <= ROWS_MAX:
        return rows
    left_out = len(rows) - ROWS_MAX
    gap = Row(rows[left_out].step, "", f"... {left_out} earlier events of this story are left out ...")
    return [gap, *rows[left_out:]]


def _with_notes(rows: list[Row], others: list[Violation], violation: Violation) -> list[Row]:
    """The rows with each other violation after the last row of its step."""
    told = [violation.rule]
    for other in sorted(others, key=lambda each: each.step):
        if other.rule in told:
            continue
        told.append(other.rule)
        place = sum(1 for row in rows if row.step <= other.step)
        rows.insert(place, Row(other.step, "", f"{other.rule}: {other.message}"))
    return rows
