"""Nets whose states and outputs hold truth values, whole numbers and infinities, each beside its NumPy."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rnn_export.signature.tensors import Array

SIZE = 6


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Linear(4, SIZE)
        self.h = nn.Linear(SIZE, SIZE)

    def begin_state(self, batch_size: int, device: torch.device) -> Any:
        return torch.zeros(batch_size, SIZE)


class Seen(_Net):
    """A flag per row, true from the first large input on, and a second one that is true before."""

    def begin_state(self, batch_size: int, device: torch.device) -> Any:
        flags = torch.zeros(batch_size, dtype=torch.bool), torch.ones(batch_size, dtype=torch.bool)
        return torch.zeros(batch_size, SIZE), *flags

    def forward(self, inputs: Tensor, state: tuple[Tensor, Tensor, Tensor]):  # type: ignore[no-untyped-def]
        h, seen, fresh = state
        out = []
        for x in inputs.unbind(0):
            seen = seen | (x[:, 0] > 1)
            h = torch.tanh(self.x(x) + torch.where((seen & fresh)[:, None], torch.zeros_like(h), self.h(h)))
            fresh = ~seen
            out.append(h)
        return torch.stack(out), (h, seen, fresh)


def seen(step: "Step", x: Array, state: list[Array]) -> list[Array]:
    h, flag, fresh = state
    flag = flag | (x[:, 0] > 1)
    h = np.tanh(step(x, "x") + np.where((flag & fresh)[:, None], 0.0, step(h, "h")))
    return [h, h, flag, ~flag]


class Running(_Net):
    """The largest and the smallest number so far, and one with starts of its own."""

    def begin_state(self, batch_size: int, device: torch.device) -> Any:
        own = torch.tensor([-torch.inf, 0.0, 1.5, torch.inf, -1.0, -torch.inf]).expand(batch_size, SIZE)
        least = torch.full((batch_size, SIZE), torch.inf)
        return torch.zeros(batch_size, SIZE), -least, least, own.clone()

    def forward(self, inputs: Tensor, state: tuple[Tensor, Tensor, Tensor, Tensor]):  # type: ignore[no-untyped-def]
        h, most, least, own = state
        out = []
        for x in inputs.unbind(0):
            h = torch.tanh(self.x(x) + self.h(h))
            most, least, own = torch.maximum(most, h), torch.minimum(least, h), torch.maximum(own, h)
            out.append(most - least + torch.tanh(own))
        return torch.stack(out), (h, most, least, own)


def running(step: "Step", x: Array, state: list[Array]) -> list[Array]:
    h, most, least, own = state
    h = np.tanh(step(x, "x") + step(h, "h"))
    most, least, own = np.maximum(most, h), np.minimum(least, h), np.maximum(own, h)
    return [most - least + np.tanh(own), h, most, least, own]


class Chosen(_Net):
    """The unit that is largest, of units that saturate where the input is large."""

    def forward(self, inputs: Tensor, h: Tensor):  # type: ignore[no-untyped-def]
        out = []
        for x in inputs.unbind(0):
            h = torch.tanh(self.x(x) + self.h(h))
            out.append(torch.sigmoid(20 * h).argmax(-1))
        return torch.stack(out), h


def chosen(step: "Step", x: Array, state: list[Array]) -> list[Array]:
    h = np.tanh(step(x, "x") + step(state[0], "h"))
    return [h.argmax(-1), h]


class Above(_Net):
    """Which units are positive."""

    def forward(self, inputs: Tensor, h: Tensor):  # type: ignore[no-untyped-def]
        out = []
        for x in inputs.unbind(0):
            h = torch.tanh(self.x(x) + self.h(h))
            out.append(h > 0)
        return torch.stack(out), h


def above(step: "Step", x: Array, state: list[Array]) -> list[Array]:
    h = np.tanh(step(x, "x") + step(state[0], "h"))
    return [h > 0, h]


@dataclass(frozen=True)
class Step:
    """The linear maps of a net, in float64."""

    net: _Net

    def __call__(self, value: Array, name: str) -> Array:
        layer: nn.Linear = getattr(self.net, name)
        result: Array = value @ layer.weight.double().numpy(force=True).T + layer.bias.numpy(force=True)
        return result


Twin = Callable[[Step, Array, list[Array]], list[Array]]
NETS: dict[str, tuple[type[_Net], Twin]] = {
    "seen": (Seen, seen),
    "running": (Running, running),
    "chosen": (Chosen, chosen),
    "above": (Above, above),
}


def built(name: str) -> _Net:
    torch.manual_seed(3)
    return NETS[name][0]().eval()


def run(name: str, net: _Net, inputs: Array, state: list[Array]) -> list[Array]:
    """Run a net in NumPy: the outputs ``[T, B, ...]`` and the tensors of the last state."""
    out = []
    for x in inputs.astype(np.float64):
        first, *state = NETS[name][1](Step(net), x, state)
        out.append(first)
    return [np.stack(out), *state]
