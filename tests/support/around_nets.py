"""Models around recurrences that neither TorchScript nor a trace of the whole takes, as people write them."""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

H = 6
WORDS = 20
Draw = Callable[[int, int], tuple[Any, ...]]  # from time steps and rows


class Loop(nn.Module):
    """A cell over time, forward or backward, with its state in and out."""

    def __init__(self, inputs: int, reverse: bool = False) -> None:
        super().__init__()
        self.cell, self.reverse = nn.LSTMCell(inputs, H), reverse

    def forward(self, x: Tensor, state: Any = None, **kwargs: Any) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        rows, steps, _ = x.shape
        h, c = (x.new_zeros(rows, H), x.new_zeros(rows, H)) if state is None else state
        outputs = []
        for t in range(steps - 1, -1, -1) if self.reverse else range(steps):
            h, c = self.cell(x[:, t], (h, c))
            outputs.append(h)
        return torch.stack(outputs[::-1] if self.reverse else outputs, dim=1), (h, c)


class BothWays(nn.Module):
    """Both loops in one forward: over time, and over flipped time."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.forth, self.back = nn.GRUCell(inputs, H), nn.GRUCell(inputs, H)

    def forward(self, x: Tensor, **unused: Any) -> Tensor:
        found = {}
        for name in ("forth", "back"):
            cell, h, outputs = getattr(self, name), torch.zeros(x.shape[0], H, device=x.device), []
            sequence = x if name == "forth" else x.flip(1)
            for t in range(x.shape[1]):
                h = cell(sequence[:, t], h)
                outputs.append(h)
            y = torch.stack(outputs, 1)
            found[name] = y if name == "forth" else y.flip(1)
        return torch.cat([found["forth"], found["back"]], -1)


class BothEnds(nn.Module):
    """Both loops in one forward, time in front, and what each ends with."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.cells = nn.ModuleDict({"forth": nn.LSTMCell(inputs, H), "back": nn.LSTMCell(inputs, H)})

    def forward(self, x: Tensor, **unused: Any) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        steps, rows, _ = x.shape
        found = []
        for name, cell in self.cells.items():
            h = c = torch.zeros(rows, H)
            outputs = []
            for t in range(steps) if name == "forth" else reversed(range(steps)):
                h, c = cell(x[t], (h, c))
                outputs.append(h)
            found.append((torch.stack(outputs if name == "forth" else outputs[::-1]), h, c))
        (y, h, c), (other, g, d) = found
        return torch.cat([y, other], 2), (torch.stack([h, g]), torch.stack([c, d]))


class FromLearned(nn.Module):
    """A gated loop, its equations written by hand, which begins with what it has learned."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.into, self.again = nn.Linear(inputs, 3 * H), nn.Linear(H, 3 * H, bias=False)
        self.start = nn.Parameter(torch.randn(H) / 3)

    def forward(self, x: Tensor) -> Tensor:
        h, outputs = self.start.expand(x.size(0), -1), []
        for x_t in self.into(x).unbind(1):
            (a, b, c), (d, e, f) = x_t.chunk(3, -1), self.again(h).chunk(3, -1)
            z = torch.sigmoid(b + e)
            h = (1 - z) * torch.tanh(c + torch.sigmoid(a + d) * f) + z * h
            outputs.append(h)
        return torch.stack(outputs, 1)


class Discount(nn.Module):
    """What is still to come, each time step later worth less."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.full((4,), 0.5))

    def forward(self, reward: Tensor) -> Tensor:
        total, outputs = torch.zeros_like(reward[:, 0]), list[Tensor]()
        for t in reversed(range(reward.shape[1])):
            total = reward[:, t] + torch.sigmoid(self.rate) * total
            outputs.insert(0, total)
        return torch.stack(outputs, 1)


class WithMask(nn.Module):
    """Keeps its state where a mask says so."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(inputs, H)

    def forward(self, x: Tensor, mask: Tensor, *, reverse: bool = False) -> tuple[Tensor, Tensor]:
        h, outputs = x.new_zeros(x.size(0), H), [x] * x.size(1)
        order = list(range(x.size(1)))
        for t in order[::-1] if reverse else order:
            h = torch.where(mask[:, t : t + 1], self.cell(x[:, t], h), h)
            outputs[t] = h
        return torch.stack(outputs, 1), h


class Decaying(nn.Module):
    """Fills in what is missing, and forgets with the time since it was seen."""

    def __init__(self) -> None:
        super().__init__()
        self.decay, self.cell, self.guess = nn.Linear(3, H), nn.GRUCell(6, H), nn.Linear(H, 3)

    def forward(self, values: Tensor, masks: Tensor, gaps: Tensor, **kwargs: Any) -> dict[str, Tensor]:
        h, filled = torch.zeros(values.shape[0], H), []
        for t in range(values.shape[1]):
            h = h * torch.exp(-torch.relu(self.decay(gaps[:, t])))
            value = masks[:, t] * values[:, t] + (1 - masks[:, t]) * self.guess(h)
            h = self.cell(torch.cat([value, masks[:, t]], 1), h)
            filled.append(value)
        return {"filled": torch.stack(filled, 1), "h": h}


class Looking(nn.Module):
    """Attends to all that it has been before: no loop over a state of one size."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.cell, self.query = nn.GRUCell(inputs + H, H), nn.Linear(H, H)

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(x.size(0), H)
        past = [h]
        for t in range(x.size(1)):
            before = torch.stack(past, 1)
            weights = (before @ self.query(h)[..., None]).softmax(1)
            h = self.cell(torch.cat([x[:, t], (weights * before).sum(1)], -1), h)
            past.append(h)
        return torch.stack(past[1:], 1)


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
    "attending": Net(Attending, features(5), c=False),
    "weighing": Net(Weighing, features(5), c=False),
    "alike": Net(
        Alike, lambda steps, batch: (torch.randn(batch, steps, 5), torch.randn(batch, steps + 2, 5)), c=False
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
