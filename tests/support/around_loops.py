"""Recurrences as people write them: what stands inside of the models of ``around_nets.py``."""

from typing import Any

import torch
from torch import Tensor, nn

H = 6


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
