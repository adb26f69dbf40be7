"""Small scenes for the tests of `mm`: a host with hand-made mms, and the events of a run.

The scenes use the rooms under test directly and nothing above them, so a test of
reclaim does not depend on how faults are handled.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from notifierlab.events import Event, PAGE_SIZE, Va
from notifierlab.host import Host
from notifierlab.machine.carriers import BareMachine
from notifierlab.machine.task import Task
from notifierlab.mm.callbacks import MmuNotifier
from notifierlab.mm.filemap import filemap_fault
from notifierlab.mm.page import Content, Page
from notifierlab.mm.profile import Profile
from notifierlab.mm.registration import mmu_notifier_register
from notifierlab.mm.rmap import anon_vma_prepare, page_add_file_rmap, page_add_new_anon_rmap
from notifierlab.mm.vma import AddressSpace, MmStruct, Vma

E = TypeVar("E", bound=Event)
T = TypeVar("T")

BASE = 0x10000
"""Where the first vma of a scene begins."""


class SceneHost(Host):
    """A host whose choices of values are answered by name: `answers[name]`, in turn."""

    def __init__(
        self, machine: BareMachine, profile: Profile, mutants: frozenset[str], answers: Mapping[str, Sequence[Any]]
    ):
        super().__init__(machine, profile, mutants)
        self._answers = {name: list(values) for name, values in answers.items()}

    def choose(self, name: str, *values: T) -> T:
        """Return the next answer, or the calm value when none is left."""
        left = self._answers.get(name)
        answer = left.pop(0) if left else values[0]
        assert answer in values
        return answer


class Run:
    """What a scene left behind."""

    def __init__(self, machine: BareMachine, events: list[Event]) -> None:
        self.machine = machine
        self.events = events

    def of(self, kind: type[E]) -> list[E]:
        """Every event of that kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def names(self, *kinds: type[Event]) -> list[str]:
        """The names of the events of these kinds, in order."""
        return [type(event).__name__ for event in self.events if isinstance(event, kinds)]


class Prefer:
    """A strategy that hands the baton to `task` from `step` number on, while it may run."""

    def __init__(self, task: str = "", step: int = 0) -> None:
        self.task = task
        self.step = step
        self.machine: BareMachine | None = None

    def __call__(self, options: int, carry_on: bool, is_value: bool) -> int:
        """Choose."""
        machine = self.machine
        if is_value or machine is None or machine.steps < self.step:
            return 0
        ready = _ready(machine, carry_on)
        return next((place for place, task in enumerate(ready) if task.name == self.task), 0)


def _ready(machine: BareMachine, carry_on: bool) -> list[Task]:
    me = machine.current
    others = [task for task in machine.tasks if task is not me and (task.until is None or task.until())]
    return [me, *others] if carry_on else others


def play(
    scene: Callable[[Host], Coroutine[Any, Any, object]],
    *,
    profile: Profile | None = None,
    mutants: Sequence[str] = (),
    answers: Mapping[str, Sequence[Any]] | None = None,
    decide: Prefer | None = None,
) -> Run:
    """Run `scene(host)` on the bare carrier; whatever it raises is raised here."""
    events: list[Event] = []
    decide = decide or Prefer()
    machine = BareMachine(decide, events.append)
    decide.machine = machine
    host = SceneHost(machine, profile or Profile(), frozenset(mutants), answers or {})
    machine.run(scene(host))
    if machine.error is not None:
        raise machine.error
    assert machine.ended == "complete", (machine.ended, events[-1])
    return Run(machine, events)


def va(page: int) -> Va:
    """The address of the scene's page number `page`."""
    return Va(BASE + page * PAGE_SIZE)


def new_vma(
    mm: MmStruct, pages: int, *, at: int = 0, file: AddressSpace | None = None, pgoff: int = 0, shared: bool = False
) -> Vma:
    """Put a vma of `pages` pages into the mm, beginning at page `at` of the scene."""
    start = va(at)
    offset = start // PAGE_SIZE if file is None else pgoff
    vma = Vma(f"{mm.name}.vma{len(mm.vmas)}", mm, start, va(at + pages), pgoff=offset, file=file, shared=shared)
    mm.vmas.append(vma)
    if file is not None:
        file.i_mmap_insert(vma)
    return vma


async def fault_anon(vma: Vma, address: Va, value: int = 1) -> Page:
    """A write fault on untouched anonymous memory."""
    mm = vma.mm
    await anon_vma_prepare(vma)
    page = await mm.host.memory.alloc(mm.name)
    page.content = Content(mm.name, 1, value)
    async with mm.page_table.ptl(address):
        page_add_new_anon_rmap(page, vma, address)
        await mm.page_table.set(address, page, True, dirty=True)
    return page


async def fault_file(vma: Vma, address: Va, *, write: bool = False) -> Page | None:
    """A fault on a page of a shared file mapping."""
    mm = vma.mm
    assert vma.file is not None
    page = await filemap_fault(vma.file, vma.linear_page_index(address), mm.name)
    if page is None:
        return None
    async with mm.page_table.ptl(address):
        page_add_file_rmap(page)
        await mm.page_table.set(address, page, write, dirty=write)
    await page.lock_of(mm.host.machine).release()
    return page


class Listener(MmuNotifier):
    """A secondary MMU that maps nothing and writes down what it hears."""

    def __init__(self, name: str = "listener", *, young: bool = False) -> None:
        self.name = name
        self.young = young
        self.heard: list[str] = []

    async def invalidate_range_start(self, mm: MmStruct, range: Any) -> None:
        """Write it down."""
        self.heard.append(f"start {range.start:#x}-{range.end:#x}")

    async def invalidate_range_end(self, mm: MmStruct, range: Any) -> None:
        """Write it down."""
        self.heard.append(f"end {range.start:#x}-{range.end:#x}")

    async def invalidate_page(self, mm: MmStruct, address: Va) -> None:
        """Write it down."""
        self.heard.append(f"page {address:#x}")

    async def clear_flush_young(self, mm: MmStruct, address: Va) -> bool:
        """Write it down and answer what the test wants."""
        self.heard.append(f"young {address:#x}")
        return self.young


async def listen(mm: MmStruct, *, young: bool = False) -> Listener:
    """Register a listener with the mm."""
    listener = Listener(young=young)
    assert await mmu_notifier_register(mm, listener) == 0
    return listener
