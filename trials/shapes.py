"""Calls of ever new shapes: the memory of a service stays flat.

The calls are made in a process of their own, ``python shapes.py SECONDS BUNDLE...``, which prints how large
it was at each of many moments.
"""

import ctypes
import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from time import monotonic

import numpy as np

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import rnn_export
from rnn_export.runtimes import worker
from rnn_export.runtimes.table import RUNTIMES, Runner
from trials import BrokenPromiseError
from trials.bundles import Arguments, bundles, draw, runs

LONGEST, WIDEST = 300, 40  # time steps, rows
FRESH = 40  # calls, after which one of the runners is replaced by a new one
MOMENTS = 60  # at which the memory is measured, evenly spread
WARM_UP = 1 / 2  # of the moments: an arena of ONNX Runtime is as large as ever after thousands of shapes
ALLOWED = 0.01  # of the memory: what it may have grown by from the first third of the rest to its last
LEAST = 4 << 20  # bytes that are allowed in any case: pages that the allocator keeps
SLOW = 20  # times fewer time steps for what takes so many times as long


@dataclass(frozen=True)
class Moment:
    """How large the process is, after so many calls and time steps."""

    calls: int
    steps: int
    bytes: int


def run(amount: int) -> str:
    """Make calls for ``amount`` seconds."""
    # One arena: how many threads took part in an allocation has nothing to do with what is kept.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}
    line = [sys.executable, __file__, str(amount), *(str(bundle.folder) for bundle in bundles())]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment)  # noqa: S603
    if done.returncode:
        raise BrokenPromiseError(
            f"calls of ever new shapes ended with {done.returncode}: {done.stderr[-2000:]}"
        )
    moments = [Moment(**moment) for moment in json.loads(done.stdout)]
    last, grown = moments[-1], growth(moments)
    figures = f"{last.calls} calls, {last.steps} time steps in {amount} s, {grown}"
    if grown.bytes > grown.allowed:
        raise BrokenPromiseError(f"memory grows: {figures}")
    return f"memory is flat: {figures}"


@dataclass(frozen=True)
class Growth:
    """How memory grew after the warm-up: medians of its first and its last third, and a slope through all."""

    first: float
    last: float
    slope: float  # bytes a call

    @property
    def bytes(self) -> float:
        """What it grew by."""
        return self.last - self.first

    @property
    def allowed(self) -> float:
        """What it may grow by."""
        return max(LEAST, ALLOWED * self.first)

    def __str__(self) -> str:
        return (
            f"{self.first / 1e6:.1f} MB first, {self.last / 1e6:.1f} MB last "
            f"(allowed: {self.allowed / 1e6:.1f} MB more), {self.slope:.3g} KB for 1000 calls"
        )


def growth(moments: list[Moment]) -> Growth:
    """Say how memory grew; the slope is the median of those between all pairs (Theil and Sen)."""
    warm = moments[int(len(moments) * WARM_UP) :]
    third = len(warm) // 3
    first, last = (median(moment.bytes for moment in part) for part in (warm[:third], warm[-third:]))
    slopes = [
        (later.bytes - earlier.bytes) / (later.calls - earlier.calls)
        for place, earlier in enumerate(warm)
        for later in warm[place + 1 :]
        if later.calls > earlier.calls
    ]
    return Growth(first, last, median(slopes) if slopes else 0.0)


def watch(calls: Iterator[int], seconds: float) -> list[Moment]:
    """Make calls, each of which gives its time steps, for so long; measure the memory now and then."""
    begun, steps = monotonic(), 0
    moments: list[Moment] = []
    gc.freeze()  # what is there already takes a garbage collection the longest
    for number, taken in enumerate(calls, start=1):
        steps += taken
        elapsed = monotonic() - begun
        if elapsed >= seconds * (len(moments) + 1) / MOMENTS:
            moments.append(Moment(number, steps, _memory()))
        if elapsed >= seconds:
            break
    gc.unfreeze()
    return moments


def _memory() -> int:
    """Give the resident memory, after what is free went back to the system."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def calls(folders: Sequence[str]) -> Iterator[int]:
    """Call all models in all runtimes, cut anywhere, with runners that are new now and then."""
    random = np.random.default_rng(0)
    kinds = [(rnn_export.Bundle.open(folder), runtime) for folder in folders for runtime in RUNTIMES]
    kinds = [(bundle, runtime) for bundle, runtime in kinds if runs(bundle, runtime)]
    runners: dict[int, Runner] = {}
    for number in count():
        place = number if number < len(kinds) else int(random.integers(len(kinds)))
        bundle, runtime = kinds[place]
        longest = LONGEST // (SLOW if _slow(bundle, runtime) else 1)
        if number % FRESH == 0 or place not in runners:
            runners[place] = rnn_export.load(bundle.folder, runtime)
            runners[place](*draw(random, bundle.signature, longest, WIDEST))  # it is as large as ever then
        time, batch = int(random.integers(1, longest + 1)), int(random.integers(1, WIDEST + 1))
        _call(runners[place], draw(random, bundle.signature, time, batch), random)
        yield time


def _slow(bundle: rnn_export.Bundle, runtime: str) -> bool:
    """Whether time steps are Python's, or rows run alone in TorchScript."""
    in_python = ("reference", "torch_export")
    return runtime in in_python or (runtime == "torchscript" and bundle.signature.lengths)


def _call(runner: Runner, arguments: Arguments, random: np.random.Generator) -> None:
    """Cut a sequence anywhere, and hand the state on."""
    inputs, state, lengths = arguments
    time, start = len(inputs), 0
    while start < time:
        piece = slice(start, min(time, start + int(random.integers(1, time + 1))))
        own = None if lengths is None else worker.within(lengths, piece)
        outputs, state = runner(inputs[piece], state, own)
        if not np.isfinite(outputs).all():
            raise BrokenPromiseError(f"outputs of {inputs[piece].shape} are not finite")
        start = piece.stop


if __name__ == "__main__":
    print(json.dumps([vars(moment) for moment in watch(calls(sys.argv[2:]), float(sys.argv[1]))]))
