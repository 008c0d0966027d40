"""What a state is one or two time steps later: C reads nothing that it has not written yet."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.support.c_cells import assert_as_eager, built
from tests.support.c_programs import POISON, needs_compiler

pytestmark = needs_compiler
SIZE, WIDE = 6, 70
Step = Callable[["Delays", Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


class Delays(nn.Module):
    """A net with two states, each of which may be only what was computed a time step ago."""

    def __init__(self, step: Step, size: int) -> None:
        super().__init__()
        self.step, self.norm = step, nn.LayerNorm(size)
        self.W, self.U = nn.Linear(size, size), nn.Linear(size, size)

    def forward(self, inputs: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        outputs, (a, b) = [], state
        for x in inputs:
            y, a, b = self.step(self, x, a, b)
            outputs.append(y)
        return torch.stack(outputs), (a, b)


def behind_a_norm(net: Delays, x: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    y = net.norm(x)
    return y + a, y, b


def twice(net: Delays, x: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    y = torch.tanh(x)
    return y + 2 * a - b, y, a


def in_a_product(net: Delays, x: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    y = torch.tanh(net.W(x))
    return torch.tanh(net.U(a) + y), y, b


def turned_about(net: Delays, x: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    y = net.norm(x)
    return torch.cat([a[:, 1:], a[:, :1]], -1) * y, y, b


def of_the_inputs(net: Delays, x: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return net.W(x) + net.U(a) + b, x, a


def behind_a_recurrence(net: Delays, x: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    b = torch.tanh(net.W(x) + net.U(b))
    return b + a, net.norm(b), b


def of_the_mean(net: Delays, x: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    y = x - a.mean(-1, keepdim=True)
    return y * b, x.exp(), x.abs() + 1


def of_the_outputs(net: Delays, x: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    y = torch.sigmoid(net.W(x))
    return a, y, net.norm(y) + b[:, :1]


STEPS: list[Step] = [
    *(behind_a_norm, twice, in_a_product, turned_about, of_the_inputs),
    *(behind_a_recurrence, of_the_mean, of_the_outputs),
]


@pytest.mark.parametrize("size", [SIZE, pytest.param(WIDE, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_a_delay_gives_what_was_computed(
    step: Step, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CFLAGS", f"-O1 -march=native {POISON}")
    torch.manual_seed(0)
    net = Delays(step, size)
    call = built(net, (torch.randn(9, 3, size), (torch.randn(3, size), torch.randn(3, size))), tmp_path)
    for time, batch in ((1, 1), (9, 1), (20, 3), (7, 70)):
        state = torch.randn(batch, size), torch.randn(batch, size)
        assert_as_eager(net, call, (torch.randn(time, batch, size), state), 2e-5)
