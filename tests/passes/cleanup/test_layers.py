"""States that stack several are taken apart, and those that only look like it are not."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from rnn_export.capture import step
from rnn_export.module import eager
from rnn_export.module.reading import inspect_module
from rnn_export.module.subject import Subject
from rnn_export.passes import pipeline
from rnn_export.passes.choose import OPERATORS
from rnn_export.passes.cleanup.layers import separate_layers
from rnn_export.passes.operators.guard import unguarded
from rnn_export.program.program import Program


class Stacked(nn.Module):
    """Some layers with their states in one tensor; a step takes and gives that tensor."""

    def __init__(self, step_of: Callable[..., object], cell: type[nn.Module] | None = None, layers: int = 2):
        super().__init__()
        self.step_of = step_of
        self.cells = nn.ModuleList([cell(5, 5) for _ in range(layers)] if cell else [])

    def forward(self, inputs, state):
        outputs = []
        for X in inputs:
            y, state = self.step_of(self.cells, X, state)
            outputs.append(y)
        return torch.stack(outputs), state


def picked(cells, x, state):
    """Layers picked by number, the way nn.GRU keeps its state."""
    states = []
    for number, cell in enumerate(cells):
        x = cell(x, state[number])
        states.append(x)
    return x, torch.stack(states)


def unbound(cells, x, state):
    states = []
    for cell, h in zip(cells, state.unbind(1), strict=True):
        x = cell(x, h)
        states.append(x)
    return x, torch.stack(states, dim=1)


def sliced(cells, x, state):
    """Layers cut out with their axis, and joined with it."""
    low = cells[0](x, state[0:1].squeeze(0)).unsqueeze(0)
    high = cells[1](low[0], state[-1:][0])[None]
    return high[0], torch.cat([low, high])


def with_cells(cells, x, state):
    """Layers with two states each, the way nn.LSTM keeps them."""
    hs, cs = [], []
    for number, cell in enumerate(cells):
        x, c = cell(x, (state[0][number], state[1][number]))
        hs.append(x)
        cs.append(c)
    return x, (torch.stack(hs), torch.stack(cs))


def side_by_side(cells, x, state):
    """Both states of a cell in one row."""
    h, c = cells[0](x, state.chunk(2, dim=1))
    return h, torch.cat((h, c), dim=1)


def two_of_three(cells, x, state):
    """The lower layer reads two states as one range."""
    low = cells[0](x, state[:2].sum(0))
    high = cells[1](low, state[2])
    return high, torch.stack([low, 0.5 * low, high])


def handed_up(cells, x, state):
    """A state becomes the other one: a delay of one step."""
    low = cells[0](x, state[0])
    return low + state[1], torch.stack([low, state[0]])


ONE, TWO, THREE = torch.zeros(1, 4, 5), torch.zeros(2, 4, 5), torch.zeros(3, 4, 5)
TAKEN = {
    "one layer": (Stacked(picked, nn.GRUCell, 1), ONE, ["GRU"]),
    "two layers": (Stacked(picked, nn.GRUCell), TWO, ["GRU", "GRU"]),
    "three layers": (Stacked(picked, nn.RNNCell, 3), THREE, ["RNN", "RNN", "RNN"]),
    "layers in the middle": (Stacked(unbound, nn.GRUCell), torch.zeros(4, 2, 5), ["GRU", "GRU"]),
    "slices": (Stacked(sliced, nn.RNNCell), TWO, ["RNN", "RNN"]),
    "two stacks": (Stacked(with_cells, nn.LSTMCell), (TWO, TWO), ["LSTM", "LSTM"]),
    "side by side": (Stacked(side_by_side, nn.LSTMCell), torch.zeros(4, 10), ["LSTM"]),
    "a range of two": (Stacked(two_of_three, nn.RNNCell), THREE, ["RNN", "Scan"]),
    "a delay": (Stacked(handed_up, nn.RNNCell), TWO, ["Scan"]),  # what it gives is the state before the step
}


def subject_of(model: nn.Module, state: object) -> Subject:
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return inspect_module(model.eval(), (torch.randn(6, 4, 5), state))


def check_same(program: Program, subject: Subject) -> None:
    onnx.checker.check_model(program.proto(), full_check=True)
    call = eager.start(subject, torch.float64)
    for time, batch in ((1, 1), (9, 4)):
        feeds = program.sample(time, batch)
        for got, want in zip(program.run(feeds).values(), call(*feeds.values()), strict=True):
            np.testing.assert_allclose(got, want, atol=3e-6)


@pytest.mark.several(3)
@pytest.mark.parametrize(("model", "state", "expected"), TAKEN.values(), ids=TAKEN.keys())
def test_every_layer_is_a_recurrence_of_its_own(model: nn.Module, state: object, expected: list[str]) -> None:
    subject = subject_of(model, state)
    stages = pipeline.optimize(step.capture(subject))
    [program] = [stage.program for stage in stages if stage.form == "operator"]
    kinds = [node.op_type for node in unguarded(program.model).graph if node.op_type in {"Scan", *OPERATORS}]
    assert sorted(kinds) == expected
    check_same(program, subject)


def delay_line(cells, x, state):
    return state[2], torch.cat([x[None], state[:-1]])


def read_whole(cells, x, state):
    low = torch.tanh(x + state.mean(0))
    return low, torch.stack([low, 0.5 * low])


def rolled(cells, x, state):
    return state[0], torch.tanh(state.flip(0) + x)


@pytest.mark.parametrize(
    ("cell", "state"),
    [(delay_line, THREE), (read_whole, TWO), (rolled, TWO)],
    ids=["shifted", "whole", "turned"],
)
def test_a_state_that_is_read_otherwise_stays_whole(cell: Callable[..., object], state: torch.Tensor) -> None:
    subject = subject_of(Stacked(cell, nn.RNNCell, 1), state)
    loop = next(stage for stage in pipeline.optimize(step.capture(subject)) if stage.form == "step").program
    after = separate_layers(loop)
    [scan] = [node for node in after.model.graph if node.op_type == "Scan"]
    assert len(scan.inputs) == 2
    check_same(after, subject)
