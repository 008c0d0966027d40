"""Which axis is the batch is seen by changing some of its rows."""

import torch
from torch import Tensor, nn

from rnn_export.module.inspection import inspect_export


class Threshold(nn.Module):
    """Units that do nothing for numbers as small as those of the example."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(4, 6), nn.Linear(6, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        v, u, outputs = x.new_zeros(x.shape[1], 6), x.new_zeros(x.shape[1], 2), []
        for x_t in x:
            v = 0.9 * v + 0.01 * self.into(x_t)
            spikes = (v > 1).to(v.dtype)
            v, u = v - spikes, 0.9 * u + self.out(spikes)
            outputs.append(u)
        return torch.stack(outputs)


def test_rows_are_told_from_time_steps_behind_a_threshold() -> None:
    torch.manual_seed(0)
    signature = inspect_export(Threshold().eval(), torch.randn(7, 3, 4)).signature
    assert signature.inputs[0].shape == ("time", "batch", 4)


class Backward(nn.Module):
    """A loop from the last time step to the first."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        h, outputs = x.new_zeros(x.shape[0], 5), list[Tensor]()
        for x_t in x.unbind(1)[::-1]:
            h = self.cell(x_t, h)
            outputs.insert(0, h)
        return torch.stack(outputs, 1)


def test_rows_are_told_from_time_steps_of_a_loop_backward() -> None:
    torch.manual_seed(0)
    signature = inspect_export(Backward().eval(), torch.randn(3, 7, 4)).signature
    assert signature.inputs[0].shape == ("batch", "time", 4)
