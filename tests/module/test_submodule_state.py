"""The state of submodules is handed out, with what they begin with; not if that is made of the inputs."""

import numpy as np
import torch
from torch import Tensor, nn

from rnn_export.module.inspection import inspect_export


class LearnedStart(nn.Module):
    """Begins with parameters, one for each layer, and keeps the state to itself."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 5, 2, batch_first=True)
        self.h0, self.c0 = nn.Parameter(torch.randn(2, 5)), nn.Parameter(torch.randn(2, 5))

    def forward(self, x: Tensor) -> Tensor:
        start = [leaf[:, None].repeat(1, len(x), 1) for leaf in (self.h0, self.c0)]
        return self.lstm(x, (start[0], start[1]))[0]


class ReadsFirst(nn.Module):
    """Begins with what the first time step holds."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.gru(x, x[:, 0][None].contiguous())[0]


def test_a_start_that_was_learned_is_that_of_the_files() -> None:
    torch.manual_seed(0)
    model = LearnedStart().eval()
    signature = inspect_export(model, torch.randn(3, 7, 4)).signature
    assert signature.streamable
    for start, learned in zip(signature.initial_state(2), (model.h0, model.c0), strict=True):
        np.testing.assert_array_equal(start, learned.detach()[:, None].expand(2, 2, 5).numpy())


def test_a_start_that_is_made_of_the_inputs_is_none() -> None:
    torch.manual_seed(0)
    for example in (torch.randn(3, 7, 4), torch.ones(3, 7, 4)):
        assert not inspect_export(ReadsFirst().eval(), example).signature.state


class Distribution(nn.Module):
    """Forecasts means and deviations, of each time step from the mean of the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.GRU(1, 5, batch_first=True), nn.GRUCell(1, 5)
        self.mean, self.deviation = nn.Linear(5, 1), nn.Linear(5, 1)

    def forward(self, history: Tensor, horizon: int = 3) -> tuple[Tensor, Tensor]:
        h, y = self.encoder(history)[1][0], history[:, -1]
        means, deviations = [], []
        for _ in range(horizon):
            h = self.decoder(y, h)
            y = self.mean(h)
            means.append(y)
            deviations.append(torch.nn.functional.softplus(self.deviation(h)))
        return torch.cat(means, 1), torch.cat(deviations, 1)


def test_the_second_of_two_outputs_is_no_state_of_the_whole() -> None:
    signature = inspect_export(Distribution().eval(), torch.randn(3, 7, 1)).signature
    assert [leaf.shape for leaf in signature.state] == [(1, "batch", 5)]
    assert signature.streamable
