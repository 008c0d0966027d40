"""The elementwise operators that C has: one row each. Adding one is one row here.

A row says how the operator is written on vectors of floats, how on single numbers where int64 is among them,
which functions of ``write/kernels.c`` that needs, and how far these may be from the right result.
"""

from collections.abc import Mapping
from dataclasses import dataclass

FLOAT, INT, BOOL = "float", "int64_t", "int32_t"  # the types of numbers in C; a truth value is 0 or -1
C_TYPES = {"float32": FLOAT, "int64": INT, "bool": BOOL}  # by dtype


@dataclass(frozen=True)
class Measurement:
    """How the error of a kernel is measured: C for a vector ``x``, and the same in double precision.

    Between ``low`` and ``high`` the error holds; beyond, the result is flushed to zero or saturates.
    """

    call: str
    exact: str
    low: str = "-INFINITY"
    high: str = "INFINITY"


@dataclass(frozen=True)
class Kernel:
    """A section of ``kernels.c``; its errors are in units in the last place, at the most."""

    name: str
    error: float
    measured: Mapping[str, Measurement]
    error_in_avx512: float | None = None  # where there is other arithmetic for AVX-512


def _kernel(
    name: str,
    exact: str,
    error: float,
    low: str = "-INFINITY",
    high: str = "INFINITY",
    error_in_avx512: float | None = None,
) -> Kernel:
    """Give a kernel of one argument, the function ``v<name>``."""
    return Kernel(name, error, {name: Measurement(f"v{name}(x)", exact, low, high)}, error_in_avx512)


EXP = _kernel("exp", "exp(x)", 1.1)
EXPM1 = _kernel("expm1", "expm1(x)", 5, high="0", error_in_avx512=5)
FLOOR = _kernel("floor", "floor(x)", 0)
MAXIMUM, MINIMUM = Kernel("maximum", 0, {}), Kernel("minimum", 0, {})  # they choose; nothing is rounded
SOFTPLUS = _kernel("softplus", "x > 0 ? x + log1p(exp(-x)) : log1p(exp(x))", 2, low="-87")
FMOD = Kernel(
    "fmod",
    0,
    {
        "fmod": Measurement("vfmod(x, splat(0.7f))", "fmod(x, 0.7f)"),
        "fmod_tiny": Measurement("vfmod(x, splat(-0x1.8p-147f))", "fmod(x, -0x1.8p-147)"),
        "fmod_of": Measurement("vfmod(splat(0x1.fp127f), x)", "fmod(0x1.fp127, x)"),
    },
)
TANH = _kernel("tanh", "tanh(x)", 5, error_in_avx512=1.7)
SIGMOID = _kernel("sigmoid", "1 / (1 + exp(-x))", 2.5, low="-88", error_in_avx512=3.1)
POW = Kernel(
    "pow",
    1,
    {
        "pow": Measurement("vpow(x, splat(-1.75f))", "pow(x, -1.75)"),
        "pow_odd": Measurement("vpow(x, splat(5.0f))", "pow(x, 5)"),
        "pow_of": Measurement("vpow(splat(1.25f), x)", "pow(1.25, x)"),
        "pow_tiny": Measurement("vpow(splat(0x1p-149f), x)", "pow(0x1p-149, x)"),
    },
)


@dataclass(frozen=True)
class Operator:
    """An elementwise operator in C: ``{0}``, ``{1}`` are its arguments, ``{alpha}`` an attribute.

    Attributes:
        vector: on vectors of floats and of truth values; empty if there is none.
        scalar: on single numbers, where int64 is among them; empty if there is none.
        kernels: what ``vector`` calls.
        compares: it makes truth values.
        attributes: what it calls its attributes, all of them floats.
        sign: how an equation writes it between two arguments; as a function otherwise.
    """

    vector: str = ""
    scalar: str = ""
    kernels: tuple[Kernel, ...] = ()
    compares: bool = False
    attributes: tuple[str, ...] = ()
    sign: str = ""


