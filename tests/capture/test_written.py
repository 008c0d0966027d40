"""What a loop writes into a tensor is what it would stack, wherever in the tensor."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rnn_export.capture.roll.rolled import roll
from rnn_export.capture.roll.written import without_writes
from rnn_export.module.inspection import inspect_export
from rnn_export.program.quiet import quiet

STEPS = 5


def time_last(x: Tensor, step: Callable[[Tensor, Tensor], Tensor], h: Tensor) -> Tensor:
    y = torch.empty(x.shape[1], 4, x.shape[0])
    for t in range(len(x)):
        h = step(x[t], h)
        y[:, :, t] = h
    return y


def pieces(x: Tensor, step: Callable[[Tensor, Tensor], Tensor], h: Tensor) -> Tensor:
    y = x.new_zeros(x.shape[1], len(x), 4)
    for t in range(len(x)):
        h = step(x[t], h)
        y[:, t : t + 1] = h[:, None]
    return y


def read_again(x: Tensor, step: Callable[[Tensor, Tensor], Tensor], h: Tensor) -> Tensor:
    y = torch.zeros(len(x) + 1, x.shape[1], 4)
    for t in range(len(x)):
        y[t + 1] = step(x[t], y[t])
    return y[1:]


WAYS = {"time last": time_last, "pieces": pieces, "read again": read_again}


class Writes(nn.Module):
    """Writes its outputs into a tensor that is there before."""

    def __init__(self, way: Callable[..., Tensor]) -> None:
        super().__init__()
        self.cell, self.way = nn.RNNCell(2, 4), way

    def forward(self, x: Tensor) -> Tensor:
        return self.way(x, self.cell, torch.zeros(x.shape[1], 4))


def operators(model: nn.Module, x: Tensor) -> torch.fx.GraphModule:
    with quiet():
        return torch.export.export(model, (x,)).run_decompositions({}).module(check_guards=False)


@pytest.mark.parametrize("way", WAYS)
def test_writes_are_stacked(way: str) -> None:
    model, x = Writes(WAYS[way]).eval(), torch.randn(STEPS, 3, 2)
    traced = operators(model, x)
    graph = without_writes(traced.graph, STEPS)
    graph.eliminate_dead_code()
    traced.recompile()
    assert "scatter" not in str(graph)
    with torch.no_grad():
        torch.testing.assert_close(traced(x), model(x))


def test_fewer_writes_than_time_steps_stay() -> None:
    model, x = Writes(time_last).eval(), torch.randn(STEPS, 3, 2)
    traced = operators(model, x)
    assert "scatter" in str(without_writes(traced.graph, STEPS + 1))


@pytest.mark.exhaustive
@pytest.mark.parametrize("way", WAYS)
def test_such_a_loop_is_rolled_up(way: str) -> None:
    torch.manual_seed(0)
    rolled = roll(inspect_export(Writes(WAYS[way]).eval(), (torch.randn(7, 3, 2),)))
    assert rolled is not None
    assert [leaf.shape for leaf in rolled.signature.state] == [("batch", 4)]


class LayerAsCell(nn.Module):
    """Calls a recurrent layer for each time step, with a state of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.read = nn.GRU(2, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        h, y = torch.zeros(1, x.shape[1], 4), torch.zeros(x.shape[1], 2)
        outputs = []
        for x_t in x:
            z, h = self.layer((x_t - y)[None], h)
            y = self.read(z[0])
            outputs.append(y)
        return torch.stack(outputs)


@pytest.mark.exhaustive
def test_a_layer_that_takes_one_time_step_is_a_cell() -> None:
    torch.manual_seed(0)
    rolled = roll(inspect_export(LayerAsCell().eval(), (torch.randn(7, 3, 2),)))
    assert rolled is not None
    assert sorted(map(str, (leaf.shape for leaf in rolled.signature.state))) == [
        "('batch', 2)",
        "(1, 'batch', 4)",
    ]
