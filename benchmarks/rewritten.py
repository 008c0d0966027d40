"""Time ONNX files of others, and what ``rnn_export.optimize`` makes of them, in ONNX Runtime on one core.

    python benchmarks/rewritten.py FILE.onnx...

Both answer the same calls in turn, of random inputs; medians in microseconds. Read the ratios.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import onnx
import onnx_ir as ir
import onnxruntime
from rich.console import Console
from rich.table import Table

import rnn_export
from rnn_export.benchmark.bench import number, one_core
from rnn_export.errors import OnnxFileError
from rnn_export.program.program import Program
from rnn_export.program.session import running
from rnn_export.runtimes.model_runs import model_runs
from rnn_export.runtimes.sample_calls import told_apart
from rnn_export.runtimes.turns import measure
from rnn_export.signature.tensors import Array

SHAPES = ((1, 100), (8, 100), (100, 1), (100, 8))  # the first free size of a file, and the second
SECONDS = 1.0
BEFORE, AFTER = "before", "after"


def call_of(model: onnx.ModelProto, feeds: dict[str, Array]) -> Callable[[], object]:
    """Start a session on one thread, and give a call of it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return partial(session.run, None, feeds)


def row(path: Path) -> list[str]:
    """Give the cells of a file: what became of its loops, and for each shape before, after and the ratio."""
    given = onnx.load(path)
    done = rnn_export.optimize(given)
    with model_runs() as runs, running(runs):
        program = told_apart(Program(ir.from_proto(given)))
    cells = [path.name, " + ".join(part for loop in done.loops for part in loop.became or (loop.left,))]
    for shape in SHAPES:
        feeds = program.sample(*shape)
        calls = {BEFORE: call_of(given, feeds), AFTER: call_of(done.model, feeds)}
        try:
            times = measure(calls, seconds=SECONDS)
        except Exception:  # of ONNX Runtime, which has several: the file cannot be called so
            cells.append("fails")
            continue
        ratio = times[BEFORE] / times[AFTER]
        cells.append(f"{number(times[BEFORE])} / {number(times[AFTER])} = {ratio:.1f}x")
    return cells


def main(paths: list[str]) -> None:
    """Print a row for each file."""
    table = Table("file", "became", *(f"{first} x {second}" for first, second in SHAPES))
    for path in map(Path, paths):
        try:
            table.add_row(*row(path))
        except OnnxFileError as error:
            table.add_row(path.name, str(error))
    Console(width=140).print(table)


if __name__ == "__main__":
    with one_core():
        main(sys.argv[1:])
