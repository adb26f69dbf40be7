"""The two carriers: coroutines driven by hand, and trio tasks.

`bare` is for searching: a step costs little more than `coro.send`. `trio` is for tests
and live runs: each task is a trio task, parked in `wait_task_rescheduled` until the task
that gives up the baton wakes it (public `trio.lowlevel` calls only). Both make the same
log of the same choices; a test holds them to that.

On trio a task may also wait for trio itself, a timer or a socket. While it is away
others run; when it comes back, that is an event of the log, and the task goes on beside
the holder of the baton until its next step. On the bare carrier there is nobody to wait
for: there it is an error.
"""

import types
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from typing import Any, TYPE_CHECKING

from notifierlab import events
from notifierlab.events import Event
from notifierlab.machine.raised import is_trios
from notifierlab.machine.sched import Decide, LabError, Machine, never, RunOver, STEPS_MAX
from notifierlab.machine.task import Task

if TYPE_CHECKING:
    import trio

CARRIERS = ("bare", "trio")
"""The names of the carriers."""

_HERE = Path(__file__).parent.parent


def new_machine(
    carrier: str, decide: Decide, sink: Callable[[Event], None] | None = None, *, steps_max: int = STEPS_MAX
) -> "BareMachine | TrioMachine":
    """Return a machine of the carrier called `carrier`."""
    if carrier == "bare":
        return BareMachine(decide, sink, steps_max=steps_max)
    if carrier == "trio":
        return TrioMachine(decide, sink, steps_max=steps_max)
    raise LabError(f"there is no carrier {carrier!r}; there are: {', '.join(CARRIERS)}")


