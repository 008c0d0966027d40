"""What each operator computes, in the operations of :mod:`rnn_export.backends.c.trace.graph`."""

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from rnn_export.backends.c.trace.elementwise import BOOL, CASTS, INT, OPERATORS, Operator
from rnn_export.backends.c.trace.graph import (
    Affine,
    Constant,
    Elementwise,
    Gather,
    Lookup,
    Operand,
    Product,
    Reduce,
    View,
    Weight,
    on_integers,
)
from rnn_export.backends.c.trace.net import side_by_side
from rnn_export.backends.c.trace.operations import Rows
from rnn_export.backends.c.trace.over_time import reduced_over_time
from rnn_export.backends.c.trace.symbols import Symbol, Value
from rnn_export.errors import CompileError
from rnn_export.program.operator_facts import float_of, int_of
from rnn_export.signature.tensors import Array

if TYPE_CHECKING:
    from rnn_export.backends.c.trace.trace import Tracer

Arguments = list[Value | None]
Rule = Callable[["Tracer", ir.Node, Arguments], list[Value]]

FEW = 4  # rows, up to which each is multiplied by itself
WIDTH = 16  # numbers, of which rows of vectors are a multiple
REDUCTIONS = {
    "ReduceMax": "max",
    "ReduceMean": "mean",
    "ReduceMin": "min",
    "ReduceProd": "prod",
    "ReduceSum": "sum",
}


def elementwise(
    tracer: "Tracer", kind: str, arguments: Arguments, attributes: dict[str, float] | None = None
) -> Symbol:
    """Add an elementwise operation, broadcasting as ONNX does."""
    given = [argument for argument in arguments if argument is not None]
    operator = OPERATORS[kind]
    dtype = BOOL if operator.compares else tracer.dtype(given[-1])
    return _elementwise(tracer, kind, operator, given, dtype, attributes)


def _elementwise(
    tracer: "Tracer",
    kind: str,
    operator: Operator,
    given: list[Value],
    dtype: str,
    attributes: dict[str, float] | None = None,
) -> Symbol:
    shape = np.broadcast_shapes(*(argument.shape for argument in given))
    operands = tuple(tracer.operand(argument, shape) for argument in given)
    result = tracer.emit(
        Elementwise(operands, kind=kind, operator=operator, attributes=attributes or {}), shape, dtype
    )
    integers = on_integers(tracer.vectors[-1])
    if not (operator.scalar if integers else operator.vector):
        numbers = "integers" if integers else "floats"
        raise CompileError(f"the C backend does not know the operator {kind} on {numbers}")
    return result


