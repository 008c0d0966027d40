"""Constants that are numbers of time steps or of rows: what C computes with is the call's own number.

::

    y / float(T)                    the size that stands for T becomes the number of time steps
    table[arange(T)]                row t of a table at time step t
    flat[i + T arange(B)]           of ``[B T, H]``: time step i of each row
"""

import numpy as np
import onnx_ir as ir

from rnn_export.backends.c.trace.operations import Count
from rnn_export.backends.c.trace.symbols import OfRow, Symbol, Value
from rnn_export.backends.c.trace.tracing import Tracing
from rnn_export.signature.sizes import Length

Arguments = list[Value | None]


def counted(tracer: Tracing, clock: Length) -> Symbol:
    """Give the number of time steps, as a float."""
    return Symbol(tracer.emit(Count(clock=clock), (1,)).labels.reshape(()))


def with_numbers(tracer: Tracing, node: ir.Node, arguments: Arguments) -> Arguments | Symbol:
    """Put values in the place of constants that are numbers of time steps, or give the operator's own."""
    first, second = [*arguments, None, None][:2]
    if node.op_type == "Cast" and isinstance(first, np.ndarray) and first.size == 1:
        target = ir.DataType(node.attributes["to"].as_int())
        clock = tracer.space.clocks.get(int(first.reshape(()))) if first.dtype.kind == "i" else None
        if clock and target == ir.DataType.FLOAT:
            return Symbol(counted(tracer, clock).labels.reshape(first.shape))
    constants = isinstance(first, np.ndarray) and isinstance(second, np.ndarray)
    if node.op_type == "Gather" and constants and tracer.space.step_numbers(np.asarray(second)) is not None:
        return [first, tracer.symbol(np.asarray(second))]
    if node.op_type == "Add":
        for value, constant in ((first, second), (second, first)):
            clock = _first_places(tracer, constant)
            if isinstance(value, Symbol) and value.shape == (tracer.space.rows,) and clock:
                return OfRow(value.labels, clock)
    return arguments


def _first_places(tracer: Tracing, constant: Value | None) -> Length | None:
    """Say of which time steps ``[B T, ...]`` has so many that constants are the first places of its rows."""
    if not isinstance(constant, np.ndarray) or constant.shape != (tracer.space.rows,):
        return None
    for size, clock in tracer.space.clocks.items():
        if (constant == np.arange(tracer.space.rows) * size).all():
            return clock
    return None
