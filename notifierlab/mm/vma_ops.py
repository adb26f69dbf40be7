"""vmas come, go, split and merge: find_vma, vma_link, vma_adjust, split_vma, vma_merge.

Every change of a vma's borders is made with mmap_sem held for write and, where rmap could
see it, under the file's i_mmap_lock and then the anon_vma's lock, one of each:

    mmap_sem (write)
      i_mmap_lock        of the one file
        anon_vma->lock   of the one anon_vma

It is this order that mm_take_all_locks has to follow (K 2.6).

Model: no VM_SPECIAL flags, no vm_ops->open and close, no map count limit.
"""

import bisect
from typing import NamedTuple

from notifierlab.events import AnonVmaAttached, PAGE_SIZE, Va, VmaChanged, VmaLinked, VmaUnlinked
from notifierlab.mm.rmap import __anon_vma_merge, anon_vma_link_locked, anon_vma_lock, anon_vma_unlock
from notifierlab.mm.vma import AddressSpace, AnonVma, MmStruct, Vma


def find_vma(mm: MmStruct, va: Va) -> Vma | None:
    """The first vma that ends behind `va` (it may begin behind it, too). mmap_sem held."""
    place = _place(mm, va)
    return mm.vmas[place] if place < len(mm.vmas) else None


def vma_at(mm: MmStruct, va: Va) -> Vma | None:
    """The vma in which `va` lies, or None."""
    vma = find_vma(mm, va)
    return vma if vma is not None and vma.start <= va else None


def vmas_between(mm: MmStruct, start: Va, end: Va) -> list[Vma]:
    """Every vma that shares an address with `[start, end)`, in order."""
    vmas = mm.vmas
    first = last = _place(mm, start)
    while last < len(vmas) and vmas[last].start < end:
        last += 1
    return vmas[first:last]


def _place(mm: MmStruct, va: Va) -> int:
    return bisect.bisect_right(mm.vmas, va, key=_vma_end)


def _vma_end(vma: Vma) -> Va:
    return vma.end


def _next(mm: MmStruct, vma: Vma) -> Vma | None:
    place = _place(mm, vma.start) + 1
    return mm.vmas[place] if place < len(mm.vmas) else None


# --- joining and leaving the list ---------------------------------------------------


async def vma_link(mm: MmStruct, vma: Vma) -> None:
    """Put a new vma in the mm's list, in its file's i_mmap and on its anon_vma's list."""
    file = vma.file
    if file is not None:
        await file.i_mmap_lock.acquire()
        vma.truncate_count = file.truncate_count
    await anon_vma_lock(vma)
    insert_vma(mm, vma)
    anon_vma_link_locked(vma)
    if file is not None:
        file.i_mmap_insert(vma)
    await anon_vma_unlock(vma)
    if file is not None:
        await file.i_mmap_lock.release()


def insert_vma(mm: MmStruct, vma: Vma) -> None:
    """Put the vma in the mm's list alone (the caller sees to rmap)."""
    mm.vmas.insert(_place(mm, vma.start), vma)
    mapping = "" if vma.file is None else vma.file.name
    anon_vma = "" if vma.anon_vma is None else vma.anon_vma.name
    mm.host.machine.emit(VmaLinked, mm.name, vma.name, vma.start, vma.end, mapping, anon_vma)


def remove_vma(mm: MmStruct, vma: Vma) -> None:
    """Take the vma out of the mm's list; rmap may still find it."""
    place = _place(mm, vma.start)
    assert mm.vmas[place] is vma, f"{vma.name} is not in the list of {mm.name}"
    del mm.vmas[place]
    mm.host.machine.emit(VmaUnlinked, mm.name, vma.name)


# --- moving borders -----------------------------------------------------------------


