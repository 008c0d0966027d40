"""Threads that share the rows of a batch. A row has the same bits in any range: the result is the same."""

import ctypes
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import inf

RunRows = Callable[..., object]  # takes the first row, how many, and what a call of the batch takes
TRIALS = 4  # calls of a size: two that are shared, and two that are not
AGAIN = 100  # calls, of which one is shared in any case: other programs may have had the cores before
LONG = 5e-4  # seconds, many times what handing out rows takes


@dataclass
class Trials:
    """The least seconds that calls of a size took, shared and alone."""

    count: int = 0
    shared: float = inf
    alone: float = inf

    @property
    def shares(self) -> bool:
        """Whether the next call is to be shared: handing out rows takes longer than a small call."""
        if self.count < TRIALS:
            return self.count % 2 == 0
        return self.count % AGAIN == 0 or self.alone > LONG or self.shared < self.alone

    def add(self, seconds: float, *, shared: bool) -> None:
        """Count a call."""
        self.count += 1
        if shared:
            self.shared = min(self.shared, seconds)
        else:
            self.alone = min(self.alone, seconds)


class RowThreads:
    """Runs a function of C over the rows of a batch, as ``NAME_run`` does, in some threads at once.

    The threads stay until the object is gone; the caller's own is one of them. ctypes lets others run
    meanwhile, so that several callers may share one object. A call that was quicker alone, at about its
    size, is run alone.

    Args:
        run_rows: what ``model.h`` calls ``NAME_run_rows``.
        threads: how many, two at least.
    """

    def __init__(self, run_rows: RunRows, threads: int) -> None:
        self._run_rows, self._threads = run_rows, threads
        self._start()

    def _start(self) -> None:
        self._process, self._others = os.getpid(), ThreadPoolExecutor(self._threads - 1, "rnn_export_rows")
        self._trials = defaultdict[int, Trials](Trials)  # by the number of bits of rows times time steps

    def __call__(self, steps: ctypes.c_size_t, batch: ctypes.c_size_t, *others: object) -> None:
        """Run all rows."""
        if self._process != os.getpid():  # a fork has no thread but its own
            self._start()
        trials = self._trials[(steps.value * batch.value).bit_length()]
        shared = batch.value > 1 and trials.shares
        own, *ranges = ranges_of(batch.value, self._threads if shared else 1)
        begin = time.perf_counter()
        running = [self._others.submit(self._run_rows, *some, steps, batch, *others) for some in ranges]
        self._run_rows(*own, steps, batch, *others)
        for each in running:
            each.result()
        if batch.value > 1:
            trials.add(time.perf_counter() - begin, shared=shared)


def ranges_of(batch: int, threads: int) -> Iterator[tuple[ctypes.c_size_t, ctypes.c_size_t]]:
    """Divide rows among threads as equally as can be: the first row of each, and how many; none has no row.

    >>> [(first.value, rows.value) for first, rows in ranges_of(8, 3)]
    [(0, 3), (3, 3), (6, 2)]
    >>> [(first.value, rows.value) for first, rows in ranges_of(1, 3)]
    [(0, 1)]
    """
    first, shares = 0, max(1, min(batch, threads))
    for share in range(shares):
        rows = batch // shares + (share < batch % shares)
        yield ctypes.c_size_t(first), ctypes.c_size_t(rows)
        first += rows
