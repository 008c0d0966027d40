"""Operators on values in which time and another axis are one: the time is taken apart again.

::

    [B T, C]  ->  Linear, BatchNorm, Conv, ...     at each time step, on [B, C]
    [B 2, C, T]  ->  the same                      twice, on [B, C, T]
    [B, 1, C T]  ->  InstanceNormalization         on [B, 1, C, T]
"""

from collections.abc import Callable

import numpy as np

from rnn_export.backends.c.trace.frames import is_plain, settled
from rnn_export.backends.c.trace.symbols import Symbol, Value
from rnn_export.backends.c.trace.tracing import Tracing
from rnn_export.errors import CompileError
from rnn_export.signature.sizes import Length

FEW = 16  # units beside the rows of a batch, up to which each is done by itself
Arguments = list[Value | None]
Apply = Callable[[Arguments], list[Value]]


def rows_of_steps(tracer: Tracing, arguments: Arguments, apply: Apply) -> list[Value] | None:
    """Apply an operator at each time step, if the rows of all time steps are its first axis; else nothing."""
    first = next((each for each in arguments if isinstance(each, Symbol)), None)
    if first is None or not first.shape:
        return None
    for size, clock in tracer.space.clocks.items() if tracer.inside is None else ():
        if first.shape[0] == size * tracer.space.rows:
            for axis in (0, 1):
                found = _at_each(tracer, arguments, apply, (axis, size, clock))
                if found is not None:
                    return found
    several, rest = divmod(first.shape[0], tracer.space.rows)
    if rest or not 1 < several <= FEW or first.shape[0] in tracer.space.free:
        return None
    each = (_for_each(tracer, arguments, apply, (several, axis)) for axis in (0, 1))
    return next((results for results in each if results is not None), None)


def _for_each(
    tracer: Tracing, arguments: Arguments, apply: Apply, units: tuple[int, int]
) -> list[Value] | None:
    """Do it for each of a few units, which stand beside the rows on that axis of the two which are one."""
    several, axis = units
    pair = (several, tracer.space.rows) if axis == 0 else (tracer.space.rows, several)
    wide: Arguments = []
    for value in arguments:
        if not isinstance(value, Symbol) or value.shape[:1] != (several * tracer.space.rows,):
            wide.append(value)
            continue
        apart = Symbol(value.labels.reshape(*pair, *value.shape[1:]))
        if not _rows_at(tracer, apart, 1 - axis):
            return None
        wide.append(apart)
    results = [
        apply(
            [
                settled(tracer, Symbol(np.take(value.labels, number, axis)))
                if isinstance(value, Symbol) and value.shape[:2] == pair
                else value
                for value in wide
            ]
        )
        for number in range(several)
    ]
    together = [
        np.stack([tracer.symbol(each).labels for each in parts], axis) for parts in zip(*results, strict=True)
    ]
    return [Symbol(labels.reshape(-1, *labels.shape[2:])) for labels in together]


def _at_each(
    tracer: Tracing, arguments: Arguments, apply: Apply, time: tuple[int, int, Length]
) -> list[Value] | None:
    """Do it, if the time is that axis of the two which are one."""
    axis, size, clock = time
    pair = (size, tracer.space.rows) if axis == 0 else (tracer.space.rows, size)
    wide: Arguments = []
    for value in arguments:
        if not isinstance(value, Symbol) or value.shape[:1] != (size * tracer.space.rows,):
            wide.append(settled(tracer, value))
            continue
        apart = Symbol(value.labels.reshape(*pair, *value.shape[1:]))
        if not _rows_at(tracer, apart, 1 - axis) or not is_plain(tracer.space, apart):
            return None
        wide.append(apart)
    with tracer.each_step(clock, [value for value in wide if isinstance(value, Symbol)]):
        steps = [
            tracer.at_a_step(value, axis) if isinstance(value, Symbol) and value.shape[:2] == pair else value
            for value in wide
        ]
        results = apply(steps)
    found: list[Value] = []
    for result in results:
        if result.shape[:1] != (tracer.space.rows,):
            raise CompileError("it mixes the rows of a batch, or time steps")
        every = tracer.sequence(result, axis, clock)
        shape = (size * tracer.space.rows, *result.shape[1:])
        found.append(
            Symbol(every.labels.reshape(shape)) if isinstance(every, Symbol) else every.reshape(shape)
        )
    return found


def _rows_at(tracer: Tracing, value: Symbol, axis: int) -> bool:
    rows = tracer.space.apart(value.labels)[1]
    count = np.arange(tracer.space.rows).reshape([-1 if k == axis else 1 for k in range(rows.ndim)])
    return bool((rows == count).all())


def units_and_steps(tracer: Tracing, value: Symbol, axis: int) -> Symbol | None:
    """Take an axis of units and time steps apart, ``[..., A T B, ...]`` to ``[..., A, T, B, ...]``."""
    for size in tracer.space.clocks:
        if value.shape[axis] % size:
            continue
        units = value.shape[axis] // size
        for outer in (number for number in range(1, units + 1) if units % number == 0):
            shape = (*value.shape[:axis], outer, size, units // outer, *value.shape[axis + 1 :])
            apart = Symbol(value.labels.reshape(shape))
            free = [each for each in shape if each in tracer.space.clocks]
            if len(free) == 1 and is_plain(tracer.space, apart):
                return apart
    return None
