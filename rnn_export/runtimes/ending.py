"""When a worker ends before it has answered: when it is told to, nobody is left, or a run takes too long."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

running: list[tuple[float, str]] = []  # until when what runs now may take, and what is said then
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
        late = [message for until, message in running[-1:] if time.monotonic() > until]
    sys.stderr.writelines(f"{message}\n" for message in late)
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGTERM)  # the main thread ends its compiler, and removes what that wrote
    time.sleep(GRACE)
    os._exit(1)  # it is deep in a runtime


@contextmanager
def within(seconds: float, what: str) -> Iterator[None]:
    """End this process, which is watched, if something takes longer than it may, and say what."""
    running.append((time.monotonic() + seconds, f"{what} did not finish within {seconds:.0f} s"))
    try:
        yield
    finally:
        running.pop()
