"""Elementwise operators as expressions of C."""

from collections.abc import Mapping
from math import copysign

import numpy as np

from rnn_export.backends.c.trace.graph import BOOL, FLOAT, INT, Op
from rnn_export.errors import CompileError

# On vectors of floats; masks are 0 or -1. With the kernel that each needs.
VECTOR = {
    "Abs": "number(bits({0}) & isplat(0x7fffffff))",
    "Add": "{0} + {1}",
    "And": "{0} & {1}",
    "Ceil": "-vfloor(-{0})",
    "Celu": "maximum({0}, splat(0.0f)) + minimum(splat(0.0f), {alpha} * vexpm1({0} / {alpha}))",
    "Cos": "vcos({0})",
    "Div": "{0} / {1}",
    "Elu": "choose(less({0}, splat(0.0f)), {alpha} * vexpm1({0}), {0})",
    "Equal": "equal({0}, {1})",
    "Erf": "verf({0})",
    "Exp": "vexp({0})",
    "Floor": "vfloor({0})",
    "Greater": "less({1}, {0})",
    "GreaterOrEqual": "less_or_equal({1}, {0})",
    "HardSigmoid": "maximum(minimum({0} * {alpha} + {beta}, splat(1.0f)), splat(0.0f))",
    "HardSwish": "{0} * maximum(minimum({0} / 6.0f + 0.5f, splat(1.0f)), splat(0.0f))",
    "IsNaN": "~equal({0}, {0})",
    "LeakyRelu": "choose(less({0}, splat(0.0f)), {0} * {alpha}, {0})",
    "Less": "less({0}, {1})",
    "LessOrEqual": "less_or_equal({0}, {1})",
    "Log": "vlog({0})",
    "Max": "maximum({0}, {1})",
    "Min": "minimum({0}, {1})",
    "Mish": "{0} * vtanh(vsoftplus({0}))",
    "Mul": "{0} * {1}",
    "Neg": "-{0}",
    "Not": "~{0}",
    "Or": "{0} | {1}",
    "PRelu": "choose(less({0}, splat(0.0f)), {0} * {1}, {0})",
    "Pow": "vpow({0}, {1})",
    "Reciprocal": "splat(1.0f) / {0}",
    "Relu": "choose(less({0}, splat(0.0f)), splat(0.0f), {0})",
    "Round": "vround({0})",
    "Selu": "{gamma} * choose(less({0}, splat(0.0f)), {alpha} * vexpm1({0}), {0})",
    "Sigmoid": "vsigmoid({0})",
    "Sign": "choose(less({0}, splat(0.0f)), splat(-1.0f), choose(less(splat(0.0f), {0}), splat(1.0f), {0}))",
    "Sin": "vsin({0})",
    "Softplus": "vsoftplus({0})",
    "Softsign": "{0} / (number(bits({0}) & isplat(0x7fffffff)) + 1.0f)",
    "Sqrt": "vsqrt({0})",
    "Sub": "{0} - {1}",
    "Tanh": "vtanh({0})",
    "ThresholdedRelu": "choose(less_or_equal({0}, splat({alpha})), splat(0.0f), {0})",
    "Where": "choose({0}, {1}, {2})",
    "Xor": "{0} ^ {1}",
}
# On single numbers, where whole ones are among them; sums wrap around as tensors do.
SINGLE = {
    "Abs": "{0} < 0 ? -{0} : {0}",
    "Add": "(int64_t)((uint64_t){0} + (uint64_t){1})",
    "Equal": "-({0} == {1})",
    "Greater": "-({0} > {1})",
    "GreaterOrEqual": "-({0} >= {1})",
    "Less": "-({0} < {1})",
    "LessOrEqual": "-({0} <= {1})",
    "Max": "{0} > {1} ? {0} : {1}",
    "Min": "{0} < {1} ? {0} : {1}",
    "Mul": "(int64_t)((uint64_t){0} * (uint64_t){1})",
    "Neg": "(int64_t)-(uint64_t){0}",
    "Sign": "({0} > 0) - ({0} < 0)",
    "Sub": "(int64_t)((uint64_t){0} - (uint64_t){1})",
    "Where": "{0} ? {1} : {2}",
}
KERNELS = {
    "maximum": "maximum",
    "minimum": "minimum",
    "vcos": "cos",
    "vexp": "exp",
    "vexpm1": "expm1",
    "vfloor": "floor",
    "vlog": "log",
    "vpow": "pow",
    "vround": "round",
    "vsigmoid": "sigmoid",
    "vsin": "sin",
    "vsoftplus": "softplus",
    "vsqrt": "sqrt",
    "vtanh": "tanh",
    "verf": "erf",
}


def vector_expression(op: Op, arguments: list[str]) -> str:
    """Write an operation on vectors.

    Raises:
        CompileError: there is no such operation on vectors.
    """
    if op.kind == "Cast":
        return _cast(op, arguments[0])
    if op.kind not in VECTOR:
        raise CompileError(f"the C backend does not know the operator {op.kind} on floats")
    return VECTOR[op.kind].format(*arguments, **_numbers(op.attributes))


def single_expression(op: Op, arguments: list[str]) -> str:
    """Write an operation on single numbers.

    Raises:
        CompileError: there is no such operation on whole numbers.
    """
    if op.kind == "Cast":
        return f"-({arguments[0]} != 0)" if op.dtype == BOOL else f"({op.dtype}){arguments[0]}"
    if op.kind not in SINGLE:
        raise CompileError(f"the C backend does not know the operator {op.kind} on whole numbers")
    return SINGLE[op.kind].format(*arguments)


def check(op: Op, *, whole: bool) -> None:
    """Find out whether C has an operation, on vectors or, where whole numbers are among them, on single ones.

    Raises:
        CompileError: it has not.
    """
    write = single_expression if whole else vector_expression
    write(op, [""] * len(op.operands))


def _cast(op: Op, argument: str) -> str:
    source = op.attributes["from"]
    if source == op.dtype:
        return argument
    if (source, op.dtype) == (BOOL, FLOAT):
        return f"number({argument} & bits(splat(1.0f)))"
    if (source, op.dtype) == (FLOAT, BOOL):
        return f"~equal({argument}, splat(0.0f))"
    raise CompileError(f"the C backend does not convert {source} to {op.dtype} in vectors")


def _numbers(attributes: Mapping[str, object]) -> dict[str, str]:
    return {name: literal(value) for name, value in attributes.items() if isinstance(value, float)}


def literal(value: float) -> str:
    """Write a float as C does, as short as it reads back the same."""
    text = str(np.float32(value))
    if text in ("nan", "inf", "-inf"):
        return {"nan": '__builtin_nanf("")', "inf": "__builtin_inff()", "-inf": "-__builtin_inff()"}[text]
    return f"{text}f" if any(mark in text for mark in ".e") else f"{text}.0f"


def integer(value: int) -> str:
    """Write a whole number of 64 bits."""
    return "INT64_MIN" if value == -(1 << 63) else f"INT64_C({value})"


def constant_text(value: float, dtype: str) -> str:
    """Write one number of a C type."""
    if dtype == FLOAT:
        return "0" if value == 0 and copysign(1, value) > 0 else literal(value)
    return integer(int(value)) if dtype == INT else str(-int(bool(value)))


def splat_text(value: float, dtype: str) -> str:
    """Write one number as a vector of it."""
    return f"isplat({constant_text(value, dtype)})" if dtype == BOOL else f"splat({literal(value)})"
