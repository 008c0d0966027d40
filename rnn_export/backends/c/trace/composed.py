"""Operators that are made of others, and with them the table of all rules."""

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from rnn_export.backends.c.trace import choices, einsum, places, products, rules, time_windows
from rnn_export.backends.c.trace.elementwise import BOOL, FLOAT, INT
from rnn_export.backends.c.trace.flattened import units_and_steps
from rnn_export.backends.c.trace.nodes import evaluate
from rnn_export.backends.c.trace.over_time import added_up
from rnn_export.backends.c.trace.products import matmul
from rnn_export.backends.c.trace.rules import Arguments, Rule, cast, elementwise, reduced, reduction
from rnn_export.backends.c.trace.symbols import Symbol, Value
from rnn_export.errors import CompileError
from rnn_export.program.operator_facts import float_of, int_of
from rnn_export.signature.tensors import Array

if TYPE_CHECKING:
    from rnn_export.backends.c.trace.trace import Tracer

INFINITY = np.array(np.inf, np.float32)
# Powers that eager PyTorch computes without a logarithm: how often the number, and what is done in the end.
POWERS: dict[float, tuple[int, str]] = {
    -2.0: (2, "Reciprocal"),
    -1.0: (1, "Reciprocal"),
    -0.5: (1, "Sqrt Reciprocal"),
    0.5: (1, "Sqrt"),
    1.0: (1, ""),
    2.0: (2, ""),
    3.0: (3, ""),
}


