"""When a worker ends before it has answered: when it is told to, nobody is left, or a run takes too long."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

WATCH, GRACE = 0.2, 2.0  # seconds: how often to look for who asked, and how long an orderly end may take


def watch(parent: int) -> None:
    """End in order when told to, and when the process that asked has ended."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    threading.Thread(target=_end_with, args=[parent], daemon=True).start()


def _end_with(parent: int) -> None:
    """End when the process that asked has ended: nobody is left to read the answer."""
    while os.getppid() == parent:
        time.sleep(WATCH)
    _end()


def _end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)  # the main thread ends its compiler, and removes what that wrote
    time.sleep(GRACE)
    os._exit(1)  # it is deep in a runtime


@contextmanager
def within(seconds: float, what: str) -> Iterator[None]:
    """End this process if something takes longer than it may, and say what."""
    timer = threading.Timer(seconds, _end_late, [f"{what} did not finish within {seconds:.0f} s"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end_late(message: str) -> None:
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
    _end()
