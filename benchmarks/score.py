"""Count the rows a second that a bundle scores: Parquet to Parquet, in this process and on Ray.

    python benchmarks/score.py            prints the table; some minutes
    python benchmarks/score.py --write    writes it into BENCHMARKS.md as well

Run it with a Python that has Ray, such as that of ``make .venv/fleets/score/installed``. Each line is one
run, timed from the first look at the files to the last byte on the disk. Ray itself is up before; its
workers are not.
"""

import argparse
import logging
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
from limits import processor
from rich import box
from rich.console import Console
from rich.table import Table
from sections import OUT, replaced

from rnn_export.bundle.bundle import Bundle
from rnn_export.fleets import files
from rnn_export.fleets.plan import Asked
from rnn_export.ray import on_workers, score

HEADING = "Rows scored a second"
COMMAND = ".venv/fleets/score/bin/python benchmarks/score.py --write"
BUNDLE = Path(__file__).resolve().parents[1] / "artifacts" / "rnn_scratch"
ROWS, LONGEST, FEATURES, GROUP = 400_000, 200, 16, 10_000
CORES = 4  # that Ray is told of: it reads with others than those of the workers
COLUMNS = "What runs", "threads or workers", "rows a second", "time steps a second"


def written(path: Path) -> int:
    """Write sequences of 1 to ``LONGEST`` time steps, a row each; give the number of time steps."""
    random, steps = np.random.default_rng(0), 0
    writer = None
    for first in range(0, ROWS, GROUP):
        ends = np.concatenate([[0], np.cumsum(random.integers(1, LONGEST + 1, GROUP))]).astype(np.int32)
        numbers = pa.array(random.standard_normal(ends[-1] * FEATURES, np.float32))
        inner = pa.ListArray.from_arrays(np.arange(ends[-1] + 1, dtype=np.int32) * FEATURES, numbers)
        inputs = pa.ListArray.from_arrays(ends, inner)
        table = pa.table({"id": np.arange(first, first + GROUP), "inputs": inputs})
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
        steps += int(ends[-1])
    assert writer
    writer.close()
    return steps


def runs(path: Path, folder: Path) -> dict[tuple[str, int], Callable[[], object]]:
    """Give what is timed, by its name and the number of its threads or workers."""
    bundle, asked = Bundle.open(BUNDLE), Asked({})

    def command(run: files.Run) -> Callable[[], object]:
        return lambda: files.score_files(path, bundle, folder, run, asked=asked)

    def dataset(workers: int) -> None:
        rows = ray.data.read_parquet(str(path))
        score(rows, BUNDLE, workers=workers).write_parquet(str(folder))

    found: dict[tuple[str, int], Callable[[], object]] = {}
    for many in (1, 2):
        found["rnn-export score", many] = command(files.here(bundle, "c", many))
        found["rnn-export score --ray", many] = command(on_workers(bundle, "c", many, 1))
        found["rnn_export.ray.score", many] = lambda many=many: dataset(many)  # type: ignore[misc]
    return found


def measured() -> list[tuple[str, ...]]:
    """Time each once, and see that all rows are there; give the rows of the table."""
    lines = list[tuple[str, ...]]()
    with tempfile.TemporaryDirectory() as own:
        path, folder = Path(own, "in.parquet"), Path(own, "out")
        steps = written(path)
        for (name, many), run in sorted(runs(path, folder).items()):
            begin = time.perf_counter()
            run()
            seconds = time.perf_counter() - begin
            ids = pq.read_table(folder, columns=["id"])["id"].to_numpy()
            if not np.array_equal(np.sort(ids), np.arange(ROWS)):
                raise SystemExit(f"{name}: expected each of {ROWS:,} rows once, got others")
            shutil.rmtree(folder)
            lines.append((name, str(many), f"{ROWS / seconds:,.0f}", f"{steps / seconds:,.0f}"))
    return lines


def section(lines: list[tuple[str, ...]]) -> str:
    """Write the section of BENCHMARKS.md."""
    table = "\n".join(
        f"| {' | '.join(line)} |" for line in [COLUMNS, ("---", *["---:"] * (len(COLUMNS) - 1)), *lines]
    )
    return f"""Written by `{COMMAND}`.

Machine: {processor()}, {files.cores()} cores; Ray {ray.__version__}, pyarrow {pa.__version__}.

{table}

One run each, of {ROWS:,} sequences of 1 to {LONGEST} time steps with {FEATURES} features, in row groups
of {GROUP:,}, through `artifacts/rnn_scratch` in C: from one file of Parquet to a folder. On Ray the start of
the workers counts, some seconds; that of Ray itself does not.
"""


def main() -> None:
    """Time all, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write BENCHMARKS.md as well")
    write = parser.parse_args().write
    ray.init(
        num_cpus=CORES,
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    lines = measured()
    table = Table(*COLUMNS, box=box.SIMPLE_HEAD)
    for line in lines:
        table.add_row(*line)
    Console().print(table)
    if write:
        OUT.write_text(replaced(OUT.read_text(), HEADING, section(lines)))


if __name__ == "__main__":
    main()
