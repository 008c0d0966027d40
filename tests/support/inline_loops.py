"""Nets whose loops stand one after another in one ``forward`` that TorchScript does not compile."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

FEATURES, UNITS = 5, 6


class BothWays(nn.Module):
    """Two layers, each of which runs forward and backward, in loops over names of cells."""

    def __init__(self) -> None:
        super().__init__()
        for layer, size in enumerate((FEATURES, 2 * UNITS)):
            for way in "fb":
                self.add_module(f"cell_{way}{layer}", nn.GRUCell(size, UNITS))
        self.out = nn.Linear(2 * UNITS, 3)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, F] to [B, T, 3]."""
        batch, steps, _ = x.shape
        for layer in range(2):
            both = []
            for way, order in (("f", range(steps)), ("b", reversed(range(steps)))):
                h, found = x.new_zeros(batch, UNITS), [x] * steps
                for t in order:
                    h = getattr(self, f"cell_{way}{layer}")(x[:, t], h)
                    found[t] = h
                both.append(torch.stack(found, 1))
            x = torch.cat(both, -1)
        return self.out(x)


class Translated(nn.Module):
    """An encoder that runs backward, and a decoder that begins where it ends and looks at all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.LSTMCell(FEATURES, UNITS)
        self.decoder = nn.LSTMCell(FEATURES + UNITS, UNITS)
        self.parts = nn.ModuleDict({"bridge": nn.Linear(UNITS, UNITS), "out": nn.Linear(UNITS, 4)})

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, F] to [B, T, 4]."""
        h, c = torch.zeros(2, x.size(0), UNITS)
        memory: Any = []
        for x_t in [*x.unbind(1)][::-1]:
            h, c = self.encoder(x_t, (h, c))
            memory.append(h)
        memory, part = torch.stack(memory, 1), self.parts.__getitem__
        h, outputs = torch.tanh(part("bridge")(h)), []
        for x_t in x.unbind(1):
            weights = torch.softmax((memory @ h.unsqueeze(-1)).squeeze(-1), -1)
            read = (weights.unsqueeze(1) @ memory).squeeze(1)
            h, c = self.decoder(torch.cat([x_t, read], -1), (h, c))
            outputs.append(part("out")(h))
        return torch.stack(outputs, 1)


class Strided(nn.Module):
    """One loop for two directions behind a strided convolution, a norm, and the mean over time."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(FEATURES, 8, 3, stride=2, padding=1)
        self.forth, self.back = nn.GRUCell(8, UNITS), nn.GRUCell(8, UNITS)
        self.norm, self.out = nn.LayerNorm(2 * UNITS), nn.Linear(2 * UNITS, 4)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, F] to [B, 4]."""
        z = self.conv(x.transpose(1, 2)).transpose(1, 2)
        h = g = torch.zeros(x.size(0), UNITS)
        forth, back = list[Tensor](), list[Tensor]()
        for t in range(z.size(1)):
            h, g = self.forth(z[:, t], h), self.back(z[:, -1 - t], g)
            forth.append(h)
            back.insert(0, g)
        y = torch.cat([torch.stack(each, 1) for each in (forth, back)], -1)
        return self.out(self.norm(y).mean(**{"dim": 1}))


class Autoencoder(nn.Module):
    """A decoder that reads the code in each of its time steps, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.GRUCell(FEATURES, UNITS), nn.GRUCell(UNITS, UNITS)
        self.out = nn.Linear(UNITS, FEATURES)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, F] to [B, T, F], written from the last time step to the first."""
        h, outputs = torch.zeros(x.size(0), UNITS), list[Tensor]()
        for x_t in x.unbind(1):
            h = self.encoder(x_t, h)
        code = h
        for _ in x.unbind(1):
            h = self.decoder(code, h)
            outputs = [self.out(h), *outputs]
        return torch.stack(outputs, 1)


