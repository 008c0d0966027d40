"""Operators that choose numbers by computed places, and those that find the places."""

from math import prod
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from rnn_export.backends.c.trace.elementwise import BOOL, INT
from rnn_export.backends.c.trace.graph import Lookup, View, Weight
from rnn_export.backends.c.trace.operations import Pick, Ranked
from rnn_export.backends.c.trace.rules import Arguments, Rule, cast, elementwise
from rnn_export.backends.c.trace.symbols import Symbol, Value
from rnn_export.errors import CompileError
from rnn_export.program.operator_facts import int_of
from rnn_export.signature.signature import Array

if TYPE_CHECKING:
    from rnn_export.backends.c.trace.trace import Tracer


def _looked_up(tracer: "Tracer", table: Array, indices: Symbol, name: str) -> Symbol:
    """Take rows ``[N, ...]`` of a constant table, one for each index."""
    if table.dtype != np.float32:
        raise CompileError("its table is not of floats")
    rows = table.reshape(table.shape[0], -1)
    free = (tracer.space.rows, tracer.space.steps)
    results = np.empty((*indices.shape, rows.shape[1]), np.int64)
    for place in np.ndindex(*(1 if size in free else size for size in indices.shape)):
        at = tuple(slice(None) if size in free else k for size, k in zip(indices.shape, place, strict=True))
        [index] = tracer.space.views(Symbol(indices.labels[at]), indices.labels[at].shape)
        assert isinstance(index, View)
        shape = [*(size for size in indices.shape if size in free), rows.shape[1]]
        results[at] = tracer.emit(Lookup((index,), table=Weight.of(rows, name)), shape).labels
    return Symbol(results.reshape(*indices.shape, *table.shape[1:]))


def _gather(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """Take rows of a constant table, or the same number of several along an axis of computed values."""
    data, indices = arguments
    assert isinstance(indices, Symbol)
    assert data is not None
    axis = int_of(node, "axis") % len(data.shape)
    if not isinstance(data, Symbol):
        found = _looked_up(tracer, np.moveaxis(data, axis, 0), indices, tracer.called(data)).labels
        order = [*range(len(indices.shape)), *range(len(indices.shape), found.ndim)]
        front = order[len(indices.shape) : len(indices.shape) + axis]
        behind = order[len(indices.shape) + axis :]
        return [Symbol(np.transpose(found, [*front, *range(len(indices.shape)), *behind]))]
    raise CompileError("it takes numbers of all rows by the indices of one")


def _gather_elements(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """``y[..., k] = x[..., index[..., k]]`` along an axis."""
    data, indices = arguments
    assert isinstance(indices, Symbol)
    assert data is not None
    axis = int_of(node, "axis") % len(data.shape)
    free = (tracer.space.rows, tracer.space.steps)
    if data.shape[axis] in free:
        raise CompileError("it chooses among the rows of a batch, or among time steps")
    value = tracer.symbol(data)
    near = tuple(
        slice(None) if k == axis or size in free else slice(0, size) for k, size in enumerate(indices.shape)
    )
    numbers = Symbol(np.moveaxis(value.labels[near], axis, -1))
    chosen = Symbol(np.moveaxis(indices.labels, axis, -1))
    return [Symbol(np.moveaxis(picked(tracer, numbers, chosen).labels, -1, axis))]


def picked(tracer: "Tracer", numbers: Symbol, indices: Symbol) -> Symbol:
    """Take numbers along the last axis, by as many indices as there are along theirs."""
    operands = tracer.view(numbers, numbers.shape), tracer.view(indices, indices.shape)
    operation = Pick(operands, count=numbers.shape[-1], each=indices.shape[-1])
    return tracer.emit(operation, indices.shape, tracer.dtype(numbers))


def _gather_nd(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """Look up what several indices name together in a constant table; a negative one counts from the end."""
    data, indices = arguments
    assert isinstance(indices, Symbol)
    if isinstance(data, Symbol) or data is None or int_of(node, "batch_dims"):
        raise CompileError("it takes numbers of all rows by the indices of one")
    depth = indices.shape[-1]
    sizes = data.shape[:depth]
    place: Value = np.zeros((), np.int64)
    for number, size in enumerate(sizes):
        index = Symbol(indices.labels[..., number])
        own = from_the_end(tracer, index, size)
        place = elementwise(tracer, "Add", [elementwise(tracer, "Mul", [place, np.array(size)]), own])
    assert isinstance(place, Symbol)
    table = data.reshape(prod(sizes), *data.shape[depth:])
    return [_looked_up(tracer, table, place, tracer.called(data))]


def from_the_end(tracer: "Tracer", index: Symbol, size: int) -> Symbol:
    """Let a negative index count from the end."""
    below = elementwise(tracer, "Less", [index, np.array(0)])
    behind = elementwise(tracer, "Add", [index, np.array(size)])
    return elementwise(tracer, "Where", [below, behind, index])


def _one_hot(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """One number at the place of the index, and another one at all others."""
    indices, depth, values = arguments
    if not isinstance(indices, Symbol) or isinstance(depth, Symbol) or not isinstance(values, np.ndarray):
        raise CompileError("its depth or its values are computed")
    size = int(np.asarray(depth).reshape(()))
    rank = len(indices.shape)
    axis = int_of(node, "axis") % (rank + 1)
    off, on = values
    if tracer.dtype(indices) != INT:
        indices = cast(tracer, indices, INT)
    own = Symbol(np.expand_dims(from_the_end(tracer, indices, size).labels, axis))
    places = np.arange(size).reshape([-1] + [1] * (rank - axis))
    found = elementwise(tracer, "Equal", [own, places])
    if (off, on) == (0, 1):
        return [cast(tracer, found, tracer.c_type(values.dtype.name))]
    return [elementwise(tracer, "Where", [found, np.array(on), np.array(off)])]


def _top(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """The largest or smallest numbers along an axis, in order, and their places."""
    value, count = arguments
    assert isinstance(value, Symbol)
    if isinstance(count, Symbol) or count is None or tracer.dtype(value) == BOOL:
        raise CompileError("how many there are is computed, or they are truth values")
    axis = int_of(node, "axis") % len(value.shape)
    if value.shape[axis] in (tracer.space.rows, tracer.space.steps):
        raise CompileError("it compares the rows of a batch, or time steps")
    moved = Symbol(np.moveaxis(value.labels, axis, -1))
    numbers, kept = tracer.view(moved, moved.shape), int(count.reshape(()))
    shape = (*moved.shape[:-1], kept)
    operation = Ranked((numbers,), count=moved.shape[-1], kept=kept, largest=bool(int_of(node, "largest")))
    places = tracer.emit(operation, shape, INT)
    pick = Pick((numbers, tracer.view(places, shape)), count=moved.shape[-1], each=kept)
    values = tracer.emit(pick, shape, tracer.dtype(value))
    return [Symbol(np.moveaxis(each.labels, -1, axis)) for each in (values, places)]


RULES: dict[str, Rule] = {
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "OneHot": _one_hot,
    "TopK": _top,
}
