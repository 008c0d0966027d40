"""Models around recurrences that neither TorchScript nor a trace of the whole takes, as people write them."""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.support.around_loops import (
    BothEnds,
    BothWays,
    Decaying,
    Discount,
    FromLearned,
    H,
    Looking,
    Loop,
    WithMask,
)

WORDS = 20
Draw = Callable[[int, int], tuple[Any, ...]]  # from time steps and rows


class Speech(nn.Module):
    """A convolution of stride 2, a loop of each direction, a head; called with whatever else."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(5, 8, 3, stride=2, padding=1), nn.LayerNorm(8)
        self.forth, self.back, self.head = Loop(8), Loop(8, reverse=True), nn.Linear(2 * H, 7)

    def forward(self, x: Tensor, **kwargs: Any) -> dict[str, Tensor]:
        z = self.norm(functional.gelu(self.conv(x.transpose(1, 2))).transpose(1, 2))
        return {"logits": self.head(torch.cat([self.forth(z)[0], self.back(z)[0]], -1)).log_softmax(-1)}


class Text(nn.Module):
    """Reads a line of text: convolutions and pooling, layers by their names."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.MaxPool2d((2, 1)),
        )
        self.layers = nn.ModuleDict({"layer0": BothWays(24), "layer1": BothWays(2 * H)})
        self.head = nn.Linear(2 * H, 9)

    def forward(self, image: Tensor) -> Tensor:
        z = self.conv(image).permute(0, 3, 1, 2).flatten(2)
        for number in range(2):
            z = self.layers[f"layer{number}"](z)
        return self.head(z).log_softmax(-1)


@dataclass
class Tags:
    """Of each word, and of all of them."""

    tags: Tensor
    whole: Tensor


class Tagger(nn.Module):
    """Padding masked behind the loops, a mean without it."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.both, self.head = nn.Embedding(WORDS, 5), BothWays(5), nn.Linear(2 * H, 4)

    def forward(self, tokens: Tensor) -> Tags:
        mask = tokens.ne(0)
        z = self.both(self.embed(tokens)) * mask.unsqueeze(-1)
        return Tags(self.head(z), z.sum(1) / mask.sum(1, keepdim=True).clamp(min=1))


class Encoder(nn.Module):
    """What a decoder is given: outputs of both directions, and what both end with."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.begin = nn.Embedding(WORDS, 5), nn.Linear(2 * H, H)
        self.forth, self.back = Loop(5), Loop(5, reverse=True)

    def forward(self, source: Tensor) -> tuple[Tensor, Tensor]:
        embedded = self.embed(source)
        (y, (h, _)), (other, (g, _)) = self.forth(embedded), self.back(embedded)
        with torch.no_grad():
            scale = getattr(self, f"scale_{H}", 1.0)
        return torch.cat([y, other], -1) * scale, torch.tanh(self.begin(torch.cat([h, g], -1)))


class Attending(nn.Module):
    """A layer of attention over a recurrent layer of both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(5, 8, batch_first=True, bidirectional=True)
        self.encoder = nn.TransformerEncoderLayer(16, 2, 20, batch_first=True, dropout=0.0)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.rnn(x)[0]))


class Weighing(nn.Module):
    """Attention behind a recurrent layer, with its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(5, 8, batch_first=True), nn.Linear(8, 3)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, _ = self.rnn(x)
        more, weights = self.attention(y, y, y)
        return self.head(y + more), weights


class Alike(nn.Module):
    """One loop over two sequences of their own lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = Loop(5)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        (_, (h, _)), (_, (g, _)) = self.loop(one, scale=1), self.loop(other, scale=1)
        return functional.cosine_similarity(h, g, dim=-1).unsqueeze(-1)


class Advantage(nn.Module):
    """What is still to come, less its mean."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.discount, self.out = nn.Linear(5, 4), Discount(), nn.Linear(4, 2, bias=False)

    def forward(self, observation: Tensor, *more: Any) -> Tensor:
        value = self.out(self.discount(torch.tanh(self.into(observation))))
        return value - value.mean(dim=1, keepdim=True)


class Emotion(nn.Module):
    """Pooling over time, loops that begin with what they have learned, attention over time."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.pool = nn.Conv1d(5, 8, 5, padding=2), nn.MaxPool1d(2)
        self.forth, self.back = FromLearned(8), FromLearned(8)
        self.weigh, self.out = nn.Linear(2 * H, 1), nn.Linear(2 * H, 4)

    def forward(self, x: Tensor, **kwargs: Any) -> Tensor:
        z = self.pool(functional.relu(self.conv(x))).transpose(1, 2)
        y = torch.cat([self.forth(z), self.back(z.flip(1)).flip(1)], -1)
        return self.out((torch.softmax(self.weigh(y), 1) * y).sum(1))


class Near(nn.Module):
    """Two layers of both directions, then attention that prefers what is near."""

    def __init__(self) -> None:
        super().__init__()
        for number, inputs in enumerate((5, 2 * H)):
            setattr(self, f"forth_{number}", Loop(inputs))
            setattr(self, f"back_{number}", Loop(inputs, reverse=True))
        self.query, self.out = nn.Linear(2 * H, 2 * H), nn.Linear(4 * H, 3)

    def forward(self, x: Tensor, *, unused: int | None = None) -> Tensor:
        z = x
        for number in range(2):
            z = torch.cat([getattr(self, f"{way}_{number}")(z)[0] for way in ("forth", "back")], -1)
        scores = torch.einsum("bid,bjd->bij", self.query(z), z) / sqrt(z.size(-1))
        place = torch.arange(x.size(1), device=x.device)
        scores = scores - 0.1 * (place[:, None] - place[None]).abs()
        return self.out(torch.cat([z, scores.softmax(-1) @ z], -1))


class Handed(nn.Module):
    """What one loop ends with is what another begins with, which is run once more without."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(5, 5, 3, stride=2, padding=1)
        self.first, self.second, self.out = Loop(5), Loop(5), nn.Linear(H, 3)

    def forward(self, x: Tensor, **kwargs: Any) -> Tensor:
        z = self.conv(x.mT).mT
        y, _ = self.second(z, state=self.first(z)[1])
        return self.out(y + self.second(y[..., :5])[0])


