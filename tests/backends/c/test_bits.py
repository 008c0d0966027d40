"""Nets of random sizes: a row has the same bits in any batch, cut anywhere, whatever a compiler is told.

Six small nets every day, 16 large ones in `make test-exhaustive`, 500 in `make test-all`: 2,000 layers of
random sizes, each net built by gcc and by clang. That takes some hours of one core. Others, or one alone:

    C_SEEDS=2000 pytest -m "" tests/backends/c/test_bits.py
    C_SEEDS=88 pytest -m "" tests/backends/c/test_bits.py -k "[87]"
"""

import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rnn_export.runtimes import c
from rnn_export.signature.signature import Call
from rnn_export.signature.tensors import Array
from tests.support.c_cells import write_c
from tests.support.c_programs import needs_compiler
from tests.support.cases import sample

pytestmark = [needs_compiler, pytest.mark.filterwarnings("ignore:dropout option")]

BATCH, STEPS = 37, 19
QUICK, SMALL = 3, 6  # of the seeds: those of every day, and those of small nets
SEEDS = [str(seed) for seed in range(int(os.environ.get("C_SEEDS", "22")))]
LAYERS, UNITS, DEPTH = 4, 130, 3  # of a large net, at the most
# The kinds of processor that are compiled for: this one, another, and those that a program chooses from.
FLAGS = {
    "gcc": [
        "-O2 -march=native",
        "-O3",
        "-O3 -mavx2 -mfma",
        "-O2",
        "-O1",
        "-O3 -march=native",
        "-O2 -march=native -ffp-contract=fast",
        "-O2 -march=native -DPLAIN_LOOPS",
        "-O2 -march=native -DPLAIN_LOOPS -DNET_SMALL=1",
        "-O1 -march=native -std=c11",
    ],
    "clang": [
        "-O2",
        "-O2 -march=native",
        "-O3 -mavx2 -mfma -ffp-contract=fast",
        "-O3",
        "-O1",
        "-O3 -march=native",
        "-O2 -march=native -DPLAIN_LOOPS",
    ],
}


def builds(seed: int) -> list[tuple[str, str]]:
    """Say how a net is built: a small one by one of both compilers."""
    chosen = [(compiler, flags[seed % len(flags)]) for compiler, flags in FLAGS.items()]
    return [chosen[seed % len(chosen)]] if seed < SMALL else chosen


class Minimal(nn.Module):
    """A cell by hand, a minimal gated unit (Zhou et al., 2016).

    f_t = sigmoid(W_f x_t + U_f h_{t-1})
    h_t = (1 - f_t) h_{t-1} + f_t tanh(W_h x_t + U_h (f_t h_{t-1}))
    """

    num_layers = 1

    def __init__(self, inputs: int, units: int, _: int) -> None:
        super().__init__()
        self.hidden_size = units
        self.x_f, self.x_h = nn.Linear(inputs, units), nn.Linear(inputs, units)
        self.h_f, self.h_h = nn.Linear(units, units), nn.Linear(units, units)

    def forward(self, inputs: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h_t, outputs = h[0], []
        for x_t in inputs:
            f_t = torch.sigmoid(self.x_f(x_t) + self.h_f(h_t))
            h_t = (1 - f_t) * h_t + f_t * torch.tanh(self.x_h(x_t) + self.h_h(f_t * h_t))
            outputs.append(h_t)
        return torch.stack(outputs), h_t[None]


class SideBySide(nn.Module):
    """Recurrent layers of all kinds and sizes, that read the same inputs."""

    def __init__(self, draw: random.Random, cells: int, units: int, layers: int) -> None:
        super().__init__()
        self.inputs = draw.randint(1, 70)
        kinds = [draw.choice([nn.RNN, nn.GRU, nn.LSTM, Minimal]) for _ in range(cells)]
        most = [min(units, draw.choice([20, 50, units])) for _ in kinds]  # small sizes take less to compile
        self.layers = nn.ModuleList(
            kind(self.inputs, draw.randint(1, size), draw.randint(1, layers))
            for kind, size in zip(kinds, most, strict=True)
        )
        self.heads = nn.ModuleList(nn.Linear(layer.hidden_size, draw.randint(1, 20)) for layer in self.layers)

    def forward(
        self, inputs: Tensor, state: list[tuple[Tensor, ...]]
    ) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
        outputs, after = [], []
        for layer, head, own in zip(self.layers, self.heads, state, strict=True):
            y, new = layer(inputs, own if len(own) > 1 else own[0])
            outputs.append(torch.tanh(head(y)) * y[..., :1])
            after.append(new if isinstance(new, tuple) else (new,))
        return torch.cat(outputs, -1), after

    def start(self, batch: int) -> list[tuple[Tensor, ...]]:
        return [
            tuple(
                torch.randn(layer.num_layers, batch, layer.hidden_size)
                for _ in range(1 + isinstance(layer, nn.LSTM))
            )
            for layer in self.layers
        ]


@pytest.mark.parametrize("seed", sample(SEEDS, *SEEDS[:QUICK]))
def test_a_row_has_the_same_bits_alone_and_in_pieces(
    seed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(int(seed))
    sizes = (2, 16, 1) if int(seed) < SMALL else (LAYERS, UNITS, DEPTH)
    net = SideBySide(random.Random(int(seed)), *sizes)
    subject = write_c(net, (torch.randn(5, 2, net.inputs), net.start(2)), tmp_path)
    inputs = torch.randn(STEPS, BATCH, net.inputs).numpy()
    state = [leaf.numpy() for leaves in net.start(BATCH) for leaf in leaves]
    found = [build for build in builds(int(seed)) if shutil.which(build[0])]
    if not found:
        pytest.skip(f"not installed: {builds(int(seed))}")
    for compiler, flags in found:
        monkeypatch.setenv("CC", compiler)
        monkeypatch.setenv("CFLAGS", flags)
        for call in c.variants(tmp_path / "model.c", subject.signature, Path.read_bytes):
            assert_same_bits(call, inputs, state, f"{compiler} {flags}")


def assert_same_bits(call: Call, inputs: Array, state: list[Array], build: str) -> None:
    """Compare a batch with some of its rows, and with the same in pieces."""
    whole = call(inputs, *state)
    for rows in ([0], [BATCH - 1], [2, 3, 4, 5, 6], [1, 8, 9, 30, 36, 7]):
        part = call(*(np.ascontiguousarray(leaf[:, rows]) for leaf in (inputs, *state)))
        for one, all_rows in zip(part, whole, strict=True):
            np.testing.assert_array_equal(one.view(np.int32), all_rows[:, rows].view(np.int32), build)
    outputs = []
    for piece in (slice(0, 1), slice(1, 12), slice(12, STEPS)):
        part, *state = call(inputs[piece], *state)
        outputs.append(part)
    for one, other in zip((np.concatenate(outputs), *state), whole, strict=True):
        np.testing.assert_array_equal(one.view(np.int32), other.view(np.int32), build)
