"""Which orders of a grace period and a read section need not be tried.

A grace period ends behind the sections that were open at its begin (`machine/locks.py`). Its
begin waits for nobody and changes nothing. So of an order in which a section is begun, and
then a grace period that could as well have begun before it, the same order with the two
the other way round says all that the first one does: the same steps see the same, only
that the grace period may end while the section is open, and what the section did is not
ordered before its end. Whatever is wrong in the first is wrong in the other, with one
exception: whoever is in the section may wait for what only comes behind the end of the grace
period, and that waits for the section. Then nobody can go on.

Of that the other order tells as well: there, the section goes on behind the end of a
grace period that was under way when it was begun, or began later. Where no section does, in
none of its steps, the order need not be tried. In a circle of several the section learns
of the end of another grace period than the one in question: any of them counts.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from notifierlab.explore.happens import History
from notifierlab.explore.races import Race
from notifierlab.machine.access import Mode, Step
from notifierlab.machine.locks import GRACE_BEGINS, RCU, SECTION, SECTION_BEGINS
from notifierlab.machine.task import END_OF


def needless(history: History, race: Race) -> bool:
    """Tell whether the two steps of a race are the begin of a grace period and, behind it, that of a
    section, and nothing could be seen if they came the other way round."""
    first, second = race.first, race.second
    if GRACE_BEGINS not in history.steps[first].accesses or SECTION_BEGINS not in race.step.accesses:
        return False
    if second >= len(history.steps):
        return False
    end = _end_of_section(history, second)
    return end >= 0 and not _learns_of_an_end(history, second, end)


def without_graces(trace: Sequence[Step]) -> Iterator[Step]:
    """Iterate over the steps of a run, with nothing of which sections its grace periods have waited for."""
    waiting: dict[str, None] = {}
    for step in trace:
        accesses = step.accesses
        if step.task in waiting:
            del waiting[step.task]
            accesses = tuple(access for access in accesses if access.mode is not Mode.AFTER)
        if GRACE_BEGINS in accesses:
            waiting[step.task] = None
            accesses = tuple(access for access in accesses if access != GRACE_BEGINS)
        yield step if accesses is step.accesses else step._replace(accesses=accesses)


def _end_of_section(history: History, begin: int) -> int:
    """Return the step in which the section ended that was begun in step `begin`, or a later one of its task;
    -1 if none did."""
    own = history.own[history.tasks[begin]]
    for at in own[bisect_right(own, begin) - 1 :]:
        accesses = history.steps[at].accesses
        if any(mode is Mode.FIRST and name.startswith(SECTION) for name, mode in accesses) and at != begin:
            return at
    me = history.steps[begin].task
    # It may have ended in the very step, or with the task.
    return own[-1] if (f"{END_OF}{me}", Mode.FIRST) in history.steps[own[-1]].accesses else -1


def _learns_of_an_end(history: History, begin: int, end: int) -> bool:
    """Tell whether between two steps of its own a task came behind the end of a grace period."""
    before, behind = history.clocks[begin], history.clocks[end]
    for task, begins in history.touches[RCU].get(Mode.READ, {}).items():
        own = history.own[task]
        for grace in begins:
            # The next step of the task is the end of the grace period.
            place = bisect_right(own, grace)
            if grace >= 0 and place < len(own) and before[task] < own[place] <= behind[task]:
                return True
    return False
