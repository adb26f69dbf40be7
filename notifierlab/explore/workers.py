"""Who does the portions of a search: this process, others on this machine, or a cluster.

All are asked in the way of `concurrent.futures`. A worker that dies takes with it what it
had in hand and nothing else: `lost` says which errors mean that, and the portion is given
out again.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, Final, ParamSpec, Protocol, TypeVar

from notifierlab.machine.sched import LabError

P = ParamSpec("P")
T = TypeVar("T")

_AHEAD: Final = 3


class Workers(Protocol):
    """Some workers. `room` is how many portions they should have in hand or before them."""

    lost: tuple[type[BaseException], ...]

    @property
    def room(self) -> int: ...

    def submit(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Have `fn(*args)` done."""

    def renew(self) -> bool:
        """Go on after workers were lost; return whether all that was in hand is lost with them."""

    def close(self) -> None:
        """Send everybody home, at once."""


class Here:
    """This process does it itself, when it is asked."""

    lost: tuple[type[BaseException], ...] = ()
    room = 1

    def submit(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Do it now."""
        future: Future[T] = Future()
        future.set_result(fn(*args, **kwargs))
        return future

    def renew(self) -> bool:
        """Nobody was lost."""
        return False

    def close(self) -> None:
        """Nobody has to go."""


class Processes:
    """Processes of this machine, started afresh, so that they share nothing with this one."""

    lost: tuple[type[BaseException], ...] = (BrokenProcessPool,)

    def __init__(self, count: int) -> None:
        self.room = _AHEAD * count
        self._count = count
        self._context = multiprocessing.get_context("spawn")
        self._others = [process.pid for process in multiprocessing.active_children()]
        self._pool = self._new_pool()

    def submit(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Have it done by the next process that is free."""
        return self._pool.submit(fn, *args, **kwargs)

    def renew(self) -> bool:
        """Start others: when one process dies, its pool gives up on all."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = self._new_pool()
        return True

    def close(self) -> None:
        """End the processes: whatever they have in hand is of no use any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            if process.pid not in self._others:
                process.kill()

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._count, mp_context=self._context, initializer=_begin_worker)


class Cluster:
    """The workers of a Dask scheduler, asked through its client's executor."""

    def __init__(self, address: str) -> None:
        try:
            import distributed
        except ImportError:
            raise LabError(
                "a cluster needs the library `distributed`; install it with: pip install 'notifierlab[cluster]'"
            ) from None
        library: Any = distributed
        try:
            self._client = library.Client(address, timeout=10, set_as_default=False)
        except (OSError, ValueError) as error:
            raise LabError(f"no Dask scheduler answers at {address!r} ({error}); give --cluster HOST:PORT") from error
        self.lost: tuple[type[BaseException], ...] = (library.KilledWorker,)
        # The same portion is the same work, but a worker that died must not be remembered for it.
        self._pool: Executor = self._client.get_executor(pure=False)

    @property
    def room(self) -> int:
        """So many as keep all busy; workers may come and go."""
        threads: dict[str, int] = self._client.nthreads()
        return _AHEAD * max(1, sum(threads.values()))

    def submit(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Have it done by the worker that the scheduler picks."""
        return self._pool.submit(fn, *args, **kwargs)

    def renew(self) -> bool:
        """Leave it to the scheduler, which gives a dead worker's tasks to others."""
        return False

    def close(self) -> None:
        """Take back what is not begun and leave."""
        self._pool.shutdown(wait=False)
        self._client.close()


def workers_for(jobs: int | None, cluster: str | None) -> Workers:
    """Return those who search: a cluster's, else so many processes, and for one this process does.

    Raises:
        LabError: the cluster cannot be reached.
    """
    if cluster is not None:
        return Cluster(cluster)
    return Processes(jobs) if jobs is not None and jobs > 1 else Here()


def _begin_worker() -> None:
    """Leave Ctrl-C to the process that started this one, and end when it does, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
