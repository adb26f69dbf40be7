"""Ctrl-C while runs are executed: asked once, a run ends at its next step, whole.

Between two steps every event is written and the checker has seen it; a KeyboardInterrupt
may strike anywhere. So the handler only asks. Who presses again wants out at once.
"""

import signal
import threading
from types import FrameType
from typing import Any, ClassVar

from notifierlab.machine.sched import Machine


class Stop:
    """The handler of Ctrl-C while runs are executed: it asks, and the run ends at a step."""

    def __init__(self) -> None:
        self.asked = False
        self.machine: Machine | None = None

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """Ask the run to end; raise when it was asked before and did not."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        if self.machine is not None:
            self.machine.ask_to_end()


class stoppable:  # noqa: N801 - read as a verb: `with stoppable() as stop`
    """Let Ctrl-C end runs cleanly. Nested in another such block, it is that block's."""

    _outermost: ClassVar[Stop | None] = None

    def __init__(self) -> None:
        self._installed: Stop | None = None
        self._before: Any = None

    def __enter__(self) -> Stop:
        if threading.current_thread() is not threading.main_thread():
            return Stop()
        # Asked in each run of a search, so first what costs least.
        outer = stoppable._outermost
        if outer is not None:
            return outer
        self._before = signal.getsignal(signal.SIGINT)
        stop = Stop()
        if self._before is signal.default_int_handler:
            signal.signal(signal.SIGINT, stop)
            self._installed = stoppable._outermost = stop
        return stop

    def __exit__(self, *error: object) -> None:
        if self._installed is not None:
            stoppable._outermost = None
            signal.signal(signal.SIGINT, self._before)
