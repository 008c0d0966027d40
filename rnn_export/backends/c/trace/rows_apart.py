"""Loops in which rows and something else are one axis: that is taken apart again.

::

    an LSTM over K of [K, B T, F]      inside of the pieces of a sequence: at each time step, on [K, B, F]
    an LSTM over T of [T, B K, F]      across them: for each of a few units, on [T, B, F]
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rnn_export.backends.c.trace.frames import settled
from rnn_export.backends.c.trace.symbols import Symbol, Value
from rnn_export.backends.c.trace.tracing import Tracing
from rnn_export.signature.tensors import Array

FEW = 16  # units beside the rows of a batch, up to which each is done by itself
Arguments = list[Value | None]
Run = Callable[[Arguments], list[Value]]


@dataclass(frozen=True)
class Apart:
    """A value, and which of its axes stands beside that of the rows; none where there is none."""

    value: Value | None
    axis: int | None

    def at(self, number: int) -> Value | None:
        """Give what stands at one place of that axis."""
        if self.axis is None or self.value is None:
            return self.value
        if isinstance(self.value, Symbol):
            return Symbol(np.take(self.value.labels, number, self.axis))
        found: Array = np.take(self.value, number, self.axis)
        return found


def with_rows_apart(tracer: Tracing, values: Arguments, run: Run) -> list[Value] | None:
    """Run a loop on values in which the rows are one axis with something else; nothing, if none is so."""
    rows, free = tracer.space.rows, tracer.space.free
    symbols = [value for value in values if isinstance(value, Symbol)]
    sizes = {size for value in symbols for size in value.shape if size > rows and size % rows == 0}
    for size in sizes - free if tracer.inside is None else ():
        several = size // rows
        for behind in (True, False):
            apart = [_apart(tracer, value, size, behind=behind) for value in values]
            if not all(isinstance(each, Apart) for each in apart):
                continue
            known = [each for each in apart if isinstance(each, Apart)]
            if several in tracer.space.clocks:
                return _at_each_step(tracer, known, run, several, behind=behind)
            if several <= FEW:
                return _one_by_one(tracer, known, run, several, behind=behind)
    return None


def _apart(tracer: Tracing, value: Value | None, size: int, *, behind: bool) -> Apart | None:
    """Take the axis of that size apart, if it is one of the rows and of what stands behind or before them."""
    if value is None or size not in value.shape:
        return Apart(value, None)
    place, rows = value.shape.index(size), tracer.space.rows
    pair = (rows, size // rows) if behind else (size // rows, rows)
    shape = (*value.shape[:place], *pair, *value.shape[place + 1 :])
    own, other = (place, place + 1) if behind else (place + 1, place)
    if not isinstance(value, Symbol):
        array = value.reshape(shape)
        alike = (array == np.take(array, [0], other)).all()
        return Apart(array, other) if alike else None
    labels = value.labels.reshape(shape)
    found = tracer.space.apart(labels)[1]
    count = np.arange(rows).reshape([-1 if axis == own else 1 for axis in range(labels.ndim)])
    return Apart(Symbol(labels), other) if (found == count).all() else None


def _at_each_step(
    tracer: Tracing, values: list[Apart], run: Run, several: int, *, behind: bool
) -> list[Value]:
    clock = tracer.space.clocks[several]
    plain = [Apart(settled(tracer, each.value), each.axis) for each in values]
    reads = [each.value for each in plain if isinstance(each.value, Symbol) and each.axis is not None]
    ends = [each.value for each in plain if isinstance(each.value, Symbol) and each.axis is None]
    with tracer.each_step(clock, reads, ends):
        results = run([each.at(0) for each in plain])
    return [
        _together(tracer, tracer.sequence(result, _axis(tracer, result, behind=behind), clock), several)
        for result in results
    ]


def _one_by_one(tracer: Tracing, values: list[Apart], run: Run, several: int, *, behind: bool) -> list[Value]:
    results = [run([settled(tracer, each.at(number)) for each in values]) for number in range(several)]
    found: list[Value] = []
    for parts in zip(*results, strict=True):
        axis = _axis(tracer, parts[0], behind=behind)
        labels = np.stack([tracer.symbol(part).labels for part in parts], axis)
        found.append(_together(tracer, Symbol(labels), several))
    return found


def _axis(tracer: Tracing, result: Value, *, behind: bool) -> int:
    """Say where the axis comes that stands beside the rows."""
    return result.shape.index(tracer.space.rows) + behind


def _together(tracer: Tracing, value: Value, several: int) -> Value:
    """Make one axis again of the rows and of what stands beside them."""
    shape, rows = list(value.shape), tracer.space.rows
    place = next(k for k in range(len(shape)) if {*shape[k : k + 2]} == {rows, several})
    shape[place : place + 2] = [rows * several]
    return Symbol(value.labels.reshape(shape)) if isinstance(value, Symbol) else value.reshape(shape)
