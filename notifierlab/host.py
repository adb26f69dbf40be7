"""One machine for one run: memory, files, processes, and the tasks that use them.

A scenario gets a `Host`, sets it up and starts tasks; everything that a run can differ
by (profile, mutants, drivers) is read from here and nowhere else.
"""

from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from notifierlab.events import Va
from notifierlab.machine.locks import Mutex, Rcu
from notifierlab.machine.sched import LabError, Machine
from notifierlab.machine.task import Task
from notifierlab.mm import filemap, reclaim, truncate
from notifierlab.mm.mm import Mm
from notifierlab.mm.page import Memory
from notifierlab.mm.profile import Profile
from notifierlab.mm.vma import AddressSpace, SwapSpace

T = TypeVar("T")


class Host:
    """A host under test.

    `profile` is the kernel it models, `mutants` the deviations switched on, `drivers` the
    secondary MMUs by kind (`kvm`, `gru`, ...).
    """

    def __init__(
        self,
        machine: Machine,
        profile: Profile,
        mutants: frozenset[str] = frozenset(),
        drivers: Mapping[str, type[Any]] | None = None,
    ) -> None:
        self.machine = machine
        # All that `mm` and drivers share tells of itself (`machine/watched.py`, `shared()`).
        machine.declared = True
        self.profile = profile
        self.mutants = mutants
        self.memory = Memory(machine)
        self.swap = SwapSpace(machine, self.memory)
        self.rcu = Rcu(machine)
        self.mm_all_locks_mutex = Mutex(machine, "mm_all_locks_mutex", "mm_all_locks_mutex")
        self._drivers = dict(drivers or {})
        # The kinds that the scenario has asked for, in order.
        self.asked_for: dict[str, None] = {}
        self._names: dict[str, int] = {}

    def mutated(self, mutant: str) -> bool:
        """Tell whether the deviation `mutant` is switched on in this run."""
        return mutant in self.mutants

    def choose(self, name: str, *values: T) -> T:
        """Take one of `values`, the first being calm; a search tries them all."""
        return self.machine.choose(name, *values)

    def driver(self, kind: str) -> type[Any]:
        """Return the class under test of `kind`: `kvm`, `gru`, or one given by --driver."""
        self.asked_for[kind] = None
        try:
            return self._drivers[kind]
        except KeyError:
            known = ", ".join(sorted(self._drivers)) or "none"
            raise LabError(f"no driver of kind {kind!r} is installed (known: {known})") from None

    def new_mm(self, name: str = "") -> Mm:
        """Create an empty mm, owned by whoever asks."""
        return Mm(self, name or self.new_name("mm"))

    def new_file(self, pages: int, name: str = "") -> AddressSpace:
        """Create a file of `pages` pages, none of them in the page cache yet."""
        return AddressSpace(self, name or self.new_name("file"), pages)

    def new_name(self, kind: str) -> str:
        """Return `kind` with a number, counted from 0 in the order of the set-up."""
        task = self.machine.current
        if task.index:
            return self.machine.fresh(kind)
        n = self._names.get(kind, 0)
        self._names[kind] = n + 1
        return f"{kind}{n}"

    def all_touches_declared(self) -> None:
        """Claim that tasks of this scenario record all that they share, what rules read among it.

        For a model beside the host, which declares its own steps (`Machine.touch`): a search
        then adds nothing of its own to them. The host and drivers need no such claim.
        """
        self.machine.declare_all()

    # --- what the host does behind a process's back ---------------------------------

    async def vmtruncate(self, file: AddressSpace, size: int) -> None:
        """Cut the file to `size` pages under everybody who maps it (K 4.2)."""
        await truncate.vmtruncate(file, size)

    async def reclaim(self, mm: Mm, va: Va) -> bool:
        """Try to take away the page that stands at `va` now; return whether it was freed."""
        pte = await mm.page_table.read(va)
        if pte is None or pte.page is None or pte.page is self.memory.zero_page:
            return False
        return await reclaim.shrink_page(self, pte.page)

    async def writeback(self, file: AddressSpace, index: int) -> bool:
        """Write a page of the file back if it is dirty; return whether it was (K 3.2, P4)."""
        return await filemap.write_one_page(file, index)

    def together(self) -> "Together":
        """Start tasks inside an `async with`; at its end all of them have ended."""
        return Together(self.machine)

    def interrupt(self, fn: Callable[..., Coroutine[Any, Any, object]], *args: object, name: str) -> Task:
        """Start `fn(*args)` in interrupt context: it may not sleep."""
        return self.machine.start(fn, *args, name=name, context="interrupt")


class Together:
    """Tasks that start together and are waited for together."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._tasks: list[Task] = []

    def start(
        self, fn: Callable[..., Coroutine[Any, Any, object]], *args: object, name: str = "", **kwargs: object
    ) -> Task:
        """Start a task that runs `fn(*args)`; `name` tells it apart in logs and stories."""
        task = self._machine.start(fn, *args, name=name or fn.__name__.strip("_"), context="process", **kwargs)
        self._tasks.append(task)
        return task

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self._machine.join(*self._tasks)
