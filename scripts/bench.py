"""Time the scratch nets: ours against what others make of the same nets. Writes BENCHMARKS.md.

One core; all columns of a row take turns on the same inputs; medians in microseconds a call. Each column's
results are compared with eager's before it is timed. The peers of scripts/peers.py are the extra ``bench``.

    make bench                                    # installs the peers, writes BENCHMARKS.md; some minutes
    .venv/bin/python scripts/bench.py --forms     # the table behind rnn_export/passes/choose.py
"""

import os
import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import torch
import typer
from peers import PEERS, Run, Task, eager
from rich import box
from rich.console import Console
from rich.table import Table
from torch import nn

from rnn_export.bench import attempt, measure, number, one_core
from rnn_export.bundle import Bundle
from rnn_export.cli import progress, reporting
from rnn_export.exporter import export
from rnn_export.frontends import step
from rnn_export.models import GRUScratch, LSTMScratch, RNNScratch
from rnn_export.passes import optimize
from rnn_export.runtimes import RUNTIMES
from rnn_export.signature import Signature
from rnn_export.subject import examine

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "BENCHMARKS.md"
COMMAND = "make bench"
PACKAGES = ("torch", "onnxruntime", "openvino", "jax", "tract")
SECONDS = 4.0  # for one row
WRONG = (
    1e-4  # of the largest value of a result: what other ways of summing reach is far below, bf16 far above
)
CPU = torch.device("cpu")

LOOP, SCAN, OPERATOR, GATED = "loop", "scan", "operator", "gated"
OURS = "model.onnx"
FORMS = (LOOP, SCAN, OPERATOR, GATED)
SLOW = {"reference"}  # runtimes that are no contenders
NAMES = {
    ("model.onnx", "onnxruntime"): OURS,
    ("model.pt", "torchscript"): "TorchScript",
    **{(f"variants/{form}.onnx", "onnxruntime"): form for form in FORMS},
}
OTHERS = (*PEERS, "TorchScript", LOOP)  # what there would be without this package
# The reset gate of torch.nn stands behind the matrix product: the same sizes, but another function.
ANOTHER = {("torch.nn", GRUScratch)}


@dataclass(frozen=True)
class Shape:
    """A net and a call of it."""

    cell: type[nn.Module]
    inputs: int
    hidden: int
    outputs: int
    steps: int
    batch: int

    @property
    def sizes(self) -> str:
        """The net's sizes, for a person."""
        return f"{self.cell.__name__.removesuffix('Scratch')} {self.inputs}-{self.hidden}-{self.outputs}"

    def net(self) -> nn.Module:
        """Make the net; its recurrent matrix has a spectral radius of about a half, the seed's its own."""
        torch.manual_seed(0)
        seeds = (self.cell, self.inputs, self.hidden, self.outputs) == (RNNScratch, 16, 32, 1)
        sigma = 0.01 if seeds else 0.5 * self.hidden**-0.5
        net = self.cell(self.inputs, self.hidden, self.outputs, sigma=sigma)
        return net.eval().requires_grad_(False)

    def example(self, net: nn.Module) -> tuple[torch.Tensor, Any]:
        """Make the arguments of one call."""
        torch.manual_seed(1)
        begin_state: Callable[..., Any] = net.begin_state  # type: ignore[assignment]
        return torch.randn(self.steps, self.batch, self.inputs), begin_state(self.batch, CPU)


