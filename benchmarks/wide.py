"""Time model.c of wide layers against ONNX Runtime and PyTorch's own, and against reading the weights.

    python benchmarks/wide.py                 prints the table; some minutes
    python benchmarks/wide.py --units 512     of some units alone
    python benchmarks/wide.py --write         writes it into BENCHMARKS.md as well

A call has 32 time steps. ONNX Runtime runs the operator, PyTorch its own layer, which is oneDNN's for an
LSTM; all have the same weights, have to give the same, and take turns on one core. Where a row is alone a
step waits for its weights: the last columns say how fast it reads them, as a share of what a loop in C
reaches that does nothing but read as many bytes.
"""

import argparse
import ctypes
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime
import torch
from limits import machine
from native import driver
from rich import box
from rich.console import Console
from rich.table import Table
from sections import OUT, replaced
from torch import Tensor, nn

from rnn_export.backends.c.write.model import compile_program
from rnn_export.backends.onnx import finish
from rnn_export.benchmark.bench import one_core
from rnn_export.capture import step
from rnn_export.module.inspection import find_streaming
from rnn_export.module.reading import inspect_module
from rnn_export.passes.pipeline import forms_of, optimize
from rnn_export.runtimes.c import caller
from rnn_export.runtimes.compiler import build, entry
from rnn_export.signature.signature import Signature

HEADING, COMMAND = "Wide layers", "python benchmarks/wide.py --write"
LAYERS: dict[str, type[nn.LSTM] | type[nn.GRU]] = {"LSTM": nn.LSTM, "GRU": nn.GRU}
UNITS, INPUTS, STEPS = (512, 1024), 128, 32
ASKED = {1: 1.2, 16: 1.0, 64: 0.95}  # rows: times as fast as the better of the others
TURNS, LEAST = 15, 0.5  # turns at the least, and seconds in which all take turns
READ = Path(__file__).with_name("read.c")
READS = 50  # the best of them counts
COLUMNS = (
    "Layer",
    "B",
    "model.c",
    "ONNX Runtime",
    "PyTorch",
    "times as fast as the better",
    "asked for",
    "weights, MB",
    "read, GB/s",
    "of what a loop reads",
)

Run = Callable[[], object]


@dataclass(frozen=True)
class Net:
    """A layer of ``torch.nn``, in C and as an ONNX file."""

    layer: nn.RNNBase
    signature: Signature
    library: ctypes.CDLL
    workspaces: dict[str, int]
    session: onnxruntime.InferenceSession

    @property
    def weights(self) -> int:
        """The bytes of the matrices that a step reads."""
        return 4 * sum(weight.numel() for weight in self.layer.parameters() if weight.ndim == 2)


class Whole(nn.Module):
    """A layer that takes and gives its state as a tuple."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, inputs: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run over ``inputs [T, B, INPUTS]``."""
        outputs, after = self.layer(inputs, state if len(state) > 1 else state[0])
        return outputs, after if isinstance(after, tuple) else (after,)


