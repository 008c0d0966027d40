"""An axis of which forward() reads the first entries alone is none of time or rows, though it may grow."""

import pytest
import torch
from torch import Tensor, nn

from rnn_export.module.inspection import inspect_export


class Parts(nn.Module):
    """Takes values and masks side by side: ``[B, 2, T, 4]``."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        values, masks = x[:, 0], x[:, 1]
        h, outputs = x.new_zeros(len(x), 5), []
        for t in range(values.shape[1]):
            h = self.cell(values[:, t] * masks[:, t], h)
            outputs.append(h)
        return torch.stack(outputs, 1)


class Last(Parts):
    """Gives the last time step alone."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, -1]


def test_time_is_the_axis_whose_entries_are_read() -> None:
    signature = inspect_export(Parts().eval(), (torch.randn(3, 2, 7, 4),)).signature
    assert signature.inputs[0].shape == ("batch", 2, "time", 4)
    assert signature.outputs[0].shape == ("batch", "time", 5)


def test_it_is_also_where_the_last_time_step_is_given_alone() -> None:
    signature = inspect_export(Last().eval(), (torch.randn(3, 2, 7, 4),)).signature
    assert signature.inputs[0].shape == ("batch", 2, "time", 4)


class Categories(nn.Module):
    """Reads one category of each place, of which a call may have several."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.encoder = nn.Embedding(5, 2), nn.GRU(5, 6, batch_first=True)
        self.decoder = nn.GRU(2, 6, batch_first=True)

    def forward(self, past: Tensor, categories: Tensor, x: Tensor) -> Tensor:
        past = torch.cat([past, self.embed(categories[..., 0])], -1)
        return self.decoder(x, self.encoder(past)[1])[0]


@pytest.mark.parametrize("number", [1, 3])
def test_an_axis_of_which_one_entry_is_read_is_no_free_size(number: int) -> None:
    torch.manual_seed(0)
    args = torch.randn(3, 9, 3), torch.randint(5, (3, 9, number)), torch.randn(3, 7, 2)
    inputs = inspect_export(Categories().eval(), args).signature.inputs
    assert [spec.shape for spec in inputs] == [
        ("batch", "past_length", 3),
        ("batch", "past_length", number),
        ("batch", "time", 2),
    ]


class Integrated(nn.Module):
    """Takes a time step of each row, times a state of two numbers: two such would be broadcast as well."""

    def __init__(self) -> None:
        super().__init__()
        self.force = nn.Linear(3, 2)

    def forward(self, drive: Tensor, place: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
        places = []
        for u in drive.unbind(1):
            place = place + dt * torch.tanh(self.force(torch.cat([place, u], -1)))
            places.append(place)
        return torch.stack(places, 1), place


def test_a_single_entry_that_is_broadcast_is_no_free_size() -> None:
    args = torch.randn(3, 7, 1), torch.randn(3, 2), torch.full((3, 1), 0.1)
    signature = inspect_export(Integrated().eval(), args).signature
    assert [spec.shape for spec in signature.inputs] == [("batch", "time", 1), ("batch", 1)]


class Strided(nn.Module):
    """Reads one more entry in eight: of others nothing comes until there are eight of them."""

    def __init__(self) -> None:
        super().__init__()
        self.frames, self.gru = nn.Conv1d(1, 4, 16, stride=8), nn.GRU(4, 5, batch_first=True)

    def forward(self, samples: Tensor) -> Tensor:
        return self.gru(self.frames(samples.unsqueeze(1)).transpose(1, 2))[0][:, -1]


def test_entries_that_a_stride_leaves_out_are_read_with_those_behind() -> None:
    signature = inspect_export(Strided().eval(), (torch.randn(3, 88),)).signature
    assert signature.inputs[0].shape == ("batch", "time")
