"""Time the scratch nets: ours against what others make of the same nets. Writes BENCHMARKS.md.

One core; all columns of a row take turns on the same inputs; medians in microseconds a call. Each column's
results are compared with eager's before it is timed. The peers of benchmarks/peers.py are the extra
``bench``; what is timed is in benchmarks/shapes.py, how it is laid out in benchmarks/tables.py.

    make bench                                    # installs the peers, writes BENCHMARKS.md; some minutes
    .venv/bin/python benchmarks/bench.py --forms     # the table behind rnn_export/passes/choose.py
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import Annotated, Any

import numpy as np
import onnx
import onnx_ir as ir
import torch
import typer
from limits import Limits, limits, machine
from native import Repeated, repeated
from peers import PEERS, Run, Task, eager
from rich.console import Console
from sections import OUT, kept
from shapes import FORM_SHAPES, SHAPES, Shape
from tables import (
    ANOTHER,
    FORMS,
    IN_C,
    OPERATORS,
    OURS,
    TORCHSCRIPT,
    C,
    Line,
    c_rows,
    form_rows,
    headings_and_rows,
    limits_text,
    markdown,
    show,
)
from torch import nn

from rnn_export.benchmark.bench import attempt, number, one_core
from rnn_export.bundle.bundle import Bundle
from rnn_export.bundle.layout import STEP_ONNX
from rnn_export.capture import step
from rnn_export.cli.terminal import progress, reporting
from rnn_export.exporter import export
from rnn_export.module.reading import inspect_module
from rnn_export.passes.operators.guard import unguarded
from rnn_export.passes.pipeline import optimize
from rnn_export.runtimes.table import RUNTIMES
from rnn_export.runtimes.turns import measure
from rnn_export.signature.signature import Signature

COMMAND = "make bench"
WIDTH = 110
SECONDS = 4.0  # for one row
WRONG = (
    1e-4  # of the largest value of a result: what other ways of summing reach is far below, bf16 far above
)

LEFT_OUT = "left out"
SLOW = {"reference"}  # runtimes that are no contenders
NAMES = {
    ("model.onnx", "onnxruntime"): OURS,
    ("model.pt", "torchscript"): TORCHSCRIPT,
    (C, "c"): C,
    **{(f"variants/{form}.onnx", "onnxruntime"): form for form in FORMS},
}


def find_fault(expected: Sequence[Any], run: Run) -> str:
    """Compare a run with eager's results, each against its largest value; say what is wrong."""
    for got, want in zip(map(np.asarray, run()), map(np.asarray, expected), strict=True):
        if got.shape != want.shape:
            return f"shape {list(got.shape)}"
        error = float(np.abs(got - want).max() / np.abs(want).max())
        if not error <= WRONG:
            return f"off by {error:.0e} of the largest value"
    return ""


def race(starts: Mapping[str, Callable[[], Run]], task: Task, seconds: float) -> dict[str, float | str]:
    """Start, compare and time each column."""
    with one_core():
        expected = eager(task)()
        cells: dict[str, float | str] = {}
        runs: dict[str, Run] = {}
        for name, start in starts.items():
            unlike = (name, type(task.net)) in ANOTHER
            found = attempt(start, (lambda run: "") if unlike else partial(find_fault, expected))
            if isinstance(found, str):
                cells[name] = found
            else:
                runs[name] = found
        times = measure(runs, seconds=seconds)
    counts = {name: run.count for name, run in runs.items() if isinstance(run, Repeated)}
    return cells | {name: time / counts.get(name, 1) for name, time in times.items()}


def line(shape: Shape, folder: Path, seconds: float = SECONDS) -> Line:
    """Export a net with an example of the shape, and time the bundle's files and the peers.

    Peers get ONNX files without the branch for empty calls and NaN, which they cannot read.
    """
    net = shape.net()
    inputs, state = shape.example(net)
    bundle = export(net, (inputs, state), folder / "bundle")
    task = Task(
        net,
        _save(_readable(onnx.load(bundle.folder / OURS)), folder / "model.onnx"),
        _save(_readable(forms(net, (inputs, state))[OPERATORS]), folder / "operator.onnx"),
        inputs.numpy(),
        tuple(leaf.numpy() for leaf in state),
    )
    starts: dict[str, Callable[[], Run]] = {name: partial(peer, task) for name, peer in PEERS.items()}
    for file in bundle.manifest.files:
        for runtime in RUNTIMES.values():
            if file.endswith(runtime.suffix) and file != STEP_ONNX and runtime.name not in SLOW:
                name = NAMES.get((file, runtime.name), f"{file} in {runtime.name}")
                starts[name] = partial(_bound, runtime.start, bundle, file, task)
    if C in bundle.manifest.files:
        starts[IN_C] = partial(repeated, bundle.folder / C, bundle.signature, task, folder)
    cells = race(starts, task, seconds)
    shipped = bundle.manifest.form
    reasons = bundle.manifest.verification["left_out"]
    if any(reason.startswith(C) for reason in reasons):
        cells |= dict.fromkeys((C, IN_C), LEFT_OUT)
    for form in FORMS:
        left_out = any(f"{form}.onnx" in reason for reason in reasons)
        cells.setdefault(form, cells[OURS] if form == shipped else LEFT_OUT if left_out else "none")
    return Line(shape, cells, shipped)


