"""Operators that choose numbers by computed places, and those that find the places."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from rnn_export.backends.c.trace.elementwise import BOOL, INT
from rnn_export.backends.c.trace.graph import ONCE, Gather, Input, Lookup, View, Weight
from rnn_export.backends.c.trace.operations import At, Pick, Put, Ranked
from rnn_export.backends.c.trace.order import some_order
from rnn_export.backends.c.trace.rules import Arguments, Rule, cast, elementwise
from rnn_export.backends.c.trace.symbols import OfRow, Symbol, Value
from rnn_export.errors import CompileError
from rnn_export.program.operator_facts import int_of
from rnn_export.signature.tensors import Array

if TYPE_CHECKING:
    from rnn_export.backends.c.trace.trace import Tracer


def _looked_up(tracer: "Tracer", table: Array, indices: Symbol, name: str) -> Symbol:
    """Take rows ``[N, ...]`` of a constant table, one for each index."""
    if table.dtype != np.float32:
        raise CompileError("its table is not of floats")
    rows = table.reshape(table.shape[0], -1)
    free = tracer.space.free
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
    if isinstance(indices, OfRow) and isinstance(data, Symbol) and axis == 0:
        return [_of_each_row(tracer, data, indices)]
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
    free = tracer.space.free
    value = tracer.symbol(data)
    if data.shape[axis] in tracer.space.clocks:
        return [_at_steps(tracer, value, indices, axis)]
    if data.shape[axis] in free:
        raise CompileError("it chooses among the rows of a batch")
    near = tuple(
        slice(None) if k == axis or size in free else slice(0, size) for k, size in enumerate(indices.shape)
    )
    numbers = Symbol(np.moveaxis(value.labels[near], axis, -1))
    chosen = Symbol(np.moveaxis(indices.labels, axis, -1))
    return [Symbol(np.moveaxis(picked(tracer, numbers, chosen).labels, -1, axis))]


def _at_steps(tracer: "Tracer", data: Symbol, indices: Symbol, axis: int) -> Symbol:
    """Take numbers of the time steps that indices name, along that axis of both."""
    near = tuple(slice(None) if k == axis else slice(0, size) for k, size in enumerate(indices.shape))
    clock = tracer.space.clocks[data.shape[axis]]
    with tracer.each_step(clock, [data]):
        step = Symbol(np.take(data.labels[near], 0, axis))
        numbers = _made(tracer, tracer.view(step, step.shape))
    found = []
    for number in range(indices.shape[axis]):
        index = Symbol(np.take(indices.labels, number, axis))
        places = _made(tracer, tracer.view(index, index.shape))
        found.append(tracer.emit(At((numbers, places)), index.shape, tracer.dtype(data)).labels)
    return Symbol(np.stack(found, axis))


def picked(tracer: "Tracer", numbers: Symbol, indices: Symbol) -> Symbol:
    """Take numbers along the last axis, by as many indices as there are along theirs."""
    operands = tracer.view(numbers, numbers.shape), tracer.view(indices, indices.shape)
    operation = Pick(operands, count=numbers.shape[-1], each=indices.shape[-1])
    return tracer.emit(operation, indices.shape, tracer.dtype(numbers))


def _gather_nd(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """Take what several indices name together; a negative one counts from the end.

    Of a constant table, or of computed values where one of the indices is the number of the row.
    """
    data, indices = arguments
    assert isinstance(indices, Symbol)
    assert data is not None
    if int_of(node, "batch_dims"):
        raise CompileError("it takes numbers of all rows by the indices of one")
    depth = indices.shape[-1]
    if isinstance(data, Symbol) and any(size in tracer.space.clocks for size in data.shape[:depth]):
        return [_step_of_each_row(tracer, data, indices)]
    if not isinstance(data, Symbol):
        place = _place(tracer, [Symbol(indices.labels[..., k]) for k in range(depth)], data.shape[:depth])
        table = data.reshape(prod(data.shape[:depth]), *data.shape[depth:])
        return [_looked_up(tracer, table, place, tracer.called(data))]
    own = RowsOwn.of(tracer, data, indices)
    found = picked(tracer, own.numbers, own.places).labels
    return [Symbol(np.moveaxis(found, 1, -1).reshape(*indices.shape[:-1], *own.rest))]


def _made(tracer: "Tracer", view: View) -> View:
    """Let a walk over time copy numbers that are the call's."""
    if not isinstance(view.vector.operation, Input):
        return view
    clock = None if tracer.inside is not None else view.vector.clock or ONCE
    copy = tracer.add(Gather((view,)), view.size, view.vector.dtype, clock)
    return View(copy, 0, view.size)


def _of_each_row(tracer: "Tracer", data: Symbol, indices: OfRow) -> Symbol:
    """Take of each row the time step that it names, out of ``[B T, ...]``."""
    size, rows = tracer.space.size(indices.clock), tracer.space.rows
    if data.shape[0] != rows * size:
        raise CompileError("it takes numbers of all rows by the indices of one")
    apart = tracer.plain(Symbol(data.labels.reshape(rows, size, *data.shape[1:])))
    index = indices.labels.reshape(rows, *[1] * len(data.shape))
    wide = np.broadcast_to(index, (rows, 1, *data.shape[1:]))
    return Symbol(_at_steps(tracer, apart, tracer.plain(Symbol(wide)), 1).labels[:, 0])


