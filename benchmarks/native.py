"""A bundle's C as a program in C has it: called many times over by C itself, without Python in between."""

import ctypes
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from peers import Run, Task

from rnn_export.runtimes.c import caller
from rnn_export.runtimes.compiler import build, entry
from rnn_export.signature.signature import Signature

DRIVER = Path(__file__).with_name("c_driver.c")
LEAST = 5e-4  # seconds of a run: what Python takes for it is less than a hundredth


@dataclass(frozen=True)
class Repeated:
    """A run that is a number of calls."""

    run: Run
    count: int

    def __call__(self) -> Sequence[Any]:
        """Run; give the results of the last call."""
        return self.run()


def driver(source: Path, folder: Path) -> ctypes.CDLL:
    """Build a ``model.c`` in a folder, for this processor, with the driver that repeats calls."""
    declared = entry(source)
    options = ["-march=native", f"-DRUN={declared.name}", f"-I{source.parent}", str(source)]
    options += ["-DWORKSPACE"] * bool(declared.workspaces(()))
    library = folder / "driver.so"
    build(DRIVER, library, "-shared", "-fPIC", *options)
    loaded = ctypes.CDLL(str(library))
    loaded.repeat.restype = None
    return loaded


def repeated(source: Path, signature: Signature, task: Task, folder: Path) -> Repeated:
    """Build a ``model.c`` with the driver, in a folder, and find how many calls can be timed together."""
    function = driver(source, folder).repeat
    workspaces = entry(source).workspaces(signature.free_sizes)

    def of(count: int) -> Repeated:
        call = caller(partial(function, ctypes.c_size_t(count)), signature, workspaces)
        return Repeated(partial(call, task.inputs, *task.state), count)

    count = 1
    while _seconds(of(count)) < LEAST:
        count *= 2
    return of(count)


def _seconds(run: Run) -> float:
    run()
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin
