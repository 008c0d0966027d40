"""Recurrences: as people write them in PyTorch, and from their equations."""

import numpy as np

from tests.support.generated.kinds import Cell
from tests.support.generated.numpy_net import Array, Parameters, gates, gru, layer_norm, linear, lstm, sigmoid

LINEARS = "self.x = nn.Linear({X}, {H})\nself.h = nn.Linear({H}, {H})"


def _sum(p: Parameters, x: Array, h: Array) -> Array:
    return linear(p, "x", x) + linear(p, "h", h)


def _mgu(p: Parameters, x: Array, s: list[Array]) -> list[Array]:
    (h,) = s
    f = sigmoid(linear(p, "f", np.concatenate([x, h], -1)))
    return [(1 - f) * h + f * np.tanh(linear(p, "n", np.concatenate([x, f * h], -1)))]


def _peephole(p: Parameters, x: Array, s: list[Array]) -> list[Array]:
    h, c = s
    i, f, g, o = np.split(_sum(p, x, h), 4, -1)
    c = sigmoid(f + p["peep"] * c) * c + sigmoid(i) * np.tanh(g)
    return [sigmoid(o + p["peep"] * c) * np.tanh(c), c]


def _spiking(p: Parameters, x: Array, s: list[Array]) -> list[Array]:
    v = 0.9 * s[0] + linear(p, "x", x)
    return [v - (v > 1.0)]


def _flags(p: Parameters, x: Array, s: list[Array]) -> list[Array]:
    h, seen = s
    seen = seen | (linear(p, "x", x) > 0.5)
    new = np.tanh(_sum(p, x, h))
    return [np.where(seen, 0.5 * new, new), seen]


def _extremes(p: Parameters, x: Array, s: list[Array]) -> list[Array]:
    h, most, least = s
    new = np.tanh(_sum(p, x, h))
    most, least = np.maximum(most, new), np.minimum(least, new)
    return [new + 0.1 * (most - least), most, least]


