"""Products: of computed values with constant matrices, and of computed matrices of each row."""

from math import prod
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from rnn_export.backends.c.trace.graph import (
    Affine,
    Constant,
    Elementwise,
    Gather,
    Lookup,
    Operand,
    Product,
    View,
    Weight,
)
from rnn_export.backends.c.trace.net import side_by_side
from rnn_export.backends.c.trace.operations import Rows
from rnn_export.backends.c.trace.pairs import at_each, weighed
from rnn_export.backends.c.trace.rules import Arguments, Rule, elementwise, has_axis, reduced
from rnn_export.backends.c.trace.symbols import Symbol, Value
from rnn_export.errors import CompileError
from rnn_export.program.operator_facts import float_of, int_of
from rnn_export.signature.sizes import TIME
from rnn_export.signature.tensors import Array

if TYPE_CHECKING:
    from rnn_export.backends.c.trace.trace import Tracer

FEW = 4  # rows, up to which each is multiplied by itself
WIDTH = 16  # numbers, of which rows of vectors are a multiple


def _matmul(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    left, right = arguments
    assert left is not None
    assert right is not None
    if len(left.shape) > 1 and len(right.shape) > 1:
        return [matmul(tracer, left, right)]
    wide = _reshaped(left, (1, -1)) if len(left.shape) == 1 else left
    tall = _reshaped(right, (-1, 1)) if len(right.shape) == 1 else right
    if not isinstance(tall, Symbol):
        tracer.call(tall, tracer.called(right))
    product = matmul(tracer, wide, tall).labels
    gone = ((-2,) if len(left.shape) == 1 else ()) + ((-1,) if len(right.shape) == 1 else ())
    return [Symbol(np.squeeze(product, gone))]


def _reshaped(value: Value, shape: tuple[int, ...]) -> Value:
    return Symbol(value.labels.reshape(shape)) if isinstance(value, Symbol) else value.reshape(shape)


def _swapped(value: Value) -> Value:
    if isinstance(value, Symbol):
        return Symbol(np.swapaxes(value.labels, -1, -2))
    return np.swapaxes(value, -1, -2)


def matmul(tracer: "Tracer", left: Value, right: Value) -> Symbol:
    """Multiply matrices, of which the axes in front are the batch's."""
    if not isinstance(left, Symbol):
        swapped = matmul(tracer, _swapped(right), _swapped(left))
        return Symbol(np.swapaxes(swapped.labels, -1, -2))
    free = tracer.space.free
    if left.shape[-1] == tracer.space.rows:
        raise CompileError("it mixes the rows of a batch")
    paired = _matmul_of_pairs(tracer, left, right)
    if paired is not None:
        return paired
    if left.shape[-1] in tracer.space.clocks:
        return _over_time(tracer, left, right)
    front = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    count, inner, columns = left.shape[-2], left.shape[-1], right.shape[-1]
    wide = Symbol(np.broadcast_to(left.labels, (*front, count, inner)))
    if isinstance(right, Symbol):
        return _product(tracer, wide, right, front)
    several = prod(tracer.space.unit_shape((*front, count)))
    if several > FEW and prod(tracer.space.unit_shape(right.shape[:-2])) == 1:
        return _rows(tracer, wide, right)
    matrices = np.broadcast_to(right, (*front, *right.shape[-2:]))
    names = tracer.called(right)
    results = np.empty((*front, count, columns), np.int64)
    for place in np.ndindex(*(1 if size in free else size for size in (*front, count))):
        at = tuple(slice(None) if size in free else k for size, k in zip((*front, count), place, strict=True))
        matrix = matrices[tuple(0 if size in free else k for size, k in zip(front, place[:-1], strict=True))]
        shape = [size for size in (*front, count) if size in free]
        part = Symbol(wide.labels[at])
        results[at] = affine(tracer, part, matrix, [*shape, columns], names).labels
    return Symbol(results)


def _matmul_of_pairs(tracer: "Tracer", left: Symbol, right: Value) -> Symbol | None:
    """Multiply matrices of which two axes are free, ``[B, T, H] @ [B, H, S]``, at each step of one of them.

    That is none that is summed up.
    """
    space = tracer.space
    front = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    found: list[tuple[int | None, int | None, int]] = []  # the axis of both, and of the result
    for axis in (each - len(front) - 2 for each in space.clock_axes(front)):
        own = [axis if has_axis(value, (*front, 0, 0), axis) else None for value in (left, right)]
        found.append((own[0], own[1], axis))
    found += [(-2, None, -2)] if left.shape[-2] in space.clocks else []
    found += [(None, -1, -1)] if right.shape[-1] in space.clocks else []
    summed = left.shape[-1] in space.clocks
    if not found or len(found) + summed < 2:
        return None
    if len(found) + summed + (tracer.inside is not None) > 2:
        raise CompileError("a product of computed values that is not one of matrices for each row")
    sizes = [(*front, left.shape[-2], right.shape[-1])[axis] for _, _, axis in found]
    times = [place for place, size in enumerate(sizes) if space.clocks[size].base == TIME]
    one, other, out = found[times[0] if times else 0]
    return at_each(tracer, [left, right], [one, other], lambda values: matmul(tracer, *values), out)


def _rows(tracer: "Tracer", left: Symbol, right: Array) -> Symbol:
    """Multiply many rows with one constant matrix."""
    inner, columns = right.shape[-2:]
    front = left.shape[:-1]
    weight = Weight.of(right.reshape(inner, columns), tracer.called(right))
    view = tracer.view(left, left.shape)
    if not view.step:
        view = View(tracer.add(Gather((view,)), view.size), 0, view.size)
    count = prod(tracer.space.unit_shape(front))
    filled = -(-columns // WIDTH) * WIDTH
    tracer.space.keep_apart((filled,), (columns,))
    result = tracer.emit(Rows((view,), count=count, matrix=weight), (*front, filled))
    return Symbol(result.labels[..., :columns])


def affine(tracer: "Tracer", left: Symbol, matrix: Array, shape: list[int], name: str) -> Symbol:
    """Multiply one row of numbers with a constant matrix; a row of zeros with a single one looks it up."""
    units = side_by_side(tracer.space.units(left, left.shape))
    if len(units) == 1 and isinstance(units[0], View):
        index = _one_hot(units[0])
        if index is not None and np.isfinite(matrix).all():
            return tracer.emit(Lookup((index,), table=Weight.of(matrix, name)), shape)
    if len(units) > 4 or any(isinstance(unit, Constant) or not unit.step for unit in units):
        units = [tracer.view(left, left.shape)]
    weight, matrices, row = Weight.of(matrix, name), [], 0
    for unit in units:
        matrices.append(weight.rows(row, row + unit.size))
        row += unit.size
    return tracer.emit(Affine(tuple(units), matrices=tuple(matrices)), shape)


def _one_hot(view: View) -> View | None:
    """Give the index of which a vector is the one-hot coding, if it is one."""
    cast = view.vector.operation
    if not isinstance(cast, Elementwise) or cast.kind != "Cast" or not view.complete:
        return None
    [compared] = cast.operands
    if not isinstance(compared, View) or compared.vector.size != view.size:
        return None
    equal = compared.vector.operation
    if not isinstance(equal, Elementwise) or equal.kind != "Equal":
        return None
    for index, numbers in (equal.operands, equal.operands[::-1]):
        known = isinstance(numbers, Constant) and np.array_equal(numbers.values, np.arange(view.size))
        if known and isinstance(index, View) and (index.step == 0 or index.size == 1):
            return View(index.vector, index.offset, 1)
    return None


def _over_time(tracer: "Tracer", left: Symbol, right: Value) -> Symbol:
    """Sum up the products of matrices over time: ``[B, M, T] @ [B, T, N]``, as of weights and outputs."""
    if tracer.inside is not None and left.shape[-2] == 1 and isinstance(right, Symbol):
        return weighed(tracer, left, right)
    pair = [Symbol(left.labels[..., None]), _reshaped(right, (*right.shape[:-2], 1, *right.shape[-2:]))]
    products = elementwise(tracer, "Mul", list(pair))
    return reduced(tracer, "sum", products, [-2], keep=False)


def _product(tracer: "Tracer", left: Symbol, right: Symbol, front: tuple[int, ...]) -> Symbol:
    """Multiply computed matrices of each row."""
    count, inner, columns = left.shape[-2], left.shape[-1], right.shape[-1]
    if tracer.space.rows in (count, columns):
        raise CompileError("a product of computed values that is not one of matrices for each row")
    wide = np.broadcast_to(right.labels, (*front, *right.shape[-2:]))
    operands: tuple[Operand, ...] = (
        tracer.view(left, left.shape),
        tracer.view(Symbol(wide), wide.shape),
    )
    matrices = prod(tracer.space.unit_shape(front))
    rows, across = (prod(tracer.space.unit_shape([size])) for size in (count, columns))
    product = Product(operands, matrices=matrices, rows=rows, inner=inner, columns=across)
    return tracer.emit(product, (*front, count, columns))


def _gemm(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    left, right, bias = [*arguments, None][:3]
    assert left is not None
    assert right is not None
    left = _swapped(left) if int_of(node, "transA") else left
    name = tracer.called(right)
    right = _swapped(right) if int_of(node, "transB") else right
    alpha, beta = (np.array(float_of(node, scale), np.float32) for scale in ("alpha", "beta"))
    if not isinstance(right, Symbol):
        right = right * alpha if alpha != 1 else right
        tracer.call(right, name)
        alpha = np.ones((), np.float32)
    result: Value = matmul(tracer, left, right)
    if alpha != 1:
        result = elementwise(tracer, "Mul", [result, alpha])
    if bias is not None:
        if isinstance(bias, Symbol) and beta != 1:
            bias = elementwise(tracer, "Mul", [bias, beta])
        elif not isinstance(bias, Symbol) and beta != 1:
            bias = bias * beta
        result = elementwise(tracer, "Add", [result, bias])
    return [result]


RULES: dict[str, Rule] = {"Gemm": _gemm, "MatMul": _matmul}
