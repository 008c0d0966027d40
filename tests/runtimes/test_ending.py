"""What takes too long ends its process: too much of the processor, or far too long by the clock."""

import os
import signal
import time
from collections.abc import Callable

import pytest

from rnn_export.runtimes import ending


def ended(work: Callable[[], object]) -> tuple[int, str]:
    """Do something in a process that may use 0.3 s of the processor; give its status, and what it said."""
    read, write = os.pipe()
    parent, child = os.getpid(), os.fork()
    if not child:
        os.dup2(write, 2)
        ending.sys.stderr = os.fdopen(2, "w")  # pytest has put another one there
        ending.WATCH, ending.GRACE = 0.02, 0.1
        ending.watch(parent)
        try:
            with ending.within(0.3, "T7_B5/whole"):
                work()
            os._exit(0)
        finally:
            os._exit(1)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), said


def forever() -> None:
    while True:
        pass


def test_the_system_ends_what_does_not_come_back_to_python() -> None:
    child = os.fork()
    if not child:
        ending.at_most(0.5)
        forever()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGXCPU


def test_a_run_that_waits_for_the_processor_does_not_end() -> None:
    assert ended(lambda: time.sleep(0.6)) == (0, "")


def test_a_run_that_uses_too_much_of_the_processor_ends() -> None:
    status, said = ended(forever)
    assert status
    assert said == "T7_B5/whole took more than 0.3 s of the processor\n"


def test_a_run_that_waits_far_too_long_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "PATIENCE", 2)
    status, said = ended(lambda: time.sleep(60))
    assert status
    waits = "it waits for what does not come, or the machine is very busy"
    assert said == f"T7_B5/whole took more than 0.6 s by the clock: {waits}\n"
