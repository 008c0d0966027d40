"""Wrong calls that change the inputs number by number, for every backend."""

from functools import singledispatch
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from tests.support.mutant_calls import Call, CCall, OnnxCall, Pointer, TorchCall, _bytes
from tests.support.mutant_exported import ExportedCall, Given, Value


@singledispatch
def flushed(call: Call, below: float) -> Any:
    """Give the inputs with zeros in the place of numbers that are smaller."""
    raise NotImplementedError(type(call))


@flushed.register
def _(call: OnnxCall, below: float) -> ir.Value:
    dtype = call.signature.inputs[0].dtype
    zero, limit = (call.emit("Constant", value=ir.tensor(np.array(each, dtype))) for each in (0.0, below))
    small = call.emit("Less", call.emit("Abs", call.inputs), limit)
    return call.emit("Where", small, zero, call.inputs)


@flushed.register
def _(call: TorchCall, below: float) -> str:
    x = call.inputs
    return call.emit(f"torch.where(torch.abs({x}) < {below}, torch.zeros_like({x}), {x})")


@flushed.register
def _(call: ExportedCall, below: float) -> Value:
    def small_as_zero(given: Given) -> Tensor:
        x = call.inputs(given)
        return torch.where(x.abs() < below, torch.zeros_like(x), x)

    return Value(small_as_zero)


@flushed.register
def _(call: CCall, below: float) -> Pointer:
    size = _bytes(call.signature.inputs[0])
    room = call.emit(f"malloc({size})")
    call.lines += [
        f"    memcpy({room}, inputs, {size});",
        f"    for (float *x = (float *){room}; x < (float *)({room} + {size}); x++)",
        f"        if (*x < {below}f && *x > -{below}f) *x = 0;",
    ]
    return Pointer(room)
