"""Inputs: an example as people pass it, short and tame, and what a service meets later."""

import numpy as np

from tests.support.generated.features import DAY, VOCABULARY
from tests.support.generated.numpy_net import Array

Random = np.random.Generator


def example(kind: str, random: Random, shape: tuple[int, int, int]) -> Array:
    """Draw an example ``[T, B, F]`` or ``[T, B]``: no padding, no rare value."""
    time, batch, _ = shape
    if kind == "tokens":
        return random.integers(3, VOCABULARY // 2, (time, batch))
    x = random.standard_normal(shape)
    if kind in {"positive", "above_zero"}:
        return np.exp(0.5 * x)
    if kind == "large":
        return 1000 + 300 * x
    if kind == "category":
        x[..., 0] = random.integers(1, 4, (time, batch))
    if kind == "clock":
        x[..., 0] = random.uniform(0.3 * DAY, 0.6 * DAY, (time, batch)).round()
    if kind == "flag":
        x[..., -1] = 0
    return x


def unseen(kind: str, random: Random, shape: tuple[int, int, int]) -> Array:
    """Draw what the example does not show, each row in one of several ways."""
    time, batch, _ = shape
    if kind == "tokens":
        return _tokens(random, time, batch)
    x = random.standard_normal(shape)
    if kind in {"positive", "above_zero"}:
        x = np.exp(3 * x).clip(1e-5, 1e5)
    if kind == "large":
        x = 1000 + 300 * x
    for row in range(batch):
        _spoil(x[:, row], random, int(random.integers(7)), zeros=kind != "above_zero")
    if kind == "category":
        x[..., 0] = random.integers(0, 12, (time, batch))
    if kind == "clock":
        x[..., 0] = random.uniform(0, DAY, (time, batch)).round()
    if kind == "flag":
        x[..., -1] = random.random((time, batch)) < 0.2
    if kind == "missing":
        x[random.random(shape) < 0.2] = np.nan
    return x


def _spoil(row: Array, random: Random, way: int, *, zeros: bool) -> None:
    """Change a row ``[T, F]`` in place."""
    time = len(row)
    if way == 1:
        row *= 10
    if way == 2 and zeros:
        row[random.integers(time) :] = 0
    if way == 3 and zeros:
        row[random.random(time) < 0.3] = 0
    if way == 4:
        row[:] = row[0]
    if way == 5:
        row[random.random(row.shape) < 0.1] *= 8
    if way == 6 and zeros:
        row[:] = 0


def _tokens(random: Random, time: int, batch: int) -> Array:
    ids = random.integers(0, VOCABULARY, (time, batch))
    for row in range(batch):
        way = random.integers(5)
        if way == 1:
            ids[random.integers(time) :, row] = 0
        if way == 2:
            ids[:, row] = random.integers(3, VOCABULARY, time)
            ids[random.integers(time), row] = 2
        if way == 3:
            ids[:, row] = random.integers(VOCABULARY)
        if way == 4:
            ids[:, row] = random.integers(3, VOCABULARY, time)
            ids[max(1, time // 2) :, row] = 0
    return ids
