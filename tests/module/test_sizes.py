"""Which sizes a module compares those of its inputs with: none of what it checks of its features."""

import pytest
import torch
from torch import nn

from rnn_export.module import eager
from rnn_export.module.reading import inspect_module
from rnn_export.module.sizes import compared_sizes


class Compares(nn.Module):
    """Compares sizes of its inputs, ``[5, 3, 4]``, in a way of its own."""

    def __init__(self, compares) -> None:
        super().__init__()
        self.compares, self.x = compares, nn.Linear(4, 8)

    def forward(self, inputs, state):
        scale = 0.5 if self.compares(inputs) else 1.0
        outputs = []
        for x_t in inputs:
            state = torch.tanh(self.x(x_t * scale) + 0.5 * state)
            outputs.append(state)
        return torch.stack(outputs), state


def found(model: nn.Module, *example: torch.Tensor) -> list[int]:
    subject = inspect_module(model, example)
    return compared_sizes(subject, eager.start(subject, torch.float64))


@pytest.mark.parametrize(
    ("compares", "sizes"),
    [
        (lambda x: x.shape[0] > 500, [500]),
        (lambda x: x.shape[1] == 300, [300]),
        (lambda x: x.shape[0] == 5, [5]),
        (lambda x: x.shape[1] != 3, [3]),
        (lambda x: x.shape[2] != 4, []),
        (lambda x: x.shape[2:] != (4,), []),
        (lambda x: x.shape[2] != 4 or x.shape[0] >= 4, [4]),
    ],
)
def test_sizes_that_time_and_batch_are_compared_with(compares, sizes: list[int]) -> None:
    assert found(Compares(compares), torch.rand(5, 3, 4), torch.zeros(3, 8)) == sizes


def test_a_layer_checks_its_features() -> None:
    assert not {7, 1100} & set(found(nn.LSTM(7, 1100), torch.rand(5, 3, 7)))
