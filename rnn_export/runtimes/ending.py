"""When a worker ends before it has answered: when it is told to, nobody is left, or a run takes too long."""

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

from rnn_export.workers import PATIENCE, overdue, overused

Clock = Callable[[], float]
running: list[list[tuple[Clock, float, str]]] = []  # of what runs now: clocks, until when, what is said then
WATCH, GRACE = 0.2, 2.0  # seconds: how often to look for who asked, and how long an orderly end may take


def watch(parent: int) -> None:
    """End in order when told to, and when the process that asked has ended."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    threading.Thread(target=_end_with, args=[parent], daemon=True).start()


def _end_with(parent: int) -> None:
    """End when the process that asked has ended, as nobody is left to read the answer, or a run is late."""
    late: list[str] = []
    while os.getppid() == parent and not late:
        time.sleep(WATCH)
        late = [message for limits in running[-1:] for clock, until, message in limits if clock() > until][:1]
    sys.stderr.writelines(f"{message}\n" for message in late)
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGTERM)  # the main thread ends its compiler, and removes what that wrote
    time.sleep(GRACE)
    os._exit(1)  # it is deep in a runtime


@contextmanager
def within(seconds: float, what: str) -> Iterator[None]:
    """End this process, which is watched, if something takes longer than it may, and say what.

    The seconds are those of the processor that this process uses: a machine that is busy is no fault of a
    file. What waits uses none, and may take ``PATIENCE`` times as long by the clock.
    """
    patience = seconds * PATIENCE
    limits = [
        (time.process_time, time.process_time() + seconds, f"{what} {overused(seconds)}"),
        (time.monotonic, time.monotonic() + patience, f"{what} {overdue(patience)}"),
    ]
    running.append(limits)
    try:
        yield
    finally:
        running.pop()


def at_most(seconds: float) -> None:
    """Let the system end this process, ``SIGXCPU``, when it has used so much more of the processor.

    Whatever it does then: it need not come back to Python. What it starts may use as much, each for itself.
    """
    resource = import_module("resource")  # which Windows does not have
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    until = math.ceil(time.process_time() + seconds)
    until = until if most == resource.RLIM_INFINITY else min(until, most)
    resource.setrlimit(resource.RLIMIT_CPU, (until, most))
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))  # nothing stays behind of what is ended so