def made(name: str, units: int, folder: Path) -> Net:
    """Write the files of a layer, and load them."""
    torch.manual_seed(units)
    layer = LAYERS[name](INPUTS, units).eval()
    state = tuple(torch.zeros(1, 2, units) for _ in range(2 if name == "LSTM" else 1))
    subject = find_streaming(inspect_module(Whole(layer), (torch.randn(4, 2, INPUTS), state)))
    stages = optimize(replace(step.capture(subject), signature=subject.signature))
    program = next(stage.program for stage in stages if stage.name == "layers")
    files = compile_program(program, subject.signature, "net", "model.")
    (folder / "model.c").write_text(files.source)
    (folder / "model.h").write_text(files.header)
    (folder / "model.c.weights").write_bytes(files.weights)
    operator = finish(
        forms_of(stages)["operator"].copy().model, subject.signature, "net", {}, prefix="model."
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(operator.SerializeToString(), options)
    source = folder / "model.c"
    workspaces = entry(source).workspaces(subject.signature.free_sizes)
    return Net(layer, subject.signature, driver(source, folder), workspaces, session)


def runs(net: Net, batch: int) -> list[Run]:
    """Give a call of each, of the same arrays.

    Raises:
        SystemExit: one of them does not give what the others do.
    """
    inputs = np.random.default_rng(0).normal(size=(STEPS, batch, INPUTS)).astype(np.float32)
    state = [np.zeros(leaf.sized(batch=batch), np.float32) for leaf in net.signature.state]
    call = caller(partial(net.library.repeat, ctypes.c_size_t(1)), net.signature, net.workspaces)
    feeds = dict(zip((each.name for each in net.session.get_inputs()), [inputs, *state], strict=True))
    tensors = torch.from_numpy(inputs)

    def in_torch() -> object:
        with torch.inference_mode():
            return net.layer(tensors)

    found: list[Run] = [partial(call, inputs, *state), partial(net.session.run, None, feeds), in_torch]
    first, *others = (np.asarray(run()[0]) for run in found)  # type: ignore[index]
    for other in others:
        if not np.allclose(first, other, atol=1e-4):
            raise SystemExit(f"off by {np.abs(first - other).max():.1e}")
    return found


def times(calls: list[Run]) -> list[float]:
    """Let all take turns; give the median of each, in microseconds a time step."""
    taken: list[list[float]] = [[] for _ in calls]
    end = time.perf_counter() + LEAST
    while len(taken[0]) < TURNS or time.perf_counter() < end:
        for call, own in zip(calls, taken, strict=True):
            begin = time.perf_counter()
            call()
            own.append(time.perf_counter() - begin)
    return [median(own) / STEPS * 1e6 for own in taken]


def bandwidth(size: int, folder: Path) -> float:
    """Read so many bytes over and over; give bytes a second of the fastest."""
    library = folder / "read.so"
    build(READ, library, "-shared", "-fPIC", "-O3", "-march=native")
    function = ctypes.CDLL(str(library)).sum
    array = np.ones(size // 4, np.float32)
    address = ctypes.c_void_p(array.ctypes.data)
    taken = []
    for _ in range(READS):
        begin = time.perf_counter()
        function(ctypes.c_size_t(4), ctypes.c_size_t(array.size), address)
        taken.append(time.perf_counter() - begin)
    return 4 * size / min(taken)


def rows(units: list[int]) -> Iterator[list[str]]:
    """Give the rows of the table."""
    for name, count in product(LAYERS, units):
        with tempfile.TemporaryDirectory() as folder, one_core():
            net = made(name, count, Path(folder))
            for batch, asked in ASKED.items():
                own, *others = times(runs(net, batch))
                row = [f"{name} {INPUTS}-{count}", str(batch), *(f"{each:.1f}" for each in (own, *others))]
                row += [f"{min(others) / own:.2f}", str(asked)]
                if batch == 1:
                    read, most = net.weights / (own * 1e-6), bandwidth(net.weights, Path(folder))
                    row += [f"{net.weights / 1e6:.1f}", f"{read / 1e9:.1f}", f"{read / most:.0%}"]
                yield row + [""] * (len(COLUMNS) - len(row))


def section(found: list[list[str]]) -> str:
    """Write the section of BENCHMARKS.md."""
    lines = [COLUMNS, ["---", *["---:"] * (len(COLUMNS) - 1)], *found]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"""Written by `{COMMAND}`.

Machine: {machine()}.

Microseconds a time step, medians, of calls with {STEPS} steps, in which all columns take turns. *ONNX
Runtime*: the operator. *PyTorch*: the layer itself, which is oneDNN's for an LSTM. *Read*: the bytes of the
weights by the time of a step, as a share of what a loop in C reaches that only reads them.

{table}
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=int, nargs="+", default=UNITS)
    parser.add_argument("--write", action="store_true", help="write it into BENCHMARKS.md as well")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = list(rows(given.units))
    table = Table(*COLUMNS, box=box.MARKDOWN)
    for row in found:
        table.add_row(*row)
    console = Console(width=200)
    console.print(machine(), highlight=False, soft_wrap=True)
    console.print(table)
    if given.write:
        OUT.write_text(replaced(OUT.read_text(), HEADING, section(found)))


if __name__ == "__main__":
    main()