SHAPES = [
    Shape(RNNScratch, 16, 32, 1, 100, 2),
    Shape(RNNScratch, 16, 32, 1, 1000, 1),
    Shape(RNNScratch, 16, 32, 1, 1, 1),
    Shape(RNNScratch, 16, 32, 1, 100, 16),
    Shape(RNNScratch, 16, 32, 1, 100, 64),
    Shape(RNNScratch, 32, 64, 32, 35, 32),
    Shape(RNNScratch, 64, 128, 1, 100, 1),
    Shape(RNNScratch, 64, 256, 64, 100, 1),
    Shape(RNNScratch, 64, 256, 64, 100, 16),
    Shape(RNNScratch, 128, 512, 128, 100, 64),
    *(
        Shape(cell, *sizes, 100, batch)
        for cell in (GRUScratch, LSTMScratch)
        for sizes, batches in (((16, 32, 1), (1, 2)), ((64, 128, 1), (1, 16)))
        for batch in batches
    ),
]
FORM_SHAPES = [
    Shape(RNNScratch, 16, 32, 1, 100, 2),
    Shape(RNNScratch, 16, 32, 1, 100, 16),
    Shape(RNNScratch, 64, 128, 1, 100, 1),
    Shape(RNNScratch, 64, 128, 1, 100, 64),
    Shape(GRUScratch, 16, 32, 1, 100, 2),
    Shape(GRUScratch, 64, 128, 1, 100, 16),
    Shape(GRUScratch, 64, 128, 1, 100, 64),
    Shape(LSTMScratch, 16, 32, 1, 100, 64),
    Shape(LSTMScratch, 64, 128, 1, 100, 16),
    Shape(LSTMScratch, 64, 128, 1, 100, 64),
]


@dataclass(frozen=True)
class Line:
    """A row: for each column a median in microseconds, or why there is none; and what model.onnx is."""

    shape: Shape
    cells: Mapping[str, float | str]
    shipped: str = ""

    def times_as_fast(self, columns: Sequence[str]) -> str:
        """Say how many times as fast ours is as the best of some columns."""
        times = [value for name in columns if isinstance(value := self.cells.get(name), float)]
        ours = self.cells[OURS]
        return f"{min(times) / ours:.2f}" if times and isinstance(ours, float) else "nothing to compare"

    def text(self, column: str) -> str:
        """Write a cell."""
        value = self.cells.get(column, "no such file")
        mark = "*" if (column, self.shape.cell) in ANOTHER else ""
        return (number(value) if isinstance(value, float) else value) + mark


def judge(expected: Sequence[Any], run: Run) -> str:
    """Compare a run with eager's results, each against its largest value; say what is wrong."""
    for got, want in zip(map(np.asarray, run()), map(np.asarray, expected), strict=True):
        if got.shape != want.shape:
            return f"shape {list(got.shape)}"
        error = float(np.abs(got - want).max() / np.abs(want).max())
        if not error <= WRONG:
            return f"off by {error:.0e} of the largest value"
    return ""


def race(starts: Mapping[str, Callable[[], Run]], task: Task, seconds: float) -> dict[str, float | str]:
    """Start, judge and time each column."""
    with one_core():
        expected = eager(task)()
        cells: dict[str, float | str] = {}
        runs: dict[str, Run] = {}
        for name, start in starts.items():
            unlike = (name, type(task.net)) in ANOTHER
            found = attempt(start, (lambda run: "") if unlike else partial(judge, expected))
            if isinstance(found, str):
                cells[name] = found
            else:
                runs[name] = found
        return cells | measure(runs, seconds=seconds)


def line(shape: Shape, folder: Path, seconds: float = SECONDS) -> Line:
    """Export a net with an example of the shape, and time the bundle's files and the peers."""
    net = shape.net()
    inputs, state = shape.example(net)
    bundle = export(net, (inputs, state), folder / "bundle")
    task = Task(
        net,
        bundle.folder / OURS,
        _save(forms(net, (inputs, state))[OPERATOR], folder),
        inputs.numpy(),
        tuple(leaf.numpy() for leaf in state),
    )
    starts: dict[str, Callable[[], Run]] = {name: partial(peer, task) for name, peer in PEERS.items()}
    for file in bundle.manifest.files:
        for runtime in RUNTIMES.values():
            if file.endswith(runtime.suffix) and runtime.name not in SLOW:
                name = NAMES.get((file, runtime.name), f"{file} in {runtime.name}")
                starts[name] = partial(_bound, runtime.start, bundle, file, task)
    cells = race(starts, task, seconds)
    shipped = bundle.manifest.form
    reasons = bundle.manifest.verification["left_out"]
    for form in FORMS:
        left_out = any(f"{form}.onnx" in reason for reason in reasons)
        cells.setdefault(form, cells[OURS] if form == shipped else "left out" if left_out else "none")
    return Line(shape, cells, shipped)