def run_machine(machine: "BareMachine | TrioMachine", main: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Run `main()` and what it starts to the end of the run, on either carrier."""
    if isinstance(machine, BareMachine):
        machine.run(main())
    else:
        import trio

        trio.run(machine.run_made, main)


async def arun_machine(machine: "BareMachine | TrioMachine", main: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Do what `run_machine` does where trio runs already."""
    if isinstance(machine, BareMachine):
        machine.run(main())
    else:
        await machine.run_made(main)


class BareMachine(Machine):
    """Drives coroutines by hand."""

    carrier = "bare"

    @types.coroutine
    def step(
        self,
        until: Callable[[], bool] | None = None,
        waits_for: str = "",
        holders: Callable[[], tuple[str, ...]] | None = None,
    ) -> Generator[None, None, None]:
        """Let others run (see `Machine.step`)."""
        if self.stopped:
            return
        me = self.current
        me.until = until
        if until is not None:
            me.waits_for = waits_for
            me.holders = holders
        if self.pass_on() is not me:
            yield
            if self.stopped:
                raise RunOver

    def run(self, main: Coroutine[Any, Any, object]) -> None:
        """Run `main` and every task it starts to the end of the run."""
        self.begin(main)
        try:
            while True:
                try:
                    while self.current.send(None) is None:
                        pass
                    self._refuse(self.current)
                except StopIteration:
                    if not self.finish_task(self.current):
                        return
                    self.pass_on()
        except BaseException as error:  # noqa: BLE001 - a run ends cleanly whatever was raised
            self.fail_task(self.current, error)
        finally:
            self._unwind()

    def _refuse(self, task: Task) -> None:
        raise LabError(
            f"task {task.name!r} waits for something outside the machine{_place_of(task.coro)}; "
            "the bare carrier has no event loop: run it with --carrier trio, or wait with machine.step(until=...)"
        )

    def _unwind(self) -> None:
        """Close what is left: stopped steps return at once, so every `finally` runs."""
        self._stop()
        for task in self.tasks:
            task.done = True
            try:
                task.coro.close()
            except (RunOver, RuntimeError):
                continue


def _place_of(coro: object) -> str:
    """Where a suspended task stands: its innermost line that is neither the bench's nor trio's."""
    place = ""
    while coro is not None:
        frame = getattr(coro, "cr_frame", None)
        if frame is not None:
            file = Path(frame.f_code.co_filename)
            if _HERE not in file.parents and not is_trios(frame):
                place = f" at {file.name}:{frame.f_lineno}"
        coro = getattr(coro, "cr_await", None)
    return place


class _Seat:
    """Where a task of the trio carrier sits: its trio task, and whether it is parked."""

    __slots__ = ("parked", "task", "trio_task")

    def __init__(self, task: Task) -> None:
        self.task = task
        self.trio_task: trio.lowlevel.Task | None = None
        self.parked = False


class TrioMachine(Machine):
    """Runs every task as a trio task; the baton is passed by rescheduling."""

    carrier = "trio"
    nursery: "trio.Nursery"

    async def step(
        self,
        until: Callable[[], bool] | None = None,
        waits_for: str = "",
        holders: Callable[[], tuple[str, ...]] | None = None,
    ) -> None:
        """Let others run (see `Machine.step`)."""
        if self.stopped:
            return
        me = self.current
        me.until = until
        if until is not None:
            me.waits_for = waits_for
            me.holders = holders
        if self._guest is me:
            self._leave_guest()
        elif self.pass_on() is me and not self.idle:
            return
        else:
            self._resume(self.current)
        await self._park(me)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A task that came back from waiting for trio runs beside the holder of the
        # baton, as its guest, until its next step.
        self._guest: Task | None = None
        self._host: Task | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self.seats: dict[trio.lowlevel.Task, Task] = {}

    async def run_made(self, make_main: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Make the first task and `run` it."""
        await self.run(make_main())

    async def run(self, main: Coroutine[Any, Any, object]) -> None:
        """Run `main` and every task it starts to the end of the run, inside trio."""
        import trio

        self._token = trio.lowlevel.current_trio_token()
        watch: Any = _Watch(self)
        trio.lowlevel.add_instrument(watch)
        try:
            async with trio.open_nursery() as nursery:
                self.nursery = nursery
                self.begin(main)
        except BaseException as error:  # noqa: BLE001 - what is not ours to end is raised again
            self._end_outside(error)
        finally:
            trio.lowlevel.remove_instrument(watch)
            for task in self.tasks:
                task.coro.close()

    def ask_to_end(self) -> None:
        """End the run at its next step, or at once where everybody waits outside."""
        super().ask_to_end()
        if self._token is not None:
            self._token.run_sync_soon(self.nursery.cancel_scope.cancel)

    def _end_outside(self, error: BaseException) -> None:
        """End a run that trio itself stopped: Ctrl-C, or a cancelled scope around it."""
        import trio

        if isinstance(error, BaseExceptionGroup):
            keyboard, rest = error.split(KeyboardInterrupt)
            if keyboard is not None and not self.stopped:
                self.interrupt()
            if keyboard is not None and rest is None:
                return
        elif isinstance(error, KeyboardInterrupt):
            self.interrupt()
            return
        if isinstance(error, trio.Cancelled) and not self.stopped:
            self.interrupt()
        raise error

    def _seat(self, task: Task) -> None:
        task.seat = _Seat(task)
        self.nursery.start_soon(self._live, task, name=task.name)

    async def _live(self, task: Task) -> None:
        import trio

        seat: _Seat = task.seat
        seat.trio_task = trio.lowlevel.current_task()
        self.seats[seat.trio_task] = task
        try:
            if self.current is not task:
                await self._park(task)
            await task.coro
            left = self.finish_task(task)
            if self._guest is task:
                self._leave_guest()
            elif left:
                self._resume(self.pass_on())
        except trio.Cancelled:
            if not self.stopped:
                self.interrupt()
            raise
        except BaseException as error:  # noqa: BLE001 - a run ends cleanly whatever was raised
            self.fail_task(task, error)
        finally:
            del self.seats[seat.trio_task]
            if self.stopped:
                self.nursery.cancel_scope.cancel()

    def _resume(self, task: Task) -> None:
        """Wake `task` where it is parked; one that trio has not begun yet will not park."""
        import trio

        seat: _Seat = task.seat
        if seat.parked and not self.idle:
            assert seat.trio_task is not None
            seat.parked = False
            trio.lowlevel.reschedule(seat.trio_task)

    async def _park(self, task: Task) -> None:
        import trio

        seat: _Seat = task.seat
        seat.parked = True

        def abort(_: object) -> "trio.lowlevel.Abort":
            seat.parked = False
            return trio.lowlevel.Abort.SUCCEEDED

        try:
            await trio.lowlevel.wait_task_rescheduled(abort)
        except trio.Cancelled:
            # Stop first: the unwinding of a task must not run others.
            if not self.stopped:
                self.interrupt()
            raise

    # --- waiting outside ------------------------------------------------------------

    def went_out(self, task: Task) -> None:
        """Let others run while `task` waits for trio itself."""
        task.away = True
        task.until = never
        self.external = True
        if self._guest is task:
            self._leave_guest()
        elif self.current is task:
            try:
                self._resume(self.pass_on())
            except RunOver:
                self.nursery.cancel_scope.cancel()

    def came_back(self, task: Task) -> None:
        """Let `task` go on, as the guest of the holder of the baton if there is one."""
        task.away = False
        task.until = None
        if self.idle:
            self.idle = False
        else:
            self._guest, self._host = task, self.current
        self.current = task
        self.emit(events.TaskReturned)

    def _leave_guest(self) -> None:
        assert self._host is not None
        self.current, self._guest, self._host = self._host, None, None


class _Watch:
    """Sees which trio task gave way without passing the baton: it waits for trio."""

    def __init__(self, machine: TrioMachine) -> None:
        self._machine = machine

    def after_task_step(self, trio_task: "trio.lowlevel.Task") -> None:
        """Notice a task that trio suspended and that is not parked by the machine."""
        task = self._machine.seats.get(trio_task)
        if task is not None and not task.away and not task.seat.parked and not self._machine.stopped:
            self._machine.went_out(task)

    def before_task_step(self, trio_task: "trio.lowlevel.Task") -> None:
        """Notice a task that trio resumes after such a wait."""
        task = self._machine.seats.get(trio_task)
        if task is not None and task.away and not self._machine.stopped:
            self._machine.came_back(task)
