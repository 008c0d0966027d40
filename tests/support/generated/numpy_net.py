"""Arithmetic of nets in NumPy float64, from the equations, without PyTorch and without the package."""

from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Parameters = Mapping[str, Array]


def linear(parameters: Parameters, name: str, x: Array) -> Array:
    """``x W^T + b``."""
    return x @ parameters[f"{name}.weight"].T + parameters.get(f"{name}.bias", 0.0)


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``, by a function that does not overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def layer_norm(parameters: Parameters, name: str, x: Array) -> Array:
    """Subtract the mean of the last axis, divide by its standard deviation, then scale and shift."""
    centred = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return centred / deviation * parameters[f"{name}.weight"] + parameters[f"{name}.bias"]


def gates(parameters: Parameters, name: str, x: Array, h: Array, layer: str = "") -> tuple[Array, Array]:
    """Give ``W_ih x + b_ih`` and ``W_hh h + b_hh`` of a cell or a layer of ``torch.nn``."""
    one = x @ parameters[f"{name}.weight_ih{layer}"].T + parameters[f"{name}.bias_ih{layer}"]
    other = h @ parameters[f"{name}.weight_hh{layer}"].T + parameters[f"{name}.bias_hh{layer}"]
    return one, other


def gru(of_x: Array, of_h: Array, h: Array) -> Array:
    """``h' = (1 - z) n + z h`` with ``n = tanh(x_n + r h_n)``; the gates stand in the order r, z, n."""
    x_r, x_z, x_n = np.split(of_x, 3, -1)
    h_r, h_z, h_n = np.split(of_h, 3, -1)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    return (1 - z) * np.tanh(x_n + r * h_n) + z * h


def lstm(total: Array, c: Array) -> tuple[Array, Array]:
    """``c' = f c + i g``, ``h' = o tanh(c')``; the gates stand in the order i, f, g, o."""
    i, f, g, o = np.split(total, 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c
