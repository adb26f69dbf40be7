"""Rules about locks: which are taken, in which order, and what may be done under them.

The order of the classes stands in `events.LOCK_CLASSES`; a driver's own classes have no
rank there and are judged by a graph of the orders that were seen.
"""

from collections.abc import Hashable, Iterator

from msgspec import Struct

from notifierlab import events as ev
from notifierlab.checker.rules import CRITICAL, HIGH, Judge, MEDIUM, Rule
from notifierlab.checker.state import Vma
from notifierlab.checker.tasks import Held, RANKS, Task, UNRANKED
from notifierlab.checker.world import anon_vma_lock, mapping_lock, mmap_sem

RETRIES_MAX = 64
"""How often a device may retry one fault while nobody invalidates anything."""

MUTEX = "mm_all_locks_mutex"


class LockEdge(Struct, frozen=True):
    """A lock of class `inner` was first taken under one of class `outer` here."""

    outer: str
    inner: str
    outer_lock: str
    inner_lock: str
    step: int
    task: str


class TakeAllIncomplete(Judge):
    """Registration holds every lock of the mm, each once.

    Verified: when mm_take_all_locks has returned, its task holds mmap_sem for write, the
    global mutex, and the i_mmap_lock and anon_vma lock of each vma of the mm, none twice;
    nobody is added to a list outside such a section; the kernel's own test of mmap_sem.
    Not verified: locks of vmas that the log never showed being linked.
    """

    rule = Rule(
        "take-all-incomplete", "locking", CRITICAL, "Registration holds every lock of the mm, each exactly once.", 10
    )

    def on_take_all_done(self, event: ev.TakeAllDone) -> None:
        task = self.world.tasks[event.task]
        sem = task.held.get(mmap_sem(event.mm))
        if sem is None or sem.mode != "write":
            self._missing(event, event.mm, f"{mmap_sem(event.mm)} for write")
        if not task.holds_class(MUTEX):
            self._missing(event, event.mm, MUTEX)
        for vma in self.world.mms[event.mm].vmas.values():
            for lock in rmap_locks(vma):
                self._must_hold_once(event, task.held.get(lock), lock)

    def _must_hold_once(self, event: ev.TakeAllDone, held: Held | None, lock: str) -> None:
        if held is None:
            self._missing(event, event.mm, lock)
        elif held.count > 1:
            message = f"mm_take_all_locks of {event.mm} took {lock} {held.count} times"
            self.broken(event, message, event.mm, lock)

    def _missing(self, event: ev.Event, mm: str, lock: str) -> None:
        self.broken(event, f"mm_take_all_locks of {mm} returned without {lock}", mm, lock)

    def on_notifier_added(self, event: ev.NotifierAdded) -> None:
        if self.world.tasks[event.task].took_all != event.mm:
            message = f"{event.mmu} was added to the list of {event.mm} outside mm_take_all_locks"
            self.broken(event, message, event.mm, event.mmu)


class LockTagLeak(Judge):
    """The tags of mm_take_all_locks are its own, and gone when it is.

    Verified: a tag is set only by a holder of the global mutex; that of an anon_vma is
    set and cleared only by a holder of its lock; nobody but the holder of the mutex reads
    a tagged head; no tag is left when the locks were dropped.
    Not verified: reads of an untagged head without the lock: they are as wrong, but only
    an order in which the tag stands shows it, and a search finds that.
    """

    rule = Rule("lock-tag-leak", "locking", HIGH, "A tag is seen by nobody else and does not outlive its lock.", 11)

    def on_tag_set(self, event: ev.TagSet) -> None:
        task = self.world.tasks[event.task]
        if not task.holds_class(MUTEX):
            self.broken(event, f"{event.owner} was tagged without {MUTEX}", event.owner)
        self._needs_lock(event, task)

    def on_tag_cleared(self, event: ev.TagCleared) -> None:
        self._needs_lock(event, self.world.tasks[event.task])

    def _needs_lock(self, event: ev.TagSet | ev.TagCleared, task: Task) -> None:
        # Nobody else interprets a mapping's bit, so that one may stand without the lock.
        if event.lock == anon_vma_lock(event.owner) and event.lock not in task.held:
            self.broken(event, f"the tag of {event.owner} was changed without {event.lock}", event.owner)

    def on_head_read(self, event: ev.HeadRead) -> None:
        if event.tagged and not self.world.tasks[event.task].holds_class(MUTEX):
            self.broken(event, f"{event.task} followed the tagged head of {event.owner}", event.owner, event.task)

    def on_take_all_dropped(self, event: ev.TakeAllDropped | ev.TakeAllInterrupted) -> None:
        for owner, task in self.world.tags.items():
            if task == event.task:
                self.broken(event, f"the tag of {owner} was left when the locks were dropped", owner)

    on_take_all_interrupted = on_take_all_dropped


