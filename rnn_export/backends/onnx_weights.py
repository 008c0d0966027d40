"""Smaller weights in an ONNX file: as numbers of fewer bits, and the nodes that decode them.

    y = MatMul (x, W)                               # W: float[K,N]

    W = Mul (Cast <to = float> (W_int8), W_scale)   # W_int8: int8[K,N], W_scale: float[1,N]
    W = Cast <to = float> (W_bf16)                  # W_bf16: bfloat16[K,N]

The numbers of ``W`` are the same, bit for bit, and a runtime that computes constants once, when it loads a
file, then runs what it would run of a file in float32. ``DequantizeLinear`` says the same, but ONNX Runtime
1.32 decodes it anew in each call of ``GRU``, ``LSTM`` and ``Scan`` (a step of 256 units takes 3.6 times as
long), and makes a ``MatMulNBits`` of it in front of ``MatMul``, which gives other numbers.
"""

from collections.abc import Iterable

import numpy as np
import onnx
import onnx_ir as ir

from rnn_export.program.build import Builder, add_constant
from rnn_export.program.operator_facts import RECURRENT
from rnn_export.program.small_weights import BF16, channels_of, is_bf16, to_bf16
from rnn_export.signature.tensors import Array

METADATA = "rnn_export.weights"
LEAST = 64  # numbers: the nodes that decode fewer take as many bytes
LAST_MATRIX = 2  # the place of the last matrix among the inputs of ONNX's recurrent operators
SHARE = 4  # numbers of a channel at least; of fewer the scales take as many bytes
FLOAT: dict[str, object] = {"to": int(ir.DataType.FLOAT)}


def with_small_weights(model: onnx.ModelProto, kind: str) -> tuple[onnx.ModelProto, list[str]]:
    """Write the matrices of a finished model in fewer bits, where they are rounded; name those that are not.

    Those of fewer than 64 numbers stay as they are, and are not named.
    """
    whole = ir.from_proto(model)
    kept = _shrink(whole.graph, kind)
    whole.metadata_props[METADATA] = kind
    smaller = ir.to_proto(whole)
    onnx.checker.check_model(smaller, full_check=True)
    return smaller, kept


def _shrink(graph: ir.Graph, kind: str) -> list[str]:
    build, kept = Builder(), list[str]()
    for value in list(graph.initializers.values()):
        tensor = value.const_value
        if tensor is None or tensor.dtype != ir.DataType.FLOAT or not _is_matrix(tensor.numpy()):
            continue
        if all(node.op_type in RECURRENT and place > LAST_MATRIX for node, place in value.uses()):
            continue  # biases of both directions
        decoded = _decoded(graph, build, str(value.name), tensor.numpy(), kind)
        if decoded is None:
            kept.append(f"{value.name} {list(tensor.shape)}")
            continue
        name = str(value.name)
        graph.initializers.pop(name)
        decoded.shape, decoded.type = value.shape, value.type
        value.replace_all_uses_with(decoded)
        decoded.name = name
    if build.nodes:
        first = next(iter(graph), None)
        assert first is not None
        graph.insert_before(first, build.nodes)
    return kept


def _is_matrix(values: Array) -> bool:
    """Whether numbers have two axes at least along which there are several."""
    return values.size >= LEAST and sum(size > 1 for size in values.shape) > 1


def _decoded(graph: ir.Graph, build: Builder, name: str, values: Array, kind: str) -> ir.Value | None:
    """Add a matrix in fewer bits, and what decodes it."""
    if kind == BF16:
        if not is_bf16(values):
            return None
        halves = ir.Tensor(to_bf16(values), dtype=ir.DataType.BFLOAT16)
        return build.emit("Cast", [_registered(graph, f"{name}/bf16", halves)], FLOAT)
    for axes in _axes(values.ndim):
        found = _channels(values, axes)
        if found is not None:
            numbers, scales = found
            small = build.emit("Cast", [add_constant(graph, f"{name}/int8", numbers)], FLOAT)
            return build.emit("Mul", [small, add_constant(graph, f"{name}/scale", scales)])
    return None


def _axes(rank: int) -> Iterable[tuple[int, ...]]:
    """List along which axes a channel may lie: of a product, an operator or table, of convolutions."""
    every = tuple(range(rank))
    return dict.fromkeys([(rank - 2,), (rank - 1,), every[1:], (0, *every[2:])])


def _channels(values: Array, axes: tuple[int, ...]) -> tuple[Array, Array] | None:
    """Give int8 numbers and their scales, with axes of one entry where a channel lies."""
    others = [axis for axis in range(values.ndim) if axis not in axes]
    moved = values.transpose(*axes, *others)
    length = int(np.prod(moved.shape[: len(axes)]))
    if length < SHARE:
        return None
    found = channels_of(moved.reshape(length, -1))
    if found is None:
        return None
    back = np.argsort([*axes, *others])
    numbers = found.numbers.reshape(moved.shape).transpose(back)
    shape = [1 if axis in axes else size for axis, size in enumerate(values.shape)]
    return np.ascontiguousarray(numbers), found.scales.reshape(shape)


def _registered(graph: ir.Graph, name: str, tensor: ir.TensorProtocol) -> ir.Value:
    value = ir.val(name, const_value=tensor)
    graph.register_initializer(value)
    return value