class Masked(nn.Module):
    """Loops that a mask is handed to."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.forth, self.back = nn.Embedding(WORDS, 5), WithMask(5), WithMask(5)
        self.out = nn.Linear(2 * H, 4)

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        mask, embedded = tokens != 0, self.embed(tokens)
        (y, h), (other, g) = self.forth(embedded, mask), self.back(embedded, mask, reverse=True)
        return {"tags": self.out(torch.cat([y, other], -1)), "whole": torch.cat([h, g], -1)}


class Ends(nn.Module):
    """Reads what both loops of a submodule end with."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.both, self.out = nn.Linear(5, 5), BothEnds(5), nn.Linear(4 * H, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, (h, c) = self.both(torch.relu(self.into(x)))
        return y, self.out(torch.cat([h[0], h[1], c[0], c[1]], -1))


class Numbers(nn.Module):
    """Asks for sizes as Python numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.forth, self.back, self.out = Loop(5), Loop(5, reverse=True), nn.Linear(2 * H, 2)

    def forward(self, x: Tensor, **kwargs: Any) -> Tensor:
        rows, steps = int(x.shape[0]), int(x.shape[1])
        z = torch.zeros(rows, steps, 1) + x / float(x.shape[1])
        y = torch.cat([self.forth(z)[0], self.back(z)[0]], -1)
        return self.out(y.view(rows * steps, -1)).view(rows, steps, -1)


class Imputing(nn.Module):
    """Fills in what is missing from both sides; what comes out is as what goes in."""

    def __init__(self) -> None:
        super().__init__()
        self.forth, self.back, self.out = Decaying(), Decaying(), nn.Linear(2 * H, 1)

    def forward(self, values: Tensor, masks: Tensor, gaps: Tensor, **kwargs: Any) -> dict[str, Tensor]:
        one = self.forth(values, masks=masks, gaps=gaps)
        other = self.back(values.flip(1), masks=masks.flip(1), gaps=gaps.flip(1))
        whole = torch.sigmoid(self.out(torch.cat([one["h"], other["h"]], -1)))
        return {"filled": (one["filled"] + other["filled"].flip(1)) / 2, "whole": whole}


class Past(nn.Module):
    """Holds what is no loop over a state of one size."""

    def __init__(self) -> None:
        super().__init__()
        self.looking, self.out = Looking(5), nn.Linear(H, 2)

    def forward(self, x: Tensor, **kwargs: Any) -> Tensor:
        return self.out(self.looking(x)).mean(1)


@dataclass(frozen=True)
class Net:
    """A model and how it is called; whether there is C of it."""

    make: Callable[[], nn.Module]
    draw: Draw
    c: bool = True


def features(*sizes: int) -> Draw:
    return lambda steps, batch: (torch.randn(batch, steps, *sizes),)


def words(steps: int, batch: int) -> tuple[Any, ...]:
    return (torch.randint(WORDS, (batch, steps)),)


NETS = {
    "speech": Net(Speech, features(5)),
    "text": Net(Text, lambda steps, batch: (torch.randn(batch, 1, 16, 2 * steps + 1),)),
    "tagger": Net(Tagger, words),
    "encoder": Net(Encoder, words),
    "attending": Net(Attending, features(5)),
    "weighing": Net(Weighing, features(5)),
    "alike": Net(
        Alike, lambda steps, batch: (torch.randn(batch, steps, 5), torch.randn(batch, steps + 2, 5))
    ),
    "advantage": Net(Advantage, features(5)),
    "emotion": Net(Emotion, lambda steps, batch: (torch.randn(batch, 5, 2 * steps),)),
    "near": Net(Near, features(5), c=False),
    "handed": Net(Handed, features(5)),
    "masked": Net(Masked, words),
    "ends": Net(Ends, lambda steps, batch: (torch.randn(steps, batch, 5),)),
    "numbers": Net(Numbers, features(5)),
    "imputing": Net(Imputing, lambda steps, batch: tuple(torch.rand(3, batch, steps, 3).unbind())),
    "both ways": Net(lambda: BothWays(4), features(4)),
}
