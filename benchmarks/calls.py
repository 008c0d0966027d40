"""Time calls from Python: what a call takes beside the arithmetic, and what threads that share a batch save.

    python benchmarks/calls.py                     prints both tables; a minute or two
    python benchmarks/calls.py --before CHECKOUT   with the runner of another checkout of this repository
    python benchmarks/calls.py --write             writes them into BENCHMARKS.md as well

All columns of a row take turns in one run. Those of the other checkout are timed in a process of its own,
which waits while others are timed.
"""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from os import environ
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import onnxruntime
import typer
from limits import machine
from rich import box
from rich.console import Console
from rich.table import Table
from sections import OUT, replaced
from shapes import Shape

import rnn_export
from rnn_export.benchmark.bench import one_core
from rnn_export.models import GRUScratch, LSTMScratch, RNNScratch

ARTIFACTS = Path(__file__).resolve().parents[1] / "artifacts"
COMMAND = "python benchmarks/calls.py --write"
HEADING = "Calls from Python"
TURNS, CALLS = 60, 300  # how often each column has its turn, and calls in one
MODELS = "rnn_scratch", "char_rnn"
COLUMNS = "a call in C", "a step of a session in C", "a call in ONNX Runtime", "its own session.run()"
BEFORE = "a call in C, before"
SHARED = [
    Shape(RNNScratch, 16, 32, 1, 100, 64),
    Shape(GRUScratch, 64, 128, 1, 100, 64),
    Shape(LSTMScratch, 64, 128, 1, 100, 64),
    Shape(RNNScratch, 128, 512, 128, 100, 64),
]
THREADS = 2
SHARED_SECONDS = 8.0  # for a net
Turn = Callable[[], float]  # times some calls; gives the microseconds of one


def turn(call: Callable[[], object]) -> float:
    """Time some calls; give the median, in microseconds."""
    times = []
    for _ in range(CALLS):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return median(times) * 1e6


def example(runner: rnn_export.runtimes.table.Runner) -> tuple[Any, tuple[Any, ...]]:
    """Make one time step of one row, and a state."""
    spec = runner.signature.sequence
    inputs = np.ones(spec.sized(time=1, batch=1), spec.dtype)
    return inputs, runner(inputs)[1]


def in_c(name: str) -> Callable[[], object]:
    """Give a call of a committed bundle's ``model.c``."""
    runner = rnn_export.load(ARTIFACTS / name, "c")
    return partial(runner, *example(runner))


def columns(name: str) -> dict[str, Turn]:
    """Give the ways in which one time step of a net is run."""
    runner, other = (rnn_export.load(ARTIFACTS / name, runtime) for runtime in ("c", "onnxruntime"))
    inputs, state = example(runner)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    own = onnxruntime.InferenceSession(ARTIFACTS / name / "model.onnx", options)
    names = [value.name for value in own.get_outputs()]
    feeds = dict(zip((value.name for value in own.get_inputs()), (inputs, *state), strict=True))
    session = runner.session(1)
    step = inputs.squeeze(runner.signature.sequence.time_axis)
    calls: list[Callable[[], object]] = [
        partial(runner, inputs, state),
        partial(session.step, step),
        partial(other, inputs, state),
        partial(own.run, names, feeds),
    ]
    return {column: partial(turn, call) for column, call in zip(COLUMNS, calls, strict=True)}


def serve(name: str) -> None:
    """Be another process: time a turn for each line of the standard input."""
    call = in_c(name)
    for _ in sys.stdin:
        print(turn(call), flush=True)


