"""Calls without a sequence: contexts alone, and one time step that is taken for some."""

import pytest
import torch
from torch import Tensor, nn

from rnn_export.errors import ExportWarning, InputError, ModelError
from rnn_export.module.candidates import Said
from rnn_export.module.inspection import inspect_export
from rnn_export.module.reading import look_again


class Decoder(nn.Module):
    """Gives three time steps for a latent vector."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 5, batch_first=True)

    def forward(self, latent: Tensor) -> Tensor:
        return self.gru(latent[:, None].expand(-1, 3, -1))[0]


class Labelled(Decoder):
    """Gives three time steps for a label."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(6, 4)

    def forward(self, label: Tensor) -> Tensor:
        return super().forward(self.embed(label))


def test_its_batch_alone_is_free() -> None:
    for model, example, shape in (
        (Decoder(), torch.randn(2, 4), ("batch", 4)),
        (Labelled(), torch.randint(6, (2,)), ("batch",)),
    ):
        with pytest.warns(ExportWarning, match="takes no sequence. The batch alone is free: inputs"):
            signature = inspect_export(model.eval(), example).signature
        assert [spec.shape for spec in signature.inputs] == [shape]
        assert [spec.shape for spec in signature.outputs] == [("batch", 3, 5)]
        assert signature.not_streamable_because == "forward takes no sequence"
        assert not signature.timed


class Fixed(nn.Module):
    """Takes three time steps, and no other number of them."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(4, 5, batch_first=True), nn.Linear(15, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.gru(x)[0].flatten(1))


@pytest.mark.filterwarnings("ignore:.*takes no sequence:rnn_export.errors.ExportWarning")
def test_a_sequence_of_a_fixed_length_is_none_unless_that_is_said() -> None:
    with pytest.raises(ModelError, match="one more time step is too many"):
        inspect_export(Fixed().eval(), torch.randn(2, 3, 4))
    said = Said(roles={"x": "context"})
    signature = inspect_export(Fixed().eval(), torch.randn(2, 3, 4), said=said).signature
    assert signature.inputs[0].shape == ("batch", 3, 4)


def test_it_takes_no_lengths() -> None:
    with pytest.raises(InputError, match=r"expected a sequence, got .* Leave lengths=True out"):
        inspect_export(Decoder().eval(), torch.randn(2, 4), lengths=True)


class Attending(Decoder):
    """Gives weights of each time step for each."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        y = self.gru(x)[0]
        weights = torch.softmax(y @ y.transpose(1, 2), -1)
        return weights @ y, weights


def test_pairs_of_time_steps_take_no_lengths_either() -> None:
    x = torch.randn(2, 7, 4)
    outputs = inspect_export(Attending().eval(), x).signature.outputs
    assert [spec.shape for spec in outputs] == [("batch", "time", 5), ("batch", "time", "time")]
    with pytest.raises(
        InputError, match=r"expected one axis for time, got outputs_1 float32 \[batch, time, time\]"
    ):
        inspect_export(Attending().eval(), x, lengths=True)


@pytest.mark.parametrize("cell", [nn.GRUCell(4, 5), nn.LSTMCell(4, 5)])
def test_one_time_step_is_told_of_the_option(cell: nn.Module) -> None:
    with pytest.raises(InputError, match=r"\[2, 4\]\], one time step. Export it with step=True"):
        inspect_export(cell.eval(), torch.randn(2, 4))
    with pytest.warns(ExportWarning, match="If that is one time step, export it with step=True"):
        inspect_export(nn.GRUCell(4, 5).eval(), (torch.randn(2, 4), torch.zeros(2, 5)))


class Convolved(nn.Module):
    """Reads three neighbours of a memory that all time steps share."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.cell = nn.Conv1d(6, 4, 3), nn.GRUCell(9, 7)

    def forward(self, x: Tensor, memory: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        read, outputs = self.conv(memory.transpose(1, 2)).amax(-1), []
        for x_t in x.unbind(0):
            h = self.cell(torch.cat([x_t, read], -1), h)
            outputs.append(h)
        return torch.stack(outputs), h


def test_a_size_that_may_not_be_one_is_the_examples() -> None:
    """Files take one entry of a free size as well; this module does not."""
    example = torch.randn(7, 2, 5), torch.randn(2, 9, 6), torch.zeros(2, 7)
    with pytest.warns(ExportWarning, match=r"contexts of 9 entries.* any number from 3 on"):
        subject = inspect_export(Convolved().eval(), example)
    signature = subject.signature
    assert [spec.shape for spec in signature.inputs] == [("time", "batch", 5), ("batch", 9, 6)]
    assert signature.streamable
    again = look_again(subject, subject.model, subject.inputs, subject.state)  # without a word to the user
    assert again.remarks == subject.remarks
