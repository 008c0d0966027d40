"""Time model.c against RTNeural, whose C++ templates fix the sizes of a net at compile time.

    python benchmarks/rtneural.py CHECKOUT              all sizes: some minutes
    python benchmarks/rtneural.py CHECKOUT --units 32   of some units alone
    python benchmarks/rtneural.py CHECKOUT --write      its section of BENCHMARKS.md

CHECKOUT is a clone of github.com/jatinchowdhury18/RTNeural with its submodules; Debian's libeigen3-dev has
Eigen. Each net is exported and verified, and RTNeural gets its weights; both have to give the same before
they are timed. Then they take turns on one core; the state goes from step to step.
"""

import argparse
import ctypes
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from subprocess import run as run_program

import numpy as np
import torch
from limits import machine
from rich import box
from rich.console import Console
from rich.table import Table
from sections import OUT, replaced
from torch import Tensor, nn

import rnn_export
from rnn_export.benchmark.bench import one_core
from rnn_export.runtimes.c import pointer
from rnn_export.runtimes.compiler import build, entry

HERE = Path(__file__).parent
UNITS = (8, 16, 20, 32, 40, 64, 80)
INPUTS = (1, 16)
BLOCK = 64  # time steps a call, as audio comes
STEPS, TURNS = 4096, 25
BACKENDS: dict[str, tuple[str, ...]] = {
    "Eigen": ("-DRTNEURAL_USE_EIGEN=1", "-Imodules/Eigen", "-I/usr/include/eigen3"),
    "xsimd": ("-DRTNEURAL_USE_XSIMD=1", "-Imodules/xsimd/include"),
}
ASKED = {1: 1.5, BLOCK: 1.7}  # times as fast as the better backend


@dataclass(frozen=True)
class Net:
    """A recurrent layer of ``units`` and a linear one with one output, as plug-ins for audio have them."""

    layer: type[nn.LSTM] | type[nn.GRU]
    inputs: int
    units: int

    @property
    def name(self) -> str:
        """What the layer is called, and its sizes."""
        return f"{self.layer.__name__} {self.inputs}-{self.units}-1"


class Head(nn.Module):
    """``nn.LSTM`` or ``nn.GRU``, and one output."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.layer: nn.Module = net.layer(net.inputs, net.units)
        self.head = nn.Linear(net.units, 1)

    def forward(self, inputs: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run over ``inputs [T, B, inputs]``."""
        outputs, after = self.layer(inputs, state if len(state) > 1 else state[0])
        return self.head(outputs), after if isinstance(after, tuple) else (after,)


Run = Callable[[], object]


def contenders(net: Net, checkout: Path, folder: Path) -> Iterator[tuple[str, ctypes.CDLL]]:
    """Build the net in every way, and start it."""
    torch.manual_seed(net.units)
    model = Head(net).eval()
    leaves = 2 if net.layer is nn.LSTM else 1
    state = tuple(torch.zeros(1, 1, net.units) for _ in range(leaves))
    bundle = rnn_export.export(model, (torch.randn(BLOCK, 1, net.inputs), state), folder / "b")
    weights = folder / "weights.json"
    weights.write_text(json.dumps({name: tensor.tolist() for name, tensor in model.state_dict().items()}))
    sizes = (f"-DIN={net.inputs}", f"-DUNITS={net.units}", f"-DSTATE={leaves * net.units}")
    source = bundle.folder / "model.c"
    for piece in ASKED:
        library = folder / f"{piece}.so"
        flags = ("-march=native", f"-DRUN={entry(source).name}", f"-DPIECE={piece}", f"-I{source.parent}")
        build(HERE / "rtneural.c", library, "-shared", "-fPIC", *flags, *sizes, str(source))
        yield f"model.c, {piece} a call", started(library, weights)
    layer = net.layer.__name__
    for backend, options in BACKENDS.items():
        library = folder / f"{backend}.so"
        line = ["c++", "-std=c++17", "-O3", "-march=native", "-w", "-shared", "-fPIC", "-I.", *options]
        line += ["-DRTNEURAL_DEFAULT_ALIGNMENT=32", f"-DLAYER={layer}LayerT", f"-DLOAD=load{layer}", *sizes]
        run_program([*line, str(HERE / "rtneural.cpp"), "-o", str(library)], check=True, cwd=checkout)  # noqa: S603
        yield f"RTNeural, {backend}", started(library, weights)


