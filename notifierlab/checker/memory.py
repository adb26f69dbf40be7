"""What the checker remembers of a run, as a value.

A rule judges an event by what came before it. A search that takes two runs for one, because
everything stands as in the other, must know that the rules remember the same of both. So
here is what may still count of all that `state.py` and `tasks.py` keep. Two things are left out:

- what nobody asks any more (a translation that is gone, a task that has ended)
- numbers: of a tick only counts before and behind which others it came, of an acquisition
  which locks that are still held came before it
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TypeAlias

from notifierlab.checker.state import Frame, Mm, Mmu, Promise, Removal, Translation
from notifierlab.checker.tasks import Task
from notifierlab.checker.world import World

Ranks: TypeAlias = Mapping[int, int]
"""Of each tick that may still be asked for, before how many others it came."""


def memory_of(world: World, lookups: Mapping[str, Sequence[str]]) -> Hashable:
    """What is remembered of the world; `lookups` are by task those that may still be used."""
    mms = sorted(world.mms.values(), key=_name)
    mmus = sorted(world.mmus.values(), key=_name)
    ranks = {tick: rank for rank, tick in enumerate(sorted(set(_ticks(mms, mmus))))}
    added = sorted([mmu.added for mmu in mmus])
    return (
        tuple([_mm(mm, ranks) for mm in mms]),
        tuple([(added.index(mmu.added), *_registration(mmu), *_translations(mmu, ranks)) for mmu in mmus]),
        tuple(sorted([(pfn, *_frame(frame)) for pfn, frame in world.frames.items()])),
        tuple(sorted([_promise(promise) for promise in world.owed])),
        tuple([(task, *[_lookup(world, name) for name in some]) for task, some in sorted(lookups.items())]),
        tuple(sorted(world.tags.items())),
        tuple(sorted(world.exiting.items())),
        tuple(
            [
                (task.name, *known)
                for task in sorted(world.tasks.values(), key=_name)
                if any(known := _task(task, added))
            ]
        ),
    )


def _name(thing: Mm | Mmu | Task) -> str:
    return thing.name


def _ticks(mms: Sequence[Mm], mmus: Sequence[Mmu]) -> Iterator[int]:
    for mm in mms:
        yield from mm.readonly.values()
    for mmu in mmus:
        yield from [entry.tick for entry in mmu.sptes.values()]
        for tlb in mmu.tlbs.values():
            yield from [entry.tick for entry in tlb.values()]
        yield from mmu.flushes.values()
        for stack in mmu.running.values():
            yield from [running.tick for running in stack]


def _mm(mm: Mm, ranks: Ranks) -> Hashable:
    windows = [
        (window.win, window.start, window.end, tuple([mmu.name for mmu in window.listed]))
        for window in mm.windows.values()
    ]
    return (
        mm.name,
        # How many users there are, nobody asks.
        mm.users > 0,
        mm.count,
        mm.freed,
        mm.exit_freed,
        tuple(sorted(mm.ptes.items())),
        tuple(sorted([(va, ranks[tick]) for va, tick in mm.readonly.items()])),
        tuple(sorted(mm.unsettled)),
        tuple(sorted([(name, vma.mapping, vma.anon_vma) for name, vma in mm.vmas.items()])),
        tuple(sorted(mm.rmap_locks)),
        tuple(sorted(windows)),
        tuple([mmu.name for mmu in mm.listed]),
        tuple(sorted(mm.registrations)),
        tuple(sorted(mm.walking.items())),
        tuple(sorted(mm.changing)),
        tuple(sorted(mm.taking)),
    )


def _registration(mmu: Mmu) -> tuple[Hashable, ...]:
    return (
        mmu.name,
        mmu.mm,
        mmu.counter,
        mmu.pinned,
        mmu.shadowed,
        mmu.admitted,
        mmu.listed,
        mmu.removed,
        mmu.released,
        mmu.releases,
        mmu.unregistering,
        mmu.unregistered,
        mmu.freed,
        tuple(sorted([(one.win, one.start, one.end, one.left >= 0) for one in mmu.open.values()])),
        tuple(sorted([(one.win, one.start, one.end) for one in mmu.ending.values()])),
    )


def _translations(mmu: Mmu, ranks: Ranks) -> tuple[Hashable, ...]:
    running = [
        (task, tuple([(one.callback, one.start, one.end, ranks[one.tick]) for one in stack]))
        for task, stack in mmu.running.items()
    ]
    return (
        tuple(sorted([_translation(entry, ranks) for entry in mmu.sptes.values()])),
        tuple(sorted([_translation(entry, ranks) for tlb in mmu.tlbs.values() for entry in tlb.values()])),
        tuple(sorted([(flush, ranks[tick]) for flush, tick in mmu.flushes.items()])),
        tuple(sorted(running)),
    )


def _translation(entry: Translation, ranks: Ranks) -> tuple[str, int, int, int, bool, int, int]:
    return entry.cpu, entry.va, entry.pfn, entry.gen, entry.write, ranks[entry.tick], entry.touched


def _frame(frame: Frame) -> tuple[Hashable, ...]:
    # What reaches it, the tables of the MMUs say.
    return frame.gen, frame.free, _removals(frame.removal)


def _removals(removal: Removal | None) -> tuple[Hashable, ...]:
    if removal is None:
        return ()
    promises = [
        (_promise(one), one.told >= 0, one.idle, one.window is not None and one.window.ended >= 0)
        for one in removal.promises
    ]
    return (removal.mm, removal.va, tuple(sorted(promises))), *_removals(removal.other)


def _promise(promise: Promise) -> tuple[Hashable, ...]:
    window = "" if promise.window is None else promise.window.win
    return promise.mmu, promise.mm, promise.va, promise.pfn, promise.task, promise.ptl, window


def _lookup(world: World, name: str) -> Hashable:
    """Which pages went from where since an answer began to grow stale, or lost their write permission there, and
    whether the MMU has heard of it since."""
    lookup = world.lookup(name)
    if lookup is None:
        return None
    mm, mmu = world.mms[lookup.mm], world.mmus[lookup.mmu]
    invalidations = mmu.invalidations[max(lookup.seen - mmu.forgotten, 0) :]
    first: dict[tuple[int, int, bool], int] = {}
    for change in mm.changes[max(lookup.changes - mm.forgotten, 0) :]:
        # Of several changes the first counts; to whoever only reads, the first by which the page went.
        for for_writing in (True,) if change.downgrade else (True, False):
            first.setdefault((change.va, change.pfn, for_writing), change.tick)
    heard = [
        (*change, any(one.tick > tick and one.start <= change[0] < one.end for one in invalidations))
        for change, tick in first.items()
    ]
    return lookup.write, tuple(sorted(heard))


def _task(task: Task, added: Sequence[int]) -> tuple[Hashable, ...]:
    held = task.held.values()
    windows = [
        (win, mm, tuple(sorted([lock.lock for lock in held if lock.number <= number])))
        for win, (mm, number) in task.windows.items()
    ]
    return (
        task.interrupt,
        tuple(sorted([(lock.lock, lock.mode, lock.count) for lock in held])),
        task.preempt,
        task.rcu,
        tuple(task.callbacks),
        tuple([(walk.mm, walk.callback, sum([one < walk.last for one in added])) for walk in task.walks]),
        task.took_all,
        tuple(sorted(windows)),
        tuple(sorted([(lock, tuple(changed)) for lock, changed in task.unsettled.items()])),
    )