def _power(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """``x^y``; a few of them as products and roots."""
    base, exponent = arguments
    assert base is not None
    if isinstance(exponent, Symbol) or exponent is None:
        return [elementwise(tracer, "Pow", arguments)]
    numbers = exponent.astype(np.float32)
    known = POWERS.get(numbers.item()) if numbers.size == 1 and numbers.ndim <= len(base.shape) else None
    if known is None:
        return [elementwise(tracer, "Pow", [base, numbers])]
    times, after = known
    result: Value = base
    for _ in range(times - 1):
        result = elementwise(tracer, "Mul", [result, base])
    for kind in after.split():
        result = elementwise(tracer, kind, [result])
    return [result]


def _equal(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """Whether two numbers, or two truth values, are the same."""
    one, other = arguments
    assert one is not None
    if tracer.dtype(one) == BOOL:
        return [elementwise(tracer, "Not", [elementwise(tracer, "Xor", [one, other])])]
    return [elementwise(tracer, "Equal", arguments)]


def _modulo(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """The rest of a division, with the sign of the dividend or of the divisor."""
    return [elementwise(tracer, "Fmod" if int_of(node, "fmod") else "Mod", arguments)]


def _tangent(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """``sin(x) / cos(x)``."""
    return [elementwise(tracer, "Div", [elementwise(tracer, kind, arguments) for kind in ("Sin", "Cos")])]


def _is_infinite(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """Whether ``x`` is one of the infinities, or the one that is asked for."""
    above = int_of(node, "detect_positive")
    below = int_of(node, "detect_negative")
    if above and below:
        arguments = [elementwise(tracer, "Abs", arguments)]
    limit = INFINITY if above else -INFINITY if below else np.array(np.nan, np.float32)
    return [elementwise(tracer, "Equal", [*arguments, limit])]


def _norm(before: str, after: str) -> Rule:
    """Give the rule of a sum of ``|x|``, ``x x`` or ``x``, and what is done with it."""

    def rule(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
        value = arguments[0]
        assert isinstance(value, Symbol)
        if before:
            value = elementwise(tracer, before, [value, value] if before == "Mul" else [value])
        axes, keep = reduction(node, arguments)
        result = reduced(tracer, "sum", value, axes, keep) if axes else value
        return [elementwise(tracer, after, [result]) if after else result]

    return rule


def _log_sum_exp(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """``log(sum(exp(x - m))) + m``, ``m`` being the largest number unless that is infinite."""
    value = arguments[0]
    assert isinstance(value, Symbol)
    axes, keep = reduction(node, arguments)
    zero = np.zeros((), np.float32)

    def finite(largest: Symbol) -> Symbol:
        endless = elementwise(tracer, "Equal", [elementwise(tracer, "Abs", [largest]), INFINITY])
        return elementwise(tracer, "Where", [endless, zero, largest])

    shift = finite(reduced(tracer, "max", value, axes, keep=True))
    powers = elementwise(tracer, "Exp", [elementwise(tracer, "Sub", [value, shift])])
    total = elementwise(tracer, "Log", [reduced(tracer, "sum", powers, axes, keep)])
    return [elementwise(tracer, "Add", [total, finite(reduced(tracer, "max", value, axes, keep))])]


def _place_of(function: str) -> Rule:
    """Give the rule of the first place of the largest or smallest number; NaN is either, as in PyTorch."""

    def rule(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
        [value] = arguments
        assert isinstance(value, Symbol)
        if tracer.dtype(value) != FLOAT or int_of(node, "select_last_index"):
            raise CompileError("it is of whole numbers, or asks for the last place")
        axis, keep = int_of(node, "axis") % len(value.shape), bool(int_of(node, "keepdims"))
        count = value.shape[axis]
        timed = count in tracer.space.clocks
        extreme = reduced(tracer, function, value, [axis], keep=True)
        found = elementwise(tracer, "Equal", [value, extreme])
        found = elementwise(tracer, "Or", [found, elementwise(tracer, "IsNaN", [value])])
        places = np.arange(count, dtype=np.float32).reshape([-1] + [1] * (len(value.shape) - 1 - axis))
        none = np.array(np.inf if timed else count, np.float32)
        first = elementwise(tracer, "Where", [found, tracer.plain(places), none])
        return [cast(tracer, reduced(tracer, "min", first, [axis], keep), INT)]

    return rule


def _transform(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """A discrete Fourier transform, of pairs or of reals, as a product with a constant matrix."""
    value, length = [*arguments, None][:2]
    if not isinstance(value, Symbol) or isinstance(length, Symbol):
        raise CompileError("its length is computed")
    axis = int_of(node, "axis") % len(value.shape)
    size, parts = value.shape[axis], value.shape[-1]
    if size in tracer.space.free:
        raise CompileError("it transforms rows or time steps")
    attributes = [ir.AttrInt64(name, int_of(node, name)) for name in ("inverse", "onesided")]
    alone = ir.Node("", node.op_type, [None, None], [*attributes, ir.AttrInt64("axis", 1)], num_outputs=1)
    basis = np.eye(size * parts, dtype=np.float32).reshape(-1, size, parts)
    given: Arguments = [basis, length]
    [made] = evaluate(alone, given[: len(arguments)])
    moved = np.moveaxis(value.labels, axis, -2)
    wide = Symbol(moved.reshape(*moved.shape[:-2], size * parts))
    found = matmul(tracer, wide, made.reshape(size * parts, -1).astype(np.float32)).labels
    return [Symbol(np.moveaxis(found.reshape(*moved.shape[:-2], *made.shape[1:]), -2, axis))]


def _cumsum(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """Add up along an axis, part by part."""
    value, axis = arguments
    assert isinstance(value, Symbol)
    assert isinstance(axis, np.ndarray)
    place = int(axis.reshape(())) % len(value.shape)
    if value.shape[place] == tracer.space.rows or int_of(node, "exclusive"):
        raise CompileError("it adds up over rows, or leaves out the number itself")
    if value.shape[place] in tracer.space.clocks:
        return [added_up(tracer, elementwise, value, place, reverse=bool(int_of(node, "reverse")))]
    way = -1 if int_of(node, "reverse") else 1
    parts = [Symbol(part) for part in np.split(value.labels, value.shape[place], place)][::way]
    for number in range(1, len(parts)):
        parts[number] = elementwise(tracer, "Add", [parts[number - 1], parts[number]])
    return [Symbol(np.concatenate([part.labels for part in parts[::way]], place))]


def _cast_like(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """Convert numbers to the type of others."""
    value, other = arguments
    assert value is not None
    assert other is not None
    return [cast(tracer, value, tracer.dtype(other))]


def _dropout(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """Nothing outside of training."""
    value, _, training = [*arguments, None, None][:3]
    if len(node.outputs) > 1 or isinstance(training, Symbol) or (training is not None and training.any()):
        raise CompileError("it is in training, or gives its mask")
    assert value is not None
    return [value]


def _lp_normalization(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """``x / (sum |x|^p)^(1 / p)``, p being 1 or 2."""
    [value] = arguments
    assert isinstance(value, Symbol)
    powers = elementwise(tracer, "Abs", [value]) if int_of(node, "p") == 1 else None
    total = reduced(
        tracer, "sum", powers or elementwise(tracer, "Mul", [value, value]), [int_of(node, "axis")], keep=True
    )
    return [elementwise(tracer, "Div", [value, total if powers else elementwise(tracer, "Sqrt", [total])])]


def standardized(tracer: "Tracer", value: Symbol, axes: list[int], epsilon: Array) -> Symbol:
    """Give ``(x - mean) / sqrt(var + eps)`` over axes of one row."""
    centred = elementwise(tracer, "Sub", [value, reduced(tracer, "mean", value, axes, keep=True)])
    squares = elementwise(tracer, "Mul", [centred, centred])
    variance = reduced(tracer, "mean", squares, axes, keep=True)
    deviation = elementwise(tracer, "Sqrt", [elementwise(tracer, "Add", [variance, epsilon])])
    return elementwise(tracer, "Div", [centred, deviation])


def _layer_norm(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """``(x - mean) / sqrt(var + eps) * scale + bias``."""
    value, scale, bias = [*arguments, None][:3]
    assert isinstance(value, Symbol)
    first = int_of(node, "axis") % len(value.shape)
    axes = list(range(first, len(value.shape)))
    epsilon = np.array(float_of(node, "epsilon"), np.float32)
    result = elementwise(tracer, "Mul", [standardized(tracer, value, axes, epsilon), scale])
    return [elementwise(tracer, "Add", [result, bias]) if bias is not None else result]


def _batch_norm(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """``x s + (bias - mean s)``, ``s = scale / sqrt(var + eps)``: the statistics are those of training."""
    value, *constants = arguments
    assert value is not None
    training = int_of(node, "training_mode") != 0
    if training or any(isinstance(each, Symbol) for each in constants):
        raise CompileError("its statistics or weights are computed")
    scale, bias, mean, variance = (np.asarray(each, np.float64) for each in constants)
    factor = scale / np.sqrt(variance + float_of(node, "epsilon"))
    shape = [-1] + [1] * (len(value.shape) - 2)
    terms = [term.astype(np.float32).reshape(shape) for term in (factor, bias - mean * factor)]
    return [elementwise(tracer, "Add", [elementwise(tracer, "Mul", [value, terms[0]]), terms[1]])]


def _instance_norm(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """``(x - mean) / sqrt(var + eps) * scale + bias`` over all axes behind the channels."""
    given, *constants = arguments
    assert isinstance(given, Symbol)
    one_axis = len(given.shape) == 3
    value = (units_and_steps(tracer, given, 2) if one_axis else None) or tracer.plain(given)
    axes = list(range(2, len(value.shape)))
    epsilon = np.array(float_of(node, "epsilon"), np.float32)
    result = standardized(tracer, value, axes, epsilon)
    shape = [-1] + [1] * len(axes)
    for kind, term in zip(("Mul", "Add"), constants, strict=True):
        if term is None or isinstance(term, Symbol):
            raise CompileError("its weights are computed")
        result = elementwise(tracer, kind, [result, term.reshape(shape)])
    return [Symbol(result.labels.reshape(given.shape))]


def _where(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """One of two numbers, or of two truth values, ``(c and x) or (not c and y)``."""
    condition, one, other = arguments
    assert one is not None
    if tracer.dtype(one) != BOOL:
        return [elementwise(tracer, "Where", arguments)]
    first = elementwise(tracer, "And", [condition, one])
    second = elementwise(tracer, "And", [elementwise(tracer, "Not", [condition]), other])
    return [elementwise(tracer, "Or", [first, second])]


RULES: dict[str, Rule] = {
    **rules.RULES,
    **products.RULES,
    **choices.RULES,
    **einsum.RULES,
    **places.RULES,
    **time_windows.RULES,
    "ArgMax": _place_of("max"),
    "ArgMin": _place_of("min"),
    "BatchNormalization": _batch_norm,
    "CastLike": _cast_like,
    "CumSum": _cumsum,
    "DFT": _transform,
    "Dropout": _dropout,
    "Equal": _equal,
    "InstanceNormalization": _instance_norm,
    "IsInf": _is_infinite,
    "LayerNormalization": _layer_norm,
    "LpNormalization": _lp_normalization,
    "Mod": _modulo,
    "Pow": _power,
    "ReduceL1": _norm("Abs", ""),
    "ReduceL2": _norm("Mul", "Sqrt"),
    "ReduceLogSum": _norm("", "Log"),
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceSumSquare": _norm("Mul", ""),
    "Tan": _tangent,
    "Where": _where,
}