def started(library: Path, weights: Path) -> ctypes.CDLL:
    """Load a library, and its weights."""
    loaded = ctypes.CDLL(str(library))
    loaded.start(str(weights).encode())
    return loaded


def times(net: Net, checkout: Path) -> dict[str, float]:
    """Give nanoseconds a time step of each contender, medians.

    Raises:
        SystemExit: one of them does not give what the others do.
    """
    inputs = np.random.default_rng(0).normal(size=(STEPS, net.inputs)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder, one_core():
        runs, first = dict[str, Run](), None
        for name, library in contenders(net, checkout, Path(folder)):
            outputs = np.empty(STEPS, np.float32)
            runs[name] = partial(library.run, ctypes.c_size_t(STEPS), pointer(inputs), pointer(outputs))
            runs[name]()
            first = outputs if first is None else first
            if not np.allclose(outputs, first, atol=1e-4):
                raise SystemExit(f"{net.name}: {name} is off by {np.abs(outputs - first).max():.1e}")
        taken: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(TURNS):
            for name, run in runs.items():
                begin = time.perf_counter()
                run()
                taken[name].append(time.perf_counter() - begin)
    return {name: median(seconds) / STEPS * 1e9 for name, seconds in taken.items()}


def lines(checkout: Path, nets: Iterable[Net]) -> Iterator[list[str]]:
    """Give the table: what its columns are called, then a row for each net."""
    for number, net in enumerate(nets):
        found = times(net, checkout)
        peer = min(value for name, value in found.items() if name.startswith("RTNeural"))
        ratios = [f"{peer / found[f'model.c, {piece} a call']:.2f}" for piece in ASKED]
        if number == 0:
            asked = [f"{piece} a call: times as fast (asked: {least})" for piece, least in ASKED.items()]
            yield ["ns a step", *found, *asked]
        yield [net.name, *(f"{value:.0f}" for value in found.values()), *ratios]


def section(table: list[list[str]]) -> str:
    """Write the last part of BENCHMARKS.md."""
    rows = [table[0], ["---", *["---:"] * (len(table[0]) - 1)], *table[1:]]
    text = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"""Written by `python benchmarks/rtneural.py CHECKOUT --write`.

Machine: {machine()}.

Nanoseconds a time step of a recurrent layer and a linear one with one output, one row; medians of {TURNS}
runs of {STEPS} steps, in which all columns take turns. RTNeural is compiled with `-O3 -march=native`, model.c
with `-O2 -march=native`.

{text}
"""


def main() -> None:
    """Print a table of all sizes that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkout", type=Path, help="a clone of RTNeural")
    parser.add_argument("--units", type=int, nargs="+", default=UNITS)
    parser.add_argument("--inputs", type=int, nargs="+", default=INPUTS)
    parser.add_argument("--write", action="store_true", help="write it into BENCHMARKS.md as well")
    given = parser.parse_args()
    layers: tuple[type[nn.LSTM] | type[nn.GRU], ...] = (nn.LSTM, nn.GRU)
    nets = (Net(*sizes) for sizes in product(layers, given.inputs, given.units))
    found = list(lines(given.checkout.resolve(), nets))
    table = Table(*found[0], box=box.MARKDOWN)
    for row in found[1:]:
        table.add_row(*row)
    console = Console(width=200)
    console.print(machine(), highlight=False, soft_wrap=True)
    console.print(table)
    if given.write:
        OUT.write_text(replaced(OUT.read_text(), "model.c against RTNeural", section(found)))


if __name__ == "__main__":
    main()
