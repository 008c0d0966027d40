"""What a file begins with is what the module begins with, in every row and call."""

import re

import pytest
import torch
from torch import nn

from rnn_export.errors import InputError, ModelError
from rnn_export.module.reading import inspect_module


class Layer(nn.Module):
    """A recurrent layer; others begin with something else."""

    def __init__(self) -> None:
        super().__init__()
        self.x, self.h = nn.Linear(4, 8), nn.Linear(8, 8)
        self.h0 = nn.Parameter(torch.randn(8))

    def forward(self, inputs, state):
        outputs = []
        for x_t in inputs:
            state = torch.tanh(self.x(x_t) + self.h(state))
            outputs.append(state)
        return torch.stack(outputs), state


class Random(Layer):
    def begin_state(self, batch_size, device):
        return torch.randn(1, 8, device=device).expand(batch_size, 8)


class OtherRows(Layer):
    def begin_state(self, batch_size, device):
        return torch.arange(batch_size, device=device)[:, None] * torch.ones(8)


class OtherBatches(Layer):
    def begin_state(self, batch_size, device):
        return torch.ones(batch_size, 8, device=device) / batch_size


class Learned(Layer):
    def forward(self, inputs, state=None):
        return super().forward(inputs, self.h0.expand(inputs.shape[1], -1) if state is None else state)


class LearnedAndBegun(Learned):
    def begin_state(self, batch_size, device):
        return self.h0.detach().expand(batch_size, -1).to(device)


class Optional(Layer):
    def forward(self, inputs, state=None):
        return super().forward(inputs, torch.zeros(inputs.shape[1], 8) if state is None else state)


@pytest.mark.parametrize(("net", "what"), [(Random, "call"), (OtherRows, "row"), (OtherBatches, "batch")])
def test_a_start_that_is_not_one_for_all_is_refused(net: type[nn.Module], what: str) -> None:
    torch.manual_seed(0)
    alike = "the same for every row, batch and call"
    expected = (
        f"begin_state(batch_size, device), tensor 0: expected {alike}, got another one for another {what}"
    )
    with pytest.raises(ModelError, match=re.escape(expected)):
        inspect_module(net().eval(), (torch.randn(9, 3, 4), torch.zeros(3, 8)))


class Scaled(Layer):
    def forward(self, inputs, state=None):
        start = torch.sigmoid(self.h0).expand(inputs.shape[1], -1)
        return super().forward(inputs, start if state is None else state)


EXAMPLES = pytest.mark.parametrize(
    "example", [torch.randn(9, 3, 4), (torch.randn(9, 3, 4), torch.zeros(3, 8))], ids=["without", "with"]
)


@EXAMPLES
def test_a_learned_start_is_that_of_the_files(example: object) -> None:
    model = Learned().eval()
    [start] = inspect_module(model, example).signature.initial_state(2)
    assert torch.equal(torch.from_numpy(start), model.h0.detach().expand(2, -1))


@EXAMPLES
def test_a_start_that_no_file_would_begin_with_is_refused(example: object) -> None:
    with pytest.raises(InputError, match="begin_state"):
        inspect_module(Scaled().eval(), example)


def test_a_learned_start_that_begin_state_gives_is_that_of_the_files() -> None:
    model = LearnedAndBegun().eval()
    subject = inspect_module(model, (torch.randn(9, 3, 4), torch.zeros(3, 8)))
    [start] = subject.signature.initial_state(2)
    assert torch.equal(torch.from_numpy(start), model.h0.detach().expand(2, -1))


@pytest.mark.parametrize("state", [torch.zeros(3, 8), torch.ones(3, 8)])
def test_a_state_that_may_be_left_out_begins_with_zeros(state: torch.Tensor) -> None:
    subject = inspect_module(Optional().eval(), (torch.randn(9, 3, 4), state))
    assert subject.signature.state[0].initial == 0
