"""Operators that the exporter of TorchScript lacks are written as others, where only the loop can be kept."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rnn_export.capture.onnx_file import reader
from rnn_export.capture.script.script import script
from rnn_export.capture.script.specialize import specialized
from rnn_export.module.reading import inspect_module
from rnn_export.program.program import OPSET
from tests.support.loop_form import export_loop

CALLS = ((1, 1), (2, 3), (9, 4))


class Holder(nn.Module):
    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell


class One(Holder):
    """The state begins inside, so that no step of it can be traced."""

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.shape[1], 5)
        out: list[Tensor] = []
        for x_t in x:
            h = self.cell(x_t, h)
            out.append(h)
        return torch.stack(out)


class Two(Holder):
    def forward(self, x: Tensor) -> Tensor:
        h, c = torch.zeros(x.shape[1], 5), torch.zeros(x.shape[1], 5)
        out: list[Tensor] = []
        for x_t in x:
            h, c = self.cell(x_t, (h, c))
            out.append(h)
        return torch.stack(out)


class Layer(Holder):
    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(1, x.shape[1], 5)
        out: list[Tensor] = []
        for x_t in x:
            y, h = self.cell(x_t.unsqueeze(0), h)
            out.append(y[0])
        return torch.stack(out)


class Functions(nn.Module):
    """One that the exporter writes with a loss of digits, one that it lacks, one with several constants."""

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros_like(x[0])
        out: list[Tensor] = []
        for x_t in x:
            h = 1e6 * torch.log1p(1e-6 * x_t.abs() + 1e-7 * h) + torch.logaddexp(x_t, h)
            h = 0.1 * h + torch.sinc(x_t) + torch.logit(x_t, 0.1) + torch.logit(x_t, 0.3)
            out.append(h)
        return torch.stack(out)


class Pieces(nn.Module):
    """Lists of tensors that are taken apart at once."""

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros_like(x[0])
        out: list[Tensor] = []
        for x_t in x:
            a, b = torch.stack([x_t, h]).unbind(0)
            c, d = torch.unsafe_chunk(a + b, 2, 1)
            h = torch.cat([d, c], 1).tanh()
            out.append(h)
        return torch.stack(out)


@pytest.mark.several(2)
@pytest.mark.parametrize(
    "build",
    [
        lambda: One(nn.RNNCell(4, 5)),
        lambda: One(nn.RNNCell(4, 5, nonlinearity="relu", bias=False)),
        lambda: One(nn.GRUCell(4, 5)),
        lambda: Two(nn.LSTMCell(4, 5, bias=False)),
        lambda: Layer(nn.GRU(4, 5)),
        Functions,
        Pieces,
    ],
    ids=["rnn", "relu_without_bias", "gru", "lstm_without_bias", "layer", "functions", "pieces"],
)
def test_a_loop_that_begins_by_itself_has_a_form_in_onnx(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    model = build().eval()
    subject = inspect_module(model, torch.randn(6, 3, 4))
    reading = reader.read(export_loop(script(subject), subject), subject.signature)
    assert not reading.left
    for time, batch in CALLS:
        x = torch.randn(time, batch, 4)
        with torch.no_grad():
            expected = model.double()(x.double()) if isinstance(model, Functions) else model(x)
        found = reading.program.run({"inputs": x.numpy()})["outputs"]
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-6)


class Ranks(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        rank = 0
        while rank != 2:
            rank = y.dim()
            x, y = x + rank, x[0]
        if x.dim() == 3:
            x = x * 2
        if bool(x.sum() > 1e9):
            x = x * x.dim()
        return torch.sinc(x)


def asked(module: Any) -> tuple[int, int]:
    """Count the nodes that ask for a rank, and those of an operator that the exporter lacks."""
    graph = module.forward.graph
    return len(graph.findAllNodes("aten::dim")), len(graph.findAllNodes("aten::sinc"))


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_what_the_example_does_in_two_ways_or_not_at_all_is_left() -> None:
    scripted = torch.jit.script(Ranks().eval())
    assert asked(scripted) == (3, 1)
    found = specialized(scripted, (torch.ones(2, 3, 4), torch.ones(2, 3, 4)), OPSET)
    assert asked(found) == (2, 0)
    other = torch.randn(5, 1, 2), torch.randn(5, 1, 2)
    torch.testing.assert_close(found(*other), Ranks()(*other))
