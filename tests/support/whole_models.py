"""Whole models, as people of each field write them: what stands around recurrences, how they are called."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.support import field_nets
from tests.support.generating_models import (
    Autoencoder,
    Captioner,
    Forecaster,
    Generator,
    Greedy,
    Repeated,
)
from tests.support.text_models import (
    WORDS,
    AttentionPooling,
    Gathered,
    H,
    LastOfPacked,
    LastPooling,
    MaskedMean,
    MaxPooling,
    MeanPooling,
    PackedByMask,
    PackedByPadding,
    Sorted,
    Tagger,
)

Draw = Callable[[int, int], tuple[Any, ...]]  # from time steps and rows


class SpeechRecognizer(nn.Module):
    """Convolutions with a stride over time in front of a bidirectional net; spectrograms ``[B, C, F, T]``."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(1, 4, 5, stride=2, padding=2),
            nn.BatchNorm2d(4),
            nn.Hardtanh(0, 20),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.ReLU(),
        )
        self.rnn, self.head = nn.GRU(32, H, 2, bidirectional=True), nn.Linear(2 * H, 9)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        batch, channels, features, time = x.size()
        x = x.view(batch, channels * features, time).permute(2, 0, 1).contiguous()
        return functional.log_softmax(self.head(self.rnn(x)[0]).transpose(0, 1), -1)


class SourceSeparator(nn.Module):
    """A mask for each frequency: bidirectional layers beside what goes around them; ``[B, C, F, T]``."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.norm = nn.Linear(20, 8, bias=False), nn.BatchNorm1d(8)
        self.lstm = nn.LSTM(8, 4, 3, bidirectional=True, dropout=0.4)
        self.out, self.last = nn.Linear(16, 20, bias=False), nn.BatchNorm1d(20)
        self.mean = nn.Parameter(torch.randn(10))

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(3, 0, 1, 2)
        frames, samples, channels, bins = x.data.shape
        mix, x = x.detach().clone(), x + self.mean
        x = torch.tanh(self.norm(self.into(x.reshape(-1, channels * bins)))).reshape(frames, samples, 8)
        x = torch.cat([x, self.lstm(x)[0]], -1)
        x = self.last(self.out(x.reshape(-1, x.shape[-1]))).reshape(frames, samples, channels, bins)
        return (functional.relu(x) * mix).permute(1, 2, 3, 0)


class DualPath(nn.Module):
    """Pieces of a sequence that overlap: one net inside of each, one over all of them, added up again."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 4
        self.inside = nn.LSTM(8, 4, batch_first=True, bidirectional=True)
        self.across = nn.LSTM(8, 4, batch_first=True, bidirectional=True)
        self.norm = nn.GroupNorm(1, 8)

    def forward(self, x: Tensor) -> Tensor:
        batch, features, time = x.shape
        hop = self.size // 2
        x = functional.pad(x, (hop, hop + (hop - time % hop) % hop))
        pieces = x.unfold(2, self.size, hop)
        number = pieces.shape[2]
        y = pieces.permute(0, 2, 3, 1).reshape(batch * number, self.size, features)
        y = self.inside(y)[0].reshape(batch, number, self.size, features)
        pieces = pieces + self.norm(y.permute(0, 3, 1, 2))
        y = pieces.permute(0, 3, 2, 1).reshape(batch * self.size, number, features)
        y = self.across(y)[0].reshape(batch, self.size, number, features)
        pieces = pieces + self.norm(y.permute(0, 3, 2, 1))
        columns = pieces.permute(0, 1, 3, 2).reshape(batch, features * self.size, number)
        out = functional.fold(columns, (1, (number + 1) * hop), (1, self.size), stride=(1, hop))
        return out.squeeze(2)[:, :, hop : hop + time]


class Masker(nn.Module):
    """Samples ``[B, T]`` to two sources ``[B, 2, T]``: an encoder, a mask, a decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Conv1d(1, 12, 16, stride=8, bias=False)
        self.decode = nn.ConvTranspose1d(12, 1, 16, stride=8, bias=False)
        self.norm, self.mask = nn.GroupNorm(1, 12), nn.Linear(2 * H, 24)
        self.rnn = nn.LSTM(12, H, batch_first=True, bidirectional=True)

    def forward(self, samples: Tensor) -> Tensor:
        coded = functional.relu(self.encode(samples.unsqueeze(1)))
        batch, features, time = coded.shape
        masks = torch.sigmoid(self.mask(self.rnn(self.norm(coded).transpose(1, 2))[0])).transpose(1, 2)
        sources = masks.reshape(batch, 2, features, time) * coded.unsqueeze(1)
        return self.decode(sources.reshape(batch * 2, features, time)).reshape(batch, 2, -1)


class Encoder(nn.Module):
    """What a decoder is given: all outputs, and what it begins with."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.begin = nn.Embedding(WORDS, 8), nn.Linear(2 * H, 7)
        self.rnn = nn.GRU(8, H, bidirectional=True, batch_first=True)

    def forward(self, source: Tensor) -> tuple[Tensor, Tensor]:
        y, h = self.rnn(self.embed(source))
        return y, torch.tanh(self.begin(torch.cat([h[-2], h[-1]], 1)))


