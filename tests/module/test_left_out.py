"""A state that the example leaves out is found, however the module takes it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from rnn_export.module.inspection import inspect_export

X = torch.randn(7, 3, 4)


class Units(NamedTuple):
    v: Tensor
    b: Tensor


class Settings(NamedTuple):
    """Numbers of a kind of units, beside what is no number."""

    threshold: Tensor = torch.tensor(0.7)
    method: str = "super"


class Adaptive(nn.Module):
    """Units of packages of spiking nets: a named tuple, one part of which begins with a setting."""

    def __init__(self) -> None:
        super().__init__()
        self.settings, self.into = Settings(), nn.Linear(4, 5)

    def forward(self, x: Tensor, state: Units | None = None) -> tuple[Tensor, Units]:
        if state is None:
            zeros = torch.zeros(x.shape[1], 5, dtype=x.dtype)
            state = Units(zeros, torch.full_like(zeros, float(self.settings.threshold)))
        spikes = []
        for x_t in x:
            v = 0.9 * state.v + self.into(x_t)
            spike = torch.sigmoid(4 * (v - state.b))
            state = Units(v - spike, 0.95 * state.b + 0.1 * spike)
            spikes.append(spike)
        return torch.stack(spikes), state


class Stacked(nn.Module):
    """The states of all layers in two lists, which are two arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.ModuleList([nn.LSTMCell(4, 5), nn.LSTMCell(5, 5)])

    def forward(self, x: Tensor, h: list[Tensor] | None = None, c: list[Tensor] | None = None) -> Any:
        zeros = [torch.zeros(x.shape[1], 5, dtype=x.dtype) for _ in self.cells]
        h, c, outputs = list(h or zeros), list(c or zeros), []
        for x_t in x:
            for layer, cell in enumerate(self.cells):
                h[layer], c[layer] = cell(x_t if layer == 0 else h[0], (h[layer], c[layer]))
            outputs.append(h[-1])
        return torch.stack(outputs), (h, c)


class Keyed(nn.Module):
    """Gives back under a name what it takes under this name."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 5)

    def forward(self, x: Tensor, *, memory: dict[str, Tensor] | None = None) -> dict[str, Any]:
        y, h = self.gru(x, None if memory is None else memory["h"])
        return {"y": y, "memory": {"h": h}}


class SomeWithout(nn.Module):
    """A list with an entry for each layer, of which some have no state."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.gru = nn.Linear(4, 5), nn.GRU(5, 5)

    def forward(self, x: Tensor, state: list[Tensor | None] | None = None) -> tuple[Tensor, Any]:
        y, h = self.gru(self.into(x), None if state is None else state[1])
        return y, [None, h]


@pytest.mark.parametrize(
    ("make", "starts"),
    [
        (Adaptive, {"v": 0.0, "b": 0.7}),
        (Stacked, dict.fromkeys(["state_0", "state_1", "state_2", "state_3"], 0)),
        (Keyed, {"state_0": 0}),
        (SomeWithout, {"state_0": 0}),
    ],
)
def test_it_is_found_with_what_it_begins_with(
    make: Callable[[], nn.Module], starts: dict[str, float]
) -> None:
    torch.manual_seed(0)
    signature = inspect_export(make().eval(), X).signature
    assert signature.streamable
    assert {leaf.name: pytest.approx(leaf.initial) for leaf in signature.state} == starts


class Gated(nn.Module):
    """What may be given besides is no state, though it has the shape of a result."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 5)

    def forward(self, x: Tensor, gate: Units | None = None) -> tuple[Tensor, Units]:
        y, h = self.gru(x)
        y = y if gate is None else y * gate.v * gate.b
        return y, Units(torch.sigmoid(h[0]), torch.tanh(h[0]))


def test_what_is_none_is_left_out() -> None:
    torch.manual_seed(0)
    signature = inspect_export(Gated().eval(), X).signature
    assert [spec.name for spec in signature.inputs] == ["inputs"]
    assert len(signature.outputs) == 3
    assert [leaf.shape for leaf in signature.state] == [(1, "batch", 5)]  # that of the layer inside
