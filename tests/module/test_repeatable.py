"""A file gives the same results for the same arguments: a module that does not is refused, by its cause."""

from pathlib import Path

import pytest
import torch
from torch import nn

import rnn_export
from rnn_export.errors import ModelError
from rnn_export.module.purity import check_agreement
from rnn_export.module.reading import inspect_module
from rnn_export.module.repeatable import check_repeatable


class Plain(nn.Module):
    """A recurrent layer; others change one thing of it."""

    def __init__(self) -> None:
        super().__init__()
        self.x, self.h = nn.Linear(4, 8), nn.Linear(8, 8)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("mean", torch.zeros(4))
        self.calls = 0
        self.last = torch.zeros(1, 8)

    def before(self, inputs, state):
        return inputs, state

    def step(self, x_t, state):
        return torch.tanh(self.x(x_t) + self.h(state))

    def forward(self, inputs, state):
        inputs, state = self.before(inputs, state)
        outputs = []
        for x_t in inputs:
            state = self.step(x_t, state)
            outputs.append(state)
        return torch.stack(outputs), state


class Noise(Plain):
    def step(self, x_t, state):
        return super().step(x_t, state) + 1e-9 * torch.randn_like(state)


class TrainsItself(Plain):
    def before(self, inputs, state):
        self.drop.train()
        return self.drop(inputs), state


class MovingMean(Plain):
    def before(self, inputs, state):
        self.mean = 0.9 * self.mean + 0.1 * inputs.mean((0, 1))
        return inputs - self.mean, state


class Counts(Plain):
    def before(self, inputs, state):
        self.calls += 1
        return inputs / self.calls, state


class Remembers(Plain):
    def step(self, x_t, state):
        self.last = super().step(x_t, state) + 0.1 * self.last[:1]
        return self.last


class Outside(Plain):
    kept: list[torch.Tensor] = []  # noqa: RUF012

    def before(self, inputs, state):
        self.kept.append(inputs[:1])
        return inputs + len(self.kept), state


@pytest.mark.parametrize(
    ("net", "cause"),
    [
        (Noise, r"aten.randn_like draws random numbers \(.*test_repeatable.py:\d+\)"),
        (TrainsItself, r"aten.bernoulli_ draws random numbers \(.*test_repeatable.py:\d+\)"),
        (MovingMean, "it changes mean of the module"),
        (Counts, "it changes calls of the module"),
        (Remembers, "it changes last of the module"),
        (Outside, "something is kept outside of the state"),
    ],
)
def test_a_module_whose_calls_differ_is_refused(net: type[nn.Module], cause: str, tmp_path: Path) -> None:
    example = torch.randn(9, 3, 4), torch.zeros(3, 8)
    with pytest.raises(ModelError, match=rf"two calls with the same arguments differ by \d.*: {cause}"):
        rnn_export.export(net().eval(), example, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_the_users_random_numbers_are_not_used_up() -> None:
    subject = inspect_module(Plain().eval(), (torch.randn(9, 3, 4), torch.zeros(3, 8)))
    torch.manual_seed(3)
    first = torch.rand(2)
    torch.manual_seed(3)
    check_repeatable(subject)
    assert torch.equal(torch.rand(2), first)


class LastBits(Plain):
    """Adds up in another order every second time, as a matrix product may whose arguments lie elsewhere."""

    def step(self, x_t, state):
        parts = self.x(x_t) * 1000, self.h(state), torch.ones_like(state) / 3
        self.calls += 1
        a, b, c = parts if self.calls % 2 else reversed(parts)
        return (a + b) + c


def test_the_last_bits_alone_may_differ() -> None:
    one, two = torch.full((5,), 0.3, dtype=torch.float64), torch.full((5,), 0.3, dtype=torch.float64)
    one[2] += 1e-16
    noise = two.clone()
    noise[2] += 1e-9
    still = Plain().eval()
    check_agreement([one], [two], still, lambda: None, lambda: None)
    with pytest.raises(ModelError, match="differ by 1e-09: something is kept outside of the state"):
        check_agreement([noise], [two], still, lambda: None, lambda: None)
    changing = LastBits().eval()

    def call() -> object:
        return changing(torch.randn(6, 3, 4), torch.zeros(3, 8))

    with pytest.raises(ModelError, match="calls"):  # a memory is one, however little it changes
        check_agreement([one], [two], changing, call, call)
