"""Rows that a model sorts, by their lengths, and puts back in the end: here they stay in their own order.

What is done to each row does not depend on where it stands. An order that is computed stands for any; while
tracing it is :func:`some_order`, which is none that rows have by themselves. Values in that order are put
back for an operator, and what it makes is in that order again; one that takes rows of both is refused.
"""

from collections.abc import Callable

import numpy as np

from rnn_export.backends.c.trace.symbols import Space, Symbol, Value
from rnn_export.signature.tensors import Array

Arguments = list[Value | None]


def some_order(rows: int) -> Array:
    """Give the order that stands for a computed one."""
    return np.roll(np.arange(rows), 1)


def in_own_order(
    space: Space, arguments: Arguments, apply: Callable[[Arguments], list[Value]]
) -> list[Value]:
    """Apply an operator to values of which all are in the computed order, or none is."""
    axes = [_axis(space, each, some_order(space.rows)) for each in arguments]
    if not any(axis is not None for axis in axes):
        return apply(arguments)
    back = np.argsort(some_order(space.rows))
    own = [
        value if axis is None or value is None else Symbol(np.take(_labels(value), back, axis))
        for value, axis in zip(arguments, axes, strict=True)
    ]
    if any(isinstance(value, Symbol) and _is_sorted(space, value) for value in own):
        return apply(arguments)  # which refuses them
    return [_sorted(space, result) for result in apply(own)]


def _labels(value: Value) -> Array:
    return value.labels if isinstance(value, Symbol) else value


def _axis(space: Space, value: Value | None, order: Array) -> int | None:
    """Find the axis of rows that are in some order."""
    if not isinstance(value, Symbol) or space.rows not in value.shape:
        return None
    rows = space.apart(value.labels)[1]
    for axis, size in enumerate(value.shape):
        count = order.reshape([-1 if k == axis else 1 for k in range(rows.ndim)])
        if size == space.rows and (rows == count).all():
            return axis
    return None


def _is_sorted(space: Space, value: Symbol) -> bool:
    return _axis(space, value, some_order(space.rows)) is not None


def _sorted(space: Space, value: Value) -> Value:
    """Put rows in the computed order."""
    axis = _axis(space, value, np.arange(space.rows))
    return value if axis is None else Symbol(np.take(_labels(value), some_order(space.rows), axis))
