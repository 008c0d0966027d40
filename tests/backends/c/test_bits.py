"""Nets of random sizes: a row has the same bits in any batch, cut anywhere, whatever a compiler is told.

Six small nets every day, 16 large ones in `make test-exhaustive`; where there are hours, 1,000:

    C_SEEDS=1000 pytest -m "" tests/backends/c/test_bits.py
"""

import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.support.c_cells import built
from tests.support.c_programs import needs_compiler
from tests.support.cases import sample

pytestmark = [needs_compiler, pytest.mark.filterwarnings("ignore:dropout option")]

BATCH, STEPS = 37, 19
QUICK, SMALL = 3, 6  # of the seeds: those of every day, and those of small nets
SEEDS = [str(seed) for seed in range(int(os.environ.get("C_SEEDS", "22")))]
FLAGS = [
    ("gcc", "-O2 -march=native"),
    ("clang", "-O2 -march=native"),
    ("gcc", "-O3 -mavx2 -mfma"),
    ("gcc", "-O1"),
    ("clang", "-O3 -mavx2 -mfma -ffp-contract=fast"),
    ("gcc", "-O2 -march=native -ffp-contract=fast"),
    ("gcc", "-O2 -march=native -DPLAIN_LOOPS"),
    ("gcc", "-O2 -march=native -DPLAIN_LOOPS -DNET_SMALL=1"),
    ("gcc", "-O1 -march=native -std=c11"),
    ("clang", "-O1"),
]


class SideBySide(nn.Module):
    """Recurrent layers of all kinds and sizes, that read the same inputs."""

    def __init__(self, draw: random.Random, cells: int, units: int, layers: int) -> None:
        super().__init__()
        self.inputs = draw.randint(1, 70)
        kinds = [draw.choice([nn.RNN, nn.GRU, nn.LSTM]) for _ in range(cells)]
        self.layers = nn.ModuleList(
            kind(self.inputs, draw.randint(1, units), draw.randint(1, layers)) for kind in kinds
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
    compiler, flags = FLAGS[int(seed) % len(FLAGS)]
    if shutil.which(compiler) is None:
        pytest.skip(f"not installed: {compiler}")
    monkeypatch.setenv("CC", compiler)
    monkeypatch.setenv("CFLAGS", flags)
    torch.manual_seed(int(seed))
    sizes = (2, 16, 1) if int(seed) < SMALL else (1, 130, 3)  # a large net takes compilers half a minute
    net = SideBySide(random.Random(int(seed)), *sizes)
    call = built(net, (torch.randn(5, 2, net.inputs), net.start(2)), tmp_path)
    inputs = torch.randn(STEPS, BATCH, net.inputs).numpy()
    state = [leaf.numpy() for leaves in net.start(BATCH) for leaf in leaves]
    whole = call(inputs, *state)
    for rows in (slice(0, 1), slice(BATCH - 1, BATCH), slice(2, 7)):
        part = call(*(np.ascontiguousarray(leaf[:, rows]) for leaf in (inputs, *state)))
        for one, all_rows in zip(part, whole, strict=True):
            np.testing.assert_array_equal(one.view(np.int32), all_rows[:, rows].view(np.int32))
    outputs = []
    for piece in (slice(0, 1), slice(1, 12), slice(12, STEPS)):
        part, *state = call(inputs[piece], *state)
        outputs.append(part)
    for one, other in zip((np.concatenate(outputs), *state), whole, strict=True):
        np.testing.assert_array_equal(one.view(np.int32), other.view(np.int32))
