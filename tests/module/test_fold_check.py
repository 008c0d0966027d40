"""Modules that are no folds, at sizes and for values that their example does not have."""

import re

import pytest
import torch
from torch import nn

from rnn_export.errors import ModelError
from rnn_export.module.fold_check import check_rows, streaming_obstacle
from rnn_export.module.reading import inspect_module


class Layer(nn.Module):
    """A recurrent layer; others change one thing of it."""

    def __init__(self) -> None:
        super().__init__()
        self.x, self.h, self.e = nn.Linear(4, 8), nn.Linear(8, 8), nn.Embedding(50, 4)

    def step(self, t, inputs, state):
        return torch.tanh(self.x(inputs[t]) + self.h(state))

    def forward(self, inputs, state):
        outputs = []
        for t in range(inputs.shape[0]):
            state = self.step(t, inputs, state)
            outputs.append(state)
        return torch.stack(outputs), state


class Resets(Layer):
    def step(self, t, inputs, state):
        return super().step(t, inputs, state * 0 if t and t % 256 == 0 else state)


class OtherWhenLong(Layer):
    def step(self, t, inputs, state):
        return super().step(t, inputs * 0.5 if inputs.shape[0] > 500 else inputs, state)


class Delays(Layer):
    def step(self, t, inputs, state):
        return super().step(max(t - 12, 0), inputs, state)


class EveryTenth(Layer):
    def step(self, t, inputs, state):
        return super().step(t, inputs, state) if t % 10 == 0 else state


class Cuts(Layer):
    def forward(self, inputs, state):
        outputs, state = super().forward(inputs[:512], state)
        return outputs[-1], state


class Stops(Layer):
    """A row stays as it is once its stop token, 2, was read."""

    def forward(self, inputs, state):
        vectors, done, outputs = self.e(inputs), torch.zeros(inputs.shape[1], 1), []
        for t in range(inputs.shape[0]):
            state = torch.where(done > 0, state, super().step(t, vectors, state))
            done = torch.maximum(done, (inputs[t] == 2).to(done.dtype)[:, None])
            outputs.append(state)
        return torch.stack(outputs), state


class LastValid(Layer):
    """Gives the output of the last time step that is not padding, id 0."""

    def forward(self, inputs, state):
        outputs, state = super().forward(self.e(inputs), state)
        lengths = (inputs != 0).sum(0).clamp(min=1)
        return outputs[lengths - 1, torch.arange(inputs.shape[1])], state


class LastNonZero(Layer):
    def forward(self, inputs, state):
        outputs, state = super().forward(inputs, state)
        lengths = (inputs != 0).any(-1).sum(0).clamp(min=1)
        return outputs[lengths - 1, torch.arange(inputs.shape[1])], state


NUMBERS = torch.randn(20, 3, 4, generator=torch.Generator().manual_seed(0))
TOKENS = torch.randint(3, 50, (20, 3), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("net", "inputs", "where"),
    [
        (Resets, NUMBERS, "first differ at time step 256"),
        (OtherWhenLong, NUMBERS, "first differ at time step 0"),
        (Delays, NUMBERS, "first differ at time step 1,"),
        (EveryTenth, NUMBERS, "first differ at time step 1,"),
        (Cuts, NUMBERS, "the results of 1025 differ"),
        (Stops, TOKENS, "the outputs first differ at time step"),
        (LastValid, TOKENS, "the outputs first differ at time step"),
        (LastNonZero, NUMBERS, "the outputs first differ at time step"),
    ],
)
def test_a_net_that_is_no_fold_is_seen(net: type[nn.Module], inputs: torch.Tensor, where: str) -> None:
    subject = inspect_module(net().eval(), (inputs, torch.zeros(3, 8)))
    assert where in (streaming_obstacle(subject) or "")


class OtherWhenVeryLong(Layer):
    def step(self, t, inputs, state):
        return super().step(t, inputs * 0.5 if inputs.shape[0] > 1500 else inputs, state)


def test_a_number_of_time_steps_that_the_module_names_is_passed() -> None:
    subject = inspect_module(OtherWhenVeryLong().eval(), (NUMBERS, torch.zeros(3, 8)))
    assert "first differ at time step 0" in (streaming_obstacle(subject) or "")


class Amplifies(nn.Module):
    """A fold that adds in another order where there are many time steps, and whose state grows that."""

    def __init__(self) -> None:
        super().__init__()
        self.x, self.h = nn.Linear(67, 32), nn.Linear(32, 32)

    def forward(self, inputs, state):
        weight, outputs = self.x.weight.T, []
        if inputs.shape[0] > 500:
            inputs, weight = inputs.flip(-1), weight.flip(0)
        for x_t in (inputs[..., None] * weight).cumsum(-2)[..., -1, :]:
            state = torch.tanh(x_t + 8 * self.h(state))
            outputs.append(state)
        return torch.stack(outputs), state


def test_a_fold_that_amplifies_rounding_is_one() -> None:
    torch.manual_seed(0)
    subject = inspect_module(Amplifies().eval(), (torch.randn(20, 3, 67), torch.zeros(3, 32)))
    assert streaming_obstacle(subject) is None


class OtherWhenWide(Layer):
    def step(self, t, inputs, state):
        return super().step(t, inputs * 0.5 if inputs.shape[1] > 32 else inputs, state)


class OtherWhenVeryWide(Layer):
    def step(self, t, inputs, state):
        return super().step(t, inputs * 0.5 if inputs.size(1) > 300 else inputs, state)


class Normalised(Layer):
    def step(self, t, inputs, state):
        return super().step(t, inputs - inputs.mean(1, keepdim=True), state)


class BySign(Layer):
    def step(self, t, inputs, state):
        return super().step(t, inputs, state) if inputs[t].abs().max() < 2 else state * 0


class SmallerWhenLarge(Layer):
    def step(self, t, inputs, state):
        return super().step(t, inputs / max(float(inputs[t].abs().max()), 20.0), state)


@pytest.mark.parametrize("net", [OtherWhenWide, OtherWhenVeryWide, Normalised, BySign, SmallerWhenLarge])
def test_a_row_that_depends_on_the_others_is_refused(net: type[nn.Module]) -> None:
    subject = inspect_module(net().eval(), (NUMBERS, torch.zeros(3, 8)))
    text = f"{net.__name__}, the results of a row: expected the same in any batch, got results that differ by"
    with pytest.raises(ModelError, match=re.escape(text)):
        check_rows(subject)