def _bound(start: Callable[[Path, Signature], Any], bundle: Bundle, file: str, task: Task) -> Run:
    return partial(start(bundle.folder / file, bundle.signature), task.inputs, *task.state)


def forms(net: nn.Module, example: tuple[torch.Tensor, Any]) -> dict[str, onnx.ModelProto]:
    """Make every form of a net, as they are before one is chosen."""
    stages = optimize(step.capture(examine(net, example)))
    return {stage.form: stage.program.proto() for stage in stages if stage.form}


def _save(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "form.onnx"
    onnx.save(model, path)
    return path


def headings_and_rows(lines: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
    """Lay out the comparison with others."""
    names = dict.fromkeys(name for row in lines for name in row.cells)
    own = [name for name in names if name not in {*OTHERS, *FORMS[1:], OURS}]
    columns = [*PEERS, "TorchScript", LOOP, *own, OURS]
    rows = [
        [
            *_labels(row.shape),
            *map(row.text, columns),
            row.times_as_fast([LOOP]),
            row.times_as_fast(OTHERS),
        ]
        for row in lines
    ]
    return ["Net", "T", "B", *columns, "times as fast as loop", "as the best other"], rows


def form_rows(lines: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
    """Lay out the comparison of the forms."""
    rows = [
        [*_labels(row.shape), *map(row.text, FORMS), row.shipped, row.times_as_fast(FORMS)] for row in lines
    ]
    return ["Net", "T", "B", *FORMS, "model.onnx is", "times as fast as the best"], rows


def _labels(shape: Shape) -> list[str]:
    return [shape.sizes, str(shape.steps), str(shape.batch)]


def choices(seconds: float = SECONDS) -> tuple[list[str], list[list[str]]]:
    """Time the forms that the traced step has, in ONNX Runtime: the table of rnn_export/passes/choose.py."""
    columns = ("step", *FORMS[1:])
    rows = []
    for shape in FORM_SHAPES:
        net = shape.net()
        example = shape.example(net)
        signature = examine(net, example).signature
        arrays = [example[0].numpy(), *(leaf.numpy() for leaf in example[1])]
        with tempfile.TemporaryDirectory() as folder:
            models = forms(net, example)
            start = RUNTIMES["onnxruntime"].start
            calls = {form: start(_save(model, Path(folder)), signature) for form, model in models.items()}
        times = measure({form: partial(call, *arrays) for form, call in calls.items()}, seconds=seconds)
        rows.append([*_labels(shape), *(number(times[form]) if form in times else "" for form in columns)])
    return ["Net", "T", "B", *columns], rows


def show(console: Console, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    table = Table(*headings, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine() -> str:
    """Describe the processor and the versions."""
    info = Path("/proc/cpuinfo")
    names = [row.partition(":")[2].strip() for row in info.read_text().splitlines() if "model name" in row]
    name = names[0] if names else platform.processor()
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} not installed")
    python = f"Python {platform.python_version()}"
    return f"{name}, {os.cpu_count()} cores, one of them used; {python}, {', '.join(found)}"


def document(lines: Sequence[Line]) -> str:
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
  **tract**: the operator. **JAX**: a `lax.scan` written by hand. These three are compiled for one T and B.
- **TorchScript**: `model.pt`. **loop**: what `torch.onnx` makes of the scripted module, in ONNX Runtime.
- **model.onnx**: ours, in ONNX Runtime, exported with an example of that shape and verified. Free in T and B.
- The last columns say how many times as fast `model.onnx` is as `loop`, and as the best of all the others.

Each is compared with eager before it is timed; *wrong* is more than {WRONG:g} of a result's largest value.

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
    lines = []
    with reporting(), progress() as tell, tempfile.TemporaryDirectory() as folder:
        for done, shape in enumerate(SHAPES):
            tell(f"{shape.sizes} T={shape.steps} B={shape.batch}", done, len(SHAPES))
            own = Path(folder) / str(done)
            own.mkdir()
            lines.append(line(shape, own))
    show(console, *headings_and_rows(lines))
    show(console, *form_rows(lines))
    console.print(machine(), highlight=False)
    if write:
        OUT.write_text(document(lines))


if __name__ == "__main__":
    typer.run(main)
