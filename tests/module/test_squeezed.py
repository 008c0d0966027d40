"""``squeeze()`` of all axes, which loses the axis of one row or one time step: files keep it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rnn_export.errors import ExportWarning, InputError, ModelError
from rnn_export.module.inspection import inspect_export

SIZES = ((7, 3), (1, 3), (7, 1), (1, 1))  # time steps and rows


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru, self.cell, self.head = nn.GRU(4, 5, batch_first=True), nn.GRUCell(4, 5), nn.Linear(5, 1)


class EveryStep(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.gru(x)[0]).squeeze()


class LastStep(Net):
    def forward(self, x: Tensor) -> Tensor:
        return torch.squeeze(self.head(self.gru(x)[0][:, -1]))


class LastState(Net):
    """Squeezes before a layer: the rank of what it takes is another for one row."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.gru(x)[1].squeeze())


class WithState(Net):
    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y, h = self.gru(x, h)
        return self.head(y).squeeze_(), h


class OwnLoop(Net):
    """Fails for one row: there is no second axis to stack along."""

    def forward(self, x: Tensor) -> Tensor:
        h, outputs = x.new_zeros(x.shape[0], 5), []
        for x_t in x.unbind(1):
            h = self.cell(x_t, h)
            outputs.append(self.head(h).squeeze())
        return torch.stack(outputs, 1)


class Helped(Net):
    """One line for tensors of two ranks."""

    def flat(self, x: Tensor) -> Tensor:
        return x.squeeze()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, h = self.gru(x)
        return self.flat(self.head(y)), self.flat(self.head(h[-1]))


@pytest.mark.parametrize("make", [EveryStep, LastStep, LastState, WithState, OwnLoop, Helped])
def test_the_axes_of_one_row_and_of_one_time_step_are_kept(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    net = make().eval()
    state = (torch.zeros(1, 3, 5),) if make is WithState else ()
    with pytest.warns(ExportWarning, match=r"squeeze\w*\(\) in .*test_squeezed.py:\d+ .* squeeze\(.*\)"):
        subject = inspect_export(net, (torch.randn(3, 7, 4), *state))
    flat = subject.flat()
    for steps, batch in SIZES:
        x = torch.randn(batch, steps, 4)
        begun = [leaf.expand(1, batch, 5) for leaf in subject.state[:0]] or [
            torch.zeros(spec.sized(time=steps, batch=batch)) for spec in subject.signature.state
        ]
        with torch.no_grad():
            found = flat(x, *begun)[: len(subject.signature.outputs)]
            own = net(x, *begun[: len(state)]) if make is not OwnLoop or batch > 1 else None
        for got, spec in zip(found, subject.signature.outputs, strict=True):
            assert got.shape == spec.sized(time=steps, batch=batch)
        want = [] if own is None else [own] if isinstance(own, Tensor) else own
        for got, expected in zip(found, want, strict=False):
            torch.testing.assert_close(got.squeeze(), expected.squeeze())


def test_an_example_of_one_row_does_not_say_which_axes_are_meant() -> None:
    with pytest.raises((ModelError, InputError), match=r"test_squeezed.py:\d+.*name the axis.*several rows"):
        inspect_export(EveryStep().eval(), (torch.randn(1, 7, 4),))


def test_a_line_that_means_two_things_is_named() -> None:
    class Mixed(Net):
        def forward(self, x: Tensor) -> Any:
            y, _ = self.gru(x)
            first, second = (z.squeeze() for z in (self.head(y), self.head(y).transpose(1, 2)))
            return first + second

    with pytest.raises(ModelError, match=r"squeeze\(\) in .*test_squeezed.py:\d+.*name the axis"):
        inspect_export(Mixed().eval(), (torch.randn(3, 7, 4),))
