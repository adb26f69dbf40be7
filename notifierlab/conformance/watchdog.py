"""Work in processes of its own, and an eye on each: who hangs is asked where, and stopped.

A driver may loop for ever in a callback, where no step ends and nothing of ours gets to
run; a module may do so while it is imported. So the suite runs in child processes. Each
counts its runs in memory that the parent can read. When the count has stood still for too
long, the parent sends a signal at which the child writes down its stack (`faulthandler`
does that between any two instructions), reads there which line of whose file it is, and
kills it.

This is the only room of the suite that looks at a clock: how long is too long.

Model: where the system has no SIGUSR1 (Windows), who hangs is stopped without a line.
"""

import faulthandler
import multiprocessing
import os
import re
import signal
import sysconfig
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from notifierlab.errors import InputError
from notifierlab.machine.sched import LabError

HANG_SECONDS: Final = 10.0
"""How long a process may be silent: a run of the suite takes a few milliseconds."""

_POLL_SECONDS: Final = 0.1
_ASK_SECONDS: Final = 2.0
_BENCH: Final = str(Path(__file__).parent.parent)
_FRAME: Final = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+) in (?P<name>.+)')


class Task(NamedTuple):
    """What a child does: `function(*arguments, beat=...)`; everything can be pickled. `about` names it."""

    function: Callable[..., object]
    arguments: tuple[object, ...]
    about: str


class Done(NamedTuple):
    """The function returned."""

    value: Any


class Refused(NamedTuple):
    """The function raised an error that is for people: wrong use of the bench."""

    message: str
    notes: tuple[str, ...] = ()


class Hung(NamedTuple):
    """The child was silent for too long at `file:line`, in the function `name`; `line` 0 is not known."""

    file: str
    line: int
    name: str


class Died(NamedTuple):
    """The child is gone, or raised what nobody expected; `report` is all that is known."""

    report: str


class Ready(NamedTuple):
    """The child has what it needs to begin the task: from here on it may not be silent."""


Answer = Done | Refused | Hung | Died


class Children:
    """So many child processes; `run` shares tasks out among them.

    Args:
        jobs: how many at once.
        hang_seconds: how long one may be silent.
    """

    def __init__(self, jobs: int = 1, *, hang_seconds: float = HANG_SECONDS) -> None:
        self.jobs = jobs
        self.hang_seconds = hang_seconds
        self._folder = tempfile.TemporaryDirectory(prefix="notifierlab-")
        self._children: list[_Child] = []
        self._made = 0
        self._counted = 0

    @property
    def runs(self) -> int:
        """How many runs were begun in all children."""
        return self._counted + sum(int(child.beats.value) for child in self._children)

    def run(
        self, tasks: Sequence[Task], *, watching: Callable[[], None] = lambda: None
    ) -> Iterator[tuple[int, Answer]]:
        """Do all tasks; yield the number and answer of each as it comes.

        Args:
            tasks: what is to be done; they begin in this order.
            watching: called now and then while nothing comes.
        """
        waiting = deque(enumerate(tasks))
        while waiting or any(child.busy for child in self._children):
            self._hand_out(waiting)
            ready = wait([child.pipe for child in self._children if child.busy], timeout=_POLL_SECONDS)
            watching()
            for child in list(self._children):
                if not child.busy:
                    continue
                answer = child.answer() if child.pipe in ready else child.overdue(self.hang_seconds)
                if answer is not None:
                    number = child.number
                    child.busy = False
                    if not isinstance(answer, Done | Refused):
                        self._drop(child)
                    yield number, answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in list(self._children):
            self._drop(child)
        self._folder.cleanup()

    def _hand_out(self, waiting: "deque[tuple[int, Task]]") -> None:
        for child in self._children:
            if waiting and not child.busy:
                child.begin(*waiting.popleft())
        while waiting and len(self._children) < self.jobs:
            self._made += 1
            child = _Child(Path(self._folder.name) / f"stack{self._made}")
            self._children.append(child)
            child.begin(*waiting.popleft())

    def _drop(self, child: "_Child") -> None:
        self._counted += child.beats.value
        self._children.remove(child)
        child.stop()


class _Child:
    """One process, as the parent sees it."""

    def __init__(self, stack: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.beats = context.Value("Q", lock=False)
        self.stack = stack
        self.busy = False
        self.number = -1
        self._started = False
        self._seen = -1
        self._since = 0.0
        self._process: SpawnProcess = context.Process(
            target=_serve, args=(theirs, self.beats, str(stack)), name="notifierlab-suite", daemon=True
        )
        self._process.start()
        theirs.close()

    def begin(self, number: int, task: Task) -> None:
        self.number = number
        self.busy = True
        self._started = False
        self.pipe.send((task.function, task.arguments))

    def answer(self) -> Answer | None:
        """What the child says; None if it is only that it begins."""
        try:
            answer = self.pipe.recv()
        except (EOFError, OSError):
            self._process.join(_ASK_SECONDS)
            return Died(f"the process is gone, with exit status {self._process.exitcode}")
        if isinstance(answer, Ready):
            self._started = True
            return None
        assert isinstance(answer, Done | Refused | Died)
        return answer

    def overdue(self, hang_seconds: float) -> Answer | None:
        """What there is to say of a child that has not answered: nothing, unless it is silent for too long."""
        now = time.monotonic()
        if not self._started or self._seen != self.beats.value:
            self._seen = self.beats.value
            self._since = now
        if now - self._since < hang_seconds:
            return None
        return self._ask()

    def _ask(self) -> Hung:
        """Let the child write its stack, and read where it is."""
        if not hasattr(signal, "SIGUSR1") or self._process.pid is None:
            return Hung("", 0, "")
        before = self.stack.stat().st_size if self.stack.exists() else 0
        os.kill(self._process.pid, signal.SIGUSR1)
        until = time.monotonic() + _ASK_SECONDS
        text = ""
        while time.monotonic() < until:
            text = self.stack.read_text()[before:] if self.stack.exists() else ""
            # faulthandler writes the outermost frame last.
            if "_serve" in text:
                break
            time.sleep(_POLL_SECONDS)
        return _place(text)

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self.pipe.close()


def _place(stack: str) -> Hung:
    """The innermost frame that is neither of the bench nor of Python."""
    frames = [Hung(found["file"], int(found["line"]), found["name"]) for found in _FRAME.finditer(stack)]
    paths = sysconfig.get_paths()
    ours = (_BENCH, paths["stdlib"], paths["platstdlib"], "<frozen")
    theirs = [frame for frame in frames if not frame.file.startswith(ours) or "site-packages" in frame.file]
    return next(iter([*theirs, *frames]), Hung("", 0, ""))


def _serve(pipe: "Connection[Any, Any]", beats: Any, stack: str) -> None:
    """The life of a child: one task after the other, until the parent is gone."""
    # Ctrl-C is the parent's to answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Path(stack).open("w") as file:
        if hasattr(signal, "SIGUSR1"):
            faulthandler.register(signal.SIGUSR1, file=file, all_threads=False)

        def beat() -> None:
            beats.value += 1

        while True:
            try:
                function, arguments = pipe.recv()
                pipe.send(Ready())
                pipe.send(_answer(function, arguments, beat))
            except (EOFError, OSError):
                return


def _answer(function: Callable[..., object], arguments: tuple[object, ...], beat: Callable[[], None]) -> Answer:
    try:
        return Done(function(*arguments, beat=beat))
    except (InputError, LabError) as error:
        return Refused(str(error), tuple(getattr(error, "__notes__", ())))
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent must be told
        return Died("".join(traceback.format_exception(error)))
