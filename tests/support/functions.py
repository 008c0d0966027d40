"""What a step may call of a number: every function of PyTorch that the exporter takes, as a table.

Each takes numbers ``[N, 1]`` and gives as many, of their dtype.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Function = Callable[[Tensor], Tensor]
Functions = dict[str, Function]
OTHER = 2.5
STEP = 0.6875  # the same number in float32 and in float64


def _other(x: Tensor) -> Tensor:
    return torch.full_like(x, OTHER)


def _named(names: str, *places: object) -> Functions:
    """Give functions by their names, from the first place that has them."""
    return {
        name: next(getattr(place, name) for place in places if hasattr(place, name)) for name in names.split()
    }


def _numbers(function: Function) -> Function:
    """Let truth values and whole numbers be numbers like those that came in."""
    return lambda x: function(x).to(x.dtype)


def _of_two(names: str) -> Functions:
    """Give functions of two numbers: of a number and another one, the other way round, and of neighbours."""
    found = {}
    for name, function in _named(names, torch, torch.special).items():
        found[name] = _numbers(lambda x, of=function: of(x, _other(x)))
        found[f"{name}, swapped"] = _numbers(lambda x, of=function: of(_other(x), x))
        found[f"{name} of a number and its half"] = _numbers(lambda x, of=function: of(x, x * 0.5))
    return found


def _along(function: Callable[..., Any], *, swapped: bool = False) -> Function:
    """Reduce a number and another one; give what stands first of what comes out."""

    def along(x: Tensor) -> Tensor:
        pair = [_other(x), x] if swapped else [x, _other(x)]
        found = function(torch.cat(pair, -1), dim=-1)
        found = found if isinstance(found, Tensor) else found[0]
        return (found if found.dim() == x.dim() else found[..., None])[..., :1].to(x.dtype)

    return along


# What capture/decompositions.py writes as other functions, and what lost digits before.
OWN: Functions = {
    "clamp_max": lambda x: x.clamp(max=OTHER),
    "clamp_min": lambda x: x.clamp(min=OTHER),
    "erfc": torch.erfc,
    "expm1": torch.expm1,
    "floor_divide": lambda x: x // STEP,
    "floor_divide, down": lambda x: torch.div(x, -STEP, rounding_mode="floor"),
    "floor_divide, swapped": lambda x: torch.floor_divide(_other(x), x),
    "fmod": lambda x: torch.fmod(x, STEP),
    "fmod of a number and its half": lambda x: torch.fmod(x, x * 0.5),
    "heaviside": lambda x: torch.heaviside(x, _other(x)),
    "log1p": torch.log1p,
    "log1p, in place": lambda x: x.clone().log1p_(),
    "log_sigmoid": functional.logsigmoid,
    "logaddexp": lambda x: torch.logaddexp(x, _other(x)),
    "logaddexp of twins": lambda x: torch.logaddexp(x, x),
    "logaddexp2": lambda x: torch.logaddexp2(_other(x), x),
    "logit": torch.logit,
    "logit within": lambda x: torch.logit(x, 2.0**-20),
    "remainder": lambda x: x % 1.0,
    "remainder of a small number": lambda x: x % -(1.5 * 2.0**-126),
    "remainder, in place": lambda x: x.clone().remainder_(-STEP),
    "remainder, swapped": lambda x: 5.0 % x,
    "sign": torch.sign,
    "special.expm1": torch.special.expm1,
    "xlog1py": lambda x: torch.special.xlog1py(_other(x), x),
}
OF_ONE: Functions = {
    **_named(
        "abs acos acosh asin asinh atan atanh ceil cos cosh deg2rad erf exp exp2 floor frac log log10", torch
    ),
    **_named(
        "log2 neg positive rad2deg reciprocal round rsqrt sgn sin sinh sqrt square tan tanh trunc", torch
    ),
    **{
        name: _numbers(function)
        for name, function in _named("isfinite isinf isnan isneginf isposinf logical_not", torch).items()
    },
    **{f"special.{name}": getattr(torch.special, name) for name in ("entr", "expit", "exp2")},
    **{f"to the power of {e}": partial(torch.pow, exponent=e) for e in (-3, -2, -1, 0, 1.75, 2, 3, 4)},
    "1.75 to the power": lambda x: 1.75**x,
    "as truth values": _numbers(lambda x: x.bool()),
    "as whole numbers": _numbers(lambda x: x.nan_to_num(0).clamp(-1e9, 1e9).long()),
    "clamp": lambda x: x.clamp(-0.25, 0.5),
    "div down to zero": lambda x: torch.div(x, STEP, rounding_mode="trunc"),
    "fmod of whole numbers": _numbers(lambda x: torch.fmod(x.nan_to_num(0).clamp(-1e9, 1e9).long(), 3)),
    "lerp": lambda x: torch.lerp(x, _other(x), 0.25),
    "nan_to_num": lambda x: x.nan_to_num(OTHER, OTHER, -OTHER),
    "remainder of whole numbers": _numbers(lambda x: x.nan_to_num(0).clamp(-1e9, 1e9).long() % -3),
    "sigmoid": torch.sigmoid,
    "where": lambda x: torch.where(x > 0, x, -x),
}
ACTIVATIONS: Functions = {
    **_named(
        "celu elu gelu hardshrink hardsigmoid hardswish hardtanh leaky_relu mish relu relu6 selu silu",
        functional,
    ),
    **_named("softplus softshrink softsign", functional),
    "elu, scaled": lambda x: functional.elu(x, 0.75),
    "prelu": lambda x: functional.prelu(x, torch.full((1,), 0.25, dtype=x.dtype)),
    "softplus, scaled": lambda x: functional.softplus(x, 2.0, 1.5),
    "threshold": lambda x: functional.threshold(x, 0.125, 0.25),
}
OF_TWO: Functions = {
    **_of_two("logaddexp maximum minimum pow remainder floor_divide true_divide xlogy"),
    **_of_two("eq ge gt le logical_and logical_or logical_xor lt ne"),
    "atan2 of twins": lambda x: torch.atan2(x.abs(), x.abs()),
    "atan2": lambda x: torch.atan2(x, _other(x)),
    "atan2, behind": lambda x: torch.atan2(-_other(x), x),
}
AXES = {
    **_named("amax amin argmax argmin cumsum logsumexp max mean min prod std sum var", torch),
    **_named("glu log_softmax normalize softmax softmin", functional),
    "all": lambda x, dim: (x != 0).all(dim),
    "any": lambda x, dim: (x != 0).any(dim),
    "diff": torch.diff,
    "layer_norm": lambda x, dim: functional.layer_norm(x, (2,)),
    "norm": torch.linalg.vector_norm,
    "norm of one": lambda x, dim: torch.linalg.vector_norm(x, 1, dim),
    "rms_norm": lambda x, dim: functional.rms_norm(x, (2,), eps=1e-6),
    "sort": torch.sort,
    "topk": lambda x, dim: torch.topk(x, 1, dim),
}
OVER_AN_AXIS: Functions = {
    **{name: _along(function) for name, function in AXES.items()},
    **{f"{name}, swapped": _along(function, swapped=True) for name, function in AXES.items()},
}
GROUPS = {
    "own": OWN,
    "of one": OF_ONE,
    "activations": ACTIVATIONS,
    "of two": OF_TWO,
    "over an axis": OVER_AN_AXIS,
}