def _step_of_each_row(tracer: "Tracer", data: Symbol, indices: Symbol) -> Symbol:
    """Take of each row the time step that it names, as of ``x[arange(B), i]``."""
    each = [Symbol(indices.labels[..., k]) for k in range(indices.shape[-1])]
    rows = [k for k, value in enumerate(each) if tracer.numbers_rows(value)]
    if len(each) != 2 or len(rows) != 1 or data.shape[rows[0]] != tracer.space.rows:
        raise CompileError("it takes numbers of all rows by the indices of one")
    axis = 1 - rows[0]
    index = each[axis].labels.reshape([-1 if k == rows[0] else 1 for k in range(len(data.shape))])
    wide = np.broadcast_to(index, [1 if k == axis else size for k, size in enumerate(data.shape)])
    found = _at_steps(tracer, data, Symbol(wide), axis)
    return Symbol(np.squeeze(found.labels, axis))


def _place(tracer: "Tracer", indices: list[Symbol], sizes: Sequence[int]) -> Symbol:
    """Give the place that indices of several axes name, those of a table whose axes are flattened."""
    place = from_the_end(tracer, indices[0], sizes[0])
    for index, size in zip(indices[1:], sizes[1:], strict=True):
        front = elementwise(tracer, "Mul", [place, np.array(size)])
        place = elementwise(tracer, "Add", [front, from_the_end(tracer, index, size)])
    return place


@dataclass(frozen=True)
class RowsOwn:
    """Numbers of each row by indices of its own, as of ``x[arange(B), i]``.

    Attributes:
        numbers: ``[B, R, N]``, the axes that are indexed last.
        places: ``[B, R, P]``, among the N.
        order: the axes of the data as they stand in the numbers.
        rest: the sizes that make up R.
    """

    numbers: Symbol
    places: Symbol
    order: list[int]
    rest: tuple[int, ...]

    @classmethod
    def of(cls, tracer: "Tracer", data: Symbol, indices: Symbol) -> "RowsOwn":
        """Read the indices.

        Raises:
            CompileError: none of them is the number of the row.
        """
        depth, rows = indices.shape[-1], tracer.space.rows
        each = [Symbol(indices.labels[..., k]) for k in range(depth)]
        own = [k for k in range(depth) if data.shape[k] == rows and tracer.numbers_rows(each[k])]
        if len(own) != 1 or indices.shape[0] != rows or depth == 1:
            raise CompileError("it takes numbers of all rows by the indices of one")
        named = [k for k in range(depth) if k not in own]
        order = [*own, *range(depth, len(data.shape)), *named]
        rest = data.shape[depth:]
        numbers = np.transpose(data.labels, order).reshape(rows, prod(rest), -1)
        place = _place(tracer, [each[k] for k in named], [data.shape[k] for k in named])
        wide = place.labels.reshape(rows, 1, -1)
        places = np.broadcast_to(wide, (rows, prod(rest), wide.shape[-1]))
        return cls(Symbol(numbers), Symbol(places), order, rest)


def scattered(
    tracer: "Tracer", node: ir.Node, data: Symbol, indices: Symbol, updates: Symbol, function: str
) -> Symbol:
    """Put numbers in computed places, or add them up with what is there."""
    if node.op_type == "ScatterND":
        own = RowsOwn.of(tracer, data, indices)
        count = len(indices.shape) - 1
        news = updates.labels.reshape(updates.shape[0], prod(updates.shape[1:count]), prod(own.rest))
        found = _put(tracer, own.numbers, own.places, Symbol(np.moveaxis(news, 1, 2)), function)
        shape = [data.shape[axis] for axis in own.order]
        return Symbol(np.transpose(found.labels.reshape(shape), np.argsort(own.order)))
    axis = int_of(node, "axis") % len(data.shape)
    given = [Symbol(np.moveaxis(each.labels, axis, -1)) for each in (data, indices, updates)]
    if given[0].shape[:-1] != given[1].shape[:-1] or axis == tracer.space.batch_axis(data):
        raise CompileError("it writes to computed places of other rows, or of some of an axis alone")
    return Symbol(np.moveaxis(_put(tracer, given[0], given[1], given[2], function).labels, -1, axis))


def _put(tracer: "Tracer", numbers: Symbol, places: Symbol, updates: Symbol, function: str) -> Symbol:
    """Put numbers in places of the last axis."""
    dtype = tracer.dtype(numbers)
    if function and dtype == BOOL:
        raise CompileError("it adds up truth values")
    operands = tuple(_run(tracer, each) for each in (numbers, places, updates))
    operation = Put(operands, count=numbers.shape[-1], each=places.shape[-1], function=function)
    return tracer.emit(operation, numbers.shape, dtype)


def _run(tracer: "Tracer", value: Symbol) -> View:
    """Give numbers that stand side by side, each for itself."""
    view = tracer.view(value, value.shape)
    if view.step:
        return view
    return View(tracer.add(Gather((view,)), view.size, view.vector.dtype), 0, view.size)


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
    if value.shape == (tracer.space.rows,) and int(count.reshape(())) == tracer.space.rows:
        order = some_order(tracer.space.rows)
        return [Symbol(value.labels[order]), order]
    if value.shape[axis] in tracer.space.free:
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
