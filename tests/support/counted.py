"""Nets that take the number of time steps of each row, as people write them: they run forward only."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

H = 5


class Packed(nn.Module):
    """A layer over packed rows, with a padding value and a linear layer behind, and no state in its call."""

    def __init__(self, padding: float = 0.5, **options: Any) -> None:
        super().__init__()
        self.layer, self.padding = nn.GRU(4, H, batch_first=True, **options), padding
        self.head = nn.Linear(2 * H if options.get("bidirectional") else H, 3)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        y, _ = pad_packed_sequence(self.layer(packed)[0], True, self.padding, x.shape[1])
        return self.head(y)


class Transposed(Packed):
    """Gives time behind the features."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return super().forward(x, lengths).transpose(1, 2)


class WithState(nn.Module):
    """Time in front, two layers, and a state that it takes and returns."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, H, num_layers=2)

    def forward(self, x: Tensor, lengths: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        packed = pack_padded_sequence(x, lengths.cpu(), enforce_sorted=False)
        y, state = self.lstm(packed, state)
        return pad_packed_sequence(y, total_length=x.shape[0])[0], state


class Sorted(nn.Module):
    """Sorts its rows, and the state, by hand, and puts them back."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.RNN(4, H, batch_first=True), nn.Linear(H, 3)

    def forward(self, x: Tensor, lengths: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        ordered, order = lengths.sort(descending=True)
        packed = pack_padded_sequence(x[order], ordered.cpu(), batch_first=True)
        y, h = self.rnn(packed, h[:, order])
        y, _ = pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])
        undo = torch.argsort(order)
        return self.head(y[undo]), h.index_select(1, undo)


class WithinPacked(Packed):
    """Changes what is packed, without padding it first."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        y = self.layer(packed)[0]
        y = PackedSequence(self.head(y.data).tanh(), y.batch_sizes, y.sorted_indices, y.unsorted_indices)
        return pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])[0]


class Labels(Packed):
    """Gives the largest of some numbers, and which are above zero."""

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        y = super().forward(x, lengths)
        return y.argmax(-1), y > 0


class LastValid(Packed):
    """Gathers the output of the last valid time step."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        y, _ = pad_packed_sequence(self.layer(packed)[0], batch_first=True, total_length=x.shape[1])
        place = (lengths - 1).view(-1, 1, 1).expand(-1, 1, y.shape[2])
        return self.head(y.gather(1, place).squeeze(1))


class LastState(Packed):
    """Reads the final state alone."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        return self.head(self.layer(packed)[1][-1])


class LastLabels(Packed):
    """Gives, beside all outputs, the largest of each row's last ones, and which of these are above zero."""

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        y, last = self.layer(packed)
        y, _ = pad_packed_sequence(y, True, self.padding, x.shape[1])
        logits = self.head(last[-1])
        return self.head(y), logits.argmax(-1), logits > 0


class InOrder(Packed):
    """Takes rows in the order of their lengths, and returns the final state as well."""

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        packed = pack_padded_sequence(x, lengths, batch_first=True)
        y, h = self.layer(packed)
        return self.head(pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])[0]), h


class WithLengths(Packed):
    """Gives the lengths back, as encoders do: they are no state."""

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return super().forward(x, lengths), lengths


class Decided(Packed):
    """Decides by the lengths: no step of it can be traced."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return super().forward(x, lengths) * (2 if lengths.max().item() > 0 else 1)


class Residual(Packed):
    """Adds its inputs, also behind a row's end: no number says what stands there."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        y, _ = pad_packed_sequence(self.layer(packed)[0], batch_first=True, total_length=x.shape[1])
        return self.head(y) + x[..., :3]


class Tokens(Packed):
    """A language model over packed rows."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 4)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        return super().forward(self.embed(tokens), lengths).log_softmax(-1)


@dataclass(frozen=True)
class Counted:
    """How a net is made, and the arguments of a call of so many rows; whether the batch is in front."""

    make: Callable[[], nn.Module]
    state: tuple[Any, ...] = ()
    batch_first: bool = True
    tokens: bool = False
    falling: bool = False

    def draw(self, steps: int, batch: int) -> tuple[Any, ...]:
        """Draw the arguments of a call; the first row has all time steps."""
        shape = (batch, steps) if self.batch_first else (steps, batch)
        x = torch.randint(0, 11, shape) if self.tokens else torch.randn(*shape, 4)
        lengths = torch.randint(1, steps + 1, (batch,))
        lengths[0] = steps
        lengths = lengths.sort(descending=True)[0] if self.falling else lengths
        return (x, lengths, *self.states(batch))

    def states(self, batch: int) -> tuple[Any, ...]:
        """Draw the state of a call, if it takes one."""
        return tuple(
            tuple(torch.randn(size, batch, H) for size in leaf)
            if isinstance(leaf, tuple)
            else torch.randn(leaf, batch, H)
            for leaf in self.state
        )


STREAMED = {
    "padding and a layer behind": Counted(Packed),
    "time behind the features": Counted(Transposed),
    "labels": Counted(Labels),
    "a state": Counted(WithState, ((2, 2),), batch_first=False),
    "sorted by hand": Counted(Sorted, (1,)),
    "within what is packed": Counted(WithinPacked),
    "last valid output": Counted(LastValid),
    "last state": Counted(LastState),
    "labels of the last step": Counted(LastLabels),
    "rows in order": Counted(InOrder, falling=True),
    "tokens": Counted(Tokens, tokens=True),
}
WHOLE = {
    "lengths that come back": Counted(WithLengths),
    "both directions": Counted(lambda: Packed(bidirectional=True)),
    "inputs behind the end": Counted(Residual),
    "no numbers behind the end": Counted(lambda: Packed(float("nan"))),
}
