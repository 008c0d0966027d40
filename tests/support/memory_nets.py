"""Nets whose time step reads and writes places of a memory, or attends to it."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.support.folded import Folded


class LinearAttention(Folded):
    """A matrix for each head as the state."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(4, 6) for _ in range(3))

    def step(self, x: Tensor, s: Tensor) -> tuple[Tensor, ...]:
        heads = [each(x).view(-1, 2, 3) for each in (self.q, self.k, self.v)]
        s = 0.9 * s + torch.einsum("bhi,bhj->bhij", heads[1], heads[2])
        return torch.einsum("bhi,bhij->bhj", heads[0], s).flatten(1), s


class StateSpace(Folded):
    """A diagonal state space for each feature, selective as in Mamba."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.rand(4, 3))
        self.dt, self.bc = nn.Linear(4, 4), nn.Linear(4, 6)

    def step(self, x: Tensor, s: Tensor) -> tuple[Tensor, ...]:
        d, (b, c) = functional.softplus(self.dt(x)), self.bc(x).chunk(2, -1)
        s = torch.exp(torch.einsum("bd,dn->bdn", d, -self.a)) * s + d[..., None] * b[:, None] * x[..., None]
        return torch.einsum("bdn,bn->bd", s, c), s


class BlockHeads(Folded):
    """Weights for each head: a product over blocks of the state."""

    def __init__(self) -> None:
        super().__init__()
        self.u = nn.Parameter(torch.randn(2, 3, 3) * 0.4)
        self.w = nn.Parameter(torch.randn(4, 6))

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        h = torch.tanh(torch.einsum("bhi,hij->bhj", h.view(-1, 2, 3), self.u).flatten(1) + x @ self.w)
        return h, h


class MemoryAttention(Folded):
    """Attention over slots of a memory, in the state; the oldest slot goes."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k = nn.Linear(4, 4), nn.Linear(4, 4)

    def step(self, x: Tensor, memory: Tensor) -> tuple[Tensor, ...]:
        memory = torch.roll(memory, -1, 1)
        memory[:, -1] = x
        weights = torch.softmax((self.q(x)[:, None] @ self.k(memory).transpose(1, 2)) / 2, -1)
        return (weights @ memory).squeeze(1), memory


class WrittenBuffer(Folded):
    """A buffer that is shifted, and written at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 3)

    def step(self, x: Tensor, buffer: Tensor) -> tuple[Tensor, ...]:
        buffer = torch.cat([buffer[:, 1:], torch.zeros_like(buffer[:, :1])], 1)
        buffer[:, -1] = x
        return self.linear(buffer.flatten(1)), buffer


class Scattered(Folded):
    """Numbers added up by constant places."""

    def __init__(self) -> None:
        super().__init__()
        self.places = torch.tensor([0, 2, 2, 1])

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        h = 0.5 * h.index_add(1, self.places, x)
        return h, h


class Sparse(Folded):
    """The largest units alone are active."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4 + 6, 6)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        y = self.linear(torch.cat([x, h], 1))
        least = torch.topk(y, 2).values[:, -1:]
        h = torch.where(y >= least, y, 0.0).tanh()
        return h, h


class DeltaRule(Folded):
    """Fast weights: products of computed matrices for each head."""

    def __init__(self) -> None:
        super().__init__()
        self.k, self.v, self.beta = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(4, 2)

    def step(self, x: Tensor, s: Tensor) -> tuple[Tensor, ...]:
        key = functional.normalize(self.k(x).view(-1, 2, 3), dim=-1)
        old = (s @ key[..., None]).squeeze(-1)
        new = torch.sigmoid(self.beta(x))[..., None] * (self.v(x).view(-1, 2, 3) - old)
        s = s + new[..., None] * key[..., None, :]
        return (s @ key[..., None]).flatten(1), s


class MultiHead(Folded):
    """Attention over the heads of one time step."""

    size = 4

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(self.size, 2, batch_first=True)

    def step(self, x: Tensor, memory: Tensor) -> tuple[Tensor, ...]:
        memory = torch.cat([memory[:, 1:], x[:, None]], 1)
        y, _ = self.attention(x[:, None], memory, memory, need_weights=False)
        return y[:, 0], memory


class ManySlots(MultiHead):
    """Attention over many slots: one product of all of them with a matrix, not one for each."""

    size = 18


class Writes(Folded):
    """Numbers written to constant places, added up there, and taken out by computed ones."""

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        h = h.clone()
        h[:, 1:, ::2] = x[:, None, :2]
        h[:, [2, 0]] = h[:, [0, 1]] * 0.5
        h = torch.index_add(h, 2, torch.tensor([3, 0, 3]), x[:, None, :3].expand(-1, 3, -1))
        h = h.scatter(2, torch.tensor([[[1], [0], [2]]]).expand(h.shape[0], -1, -1), 0.25)
        most, places = h.topk(2, 1, largest=False)
        order = torch.argsort(x, -1, descending=True)
        table = torch.arange(8.0).view(4, 2)[order].flatten(1)
        near = torch.gather(h, 2, order[:, None, :2].expand(-1, 3, -1)).flatten(1)
        counts = (h > 0).sum((1, 2)).to(x.dtype)[:, None]
        return torch.cat([most.flatten(1), places.flatten(1).to(x.dtype), table, near, counts], 1), h.tanh()


class RingBuffer(Folded):
    """A buffer that each row writes and reads at a place of its own, which a counter gives."""

    def step(self, x: Tensor, buffer: Tensor, count: Tensor) -> tuple[Tensor, ...]:
        rows, place = torch.arange(x.shape[0]), count[:, 0].long() % 5
        buffer = buffer.clone()
        buffer[rows, place] = x
        return torch.cat([buffer[rows, place - 3], buffer.mean(1)], 1), buffer, count + 1
