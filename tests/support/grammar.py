"""Random models of a grammar: layers, wrappings around them, and calls, all chosen by a number."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

F = 6  # features between any two layers
Module = Callable[[], nn.Module]


class First(nn.Module):
    """What a recurrent layer gives, without its state."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0]


class Residual(nn.Module):
    """A layer and what went in."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layer(x)


class Twice(nn.Module):
    """One layer, run twice."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.layer(x))


class Channels(nn.Module):
    """A layer that wants features in front of time; ``pad`` steps of zeros in front make it causal."""

    def __init__(self, layer: nn.Module, pad: int = 0) -> None:
        super().__init__()
        self.layer, self.pad = layer, pad

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(nn.functional.pad(x.transpose(1, 2), (self.pad, 0))).transpose(1, 2)


class Loop(nn.Module):
    """A cell in a plain loop over time."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.shape[0], F)
        outputs = []
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
            outputs.append(h)
        return torch.stack(outputs, 1)


class Attention(nn.Module):
    """Every time step looks at all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(F, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


class Mean(nn.Module):
    """The mean of all time steps up to each."""

    def forward(self, x: Tensor) -> Tensor:
        steps = torch.arange(1, x.shape[1] + 1).to(x.dtype)
        return x.cumsum(1) / steps[None, :, None]


def bidirectional() -> nn.Module:
    return nn.Sequential(First(nn.LSTM(F, F // 2, bidirectional=True, batch_first=True)), nn.Tanh())


LAYERS: dict[str, Module] = {
    "linear": lambda: nn.Sequential(nn.Linear(F, F), nn.ReLU()),
    "norm": lambda: nn.LayerNorm(F),
    "dropout": lambda: nn.Dropout(0.3),
    "gelu": nn.GELU,
    "gru": lambda: First(nn.GRU(F, F, batch_first=True)),
    "lstm": lambda: First(nn.LSTM(F, F, 2, batch_first=True)),
    "rnn": lambda: First(nn.RNN(F, F, batch_first=True)),
    "bidirectional": bidirectional,
    "cell": lambda: Loop(nn.GRUCell(F, F)),
    "convolution": lambda: Channels(nn.Conv1d(F, F, 3, padding=1)),
    "causal": lambda: Channels(nn.Conv1d(F, F, 3), pad=2),
    "stride": lambda: Channels(nn.Conv1d(F, F, 3, stride=2, padding=1)),
    "batch norm": lambda: Channels(nn.BatchNorm1d(F)),
    "attention": Attention,
    "mean": Mean,
}
WRAPPINGS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "plain": lambda layer: layer,
    "sequential": nn.Sequential,
    "residual": Residual,
    "twice": Twice,
    "weight norm": lambda layer: layer,
}
SHAPE_KEEPING = ("stride",)  # layers that may not be wrapped in a sum


class Heads(NamedTuple):
    logits: Tensor
    value: Tensor


class Model(nn.Module):
    """Some layers, and how they are called."""

    def __init__(self, layers: list[nn.Module], call: str, results: str, time_first: bool) -> None:
        super().__init__()
        self.layers, self.call, self.results, self.time_first = (
            nn.ModuleList(layers),
            call,
            results,
            time_first,
        )
        self.embed, self.context = nn.Embedding(11, F), nn.Linear(3, F)
        self.state, self.head, self.value = nn.GRU(F, F, batch_first=True), nn.Linear(F, 4), nn.Linear(F, 1)

    def forward(self, first: Any, *more: Tensor) -> Any:
        x = first["x"] if isinstance(first, dict) else first
        x = x.transpose(0, 1) if self.time_first else x
        x = self.embed(x) if x.dtype == torch.int64 else x
        if self.call == "context":
            x = x + self.context(more[0])[:, None]
        if self.call == "two sequences":
            x = x * (more[0].transpose(0, 1) if self.time_first else more[0])[..., None]
        for layer in self.layers:
            x = layer(x)
        h = None
        if self.call == "state":
            x, h = self.state(x, more[0])
        y = x.transpose(0, 1) if self.time_first else x
        last = x[:, -1]
        results = {
            "tensor": lambda: self.head(y),
            "last": lambda: self.head(last),
            "heads": lambda: {"logits": self.head(y), "value": self.value(y)},
            "named": lambda: Heads(self.head(y), self.value(last)),
        }[self.results]()
        if h is None:
            return results
        return (
            (*results.values(), h)
            if isinstance(results, dict)
            else (*results, h)
            if isinstance(results, tuple)
            else (results, h)
        )


CALLS = ("x", "tokens", "dict", "context", "two sequences", "state")
RESULTS = ("tensor", "tensor", "last", "heads", "named")


@dataclass(frozen=True)
class Sentence:
    """What a model is made of."""

    number: int
    layers: tuple[tuple[str, str], ...]
    call: str
    results: str
    time_first: bool

    @property
    def model(self) -> nn.Module:
        torch.manual_seed(self.number)
        made = [WRAPPINGS[around](LAYERS[layer]()) for layer, around in self.layers]
        return Model(made, self.call, self.results, self.time_first).eval()

    def draw(self, steps: int, batch: int) -> tuple[Any, ...]:
        shape = (steps, batch) if self.time_first else (batch, steps)
        x = torch.randint(11, shape) if self.call == "tokens" else torch.randn(*shape, F)
        more = {
            "context": lambda: (torch.randn(batch, 3),),
            "two sequences": lambda: (torch.rand(shape),),
            "state": lambda: (torch.zeros(1, batch, F),),
        }.get(self.call, tuple)()
        return ({"x": x} if self.call == "dict" else x, *more)


def sentence(number: int) -> Sentence:
    """Give the model of a number."""
    random = Random(number)
    layers = []
    for _ in range(random.randint(1, 3)):
        layer, around = random.choice(list(LAYERS)), random.choice(list(WRAPPINGS))
        layers.append((layer, "plain" if layer in SHAPE_KEEPING else around))
    return Sentence(
        number, tuple(layers), random.choice(CALLS), random.choice(RESULTS), random.random() < 0.3
    )
