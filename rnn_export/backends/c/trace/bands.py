"""Constants that say which pairs of time steps belong together: what is beside the diagonal of ``[T, T]``.

::

    tril(ones(T, T))          j - i < 1:  1, else 0
    a window of 5             j - i < -2: 0, else j - i < 3: 1, else 0
"""

from collections.abc import Callable

import numpy as np

from rnn_export.backends.c.trace.pairs import at_each
from rnn_export.backends.c.trace.symbols import Symbol, Value
from rnn_export.backends.c.trace.tracing import Tracing
from rnn_export.errors import CompileError
from rnn_export.signature.tensors import Array

MOST = 8  # numbers, one beside the other
DIFFER = "numbers of time steps are constants that differ"
Elementwise = Callable[..., Symbol]


def banded(tracer: Tracing, elementwise: Elementwise, value: Value, outer: int) -> Value:
    """Compute constants of all pairs, of which an axis is walked over, from the numbers of both steps.

    Raises:
        CompileError: they depend on more than how far these are apart.
    """
    if isinstance(value, Symbol):
        return value
    axes = [axis - value.ndim for axis in tracer.space.clock_axes(value.shape)]
    if len(axes) != 2 or outer not in axes or (value == np.take(value, [0], outer)).all():
        return value
    [inner] = {*axes} - {outer}
    sizes = value.shape[outer], value.shape[inner]
    if value.size != sizes[0] * sizes[1] or value.dtype.kind not in "bf":
        raise CompileError(DIFFER)
    limits, numbers = _bands(np.moveaxis(value, (outer, inner), (-2, -1)).reshape(sizes))
    counts = [
        _steps(tracer, value.ndim, axis, size) for axis, size in zip((outer, inner), sizes, strict=True)
    ]

    def step(given: list[Value]) -> Symbol:
        apart = elementwise(tracer, "Sub", given[::-1])
        result: Value = numbers[-1]
        for limit, number in zip(limits[::-1], numbers[-2::-1], strict=True):
            result = elementwise(
                tracer, "Where", [elementwise(tracer, "Less", [apart, limit]), number, result]
            )
        if value.dtype.kind == "b":
            result = elementwise(tracer, "Less", [np.array(0.5, np.float32), result])
        return tracer.symbol(result)

    return at_each(tracer, counts, [outer, None], step, outer)


def _bands(matrix: Array) -> tuple[list[Array], list[Array]]:
    """Give the numbers beside the diagonal, and from which ``j - i`` on each of them but the first stands."""
    below = matrix.shape[0] - 1
    along = np.concatenate([matrix[::-1, 0], matrix[0, 1:]])  # by j - i, from -below on
    apart = np.arange(matrix.shape[1]) - np.arange(matrix.shape[0])[:, None]
    breaks = np.flatnonzero(along[1:] != along[:-1]) + 1
    if (matrix != along[apart + below]).any() or len(breaks) > MOST:
        raise CompileError(DIFFER)
    numbers = along[np.array([0, *breaks])].astype(np.float32)
    return [np.array(place - below, np.float32) for place in breaks], [np.array(each) for each in numbers]


def _steps(tracer: Tracing, rank: int, axis: int, size: int) -> Symbol:
    """Number the steps of an axis."""
    count = np.arange(size, dtype=np.float32).reshape([-1 if k == axis + rank else 1 for k in range(rank)])
    if tracer.step_numbers(count) is None:
        raise CompileError(DIFFER)
    return tracer.symbol(count)