def _bound(start: Callable[[Path, Signature], Any], bundle: Bundle, file: str, task: Task) -> Run:
    return partial(start(bundle.folder / file, bundle.signature), task.inputs, *task.state)


def forms(net: nn.Module, example: tuple[torch.Tensor, Any]) -> dict[str, onnx.ModelProto]:
    """Make every form of a net, as they are before one is chosen."""
    stages = optimize(step.capture(inspect_module(net, example)))
    return {stage.form: stage.program.proto() for stage in stages if stage.form}


def _readable(model: onnx.ModelProto) -> onnx.ModelProto:
    return ir.to_proto(unguarded(ir.from_proto(model)))


def _save(model: onnx.ModelProto, path: Path) -> Path:
    onnx.save(model, path)
    return path


def choices(seconds: float = SECONDS) -> tuple[list[str], list[list[str]]]:
    """Time the forms that the traced step has, in ONNX Runtime: the table of rnn_export/passes/choose.py."""
    columns = ("step", *FORMS[1:])
    rows = []
    for shape in FORM_SHAPES:
        net = shape.net()
        example = shape.example(net)
        signature = inspect_module(net, example).signature
        arrays = [example[0].numpy(), *(leaf.numpy() for leaf in example[1])]
        with tempfile.TemporaryDirectory() as folder:
            models = forms(net, example)
            start = RUNTIMES["onnxruntime"].start
            calls = {
                form: start(_save(model, Path(folder) / "form.onnx"), signature)
                for form, model in models.items()
            }
        times = measure({form: partial(call, *arrays) for form, call in calls.items()}, seconds=seconds)
        rows.append([*shape.labels, *(number(times[form]) if form in times else "" for form in columns)])
    return ["Net", "T", "B", *columns], rows


def document(lines: Sequence[Line], found: Limits) -> str:
    """Write BENCHMARKS.md."""
    return f"""# Benchmarks

Written by `{COMMAND}`.

Machine: {machine()}.

Microseconds a call, medians; {SECONDS:.0f} seconds for a row, in which all columns take turns on the same
inputs, on one core. Read the ratios, not the figures, and small differences not at all: no machine is quiet.
A net is named by its inputs, hidden units and outputs.

## Ours against what others make of the same net

{markdown(*headings_and_rows(lines))}

- **eager**: the module as it is written. **torch.nn**: `nn.RNN`, `nn.GRU` or `nn.LSTM`, and `nn.Linear`; the
  same weights, but (*) a GRU of the same sizes only, as PyTorch's has its reset gate behind the product.
- **OpenVINO**: `model.onnx`, in f32; **operator**: the ONNX operator `RNN`, `GRU` or `LSTM` instead.
  **tract**: the operator. Both get it without its branch for empty calls and NaN, which they cannot read.
  **JAX**: a `lax.scan` written by hand. These three are compiled for one T and B.
- **TorchScript**: `model.pt`. **loop**: what `torch.onnx` makes of the scripted module, in ONNX Runtime.
- **model.onnx**: ours, in ONNX Runtime, exported with an example of that shape and verified. Free in T and B.
- **model.c**: the same net as C, built by the system's compiler and called with numpy arrays through ctypes.
  **model.c, in C**: called by a program in C instead, built with `-march=native`. *left out*: see below.
- The last columns say how many times as fast `model.onnx` is as `loop`, and as the best of what
  others make.

Each is compared with eager before it is timed; *wrong* is more than {WRONG:g} of a result's largest value.

## C

{markdown(*c_rows(lines, found))}

{fill(limits_text(lines, found), WIDTH)}

- **best other**: of all columns above but `model.c`, and of the forms of ONNX below, in ONNX Runtime.
- **asked for**: how many times as fast as the best other C is meant to be, or as another column; then with
  what is reached, in C and through ctypes. *ONNX Runtime* is the best of our forms in it.
- **GFLOP/s**: of the net's matrix products, in C. **of sgemm**: as a share of what the machine reaches.

## The forms of ONNX, in ONNX Runtime

{markdown(*form_rows(lines))}

`loop`, `scan` and `operator` are files of the same bundle, or `model.onnx` itself. *left out*: the form did
not verify for this net. *step*: the loop is left as it was traced. The last column: how many times as fast
`model.onnx` is as the best of the three; 1.00 is as good as it gets, unless it is a *step*.
"""


def main(
    write: Annotated[bool, typer.Option("--write", help="Write BENCHMARKS.md as well.")] = False,
    only_forms: Annotated[
        bool, typer.Option("--forms", help="Time the forms only: the table of passes/choose.py.")
    ] = False,
) -> None:
    """Time everything and print the tables."""
    console = Console(width=max(Console().width, 200))
    torch.set_num_threads(1)
    if only_forms:
        show(console, *choices())
        return
    found = limits()
    lines = []
    with reporting(), progress() as tell, tempfile.TemporaryDirectory() as folder:
        for done, shape in enumerate(SHAPES):
            tell(f"{shape.sizes} T={shape.steps} B={shape.batch}", done, len(SHAPES))
            own = Path(folder) / str(done)
            own.mkdir()
            lines.append(line(shape, own))
    show(console, *headings_and_rows(lines))
    show(console, *c_rows(lines, found))
    console.print(limits_text(lines, found), highlight=False)
    show(console, *form_rows(lines))
    console.print(machine(), highlight=False)
    if write:
        OUT.write_text(document(lines, found) + kept(OUT.read_text()))


if __name__ == "__main__":
    typer.run(main)