# Sums and products of int64 wrap around, as those of tensors do.
OPERATORS = {
    "Abs": Operator("number(bits({0}) & isplat(0x7fffffff))", "{0} < 0 ? -{0} : {0}"),
    "Acos": Operator("vacos({0})", kernels=(_kernel("acos", "acos(x)", 1),)),
    "Acosh": Operator("vacosh({0})", kernels=(_kernel("acosh", "acosh(x)", 1),)),
    "Add": Operator("{0} + {1}", "(int64_t)((uint64_t){0} + (uint64_t){1})", sign="+"),
    "And": Operator("{0} & {1}", compares=True),
    "Asin": Operator("vasin({0})", kernels=(_kernel("asin", "asin(x)", 1),)),
    "Asinh": Operator("vasinh({0})", kernels=(_kernel("asinh", "asinh(x)", 1),)),
    "Atan": Operator("vatan({0})", kernels=(_kernel("atan", "atan(x)", 1),)),
    "Atanh": Operator("vatanh({0})", kernels=(_kernel("atanh", "atanh(x)", 1),)),
    "Ceil": Operator("-vfloor(-{0})", kernels=(FLOOR,)),
    "Celu": Operator(
        "maximum({0}, splat(0.0f)) + minimum(splat(0.0f), {alpha} * vexpm1({0} / {alpha}))",
        kernels=(MAXIMUM, MINIMUM, EXPM1),
        attributes=("alpha",),
    ),
    "Cos": Operator("vcos({0})", kernels=(_kernel("cos", "cos(x)", 1),)),
    "Cosh": Operator("vcosh({0})", kernels=(_kernel("cosh", "cosh(x)", 1),)),
    "BitwiseAnd": Operator(scalar="{0} & {1}"),
    "BitwiseNot": Operator(scalar="~{0}"),
    "BitwiseOr": Operator(scalar="{0} | {1}"),
    "BitwiseXor": Operator(scalar="{0} ^ {1}"),
    "Div": Operator(  # towards zero
        "{0} / {1}", "{1} == 0 ? 0 : {1} == -1 ? (int64_t)-(uint64_t){0} : {0} / {1}", sign="/"
    ),
    "Elu": Operator(
        "choose(less({0}, splat(0.0f)), {alpha} * vexpm1({0}), {0})",
        kernels=(EXPM1,),
        attributes=("alpha",),
    ),
    "Equal": Operator("equal({0}, {1})", "-({0} == {1})", compares=True, sign="=="),
    "Erf": Operator("verf({0})", kernels=(_kernel("erf", "erf(x)", 1.5),)),
    "Exp": Operator("vexp({0})", kernels=(EXP,)),
    "Floor": Operator("vfloor({0})", kernels=(FLOOR,)),
    "Fmod": Operator("vfmod({0}, {1})", "{1} == 0 || {1} == -1 ? 0 : {0} % {1}", (FMOD,)),
    "Greater": Operator("less({1}, {0})", "-({0} > {1})", compares=True, sign=">"),
    "GreaterOrEqual": Operator("less_or_equal({1}, {0})", "-({0} >= {1})", compares=True, sign=">="),
    "HardSigmoid": Operator(
        "maximum(minimum(fused({0}, splat({alpha}), splat({beta})), splat(1.0f)), splat(0.0f))",
        kernels=(MAXIMUM, MINIMUM),
        attributes=(
            "alpha",
            "beta",
        ),
    ),
    "HardSwish": Operator(
        "{0} * maximum(minimum({0} / 6.0f + 0.5f, splat(1.0f)), splat(0.0f))", kernels=(MAXIMUM, MINIMUM)
    ),
    "IsNaN": Operator("~equal({0}, {0})", compares=True),
    "LeakyRelu": Operator("choose(less({0}, splat(0.0f)), {0} * {alpha}, {0})", attributes=("alpha",)),
    "Less": Operator("less({0}, {1})", "-({0} < {1})", compares=True, sign="<"),
    "LessOrEqual": Operator("less_or_equal({0}, {1})", "-({0} <= {1})", compares=True, sign="<="),
    "Log": Operator("vlog({0})", kernels=(_kernel("log", "log(x)", 1),)),
    "Max": Operator("maximum({0}, {1})", "{0} > {1} ? {0} : {1}", (MAXIMUM,)),
    "Min": Operator("minimum({0}, {1})", "{0} < {1} ? {0} : {1}", (MINIMUM,)),
    "Mish": Operator("{0} * vtanh(vsoftplus({0}))", kernels=(TANH, SOFTPLUS)),
    "Mod": Operator(  # with the sign of the divisor, "Fmod" with that of the dividend
        scalar="{1} == 0 || {1} == -1 ? 0 : {0} % {1} + ({0} % {1} && ({0} ^ {1}) < 0 ? {1} : 0)"
    ),
    "Mul": Operator("{0} * {1}", "(int64_t)((uint64_t){0} * (uint64_t){1})", sign="*"),
    "Neg": Operator("-{0}", "(int64_t)-(uint64_t){0}"),
    "Not": Operator("~{0}", compares=True),
    "Or": Operator("{0} | {1}", compares=True),
    "PRelu": Operator("choose(less({0}, splat(0.0f)), {0} * {1}, {0})"),
    "Pow": Operator("vpow({0}, {1})", kernels=(POW,)),
    "Reciprocal": Operator("splat(1.0f) / {0}"),
    "Relu": Operator("choose(less({0}, splat(0.0f)), splat(0.0f), {0})"),
    "Round": Operator("vround({0})", kernels=(_kernel("round", "rint(x)", 0),)),
    "Selu": Operator(
        "{gamma} * choose(less({0}, splat(0.0f)), {alpha} * vexpm1({0}), {0})",
        kernels=(EXPM1,),
        attributes=(
            "alpha",
            "gamma",
        ),
    ),
    "Shrink": Operator(
        "choose(less({0}, splat(-{lambd})), {0} + {bias}, "
        "choose(less(splat({lambd}), {0}), {0} - {bias}, splat(0.0f)))",
        attributes=("lambd", "bias"),
    ),
    "Sigmoid": Operator("vsigmoid({0})", kernels=(SIGMOID,)),
    "Sign": Operator(
        "choose(less({0}, splat(0.0f)), splat(-1.0f), choose(less(splat(0.0f), {0}), splat(1.0f), {0}))",
        "({0} > 0) - ({0} < 0)",
    ),
    "Sin": Operator("vsin({0})", kernels=(_kernel("sin", "sin(x)", 1),)),
    "Sinh": Operator("vsinh({0})", kernels=(_kernel("sinh", "sinh(x)", 1),)),
    "Softplus": Operator("vsoftplus({0})", kernels=(SOFTPLUS,)),
    "Softsign": Operator("{0} / (number(bits({0}) & isplat(0x7fffffff)) + 1.0f)"),
    "Sqrt": Operator("vsqrt({0})", kernels=(_kernel("sqrt", "sqrt(x)", 1),)),
    "Sub": Operator("{0} - {1}", "(int64_t)((uint64_t){0} - (uint64_t){1})", sign="-"),
    "Tanh": Operator("vtanh({0})", kernels=(TANH,)),
    "ThresholdedRelu": Operator(
        "choose(less_or_equal({0}, splat({alpha})), splat(0.0f), {0})", attributes=("alpha",)
    ),
    "Where": Operator("choose({0}, {1}, {2})", "{0} ? {1} : {2}"),
    "Xor": Operator("{0} ^ {1}", compares=True),
}

# Conversions, from a type to another. What has int64 on one side goes number by number.
CASTS = {
    (FLOAT, FLOAT): Operator("{0}"),
    (BOOL, BOOL): Operator("{0}"),
    (INT, INT): Operator(scalar="(int64_t){0}"),
    (BOOL, FLOAT): Operator("number({0} & bits(splat(1.0f)))"),
    (FLOAT, BOOL): Operator("~equal({0}, splat(0.0f))"),
    (INT, BOOL): Operator(scalar="-({0} != 0)"),
    (INT, FLOAT): Operator(scalar="(float){0}"),
    (FLOAT, INT): Operator(scalar="(int64_t){0}"),
    (BOOL, INT): Operator(scalar="-(int64_t){0}"),
}


def kernels() -> dict[str, Kernel]:
    """List the kernels whose error is measured, by what is measured of them."""
    every = {kernel.name: kernel for operator in OPERATORS.values() for kernel in operator.kernels}
    return {name: kernel for kernel in every.values() for name in kernel.measured}