CELLS: dict[str, Cell] = {
    "rnn": Cell(
        LINEARS,
        "h_new = torch.tanh(self.x(x_t) + self.h(h))",
        lambda p, x, s: [np.tanh(_sum(p, x, s[0]))],
    ),
    "relu": Cell(
        LINEARS,
        "h_new = torch.relu(self.x(x_t) + self.h(h))",
        lambda p, x, s: [np.maximum(_sum(p, x, s[0]), 0)],
    ),
    "gru": Cell(
        "self.x = nn.Linear({X}, 3 * {H})\nself.h = nn.Linear({H}, 3 * {H})",
        """
        x_r, x_z, x_n = self.x(x_t).chunk(3, -1)
        h_r, h_z, h_n = self.h(h).chunk(3, -1)
        r = torch.sigmoid(x_r + h_r)
        z = torch.sigmoid(x_z + h_z)
        h_new = (1 - z) * torch.tanh(x_n + r * h_n) + z * h
        """,
        lambda p, x, s: [gru(linear(p, "x", x), linear(p, "h", s[0]), s[0])],
    ),
    "lstm": Cell(
        "self.x = nn.Linear({X}, 4 * {H})\nself.h = nn.Linear({H}, 4 * {H})",
        """
        i, f, g, o = (self.x(x_t) + self.h(h)).chunk(4, dim=-1)
        c_new = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h_new = torch.sigmoid(o) * torch.tanh(c_new)
        """,
        lambda p, x, s: [*lstm(_sum(p, x, s[0]), s[1])],
        ("h", "c"),
    ),
    "peephole": Cell(
        """
        self.x = nn.Linear({X}, 4 * {H})
        self.h = nn.Linear({H}, 4 * {H})
        self.peep = nn.Parameter(torch.zeros({H}))
        """,
        """
        gates = self.x(x_t) + self.h(h)
        i, f, g, o = torch.split(gates, {H}, dim=1)
        c_new = torch.sigmoid(f + self.peep * c) * c + torch.sigmoid(i) * torch.tanh(g)
        h_new = torch.sigmoid(o + self.peep * c_new) * torch.tanh(c_new)
        """,
        _peephole,
        ("h", "c"),
    ),
    "mgu": Cell(
        "self.f = nn.Linear({X} + {H}, {H})\nself.n = nn.Linear({X} + {H}, {H})",
        """
        f = torch.sigmoid(self.f(torch.cat([x_t, h], -1)))
        n = torch.tanh(self.n(torch.cat([x_t, f * h], -1)))
        h_new = (1 - f) * h + f * n
        """,
        _mgu,
    ),
    "indrnn": Cell(
        "self.x = nn.Linear({X}, {H})\nself.u = nn.Parameter(torch.ones({H}))",
        "h_new = torch.relu(self.x(x_t) + self.u * h)",
        lambda p, x, s: [np.maximum(linear(p, "x", x) + p["u"] * s[0], 0)],
    ),
    "leaky": Cell(
        LINEARS,
        "h_new = h + 0.2 * (torch.tanh(self.x(x_t) + self.h(h)) - h)",
        lambda p, x, s: [s[0] + 0.2 * (np.tanh(_sum(p, x, s[0])) - s[0])],
    ),
    "average": Cell(
        "self.x = nn.Linear({X}, {H})",
        "h_new = 0.95 * h + 0.05 * self.x(x_t)",
        lambda p, x, s: [0.95 * s[0] + 0.05 * linear(p, "x", x)],
    ),
    "peak": Cell(
        "self.x = nn.Linear({X}, {H})",
        "h_new = torch.maximum(0.9 * h, torch.tanh(self.x(x_t)))",
        lambda p, x, s: [np.maximum(0.9 * s[0], np.tanh(linear(p, "x", x)))],
    ),
    "norm": Cell(
        f"{LINEARS}\nself.norm = nn.LayerNorm({{H}})",
        "h_new = torch.tanh(self.norm(self.x(x_t) + self.h(h)))",
        lambda p, x, s: [np.tanh(layer_norm(p, "norm", _sum(p, x, s[0])))],
    ),
    "spiking": Cell(
        "self.x = nn.Linear({X}, {H})",
        """
        v = 0.9 * h + self.x(x_t)
        h_new = v - (v > 1.0).float()
        """,
        _spiking,
        words=("float32", "dtype"),
    ),
    "rnn_cell": Cell(
        "self.cell = nn.RNNCell({X}, {H})",
        "h_new = self.cell(x_t, h)",
        lambda p, x, s: [np.tanh(sum(gates(p, "cell", x, s[0])))],
    ),
    "gru_cell": Cell(
        "self.cell = nn.GRUCell({X}, {H})",
        "h_new = self.cell(x_t, h)",
        lambda p, x, s: [gru(*gates(p, "cell", x, s[0]), s[0])],
    ),
    "lstm_cell": Cell(
        "self.cell = nn.LSTMCell({X}, {H})",
        "h_new, c_new = self.cell(x_t, (h, c))",
        lambda p, x, s: [*lstm(np.add(*gates(p, "cell", x, s[0])), s[1])],
        ("h", "c"),
    ),
    "rnn_layer": Cell(
        "self.layer = nn.RNN({X}, {H}{first})",
        "y, h = self.layer(x, h)",
        lambda p, x, s: [np.tanh(sum(gates(p, "layer", x, s[0], "_l0")))],
        layer=True,
    ),
    "gru_layer": Cell(
        "self.layer = nn.GRU({X}, {H}{first})",
        "y, h = self.layer(x, h)",
        lambda p, x, s: [gru(*gates(p, "layer", x, s[0], "_l0"), s[0])],
        layer=True,
    ),
    "lstm_layer": Cell(
        "self.layer = nn.LSTM({X}, {H}{first})",
        "y, (h, c) = self.layer(x, (h, c))",
        lambda p, x, s: [*lstm(np.add(*gates(p, "layer", x, s[0], "_l0")), s[1])],
        ("h", "c"),
        layer=True,
    ),
    "flags": Cell(
        LINEARS,
        """
        seen_new = seen | (self.x(x_t) > 0.5)
        h_new = torch.tanh(self.x(x_t) + self.h(h))
        h_new = torch.where(seen_new, 0.5 * h_new, h_new)
        """,
        _flags,
        ("h", "seen"),
        begins=(0.0, False),
    ),
    "extremes": Cell(
        LINEARS,
        """
        h_new = torch.tanh(self.x(x_t) + self.h(h))
        most_new, least_new = torch.maximum(most, h_new), torch.minimum(least, h_new)
        h_new = h_new + 0.1 * (most_new - least_new)
        """,
        _extremes,
        ("h", "most", "least"),
        begins=(0.0, -np.inf, np.inf),
    ),
}