class Registering(Struct, eq=False):
    """What a registering task had when it began."""

    mm: str
    mmu: str
    held: dict[str, str]
    tags: dict[str, None]
    counted: int = 0


class InterruptedRegisterLeavesTrace(Judge):
    """A registration that fails has changed nothing.

    Verified: when registration returns an error, its task holds the locks it held at the
    beginning, in the same modes, and no tag of its own more; the MMU is not on the list;
    the task has not changed mm_count.
    Not verified: the notifier structure of the mm, which may stay (K 1.4).
    """

    rule = Rule(
        "interrupted-register-leaves-trace",
        "locking",
        HIGH,
        "A failed registration leaves no lock, tag, entry or count.",
        12,
    )

    def begin(self) -> None:
        self._registering: dict[str, Registering] = {}

    def memory(self) -> Hashable:
        begun = sorted(self._registering.items(), key=lambda each: each[0])
        return tuple(
            (task, each.mm, each.mmu, tuple(sorted(each.held.items())), tuple(sorted(each.tags)), each.counted)
            for task, each in begun
        )

    def before_register_begun(self, event: ev.RegisterBegun) -> None:
        self._registering[event.task] = Registering(
            event.mm, event.mmu, self._locks(event.task), self._tags(event.task)
        )

    def before_mm_count_changed(self, event: ev.MmCountChanged) -> None:
        begun = self._registering.get(event.task)
        if begun is not None and begun.mm == event.mm:
            begun.counted += event.count - self.world.mms[event.mm].count

    def on_register_done(self, event: ev.RegisterDone) -> None:
        begun = self._registering.pop(event.task, None)
        if begun is None or event.result >= 0:
            return
        locks, tags = self._locks(event.task), self._tags(event.task)
        left = [f"{lock} is held" for lock, mode in locks.items() if begun.held.get(lock) != mode]
        left += [f"{lock} is no longer held" for lock in begun.held if lock not in locks]
        left += [f"{owner} is tagged" for owner in tags if owner not in begun.tags]
        if self.world.mmus[event.mmu].listed:
            left.append(f"{event.mmu} is on the list")
        if begun.counted:
            left.append(f"mm_count of {event.mm} changed by {begun.counted}")
        if left:
            self.broken(event, f"a registration that failed left a trace: {', '.join(left)}", event.mm, event.mmu)

    def _locks(self, task: str) -> dict[str, str]:
        return {held.lock: held.mode for held in self.world.tasks[task].held.values()}

    def _tags(self, task: str) -> dict[str, None]:
        return {owner: None for owner, setter in self.world.tags.items() if setter == task}


class VmaListMoved(Judge):
    """The vma list stands still while somebody takes all its locks.

    Verified: no other task links or unlinks a vma of the mm, or gives one its anon_vma,
    between the begin of mm_take_all_locks and the end of mm_drop_all_locks.
    Not verified: a vma whose borders move: that changes no set of locks.
    """

    rule = Rule("vma-list-moved", "locking", HIGH, "No vma joins, leaves or gets an anon_vma during take-all.", 13)

    def on_vma_linked(self, event: ev.VmaLinked) -> None:
        self._judge(event, "linked")

    def on_vma_unlinked(self, event: ev.VmaUnlinked) -> None:
        self._judge(event, "unlinked")

    def on_anon_vma_attached(self, event: ev.AnonVmaAttached) -> None:
        self._judge(event, "given an anon_vma")

    def _judge(self, event: ev.VmaLinked | ev.VmaUnlinked | ev.AnonVmaAttached, what: str) -> None:
        for task in self.world.mms[event.mm].taking:
            if task != event.task:
                message = f"{event.vma} was {what} while {task} had all locks of {event.mm}"
                self.broken(event, message, event.mm, event.vma)


