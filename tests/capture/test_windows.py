"""What looks back over a whole sequence, in front of recurrent layers, behind them, or alone: it streams."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

import rnn_export
from rnn_export.bundle.layout import MODEL_C
from rnn_export.capture.roll.rolled import roll
from rnn_export.module.inspection import inspect_export

SIZES = ((1, 1), (4, 2), (23, 5))  # time steps and rows


class Residual(nn.Module):
    """A block of a temporal convolutional net: padded on both sides, the end cut off; then a faster one."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 6, 3, padding=2))
        self.second, self.norm = nn.Conv1d(6, 6, 2, padding=3, dilation=3), nn.BatchNorm1d(6)
        self.down = nn.Conv1d(4, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)
        y = torch.relu(self.first(x)[:, :, :-2]).contiguous()
        y = torch.relu(self.norm(self.second(y)[..., :-3]))
        return torch.relu(y + self.down(x)).transpose(1, 2)


class InFront(nn.Module):
    """A causal convolution, a recurrent layer, and one more convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.layer = nn.Conv1d(4, 4, 3, groups=2), nn.LSTM(4, 5, 2, batch_first=True)
        self.out = nn.Conv1d(5, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.layer(self.conv(pad(x.transpose(1, 2), (2, 0))).transpose(1, 2))
        return self.out(pad(y.transpose(1, 2), (1, 0))).transpose(1, 2)


class Loop(nn.Module):
    """The same around a loop that is written out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.cell, self.out = nn.Conv1d(4, 4, 3), nn.GRUCell(4, 5), nn.Conv1d(5, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        u, h, outputs = self.conv(pad(x.transpose(1, 2), (2, 0))), x.new_zeros(x.shape[0], 5), []
        for t in range(x.shape[1]):
            h = self.cell(u[:, :, t], h)
            outputs.append(h)
        return self.out(pad(torch.stack(outputs, 2), (1, 0))).transpose(1, 2)


class Shifted(nn.Module):
    """Mixes every time step with the one before it."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.shift = nn.Parameter(torch.rand(4)), nn.ZeroPad2d((0, 0, 1, -1))
        self.key, self.value = nn.Linear(4, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.mix * x + (1 - self.mix) * self.shift(x)
        return x + self.value(torch.relu(self.key(mixed)) ** 2)


class Prompted(nn.Module):
    """Reads its inputs a time step late, zeros at first."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(4, 5, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.layer(torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1))[0]
        return outputs


class Picture(nn.Module):
    """A convolution over time and frequency, causal over the time, in front of a recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.layer = nn.Conv2d(1, 3, (3, 3), padding=(2, 1)), nn.GRU(12, 5, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.conv(x.unsqueeze(1))[:, :, :-2])
        outputs: Tensor = self.layer(y.transpose(1, 2).flatten(2))[0]
        return outputs


class Means(nn.Module):
    """The mean and the largest of four time steps."""

    def forward(self, x: Tensor) -> Tensor:
        y = pad(torch.sigmoid(x.transpose(1, 2)), (3, 0))
        both = nn.functional.avg_pool1d(y, 4, 1), nn.functional.max_pool1d(y, 4, 1)
        return torch.cat(both, 1).transpose(1, 2)


class Attention(nn.Module):
    """Linear attention: it keeps a sum over the time steps so far."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = nn.Linear(4, 3), nn.Linear(4, 3), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        query, key = torch.sigmoid(self.query(x)), torch.sigmoid(self.key(x))
        pairs = (key.unsqueeze(-1) * self.value(x).unsqueeze(-2)).cumsum(1)
        return (query.unsqueeze(-1) * pairs).sum(-2)


class Centred(InFront):
    """Looks a time step ahead."""

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.layer(self.conv(pad(x.transpose(1, 2), (1, 1))).transpose(1, 2))[0]
        return outputs


class Halved(InFront):
    """Gives every second time step, which no step can."""

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.conv1d(pad(x.transpose(1, 2), (2, 0)), self.conv.weight, None, 2, groups=2)
        outputs: Tensor = self.layer(y.transpose(1, 2))[0]
        return outputs


# Each with what it keeps of a row.
NETS: dict[str, tuple[Callable[[], nn.Module], list[tuple[int | str, ...]]]] = {
    "residual": (Residual, [("batch", 4, 2), ("batch", 6, 3)]),
    "in front": (InFront, [("batch", 4, 2), (2, "batch", 5), (2, "batch", 5), ("batch", 5, 1)]),
    "loop": (Loop, [("batch", 5), ("batch", 4, 2), ("batch", 5, 1)]),
    "shifted": (Shifted, [("batch", 1, 4)]),
    "prompted": (Prompted, [("batch", 1, 4), (1, "batch", 5)]),
    "picture": (Picture, [("batch", 1, 2, 4), (1, "batch", 5)]),
    "means": (Means, [("batch", 4, 3)]),
    "attention": (Attention, [("batch", 1, 3, 5)]),
}


def made(kind: Callable[[], nn.Module]) -> Any:
    torch.manual_seed(0)
    return kind().eval()


@pytest.mark.several(3)
@pytest.mark.parametrize("name", NETS)
def test_what_it_reads_again_is_kept(name: str) -> None:
    kind, state = NETS[name]
    rolled = roll(inspect_export(made(kind), torch.randn(3, 9, 4)))
    assert rolled
    assert [leaf.shape for leaf in rolled.signature.state] == state


@pytest.mark.parametrize("name", NETS)
def test_it_streams_in_every_file(name: str, tmp_path: Path) -> None:
    model = made(NETS[name][0])
    bundle = rnn_export.export(model, torch.randn(3, 9, 4), tmp_path / "b")
    assert bundle.signature.streamable
    assert MODEL_C in bundle.manifest.files
    for runtime in ("onnxruntime", "torchscript", "c"):
        runner = rnn_export.load(bundle.folder, runtime)
        for steps, batch in SIZES:
            x = torch.randn(batch, steps, 4)
            state, parts = bundle.signature.initial_state(batch), []
            for piece in x.split(3, 1):
                part, state = runner(piece.numpy(), state)
                parts.append(part)
            with torch.no_grad():
                np.testing.assert_allclose(np.concatenate(parts, 1), model(x), atol=1e-5)


@pytest.mark.parametrize("kind", [Centred, Halved])
def test_what_no_step_can_give_is_not_rolled_up(kind: Callable[[], nn.Module]) -> None:
    assert roll(inspect_export(made(kind), torch.randn(3, 9, 4))) is None
