"""Which submodules go through time steps one by one."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from rnn_export.capture.around.calls import along, calls_of, recurrent
from tests.support.around_loops import BothWays, Loop


class Scripted(nn.Module):
    """A loop that TorchScript compiles."""

    def __init__(self) -> None:
        super().__init__()
        self.again = nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.size(0), 5)
        for t in range(x.size(1)):
            h = torch.tanh(x[:, t] + self.again(h))
        return h


class Stack(nn.Module):
    """Recurrences of all kinds, and what is none."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.loop, self.inside = nn.Linear(5, 5), Loop(5), nn.Sequential(nn.ReLU(), BothWays(6))
        self.layer, self.scripted = nn.LSTM(5, 4, batch_first=True), torch.jit.script(Scripted())

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.into(x)
        return [self.inside(self.loop(x)[0]), self.layer(x)[0], self.scripted(x), x.cumsum(1)]


class Outside(nn.Module):
    """A loop in the forward of the model itself, which calls a recurrence in each time step."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = Loop(5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.loop(x[:, t : t + 1])[1][0] for t in range(x.shape[1])], 1)


def found(model: nn.Module) -> list[str]:
    model = model.eval()
    few, many = (calls_of(model, partial(model, torch.randn(2, steps, 5))) for steps in (5, 9))
    return recurrent(few, many)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_recurrence_is_what_runs_more_operators_for_more_time_steps() -> None:
    assert found(Stack()) == ["loop", "inside.1", "layer", "scripted"]


def test_what_a_loop_calls_belongs_to_it() -> None:
    assert found(Outside()) == [""]


class Within(nn.Module):
    """A loop over the time steps of one row, which calls another module."""

    def __init__(self) -> None:
        super().__init__()
        self.again = nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(5)
        for x_t in x:
            h = torch.tanh(x_t + self.again(h))
        return h


class EachRow(nn.Module):
    """Runs the rows of its inputs one by one through a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = Within()

    def forward(self, x: Tensor) -> Tensor:
        return torch.vmap(self.loop)(x)


class Rows(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.outer = EachRow()

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(x)


def test_what_runs_within_vmap_belongs_to_what_runs_it() -> None:
    assert found(Rows()) == ["outer"]


def test_a_model_without_a_recurrence_has_none() -> None:
    assert found(nn.Sequential(nn.Linear(5, 5), nn.Softmax(1))) == []


def test_the_axes_are_those_that_grow() -> None:
    def shapes(*sizes: tuple[int, ...]) -> list[Tensor]:
        return [torch.zeros(size) for size in sizes]

    one = shapes((3, 7, 5), (7, 3), (3, 5), (12, 7), (3, 28))
    longer = shapes((3, 9, 5), (9, 3), (3, 5), (12, 9), (3, 36))
    more = shapes((4, 7, 5), (7, 4), (4, 5), (16, 7), (4, 28))
    assert along([one, longer, more]) == [(1, 0), (0, 1), (None, 0), (1, 0), (1, 0)]


def test_rows_that_are_pieces_of_a_sequence_are_rows() -> None:
    calls = [[torch.zeros(size)] for size in ((6, 4, 5), (8, 4, 5), (9, 4, 5))]
    assert along(calls) == [(None, 0)]