class LockOrder(Judge):
    """Locks are taken in one order.

    Verified: each lock that is waited for has a higher rank than every lock its task
    holds; one of the same class is annotated as nested. For classes without a rank: the
    orders seen in the run, with those of the ranks, have no cycle.
    Not verified: locks that were tried for, which cannot deadlock while they are taken.
    Orders of several runs: `Checker.lock_edges` gives them to whoever merges.
    """

    rule = Rule("lock-order", "locking", CRITICAL, "Locks are taken in the order of their classes.", 14)

    def begin(self) -> None:
        self.edges: dict[tuple[str, str], LockEdge] = {}

    def before_lock_acquired(self, event: ev.LockAcquired) -> None:
        task = self.world.tasks[event.task]
        if not task.held or event.how == "try":
            return
        rank = RANKS.get(event.cls, UNRANKED)
        if rank == UNRANKED or task.unranked:
            self._collect(event, task)
        if rank > task.top or rank == UNRANKED or (rank == task.top and event.how == "nest"):
            return
        for held in task.held.values():
            if held.rank > rank or (held.rank == rank and event.how != "nest"):
                same = " of the same class" if held.rank == rank else ""
                message = f"{event.task} takes {event.lock} while it holds {held.lock}{same}"
                self.broken(event, message, held.cls, event.cls)
                return

    def _collect(self, event: ev.LockAcquired, task: Task) -> None:
        inner = event.cls
        for outer in list(task.classes):
            ranked = outer in RANKS and inner in RANKS
            if ranked or (outer, inner) in self.edges or (outer == inner and event.how == "nest"):
                continue
            lock = next(held.lock for held in task.held.values() if held.cls == outer)
            cycle = self._way(inner, outer)
            self.edges[outer, inner] = LockEdge(outer, inner, lock, event.lock, event.step, event.task)
            if cycle:
                message = (
                    f"{event.task} takes {event.lock} while it holds {lock}, which closes the cycle "
                    f"{' -> '.join([outer, *cycle])}"
                )
                self.broken(event, message, outer, inner)

    def _way(self, start: str, goal: str) -> list[str]:
        """Classes from `start` to `goal` by edges seen and by ranks; empty if there is no way."""
        came = {start: ""}
        queue = [start]
        for cls in queue:
            if cls == goal:
                way = [cls]
                while came[way[0]]:
                    way.insert(0, came[way[0]])
                return way
            for inner in self._inners(cls):
                if inner not in came:
                    came[inner] = cls
                    queue.append(inner)
        return []

    def _inners(self, cls: str) -> Iterator[str]:
        for outer, inner in self.edges:
            if outer == cls:
                yield inner
            elif cls in RANKS and outer in RANKS and RANKS[outer] > RANKS[cls]:
                yield outer


class SleepInAtomic(Judge):
    """Nobody sleeps where sleeping is forbidden.

    Verified: no primitive that may sleep is entered, and no sleeping lock waited for, in
    interrupt context, inside a callback, under a spinlock of a known class, in an RCU
    read section, or with preemption off.
    Not verified: under locks of a driver's own class, of which the log does not say
    whether it spins.
    """

    rule = Rule("sleep-in-atomic", "locking", HIGH, "Nobody sleeps in a callback or other atomic context.", 15)

    def on_might_sleep(self, event: ev.MightSleep) -> None:
        self._judge(event, event.what)

    def before_lock_acquired(self, event: ev.LockAcquired) -> None:
        if event.how != "try" and event.cls in _SLEEPING:
            self._judge(event, event.lock)

    def _judge(self, event: ev.Event, what: str) -> None:
        task = self.world.tasks[event.task]
        if task.spins or task.rcu or task.preempt or task.callbacks or task.interrupt:
            because = task.atomic_because()
            self.broken(event, f"{event.task} may sleep ({what}) in {because}", event.task, because)


