"""Calls with several inputs or outputs: sequences, contexts, lengths; heads, weights, labels."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

H = 6


def zeros(batch: int) -> Tensor:
    return torch.zeros(1, batch, H)


class Decoder(nn.Module):
    """A decoder with attention over an encoder's outputs, ``[B, S, H]``, behind the state."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(4, H, batch_first=True), nn.Linear(2 * H, 5)

    def forward(self, x: Tensor, h: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y, h = self.gru(x, h)
        weights = torch.softmax(y @ memory.transpose(1, 2), -1)
        return self.head(torch.cat([y, weights @ memory], -1)), weights, h


class MaskedDecoder(nn.Module):
    """The same, with a mask of truth values that has the memory's length; results are a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRUCell(4, H), nn.Linear(H, 5)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor, h: Tensor) -> dict[str, Tensor]:
        outputs = []
        for x_t in x:
            h = self.cell(x_t, h)
            scores = torch.einsum("bh,bsh->bs", h, memory).masked_fill(mask, -1e4)
            h = h + torch.einsum("bs,bsh->bh", torch.softmax(scores, -1), memory)
            outputs.append(h)
        y = torch.stack(outputs)
        return {"logits": self.head(y), "features": y, "h": h}


class Agent(nn.Module):
    """An agent, called with a dict: observations, the last actions, the ends of episodes; two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.cell = nn.Embedding(3, 2), nn.LSTMCell(6, H)
        self.policy, self.value = nn.Linear(H, 3), nn.Linear(H, 1)

    def forward(self, seen: dict[str, Tensor], state: tuple[Tensor, Tensor]) -> Any:
        h, c = state
        outputs = []
        for t in range(seen["observation"].shape[0]):
            keep = (~seen["done"][t]).to(h.dtype)[:, None]
            x = torch.cat([seen["observation"][t], self.embed(seen["action"][t])], -1)
            h, c = self.cell(x, (h * keep, c * keep))
            outputs.append(h)
        y = torch.stack(outputs)
        return self.policy(y), self.value(y).squeeze(-1), (h, c)


class Gaps(nn.Module):
    """A second sequence of its own rank says how long each time step took."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, H)

    def forward(self, x: Tensor, dt: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        outputs = []
        for t in range(x.shape[0]):
            h = self.cell(x[t], h * torch.exp(-dt[t])[:, None])
            outputs.append(h)
        return torch.stack(outputs), h


class Speaker(nn.Module):
    """A context of ids, one of numbers, and a state that comes last; labels come out beside numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.gru, self.head = nn.Embedding(9, 3), nn.GRU(9, H, batch_first=True), nn.Linear(H, 5)

    def forward(self, x: Tensor, which: Tensor, style: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        about = torch.cat([self.embed(which), style], -1)
        y, h = self.gru(torch.cat([x, about.unsqueeze(1).expand(-1, x.shape[1], -1)], -1), h)
        logits = self.head(y)
        return logits, logits.argmax(-1), h


class Heads(nn.Module):
    """Two heads in a dict, of every time step and of the last one; the state stays inside."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.policy, self.value = nn.GRU(4, H), nn.Linear(H, 3), nn.Linear(H, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y, _ = self.gru(x)
        return {"policy": self.policy(y), "value": self.value(y[-1])}


class Packed(nn.Module):
    """A bidirectional net over rows of several lengths, packed as ``torch.nn.utils.rnn`` does."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, H, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * H, 3)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        y, _ = self.lstm(packed)
        return self.head(pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])[0])