class _Plan(NamedTuple):
    """One round of vma_adjust: what happens to the vma behind."""

    end: Va
    """Where the vma ends after this round."""
    follower: Vma | None = None
    moved: int = 0
    """By how many bytes the next vma's start moves."""
    removed: bool = False
    """Whether the next vma is covered and goes."""
    again: bool = False
    """Whether the vma after that is covered as well."""
    importer: Vma | None = None
    """Which of the two gets pages from the other."""
    anon_vma: AnonVma | None = None
    """The anon_vma of those pages."""


async def vma_adjust(vma: Vma, start: Va, end: Va, pgoff: int, insert: Vma | None = None) -> None:
    """Move the borders of `vma` to `[start, end)`; mmap_sem is held for write.

    With `insert` it shrinks, and `insert` takes what it gives up. Without, the next vma
    goes if it is covered, and gives or takes the difference if it is met.
    """
    again = True
    while again:
        plan = _Plan(end) if insert is not None else _plan(vma, end)
        await _adjust_once(vma, start, plan, pgoff, insert)
        again = plan.again


def _plan(vma: Vma, end: Va) -> _Plan:
    follower = _next(vma.mm, vma)
    if follower is None:
        return _Plan(end)
    if end >= follower.end:
        again = end > follower.end
        return _Plan(follower.end, follower, removed=True, again=again, importer=vma, anon_vma=follower.anon_vma)
    if end > follower.start:
        return _Plan(end, follower, moved=end - follower.start, importer=vma, anon_vma=follower.anon_vma)
    if end < vma.end:
        # It shrinks, and since nothing is inserted the next one takes over.
        return _Plan(end, follower, moved=end - vma.end, importer=follower, anon_vma=follower.anon_vma)
    return _Plan(end)


async def _adjust_once(vma: Vma, start: Va, plan: _Plan, pgoff: int, insert: Vma | None) -> None:
    importer, anon_vma = plan.importer, plan.anon_vma
    if vma.file is not None:
        await vma.file.i_mmap_lock.acquire()
        _adjust_truncate_count(vma, plan, insert)
        if insert is not None:
            # Before the old one shrinks, so that a truncate can miss neither.
            vma.file.i_mmap_insert(insert)
    if vma.anon_vma is not None and (insert is not None or importer is not None or start != vma.start):
        anon_vma = vma.anon_vma
    if anon_vma is not None:
        await anon_vma.lock.acquire()
        if importer is not None and importer.anon_vma is None:
            # The pages that it gets must be found there, too.
            importer.anon_vma = anon_vma
            anon_vma_link_locked(importer)
            vma.mm.host.machine.emit(AnonVmaAttached, vma.mm.name, importer.name, anon_vma.name)
    _move_borders(vma, start, plan, pgoff)
    if insert is not None:
        insert_vma(vma.mm, insert)
        anon_vma_link_locked(insert)
    if anon_vma is not None:
        await anon_vma.lock.release()
    if vma.file is not None:
        await vma.file.i_mmap_lock.release()


def _adjust_truncate_count(vma: Vma, plan: _Plan, insert: Vma | None) -> None:
    # A truncate that is half way must look again at a vma that got pages from another.
    importer, follower = plan.importer, plan.follower
    if importer is not None and follower is not None and vma.truncate_count != follower.truncate_count:
        importer.truncate_count = 0
    if insert is not None:
        insert.truncate_count = vma.truncate_count


def _move_borders(vma: Vma, start: Va, plan: _Plan, pgoff: int) -> None:
    mm, file, follower = vma.mm, vma.file, plan.follower
    in_tree = [vma] if follower is None else [vma, follower]
    if file is not None:
        # A key must not change in the tree.
        for each in in_tree:
            file.i_mmap_remove(each)
    if follower is not None and plan.removed:
        remove_vma(mm, follower)
        if follower.anon_vma is not None:
            __anon_vma_merge(vma, follower)
        in_tree.remove(follower)
    vma.start, vma.end, vma.pgoff = start, plan.end, pgoff
    mm.host.machine.emit(VmaChanged, mm.name, vma.name, vma.start, vma.end)
    if follower is not None and plan.moved:
        follower.start = Va(follower.start + plan.moved)
        follower.pgoff += plan.moved // PAGE_SIZE
        mm.host.machine.emit(VmaChanged, mm.name, follower.name, follower.start, follower.end)
    if file is not None:
        for each in in_tree:
            file.i_mmap_insert(each)


