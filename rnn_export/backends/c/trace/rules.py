"""What each operator computes, in the operations of :mod:`rnn_export.backends.c.trace.graph`."""

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from rnn_export.backends.c.trace.bands import banded
from rnn_export.backends.c.trace.elementwise import BOOL, CASTS, INT, OPERATORS, Operator
from rnn_export.backends.c.trace.graph import (
    Elementwise,
    Reduce,
    on_integers,
)
from rnn_export.backends.c.trace.numbered import counted
from rnn_export.backends.c.trace.over_time import reduced_over_time
from rnn_export.backends.c.trace.pairs import across, at_each, outer_axis
from rnn_export.backends.c.trace.symbols import Symbol, Value
from rnn_export.errors import CompileError
from rnn_export.program.operator_facts import float_of, int_of

if TYPE_CHECKING:
    from rnn_export.backends.c.trace.trace import Tracer

Arguments = list[Value | None]
Rule = Callable[["Tracer", ir.Node, Arguments], list[Value]]

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
    outer = outer_axis(tracer, shape, given)
    if outer is not None:
        axes = [outer if has_axis(value, shape, outer) else None for value in given]
        given = [banded(tracer, elementwise, value, outer) for value in given]

        def step(values: list[Value]) -> Symbol:
            return _elementwise(tracer, kind, operator, values, dtype, attributes)

        return at_each(tracer, given, axes, step, outer)
    operands = tuple(tracer.operand(argument, shape) for argument in given)
    result = tracer.emit(
        Elementwise(operands, kind=kind, operator=operator, attributes=attributes or {}), shape, dtype
    )
    integers = on_integers(tracer.vectors[-1])
    if not (operator.scalar if integers else operator.vector):
        numbers = "integers" if integers else "floats"
        raise CompileError(f"the C backend does not know the operator {kind} on {numbers}")
    return result


def has_axis(value: Value, shape: tuple[int, ...], axis: int) -> bool:
    """Whether a value has an axis of a shape, counted from the end, in full."""
    return -axis <= len(value.shape) and value.shape[axis] == shape[axis]


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


def reduced(tracer: "Tracer", function: str, value: Symbol, axes: list[int], keep: bool) -> Symbol:
    """Reduce over axes of one row."""
    dtype = tracer.dtype(value)
    if dtype == BOOL or (dtype == INT and function == "mean"):
        raise CompileError("it reduces truth values, or takes the mean of integers")
    axes = sorted(axis % len(value.shape) for axis in axes)
    if any(value.shape[axis] == tracer.space.rows for axis in axes):
        raise CompileError("it reduces over the rows of a batch")
    outer = outer_axis(tracer, value.shape, [value])
    if outer is not None:
        if outer + len(value.shape) in axes:
            raise CompileError("it reduces over time what there is one of for each place")

        def step(values: list[Value]) -> Symbol:
            return reduced(tracer, function, tracer.symbol(values[0]), axes, keep=True)

        total = at_each(tracer, [value], [outer], step, outer)
        return total if keep else Symbol(np.squeeze(total.labels, tuple(axes)))
    over = [axis for axis in axes if value.shape[axis] in tracer.space.clocks]
    if over:
        rest = [axis for axis in axes if axis not in over]
        inner = reduced(tracer, function, value, rest, keep=True) if rest else value
        total = _reduced_over(tracer, function, inner, over[0])
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


def _reduced_over(tracer: "Tracer", function: str, value: Symbol, axis: int) -> Symbol:
    """Reduce over all time steps, or over the places of one."""
    if tracer.inside is None:
        return reduced_over_time(tracer, elementwise, function, value, axis)
    if function != "mean":
        return across(tracer, function, value, axis)
    count = counted(tracer, tracer.space.clocks[value.shape[axis]])
    return elementwise(tracer, "Div", [across(tracer, "sum", value, axis), count])


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
    "LogSoftmax": _softmax,
    "Max": _one_by_one("Max"),
    "Mean": _one_by_one("Add"),
    "Min": _one_by_one("Min"),
    "Softmax": _softmax,
    "Sum": _one_by_one("Add"),
}