class Siamese(nn.Module):
    """One encoder for two sequences of their own lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, H, batch_first=True)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        ends = [self.lstm(x)[1][0][-1] for x in (one, other)]
        return torch.exp(-(ends[0] - ends[1]).abs().sum(1, keepdim=True))


class Layers(nn.Module):
    """Layers in a list, each with its state in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.GRU(H if depth else 4, H, batch_first=True) for depth in range(3)])
        self.norm = nn.LayerNorm(H)

    def forward(self, x: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        new = []
        for layer, state in zip(self.layers, states, strict=False):
            x, after = layer(x, state)
            x = self.norm(x)
            new.append(after)
        return x, new


class First(nn.Module):
    """Takes the outputs of a layer out of what it gives."""

    def forward(self, result: Any) -> Tensor:
        return result[0]


class ConvolvedCells(nn.Module):
    """A plain loop over a cell, inside of a larger forward."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.cell, self.head = nn.Conv1d(4, 5, 3, padding=1), nn.LSTMCell(5, H), nn.Linear(H, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).permute(2, 0, 1)
        h = x.new_zeros(x.shape[1], self.cell.hidden_size)
        c, outputs = torch.zeros_like(h), []
        for x_t in x:
            h, c = self.cell(x_t, (h, c))
            outputs.append(self.head(h))
        return torch.stack(outputs, 2)


class SelfAttention(nn.Module):
    """Attends from each time step to all, and gives the weights beside its outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(4, H, batch_first=True), nn.Linear(H, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.gru(x)[0]
        weights = torch.softmax(y @ y.transpose(1, 2), -1)
        return {"y": self.head(weights @ y), "weights": weights}


class Causal(nn.Module):
    """Convolutions that look back alone, in front of a recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.near, self.far = nn.Conv1d(4, H, 3, padding=2), nn.Conv1d(H, H, 3, padding=4, dilation=2)
        self.gru = nn.GRU(H, 5, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.near(x)[:, :, :-2])
        return self.gru(functional.relu(self.far(x)[:, :, :-4]).transpose(1, 2))[0]


class Frames(nn.Module):
    """A convolution net on each frame of a video ``[B, T, C, H, W]``, a recurrent one over them."""

    def __init__(self) -> None:
        super().__init__()
        self.see = nn.Sequential(
            nn.Conv2d(1, 4, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
        )
        self.lstm, self.head = nn.LSTM(5, H, batch_first=True), nn.Linear(H, 3)

    def forward(self, x: Tensor) -> Tensor:
        batch, time, channels, height, width = x.shape
        seen = self.see(x.view(batch * time, channels, height, width)).view(batch, time, -1)
        return self.head(self.lstm(seen)[0][:, -1])


class Counter(nn.Module):
    """A counter of time steps, one number for all rows, beside the state."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(5, H)

    def forward(self, x: Tensor, n: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        outputs = []
        for t in range(x.shape[1]):
            phase = torch.sin(n.float()).expand(x.shape[0], 1)
            h, n = self.cell(torch.cat([x[:, t], phase], 1), h), n + 1
            outputs.append(h)
        return torch.stack(outputs, 1), n, h


class WakeWord(nn.Module):
    """Needs five time steps at least: a convolution without padding stands in front."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, (5, 20), (2, 2)), nn.Linear(2 * H, 3)
        self.gru = nn.GRU(44, H, 2, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.conv(x.unsqueeze(1))).permute(0, 2, 1, 3).flatten(2)
        h = self.gru(x)[1]
        return self.head(torch.cat([h[-2], h[-1]], 1))


@dataclass(frozen=True)
class Whole:
    """A model and how it is called; whether a sequence may be cut, and whether there is C."""

    make: Callable[[], nn.Module]
    draw: Draw
    streams: bool = False
    c: bool = False


def words(steps: int, batch: int) -> tuple[Any, ...]:
    return (torch.randint(WORDS, (batch, steps)),)


def padded(steps: int, batch: int) -> tuple[Any, ...]:
    tokens = torch.randint(1, WORDS, (batch, steps))
    for row in range(batch):
        tokens[row, max(1, steps - row) :] = 0
    return (tokens,)


def features(*sizes: int) -> Draw:
    return lambda steps, batch: (torch.randn(batch, steps, *sizes),)


def time_last(*sizes: int, more: int = 0, times: int = 1) -> Draw:
    return lambda steps, batch: (torch.randn(batch, *sizes, times * steps + more),)


def counted(steps: int, batch: int) -> tuple[Any, ...]:
    return torch.randn(batch, steps, 4), torch.tensor([max(1, steps - row) for row in range(batch)])


def masked(steps: int, batch: int) -> tuple[Any, ...]:
    x, lengths = counted(steps, batch)
    return x, torch.arange(steps) < lengths[:, None]


def with_states(steps: int, batch: int) -> tuple[Any, ...]:
    return torch.randn(batch, steps, 4), [torch.zeros(1, batch, H) for _ in range(3)]


MODELS = {
    "tagger": Whole(Tagger, words, c=True),
    "mean over time": Whole(MeanPooling, words, c=True),
    "maximum over time": Whole(MaxPooling, words, c=True),
    "attention over time": Whole(AttentionPooling, words, c=True),
    "last states of both directions": Whole(LastPooling, words, c=True),
    "mean without padding": Whole(MaskedMean, padded, c=True),
    "packed by padding": Whole(PackedByPadding, padded, c=True),
    "packed by a mask": Whole(PackedByMask, masked, c=True),
    "sorted by length": Whole(Sorted, counted, c=True),
    "last state of packed rows": Whole(LastOfPacked, counted, streams=True, c=True),
    "last valid output": Whole(Gathered, counted, streams=True, c=True),
    "speech recognizer": Whole(SpeechRecognizer, time_last(1, 16, times=2), c=True),
    "source separator": Whole(SourceSeparator, time_last(2, 10), c=True),
    "dual path": Whole(DualPath, time_last(8, more=3), c=True),
    "masker of samples": Whole(Masker, time_last(more=16, times=8), c=True),
    "encoder": Whole(Encoder, words, c=True),
    "siamese": Whole(
        Siamese,
        lambda steps, batch: (torch.randn(batch, steps, 4), torch.randn(batch, steps + 2, 4)),
        c=True,
    ),
    "list of layers": Whole(Layers, with_states, streams=True, c=True),
    "sequential": Whole(
        lambda: nn.Sequential(nn.Linear(4, H), nn.LSTM(H, 5, batch_first=True), First(), nn.Linear(5, 3)),
        features(4),
        streams=True,
        c=True,
    ),
    "cells behind a convolution": Whole(ConvolvedCells, time_last(4), c=True),
    "forecaster": Whole(
        Forecaster, lambda steps, batch: (torch.randn(batch, steps, 3), 5), streams=True, c=True
    ),
    "greedy decoder": Whole(Greedy, words, c=True),
    "weights of attention": Whole(SelfAttention, features(4), c=True),
    "latent vector alone": Whole(Generator, lambda steps, batch: (torch.randn(batch, 5),), c=True),
    "image and first word": Whole(
        Captioner, lambda steps, batch: (torch.randn(batch, 5), torch.randint(WORDS, (batch,))), c=True
    ),
    "repeated latent vector": Whole(Repeated, lambda steps, batch: (torch.randn(batch, 5),), c=True),
    "causal convolutions": Whole(Causal, time_last(4), streams=True, c=True),
    "video": Whole(Frames, features(1, 8, 8), streams=True, c=True),
    "counter": Whole(
        Counter,
        lambda steps, batch: (torch.randn(batch, steps, 4), torch.tensor(0), torch.zeros(batch, H)),
        streams=True,
        c=True,
    ),
    "wake word": Whole(WakeWord, features(40), c=True),
    "autoencoder": Whole(Autoencoder, features(4), c=True),
    "agent of the last reward": Whole(field_nets.R2D2, field_nets.of_r2d2, streams=True, c=True),
    "caption of an image": Whole(field_nets.ShowAttendAndTell, field_nets.of_captions, c=True),
    "two microphones": Whole(
        field_nets.DualMicrophone,
        lambda steps, batch: (torch.randn(batch, 2, steps, 9),),
        streams=True,
        c=True,
    ),
    "rates of neurons": Whole(
        field_nets.RateNetwork, lambda steps, batch: (torch.randn(3, batch, steps),), streams=True, c=True
    ),
    "language model": Whole(field_nets.LanguageModel, field_nets.of_language, streams=True, c=True),
    "states written into a list": Whole(field_nets.InPlace, field_nets.of_lists, streams=True, c=True),
}