async def split_vma(vma: Vma, va: Va, *, new_below: bool) -> Vma:
    """Cut the vma at `va`; return the new one, which is the lower or the upper part."""
    upper_pgoff = vma.linear_page_index(va)
    new = copy_vma(vma, vma.mm)
    if new_below:
        new.end = va
        await vma_adjust(vma, va, vma.end, upper_pgoff, new)
    else:
        new.start, new.pgoff = va, upper_pgoff
        await vma_adjust(vma, vma.start, va, vma.pgoff, new)
    return new


def copy_vma(vma: Vma, mm: MmStruct) -> Vma:
    """A vma like this one, in `mm`, on no list yet."""
    new = Vma(
        mm.host.machine.fresh("vma"),
        mm,
        vma.start,
        vma.end,
        pgoff=vma.pgoff,
        file=vma.file,
        shared=vma.shared,
        writable=vma.writable,
    )
    new.anon_vma = vma.anon_vma
    return new


# --- merging ------------------------------------------------------------------------


class Kind(NamedTuple):
    """What vmas must have in common to be one; `pgoff` is of the page at the start."""

    file: AddressSpace | None
    pgoff: int
    shared: bool
    writable: bool
    anon_vma: AnonVma | None


async def vma_merge(mm: MmStruct, start: Va, end: Va, kind: Kind) -> Vma | None:
    """Let neighbours of `kind` grow over `[start, end)`; mmap_sem is held for write.

    The range is empty (mmap), or it is a vma or a part of one whose protection is about
    to change (mprotect). Returns the vma that covers it now, or None if none could grow.
    The letters show prev (p), the range (=) and next (n), before and after:

        ppp===nnn  ppppppppp      ppp===     pppppp      ===nnn     nnnnnn
        p==nnn     pnnnnn         (the range was the tail of prev)
    """
    place = bisect.bisect_left(mm.vmas, start, key=_vma_start)
    prev = mm.vmas[place - 1] if place else None
    area, after = (*mm.vmas[place : place + 2], None, None)[:2]
    follower = after if area is not None and area.end == end else area
    joins_prev = prev is not None and prev.end == start and _can_merge_after(prev, kind)
    pages = (end - start) // PAGE_SIZE
    joins_next = follower is not None and follower.start == end and _can_merge_before(follower, kind, pages)
    if prev is not None and joins_prev:
        both = joins_next and follower is not None and _mergeable(prev.anon_vma, follower.anon_vma)
        await vma_adjust(prev, prev.start, follower.end if both and follower is not None else end, prev.pgoff)
        return prev
    if area is not None and follower is not None and joins_next:
        if prev is not None and start < prev.end:
            await vma_adjust(prev, prev.start, start, prev.pgoff)
        else:
            await vma_adjust(area, start, follower.end, kind.pgoff)
        return area
    return None


def _vma_start(vma: Vma) -> Va:
    return vma.start


def _can_merge_after(prev: Vma, kind: Kind) -> bool:
    return _is_of_kind(prev, kind) and prev.pgoff + prev.pages == kind.pgoff


def _can_merge_before(follower: Vma, kind: Kind, pages: int) -> bool:
    return _is_of_kind(follower, kind) and kind.pgoff + pages == follower.pgoff


def _is_of_kind(vma: Vma, kind: Kind) -> bool:
    same = vma.file is kind.file and vma.shared == kind.shared and vma.writable == kind.writable
    return same and _mergeable(vma.anon_vma, kind.anon_vma)


def _mergeable(first: AnonVma | None, second: AnonVma | None) -> bool:
    return first is None or second is None or first is second
