"""A weight that no golden vector notices is named; golden vectors that are not finite prove nothing."""

import pytest
import torch
from torch import nn

from rnn_export.errors import VerificationError
from rnn_export.module.reading import inspect_module
from rnn_export.verification import grid, tolerance
from rnn_export.verification.sensitivity import unnoticed_weights
from tests.support.cases import ModelCase, each_case


def unnoticed(model: nn.Module, example: object) -> list[str]:
    subject = inspect_module(model.eval(), example)
    cases = grid.build(subject).cases
    return unnoticed_weights(subject, cases, tolerance.bounds(cases, subject.signature))


@each_case
def test_every_weight_of_an_ordinary_net_is_noticed(case: ModelCase) -> None:
    assert unnoticed(*case.build()) == []


class Layer(nn.Module):
    """A recurrent layer with a weight that nothing comes of, and one that is hardly ever reached."""

    def __init__(self) -> None:
        super().__init__()
        self.x, self.h, self.unused = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.rare = nn.Parameter(torch.ones(8))
        self.register_buffer("scale", torch.tensor(0.5))

    def forward(self, inputs, state):
        outputs = []
        for x_t in inputs:
            rare = (x_t.abs().sum(-1, keepdim=True) > 1e6).to(x_t.dtype)
            state = torch.tanh(self.scale * self.x(x_t) + self.h(state) + rare * self.rare)
            outputs.append(state)
        return torch.stack(outputs), state


def test_what_no_drawn_input_reaches_is_named() -> None:
    found = unnoticed(Layer(), (torch.randn(9, 3, 4), torch.zeros(3, 8)))
    assert found == ["rare", "unused.weight", "unused.bias"]


class Learned(Layer):
    """Begins with what it has learned: that is in no call of the files, which begin with it."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.randn(8))

    def forward(self, inputs, state=None):
        return super().forward(inputs, self.start.expand(inputs.shape[1], -1) if state is None else state)


def test_a_start_is_compared_for_itself() -> None:
    found = unnoticed(Learned(), (torch.randn(9, 3, 4), torch.zeros(3, 8)))
    assert found == ["rare", "unused.weight", "unused.bias"]


class Overflows(Layer):
    """Gives numbers for as many time steps as its example has, and infinities soon after."""

    def forward(self, inputs, state):
        outputs = []
        for x_t in inputs:
            state = (self.x(x_t) ** 2 + 1 + state) ** 4
            outputs.append(state)
        return torch.stack(outputs), state


def test_golden_values_that_are_not_finite_where_the_examples_are_prove_nothing() -> None:
    subject = inspect_module(Overflows().eval(), (torch.randn(2, 3, 4), torch.zeros(3, 8)))
    with pytest.raises(VerificationError, match="golden values of Overflows: expected 90% to be finite"):
        grid.build(subject)