class Translator(nn.Module):
    """Reads one sequence, and begins a second one, of another length, with what is left of it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder, self.head = nn.GRU(4, H), nn.GRU(7, H), nn.Linear(H, 5)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.head(self.decoder(target, self.encoder(source)[1])[0])


class Machine(nn.Module):
    """Watches a machine: numbers, events and alarms come in, and a context; it has a counter and a flag.

    The state stands between the inputs and comes out first; it begins with other numbers than zeros.
    """

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.cell = nn.Embedding(5, 3), nn.GRUCell(9, H)
        self.head, self.risk = nn.Linear(H + 1, 4), nn.Linear(H, 1)

    def begin_state(self, batch_size: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        h = torch.full((batch_size, H), 0.5, device=device)
        calm = torch.full((batch_size,), 3, device=device)
        return h, calm, torch.ones(batch_size, dtype=torch.bool, device=device)

    def forward(self, x: Tensor, event: Tensor, state: Any, alarm: Tensor, site: Tensor) -> Any:
        h, calm, armed = state
        hidden, since, fit = [], [], []
        for t in range(x.shape[0]):
            h = self.cell(torch.cat([x[t], self.embed(event[t]), site], -1), h)
            calm = torch.where(alarm[t], torch.zeros_like(calm), calm + 1)
            armed = armed & ~(alarm[t] & (event[t] > 2))
            hidden.append(h)
            since.append(calm)
            fit.append(armed)
        y, count = torch.stack(hidden), torch.stack(since)
        logits = self.head(torch.cat([y, torch.log1p(count.to(y.dtype)).unsqueeze(-1)], -1))
        heads = {"logits": logits, "calm": count, "armed": torch.stack(fit), "risk": self.risk(h)}
        return (h, calm, armed), heads


class Flattened(nn.Module):
    """A language model whose logits have time and batch as one axis, as a loss wants them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.gru, self.head = nn.Embedding(20, 4), nn.GRU(4, H), nn.Linear(H, 20)

    def forward(self, tokens: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y, h = self.gru(self.embed(tokens), h)
        return self.head(y).reshape(-1, 20), h


@dataclass(frozen=True)
class General:
    """A net and how it is called: with ``draw(time, batch, places)``.

    ``takes`` and ``gives`` are what the signature says, in its order; ``streams`` whether a sequence may be
    cut.
    """

    make: Callable[[], nn.Module]
    draw: Callable[[int, int, int], tuple[Any, ...]]
    takes: tuple[str, ...]
    gives: tuple[str, ...]
    streams: bool = True


def lengths(steps: int, batch: int) -> Tensor:
    return torch.cat([torch.tensor([steps]), torch.randint(1, steps + 1, (batch - 1,))])


GENERAL = {
    "a decoder with attention": General(
        Decoder,
        lambda T, B, S: (torch.randn(B, T, 4), zeros(B), torch.randn(B, S, H)),
        ("x: sequence", "memory: context", "state_0"),
        ("outputs_0", "outputs_1", "state_0_out"),
    ),
    "a mask of the memory's length": General(
        MaskedDecoder,
        lambda T, B, S: (
            torch.randn(T, B, 4),
            torch.randn(B, S, H),
            torch.rand(B, S) > 0.7,
            torch.zeros(B, H),
        ),
        ("x: sequence", "memory: context", "mask: context", "state_0"),
        ("logits", "features", "state_0_out"),
    ),
    "an agent": General(
        Agent,
        lambda T, B, S: (
            {
                "observation": torch.randn(T, B, 4),
                "action": torch.randint(3, (T, B)),
                "done": torch.rand(T, B) > 0.7,
            },
            (torch.randn(B, H), torch.randn(B, H)),
        ),
        ("observation: sequence", "action: sequence", "done: sequence", "state_0", "state_1"),
        ("outputs_0", "outputs_1", "state_0_out", "state_1_out"),
    ),
    "time gaps": General(
        Gaps,
        lambda T, B, S: (torch.randn(T, B, 4), torch.rand(T, B), torch.randn(B, H)),
        ("x: sequence", "dt: sequence", "state_0"),
        ("outputs", "state_0_out"),
    ),
    "a speaker": General(
        Speaker,
        lambda T, B, S: (torch.randn(B, T, 4), torch.randint(9, (B,)), torch.randn(B, 2), zeros(B)),
        ("x: sequence", "which: context", "style: context", "state_0"),
        ("outputs_0", "outputs_1", "state_0_out"),
    ),
    "two heads": General(
        Heads,
        lambda T, B, S: (torch.randn(T, B, 4),),
        ("inputs: sequence", "state_0"),
        ("policy", "value", "state_0_out"),
    ),
    "packed": General(
        Packed,
        lambda T, B, S: (torch.randn(B, T, 4), lengths(T, B)),
        ("inputs_0: sequence", "inputs_1: lengths"),
        ("outputs",),
        streams=False,
    ),
    "another sequence before": General(
        Translator,
        lambda T, B, S: (torch.randn(S, B, 4), torch.randn(T, B, 7)),
        ("source: context", "target: sequence"),
        ("outputs",),
        streams=False,
    ),
    "a machine": General(
        Machine,
        lambda T, B, S: (
            torch.randn(T, B, 4),
            torch.randint(5, (T, B)),
            (torch.randn(B, H), torch.randint(9, (B,)), torch.rand(B) > 0.3),
            torch.rand(T, B) > 0.7,
            torch.randn(B, 2),
        ),
        (
            "x: sequence",
            "event: sequence",
            "alarm: sequence",
            "site: context",
            "state_0",
            "state_1",
            "state_2",
        ),
        ("logits", "calm", "armed", "risk", "state_0_out", "state_1_out", "state_2_out"),
    ),
    "flattened": General(
        Flattened,
        lambda T, B, S: (torch.randint(20, (T, B)), zeros(B)),
        ("inputs: sequence", "state_0"),
        ("outputs", "state_0_out"),
    ),
}
