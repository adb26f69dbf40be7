"""Ctrl-C while runs are executed: asked once, a run ends at its next step, whole.

Between two steps every event is written and the checker has seen it; a KeyboardInterrupt
may strike anywhere. So the handler only asks. Who presses again wants out at once.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

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


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Let Ctrl-C end runs cleanly. Nested in another such block, it is that block's."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.getsignal(signal.SIGINT)
    if isinstance(before, Stop):
        yield before
        return
    if before is not signal.default_int_handler:
        yield stop
        return
    signal.signal(signal.SIGINT, stop)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