class FirstApart(nn.Module):
    """The first time step of each direction has no state yet; lists of both are joined by comprehensions."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 4)
        self.forth, self.back = nn.LSTMCell(4, UNITS), nn.LSTMCell(4, UNITS)
        self.out = nn.Linear(2 * UNITS, 3)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """[B, T] to [B, T, 3] and [B, 2 H]."""
        e = self.embed(tokens)
        h, c = self.forth(e[:, 0])
        g, d = self.back(e[:, -1])
        forth, back = [h], [g]
        for t in range(1, e.shape[1]):
            h, c = self.forth(e[:, t], (h, c))
            forth.append(h)
        for t in range(2, e.shape[1] + 1):
            g, d = self.back(e[:, -t], (g, d))
            back.append(g)
        both = (torch.cat(pair, -1) for pair in zip(forth, back[::-1], strict=True))
        return torch.cat([self.out(each).unsqueeze(1) for each in both], 1), torch.cat([h, g], -1)


class Smoother(nn.Module):
    """A filter, and a pass backward over what it gave: each time step reads two neighbours of that."""

    def __init__(self) -> None:
        super().__init__()
        self.decay = nn.Parameter(0.3 * torch.randn(4, 4))
        self.gain, self.correct = nn.Linear(3, 4), nn.Linear(8, 4)

    def forward(self, x: Tensor, dt: Tensor, h: Tensor) -> Tensor:
        """[T, B, 3], [T, B] and [B, 4] to [T, B, 4]."""
        along, filtered = {"dim": -1}, list[Tensor]()
        for t in range(x.shape[0]):
            h = h * torch.exp(-dt[t].unsqueeze(-1)) @ self.decay + self.gain(x[t])
            filtered.append(h)
        smooth = filtered[-1]
        outputs = [smooth]
        for t in range(x.shape[0] - 2, -1, -1):
            both = torch.cat([smooth - filtered[t], filtered[t + 1]], **along)
            smooth = filtered[t] + torch.tanh(self.correct(both))
            outputs.insert(0, smooth)
        return torch.stack(outputs)


class Filled(nn.Module):
    """Sums that begin as a number, written into tensors: first backward, then forward over that."""

    def __init__(self) -> None:
        super().__init__()
        self.back, self.forth = nn.Linear(FEATURES, FEATURES), nn.Linear(FEATURES, FEATURES)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """[B, T, F] to [B, T, F] and [B, F]."""
        passes = []
        for layer, order in ((self.back, reversed), (self.forth, list)):
            y, total = torch.zeros_like(x), 0.0
            for t in order(range(x.shape[1])):
                total = torch.tanh(layer(x[:, t]) + 0.5 * total)
                y[:, t] = total
            passes.append(y)
            x = y
        return {"smooth": passes[1], "peak": passes[0].amax(1)}


class Refined(nn.Module):
    """Each time step repeats a layer: a loop in a loop, as often for any number of time steps."""

    def __init__(self) -> None:
        super().__init__()
        self.forth, self.back = nn.Linear(FEATURES + UNITS, UNITS), nn.Linear(2 * UNITS, UNITS)
        self.refine = nn.Linear(UNITS, UNITS)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, F] to [B, T, H]."""
        for layer, order in ((self.forth, iter), (self.back, reversed)):
            h, found = x.new_zeros(x.size(0), UNITS), dict[int, Tensor]()
            for t in order([*range(x.size(1))]):
                h = torch.tanh(layer(torch.cat([x[:, t], h], 1)))
                for _ in range(5):
                    h = h + 0.1 * torch.tanh(self.refine(h))
                found[t] = h
            x = torch.stack([found[t] for t in sorted(found)], 1)
        return x


def _sequence() -> tuple[Tensor, ...]:
    return (torch.randn(3, 7, FEATURES),)


# Each with the number of its loops, and whether model.c can be written of it.
NETS: dict[str, tuple[Callable[[], nn.Module], Callable[[], tuple[Tensor, ...]], int, bool]] = {
    "filled": (Filled, _sequence, 2, False),  # the shortest traces: it is tried every day
    "both ways": (BothWays, _sequence, 4, True),
    "encoder and decoder": (Translated, _sequence, 2, True),
    "behind a stride": (Strided, lambda: (torch.randn(3, 12, FEATURES),), 1, True),
    "autoencoder": (Autoencoder, _sequence, 2, True),
    "first step apart": (FirstApart, lambda: (torch.randint(0, 11, (3, 7)),), 3, True),
    "smoother": (Smoother, lambda: (torch.randn(7, 2, 3), torch.rand(7, 2), torch.randn(2, 4)), 2, False),
    "refined": (Refined, _sequence, 2, True),
}
