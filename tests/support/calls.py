"""Calls as people write them: the inputs, the state and the outputs anywhere, in any wrapping."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

H = 6


class State(NamedTuple):
    h: Tensor
    c: Tensor


@dataclass
class Memory:
    fast: Tensor
    slow: Tensor


class NamedTupleState(nn.Module):
    """The state is a named tuple, as packages of spiking nets have it."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(4, H)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        outputs = []
        for x_t in x.unbind(1):
            state = State(*self.cell(x_t, state))
            outputs.append(state.h)
        return torch.stack(outputs, 1), state


class DictState(nn.Module):
    """State and results are dicts; the results stand in another order than the arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(4, H, batch_first=True), nn.Linear(H, 3)

    def forward(self, x: Tensor, state: dict[str, Tensor]) -> dict[str, Any]:
        y, (h, c) = self.lstm(x, (state["h"], state["c"]))
        return {"state": {"c": c, "h": h}, "logits": self.head(y)}


class DataclassState(nn.Module):
    """The state is a dataclass, and comes first."""

    def __init__(self) -> None:
        super().__init__()
        self.fast, self.slow = nn.GRUCell(4, H), nn.GRUCell(H, H)

    def forward(self, memory: Memory, x: Tensor) -> tuple[Tensor, Memory]:
        outputs = []
        fast, slow = memory.fast, memory.slow
        for x_t in x:
            fast = self.fast(x_t, fast)
            slow = self.slow(fast, slow)
            outputs.append(fast + slow)
        return torch.stack(outputs), Memory(fast, slow)


class SeparateStates(nn.Module):
    """A convolutional LSTM, ``[B, T, C, H, W]``: each tensor of the state is an argument."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(5, 12, 3, padding=1)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        outputs = []
        for t in range(x.shape[1]):
            i, f, o, g = self.conv(torch.cat([x[:, t], h], 1)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            outputs.append(h)
        return torch.stack(outputs, 1), h, c


class KeywordState(nn.Module):
    """The state is keyword-only."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(4, H, batch_first=True), nn.Linear(H, 2)

    def forward(self, x: Tensor, *, hx: Tensor) -> tuple[Tensor, Tensor]:
        y, hx = self.gru(x, hx)
        return self.head(y), hx


class AllInOneDict(nn.Module):
    """The batch comes as one dict, as from a data loader; what is returned is one as well."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(4, H), nn.Linear(H, 2)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        y, h = self.gru(batch["encoder_cont"], batch["h"])
        return {"prediction": self.head(y), "h": h}


class Samples(nn.Module):
    """Audio, ``[B, T]``: a sample has no axis of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(1, H, batch_first=True), nn.Linear(H, 1)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y, h = self.gru(x.unsqueeze(-1), h)
        return self.head(y).squeeze(-1) + x, h


class ChannelsFirst(nn.Module):
    """``[B, F, T]``, as convolutions have it: time is the last axis."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.gru, self.head = nn.Conv1d(20, 5, 1), nn.GRU(5, H, batch_first=True), nn.Linear(H, 3)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y, h = self.gru(self.mix(x).transpose(1, 2), h)
        return self.head(y).transpose(1, 2), h


class Recogniser(nn.Module):
    """Reads text: an image ``[B, 1, H, W]``, convolutions, both directions; a letter for two columns."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.lstm, self.head = nn.LSTM(32, H, bidirectional=True), nn.Linear(2 * H, 5)

    def forward(self, image: Tensor) -> Tensor:
        columns = self.conv(image).flatten(1, 2).permute(2, 0, 1)
        return self.head(self.lstm(columns)[0]).log_softmax(-1)


class Hop(nn.Module):
    """Takes every second frame: ``[B, F, T]`` in, ``[B, (T + 1) // 2, 3]`` out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gru = nn.Conv1d(4, 5, 3, stride=2, padding=1), nn.GRU(5, H, batch_first=True)
        self.head = nn.Linear(H, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.gru(torch.relu(self.conv(x)).transpose(1, 2))[0])


class Separator(nn.Module):
    """Cuts the edges off, and gives two samples for one, as a mask on audio may be made."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 5, 5)
        self.gru = nn.GRU(5, H, batch_first=True, bidirectional=True)
        self.up = nn.ConvTranspose1d(2 * H, 3, 4, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.gru(self.conv(x).transpose(1, 2))[0].transpose(1, 2))


class Masker(nn.Module):
    """Masks what a strided convolution hears in audio, ``[B, 1, T]``, and turns it back into audio."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = nn.Conv1d(1, 8, 4, stride=2), nn.ConvTranspose1d(8, 1, 4, stride=2)
        self.lstm = nn.LSTM(8, 4, batch_first=True, bidirectional=True)
        self.squash = nn.Hardtanh(0, 20)

    def forward(self, x: Tensor) -> Tensor:
        heard = self.squash(self.encode(x))
        mask = torch.sigmoid(self.lstm(heard.transpose(1, 2))[0]).transpose(1, 2)
        return self.decode(heard * mask)


@dataclass(frozen=True)
class Call:
    """A module, the arguments of a call for time steps and rows, and what the files' call looks like.

    ``place`` says which of the flattened arguments are the inputs; the others are the state.
    """

    make: Callable[[], nn.Module]
    draw: Callable[[int, int], tuple[tuple[Any, ...], dict[str, Any]]]
    state: tuple[str, ...]
    shape: tuple[int | str, ...]
    place: int = 0


def zeros(batch: int) -> Tensor:
    return torch.randn(1, batch, H)


CALLS = {
    "a named tuple": Call(
        NamedTupleState,
        lambda T, B: ((torch.randn(B, T, 4), State(torch.randn(B, H), torch.randn(B, H))), {}),
        ("h", "c"),
        ("batch", "time", 4),
    ),
    "a dict": Call(
        DictState,
        lambda T, B: ((torch.randn(B, T, 4), {"h": zeros(B), "c": zeros(B)}), {}),
        ("h", "c"),
        ("batch", "time", 4),
    ),
    "a dataclass": Call(
        DataclassState,
        lambda T, B: ((Memory(torch.randn(B, H), torch.randn(B, H)), torch.randn(T, B, 4)), {}),
        ("fast", "slow"),
        ("time", "batch", 4),
        place=2,
    ),
    "arguments of their own": Call(
        SeparateStates,
        lambda T, B: ((torch.randn(B, T, 2, 5, 7), torch.randn(B, 3, 5, 7), torch.randn(B, 3, 5, 7)), {}),
        ("h", "c"),
        ("batch", "time", 2, 5, 7),
    ),
    "a keyword": Call(
        KeywordState,
        lambda T, B: ((torch.randn(B, T, 4),), {"hx": zeros(B)}),
        ("state_0",),
        ("batch", "time", 4),
    ),
    "everything by keywords": Call(
        KeywordState,
        lambda T, B: ((), {"hx": zeros(B), "x": torch.randn(B, T, 4)}),
        ("state_0",),
        ("batch", "time", 4),
        place=1,
    ),
    "one dict": Call(
        AllInOneDict,
        lambda T, B: (({"encoder_cont": torch.randn(T, B, 4), "h": zeros(B)},), {}),
        ("state_0",),
        ("time", "batch", 4),
    ),
    "samples": Call(
        Samples, lambda T, B: ((torch.randn(B, T), zeros(B)), {}), ("state_0",), ("batch", "time")
    ),
    "time last": Call(
        ChannelsFirst,
        lambda T, B: ((torch.randn(B, 20, T), zeros(B)), {}),
        ("state_0",),
        ("batch", 20, "time"),
    ),
}
# Models for whole sequences whose outputs are more or fewer than the time steps; the fewest time steps that
# each takes, and the shape of its outputs.
WHOLE = {
    "every second": (
        Call(Hop, lambda T, B: ((torch.randn(B, 4, T),), {}), (), ("batch", 4, "time")),
        1,
        ("batch", "(time + 1)//2", 3),
    ),
    "text": (
        Call(Recogniser, lambda T, B: ((torch.randn(B, 1, 16, T),), {}), (), ("batch", 1, 16, "time")),
        2,
        ("time//2", "batch", 5),
    ),
    "two for one": (
        Call(Separator, lambda T, B: ((torch.randn(B, 4, T),), {}), (), ("batch", 4, "time")),
        5,
        ("batch", 3, "2*time - 6"),
    ),
    "audio": (
        Call(Masker, lambda T, B: ((torch.randn(B, 1, T),), {}), (), ("batch", 1, "time")),
        4,
        ("batch", 1, "2*(time//2)"),
    ),
}