def _plain(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    attributes = {name: float_of(node, name) for name in OPERATORS[node.op_type].attributes}
    return [elementwise(tracer, node.op_type, arguments, attributes)]


def _one_by_one(kind: str) -> Rule:
    """Give the rule of an operator that takes any number of arguments."""

    def rule(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
        result = arguments[0]
        for argument in arguments[1:]:
            result = elementwise(tracer, kind, [result, argument])
        if node.op_type == "Mean":
            result = elementwise(tracer, "Mul", [result, np.array(1 / len(arguments), np.float32)])
        assert result is not None
        return [result]

    return rule


def _clip(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    result, low, high = [*arguments, None, None][:3]
    for kind, bound in (("Max", low), ("Min", high)):
        if bound is not None:
            result = elementwise(tracer, kind, [result, bound])
    assert result is not None
    return [result]


def _cast(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    [value] = arguments
    assert value is not None
    return [cast(tracer, value, tracer.c_type(str(ir.DataType(node.attributes["to"].as_int()).numpy())))]


def cast(tracer: "Tracer", value: Value, target: str) -> Symbol:
    """Convert numbers to a C type."""
    return _elementwise(tracer, "Cast", CASTS[tracer.dtype(value), target], [value], target)


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
    pair = [Symbol(left.labels[..., None]), _reshaped(right, (*right.shape[:-2], 1, *right.shape[-2:]))]
    products = elementwise(tracer, "Mul", list(pair))
    return reduced(tracer, "sum", products, [-2], keep=False)


def _product(tracer: "Tracer", left: Symbol, right: Symbol, front: tuple[int, ...]) -> Symbol:
    """Multiply computed matrices of each row."""
    free = tracer.space.free
    count, inner, columns = left.shape[-2], left.shape[-1], right.shape[-1]
    if count in free or columns in free:
        raise CompileError("a product of computed values that is not one of matrices for each row")
    wide = np.broadcast_to(right.labels, (*front, *right.shape[-2:]))
    operands: tuple[Operand, ...] = (
        tracer.view(left, left.shape),
        tracer.view(Symbol(wide), wide.shape),
    )
    matrices = prod(tracer.space.unit_shape(front))
    product = Product(operands, matrices=matrices, rows=count, inner=inner, columns=columns)
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


def reduced(tracer: "Tracer", function: str, value: Symbol, axes: list[int], keep: bool) -> Symbol:
    """Reduce over axes of one row."""
    dtype = tracer.dtype(value)
    if dtype == BOOL or (dtype == INT and function == "mean"):
        raise CompileError("it reduces truth values, or takes the mean of integers")
    axes = sorted(axis % len(value.shape) for axis in axes)
    if any(value.shape[axis] == tracer.space.rows for axis in axes):
        raise CompileError("it reduces over the rows of a batch")
    over = [axis for axis in axes if value.shape[axis] in tracer.space.clocks]
    if over:
        rest = [axis for axis in axes if axis not in over]
        inner = reduced(tracer, function, value, rest, keep=True) if rest else value
        total = reduced_over_time(tracer, elementwise, function, inner, over[0])
        return total if keep else Symbol(np.squeeze(total.labels, tuple(axes)))
    rest = [axis for axis in range(len(value.shape)) if axis not in axes]
    if not value.labels.size:
        return _reduced_nothing(tracer, function, value, axes, keep)
    moved = Symbol(np.transpose(value.labels, [*rest, *axes]))
    operand = tracer.view(moved, moved.shape)
    count = prod(value.shape[axis] for axis in axes)
    kept = [value.shape[axis] for axis in rest]
    shape = [1 if axis in axes else size for axis, size in enumerate(value.shape)] if keep else kept
    return tracer.emit(Reduce((operand,), function=function, count=count), shape, dtype)


def _reduced_nothing(tracer: "Tracer", function: str, value: Symbol, axes: list[int], keep: bool) -> Symbol:
    """Give the sum of no numbers at all, as of a piece of a sequence that is empty."""
    if function != "sum":
        raise CompileError(f"it takes the {function} of no numbers")
    shape = [1 if axis in axes else size for axis, size in enumerate(value.shape)]
    zeros = tracer.symbol(np.zeros(shape, np.float32)).labels
    return Symbol(zeros if keep else np.squeeze(zeros, tuple(axes)))


def reduction(node: ir.Node, arguments: Arguments) -> tuple[list[int], bool]:
    """Read the axes that an operator reduces, maybe none, and whether they stay with a size of 1."""
    value, axes = [*arguments, None][:2]
    assert value is not None
    listed = node.attributes.get_ints("axes", None) if axes is None else None
    numbers = [int(axis) for axis in (axes if axes is not None else listed or [])]  # type: ignore[union-attr]
    if not numbers and not int_of(node, "noop_with_empty_axes"):
        numbers = list(range(len(value.shape)))
    return numbers, bool(int_of(node, "keepdims"))


def _reduce(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    value = arguments[0]
    assert isinstance(value, Symbol)
    axes, keep = reduction(node, arguments)
    return [reduced(tracer, REDUCTIONS[node.op_type], value, axes, keep) if axes else value]


def _softmax(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """``exp(x - max) / sum``, or its logarithm ``x - max - log(sum)``."""
    value = arguments[0]
    assert isinstance(value, Symbol)
    axes = [int_of(node, "axis")]
    shifted = elementwise(tracer, "Sub", [value, reduced(tracer, "max", value, axes, keep=True)])
    powers = elementwise(tracer, "Exp", [shifted])
    total = reduced(tracer, "sum", powers, axes, keep=True)
    if node.op_type == "Softmax":
        return [elementwise(tracer, "Div", [powers, total])]
    return [elementwise(tracer, "Sub", [shifted, elementwise(tracer, "Log", [total])])]


RULES: dict[str, Rule] = {
    **dict.fromkeys(OPERATORS, _plain),
    **dict.fromkeys(REDUCTIONS, _reduce),
    "Cast": _cast,
    "Clip": _clip,
    "Gemm": _gemm,
    "LogSoftmax": _softmax,
    "MatMul": _matmul,
    "Max": _one_by_one("Max"),
    "Mean": _one_by_one("Add"),
    "Min": _one_by_one("Min"),
    "Softmax": _softmax,
    "Sum": _one_by_one("Add"),
}
