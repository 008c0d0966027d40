"""One runner may be called from several threads: every answer is the one that a single thread gets."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import product
from threading import Barrier

import numpy as np

import rnn_export
from rnn_export.runtimes.table import RUNTIMES, Runner
from rnn_export.signature.tensors import Array
from trials import BrokenPromiseError
from trials.bundles import bundles, draw, runs

THREADS = 8
CALLS = 64  # different ones
LONGEST, WIDEST = 60, 12  # time steps, rows
SWITCH = 1e-5  # seconds; Python's own is 5e-3, in which most calls end
SLOWER = {"reference": 20, "torch_export": 20}  # times fewer calls

Task = Callable[[Runner], list[Array]]


def run(amount: int) -> str:
    """Call every model in every runtime ``amount`` times from each thread."""
    counts = dict.fromkeys(RUNTIMES, 0)
    with _often_switching():
        for runtime, bundle in product(RUNTIMES, bundles()):
            calls = max(1, amount // SLOWER.get(runtime, 1))
            if runs(bundle, runtime):
                _try(bundle, runtime, calls)
                counts[runtime] += THREADS * calls
    said = ", ".join(f"{runtime} {count}" for runtime, count in counts.items())
    return f"answers to {THREADS} threads, bit for bit those of one: {said} calls"


def _try(bundle: rnn_export.Bundle, runtime: str, calls: int) -> None:
    random = np.random.default_rng(0)
    tasks = [_task(bundle, random) for _ in range(CALLS)]
    alone = rnn_export.load(bundle.folder, runtime)
    expected = [task(alone) for task in tasks]
    shared, start = rnn_export.load(bundle.folder, runtime), Barrier(THREADS)

    def work(thread: int) -> list[int]:
        order = np.random.default_rng(thread).integers(0, CALLS, calls)
        start.wait()
        return [number for number in order if not _same(tasks[number](shared), expected[number])]

    with ThreadPoolExecutor(THREADS) as pool:
        wrong = [number for found in pool.map(work, range(THREADS)) for number in found]
    if wrong:
        raise BrokenPromiseError(
            f"{len(wrong)} of {THREADS * calls} answers of {runtime} ({bundle.manifest.name}) to {THREADS} "
            f"threads are not those of one thread; the first to call {wrong[0]}"
        )


def _task(bundle: rnn_export.Bundle, random: np.random.Generator) -> Task:
    time, batch = int(random.integers(1, LONGEST + 1)), int(random.integers(1, WIDEST + 1))
    inputs, state, lengths = draw(random, bundle.signature, time, batch)

    def task(runner: Runner) -> list[Array]:
        outputs, new_state = runner(inputs, state, lengths)
        return [outputs, *new_state]

    return task


def _same(got: list[Array], expected: list[Array]) -> bool:
    return all(one.tobytes() == other.tobytes() for one, other in zip(got, expected, strict=True))


@contextmanager
def _often_switching() -> Iterator[None]:
    """Let Python change threads within a call."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