class IllegitimateWalk(Judge):
    """Whoever walks the notifier list holds what registration takes.

    Verified: at the begin of each walk for a start, end, page, young or change_pte, the
    task holds mmap_sem of the mm, or the i_mmap_lock or anon_vma lock of a vma of it, or
    the mm has no users left. A vma counts once it was ever linked: one that is being
    unmapped has left the list and is still reached by its rmap.
    """

    rule = Rule("illegitimate-walk", "locking", HIGH, "A walker holds mmap_sem or an rmap lock of the mm.", 16)

    def on_walk_begun(self, event: ev.WalkBegun) -> None:
        mm = self.world.mms[event.mm]
        if mm.users <= 0 or event.callback == "release":
            return
        sem = mmap_sem(event.mm)
        for lock in self.world.tasks[event.task].held:
            if lock == sem or lock in mm.rmap_locks:
                return
        message = f"{event.task} walks the list of {event.mm} ({event.callback}) without any lock of the mm"
        self.broken(event, message, event.mm, event.task)


class Deadlock(Judge):
    """Some task can always run until all have ended.

    Verified: the machine's own finding that tasks are left and none may run.
    """

    rule = Rule("deadlock", "locking", CRITICAL, "Tasks do not wait for each other in a circle.")

    def on_deadlocked(self, event: ev.Deadlocked) -> None:
        told = f"no task can go on: {'; '.join(waits(one) for one in event.waiting)}"
        self.broken(event, told, *(one.task for one in event.waiting))


class Livelock(Judge):
    """The run makes progress.

    Verified: it ends within its bound of steps, and no device retries one fault more than
    `RETRIES_MAX` times while no callback of its MMU was entered, and none is due: as long as a window
    is open, whoever is to close it may just not have been chosen.
    Not verified: whether a run that was cut off would have ended later.
    """

    rule = Rule("livelock", "locking", MEDIUM, "Retries and waits end within a bound.", 33)

    def begin(self) -> None:
        self._retries: dict[str, dict[tuple[str, int], int]] = {}

    def on_steps_exhausted(self, event: ev.StepsExhausted) -> None:
        told = f"after {event.steps_max} steps these still run: {'; '.join(waits(one) for one in event.waiting)}"
        self.broken(event, told, *(one.task for one in event.waiting))

    def on_cb_entered(self, event: ev.CbEntered) -> None:
        if event.mmu in self._retries:
            del self._retries[event.mmu]

    def on_fault_retried(self, event: ev.FaultRetried) -> None:
        mmu = self.world.mmus[event.mmu]
        if mmu.open or mmu.running:
            return
        retries = self._retries.setdefault(event.mmu, {})
        key = (event.task, event.va)
        retries[key] = count = retries.get(key, 0) + 1
        if count > RETRIES_MAX:
            message = f"{event.task} retried the fault of {event.mmu} at {event.va:#x} {count} times for no reason"
            self.broken(event, message, event.mmu, event.task)


_SLEEPING = {name: None for name, cls in ev.LOCK_CLASSES.items() if cls.sleeps}


def rmap_locks(vma: Vma) -> tuple[str, ...]:
    """The locks that exclude rmap walkers of the vma."""
    mapping = (mapping_lock(vma.mapping),) if vma.mapping else ()
    return (*mapping, anon_vma_lock(vma.anon_vma)) if vma.anon_vma else mapping


def waits(one: "ev.Waiting") -> str:
    """One waiting task, for a message."""
    held = f", held by {', '.join(one.held_by)}" if one.held_by else ""
    return f"{one.task} waits for {one.waits_for or 'its turn'}{held}"


JUDGES: tuple[type[Judge], ...] = (
    TakeAllIncomplete,
    LockTagLeak,
    InterruptedRegisterLeavesTrace,
    VmaListMoved,
    LockOrder,
    SleepInAtomic,
    IllegitimateWalk,
    Deadlock,
    Livelock,
)
