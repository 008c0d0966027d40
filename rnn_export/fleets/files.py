"""Score files of Parquet to a folder of results."""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from rnn_export.bundle.bundle import Bundle
from rnn_export.fleets.job import Job, ask, begun, score_parts
from rnn_export.fleets.plan import Asked
from rnn_export.fleets.sources import Part
from rnn_export.progress import ProgressCallback, silent
from rnn_export.runtimes.load import load

# Scores parts, those of the same row groups together, and tells how many rows more are done.
Run = Callable[[Job, list[list[Part]], Callable[[int], None]], None]


@dataclass(frozen=True)
class Scored:
    """What a run has done.

    Attributes:
        rows: of all files.
        scored: the rows of this run; the others were there.
        parts: the files of results.
        seconds: of this run.
    """

    rows: int
    scored: int
    parts: int
    seconds: float


def cores() -> int:
    """Give the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def here(bundle: Bundle, runtime: str, threads: int | None) -> Run:
    """Run a model in this process.

    Args:
        bundle: the model.
        runtime: as :func:`rnn_export.load` takes it.
        threads: that score row groups, each others; ``None`` are as many as there are cores.
    """
    runner, many = load(bundle.folder, runtime), threads or cores()

    def run(job: Job, missing: list[list[Part]], count: Callable[[int], None]) -> None:
        stopped, lock = threading.Event(), threading.Lock()

        def counted(rows: int) -> None:
            with lock:
                count(rows)
            if stopped.is_set():
                raise CancelledError

        with ThreadPoolExecutor(many) as pool:
            running = [
                pool.submit(score_parts, job, runner, parts, counted) for parts in spread(missing, many)
            ]
            try:
                for each in as_completed(running):
                    each.result()
            except BaseException:
                stopped.set()
                pool.shutdown(cancel_futures=True)
                raise

    return run


def spread(missing: list[list[Part]], workers: int) -> list[list[Part]]:
    """Give parts for each of some workers: those of the same row groups apart, if there are too few groups.

    A worker then decodes the rows before its own in vain, which takes less than to run them.
    """
    return missing if len(missing) >= workers else [[part] for parts in missing for part in parts]


def score_files(
    path: Path,
    bundle: Bundle,
    folder: Path,
    run: Run,
    *,
    asked: Asked,
    runtime: str = "c",
    progress: ProgressCallback = silent,
) -> Scored:
    """Score a file of Parquet, or all in a folder; go on where a run that was killed has ended.

    Args:
        path: of the file, or the folder.
        bundle: the model.
        folder: of the results, ``part-000000.parquet`` and so on, in the order of the rows.
        run: what runs the model.
        asked: which columns.
        runtime: that it runs in.
        progress: is told of rows.

    Raises:
        ScoreError: files cannot be read or written, or the folder is that of other results.
        InputError: a column is missing or has another type, or a row is not what the model takes.
        BundleError: the file of the model fails.
    """
    begin = time.perf_counter()
    job = ask(path, bundle, folder, asked, runtime)
    total = sum(part.rows for part in job.parts)
    with begun(job) as missing:
        scored = sum(part.rows for parts in missing for part in parts)
        done = total - scored
        progress("Scoring", done, total)

        def count(rows: int) -> None:
            nonlocal done
            done += rows
            rate = (done - total + scored) / (time.perf_counter() - begin)
            progress(f"Scoring, {done:,} of {total:,} rows, {rate:,.0f} a second", done, total)

        run(job, missing, count)
    return Scored(total, scored, len(job.parts), time.perf_counter() - begin)
