"""What is made of all time steps together: sums, means and extremes, by a state that goes along.

``mean`` over time of ``x`` is what is left of a loop, through the number of its time steps::

    s = 0; for each t: s = s + x[t]                y = s / T

A sum of many numbers would lose digits: what each addition rounds off is kept, and goes into the next one.
"""

from typing import TYPE_CHECKING

import numpy as np

from rnn_export.backends.c.trace.elementwise import FLOAT, INT
from rnn_export.backends.c.trace.graph import Constant, State
from rnn_export.backends.c.trace.loops import final
from rnn_export.backends.c.trace.numbered import counted
from rnn_export.backends.c.trace.symbols import Symbol
from rnn_export.backends.c.trace.tracing import Tracing
from rnn_export.errors import CompileError

if TYPE_CHECKING:
    from collections.abc import Callable

    Elementwise = Callable[..., Symbol]

# By the function: the number that it begins with, and the operator that takes the next one in.
FIRST = {"max": -np.inf, "min": np.inf, "prod": 1.0, "sum": 0.0}
TAKES = {"max": "Max", "min": "Min", "prod": "Mul", "sum": "Add"}
LEAST_INT = {"max": np.iinfo(np.int64).min, "min": np.iinfo(np.int64).max, "prod": 1, "sum": 0}


def reduced_over_time(
    tracer: Tracing, elementwise: "Elementwise", function: str, value: Symbol, axis: int
) -> Symbol:
    """Reduce over the time axis, which stays with a size of 1."""
    dtype = tracer.dtype(value)
    if dtype not in (FLOAT, INT):
        raise CompileError("it reduces truth values over time")
    clock = tracer.space.clocks[value.shape[axis]]
    kind = "sum" if function == "mean" else function
    with tracer.each_step(clock, [value]):
        step = tracer.at_a_step(value, axis)
        if kind == "sum" and dtype == FLOAT:
            total = _sum(tracer, elementwise, step)
        else:
            state = _state(tracer, step, LEAST_INT[kind] if dtype == INT else FIRST[kind], dtype)
            total = final(tracer, state, elementwise(tracer, TAKES[kind], [state, step]))
    result = Symbol(np.expand_dims(total.labels, axis))
    return elementwise(tracer, "Div", [result, counted(tracer, clock)]) if function == "mean" else result


def _state(tracer: Tracing, like: Symbol, first: float, dtype: str) -> Symbol:
    size = int(np.prod(tracer.space.unit_shape(like.shape)))
    begin = np.full(size, first, np.int64 if dtype == INT else np.float32)
    return tracer.emit(State((Constant(begin),)), like.shape, dtype)


def _sum(tracer: Tracing, elementwise: "Elementwise", step: Symbol) -> Symbol:
    """Add up: ``y = x - lost``, ``next = s + y``, ``lost = (next - s) - y``, unless that is not finite."""
    total, lost = (_state(tracer, step, 0.0, FLOAT) for _ in range(2))
    more = elementwise(tracer, "Sub", [step, lost])
    after = elementwise(tracer, "Add", [total, more])
    rounded = elementwise(tracer, "Sub", [elementwise(tracer, "Sub", [after, total]), more])
    finite = elementwise(
        tracer, "Less", [elementwise(tracer, "Abs", [rounded]), np.array(np.inf, np.float32)]
    )
    final(tracer, lost, elementwise(tracer, "Where", [finite, rounded, np.zeros((), np.float32)]))
    return final(tracer, total, after)


def added_up(
    tracer: Tracing, elementwise: "Elementwise", value: Symbol, axis: int, *, reverse: bool
) -> Symbol:
    """Give at each time step the sum of all up to there, or of all from there on."""
    clock = tracer.space.clocks[value.shape[axis]]
    with tracer.each_step(clock, [value], reverse=reverse):
        step = tracer.at_a_step(value, axis)
        if tracer.dtype(value) == FLOAT:
            total = _sum(tracer, elementwise, step)
        else:
            state = _state(tracer, step, 0, INT)
            total = final(tracer, state, elementwise(tracer, "Add", [state, step]))
        [left] = tracer.owners(total)
        [state_view] = left.operation.views()
        following = state_view.vector.following
        assert following is not None
        now = tracer.space.new(following.vector, step.shape)
    return tracer.symbol(tracer.sequence(now, axis, clock))