def elsewhere(name: str, checkout: Path) -> Turn:
    """Start a process that times the runner of another checkout."""
    line = [sys.executable, __file__, "--serve", name]
    environment = {**environ, "PYTHONPATH": str(checkout)}
    process = subprocess.Popen(  # noqa: S603
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )

    def ask() -> float:
        assert process.stdin
        assert process.stdout
        process.stdin.write("\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    return ask


def small_calls(before: Path | None) -> tuple[list[str], list[list[str]]]:
    """Time one time step of one row."""
    rows = []
    for name in MODELS:
        turns = columns(name) | ({BEFORE: elsewhere(name, before)} if before else {})
        times: dict[str, list[float]] = {column: [] for column in turns}
        for _ in range(TURNS):
            for column, one in turns.items():
                times[column].append(one())
        ratio = _ratio(times[COLUMNS[3]], times[COLUMNS[0]])
        found = [f"{median(each):.1f}" for each in times.values()]
        rows.append([name, *found, f"{ratio:.1f}"])
        if before:
            rows[-1].append(f"{_ratio(times[BEFORE], times[COLUMNS[0]]):.1f}")
    headings = ["Net", *COLUMNS, *([BEFORE] if before else []), "a call in C to session.run()"]
    return [*headings, *(["to before"] if before else [])], rows


def _ratio(slow: Sequence[float], quick: Sequence[float]) -> float:
    """Give the median of the ratios of turns that were timed one after another."""
    return median(one / other for one, other in zip(slow, quick, strict=True))


def shared_calls() -> tuple[list[str], list[list[str]]]:
    """Time a batch that threads share."""
    rows = []
    for shape in SHARED:
        with tempfile.TemporaryDirectory() as folder:
            net = shape.net()
            bundle = rnn_export.export(net, shape.example(net), Path(folder) / "net")
            runners = [rnn_export.load(bundle.folder, "c", threads=count) for count in (1, THREADS)]
        inputs, state = shape.example(net)
        arguments = inputs.numpy(), tuple(leaf.numpy() for leaf in state)
        calls = {"one": partial(runners[0], *arguments), "shared": partial(runners[1], *arguments)}
        times = _alternating(calls | {"apart": partial(_at_once, _halves(runners[0], *arguments))})
        one, shared, apart = (min(times[name]) for name in ("one", "shared", "apart"))
        rows.append(
            [*shape.labels, f"{one:.0f}", f"{shared:.0f}", f"{one / shared:.2f}", f"{one / apart:.2f}"]
        )
    return [
        "Net",
        "T",
        "B",
        "1 thread",
        f"{THREADS} threads",
        "times as fast",
        "two callers with half of it each",
    ], rows


def _halves(runner: Any, inputs: Any, state: Any) -> list[Callable[[], object]]:
    """Give the calls of two halves of a batch: what cores make of them is all there is to gain."""
    middle = inputs.shape[1] // 2
    return [
        partial(
            runner,
            np.ascontiguousarray(inputs[:, rows]),
            tuple(np.ascontiguousarray(leaf[rows]) for leaf in state),
        )
        for rows in (slice(middle), slice(middle, None))
    ]


def _at_once(calls: Sequence[Callable[[], object]]) -> None:
    """Make calls, each in a thread of its own."""
    other = threading.Thread(target=calls[1])
    other.start()
    calls[0]()
    other.join()


def _alternating(calls: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Time calls in turns, in microseconds."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + SHARED_SECONDS
    for _ in range(5):  # which also settles whether threads share
        for call in calls.values():
            call()
    while time.perf_counter() < end or len(times["one"]) < 5:
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            times[name].append((time.perf_counter() - begin) * 1e6)
    return times


def section(tables: Sequence[tuple[list[str], list[list[str]]]], command: str) -> str:
    """Write the section of BENCHMARKS.md."""
    small, shared = (
        "\n".join(
            f"| {' | '.join(line)} |" for line in (headings, ["---", *["---:"] * (len(headings) - 1)], *rows)
        )
        for headings, rows in tables
    )
    return f"""Written by `{command}`.

Machine: {machine()}.

{small}

Microseconds for one time step of one row, medians; the last columns are medians of the ratios of turns one
after another. *A call* is one of the runner that `rnn_export.load` gives, which checks every call;
*session.run()* is ONNX Runtime's own, without a check of ours. *Before*: the runner of another checkout.

{shared}

Microseconds for a batch that threads share, `load(folder, "c", threads={THREADS})`: the fastest of all turns,
as other programs have the second core at other times. The last column is what the machine gives just then:
two callers in Python with half of the batch each, against one with all.
"""


def main(
    before: Annotated[
        Path | None, typer.Option("--before", help="Another checkout, whose runner is timed, too.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Write BENCHMARKS.md as well.")] = False,
    serving: Annotated[str, typer.Option("--serve", hidden=True)] = "",
) -> None:
    """Time calls and print the tables."""
    if serving:
        serve(serving)
        return
    with one_core():
        small = small_calls(before)
    tables = small, shared_calls()
    for headings, rows in tables:
        table = Table(*headings, box=box.SIMPLE_HEAD)
        for row in rows:
            table.add_row(*row)
        Console(width=160).print(table)
    command = f"{COMMAND}{' --before CHECKOUT' if before else ''}"
    if write:
        OUT.write_text(replaced(OUT.read_text(), HEADING, section(tables, command)))


if __name__ == "__main__":
    typer.run(main)
