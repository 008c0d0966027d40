"""Convolutions and pooling: operators that slide a window over the axes behind the channels.

The window of a row at a time step: time itself is no axis here. With few places, as of a causal convolution
over the frames that a state holds, a convolution is a product with a matrix. A transposed one is a plain one
over a map that has zeros between its numbers.
"""

from collections.abc import Sequence
from math import ceil, prod
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from rnn_export.backends.c.trace.elementwise import FLOAT, INT
from rnn_export.backends.c.trace.graph import Weight
from rnn_export.backends.c.trace.operations import Convolution, Window
from rnn_export.backends.c.trace.rules import Arguments, Rule, affine, elementwise, reduced
from rnn_export.backends.c.trace.symbols import Symbol, Value
from rnn_export.errors import CompileError
from rnn_export.program.operator_facts import int_of, text_of
from rnn_export.signature.tensors import Array

if TYPE_CHECKING:
    from rnn_export.backends.c.trace.trace import Tracer

FEW = 4  # places, up to which a convolution is a product for each


def filled(tracer: "Tracer", value: float, like: Symbol, shape: Sequence[int]) -> Symbol:
    """Give a constant number in a shape, of the rows and time steps that another value of its rank is of."""
    tracer.space.keep_apart(shape, like.shape)
    number = np.array(value, {FLOAT: np.float32, INT: np.int64}.get(tracer.dtype(like), np.bool_))
    free = (tracer.space.rows, tracer.space.steps)
    sizes = [size if size in free else 1 for size in like.shape]
    return Symbol(np.broadcast_to(tracer.symbol(np.broadcast_to(number, sizes)).labels, shape))


def padded(tracer: "Tracer", value: Symbol, pads: Sequence[tuple[int, int]], fill: float) -> Symbol:
    """Put a number around a value, or leave some of it out; so many before and behind each axis."""
    shape = [size + before + behind for size, (before, behind) in zip(value.shape, pads, strict=True)]
    free = (tracer.space.rows, tracer.space.steps)
    if any(pad != (0, 0) and size in free for pad, size in zip(pads, value.shape, strict=True)):
        raise CompileError("it pads the batch or the time")
    labels = np.array(filled(tracer, fill, value, shape).labels)
    inner, outer = [], []
    for size, (before, behind) in zip(value.shape, pads, strict=True):
        inner.append(slice(max(-before, 0), size - max(-behind, 0)))
        outer.append(slice(max(before, 0), size + before + min(behind, 0)))
    labels[tuple(outer)] = value.labels[tuple(inner)]
    return Symbol(labels)


def _sizes(node: ir.Node, name: str, default: Sequence[int]) -> list[int]:
    return list(node.attributes.get_ints(name, default))


def _checked(tracer: "Tracer", value: Value | None) -> Symbol:
    """Give what a window slides over: its axes behind batch and channels are neither rows nor time steps."""
    if not isinstance(value, Symbol):
        raise CompileError("it slides a computed window over constants")
    batch, *others = value.shape
    if batch not in (tracer.space.rows, tracer.space.steps, 1):
        raise CompileError("its first axis is not the batch")
    if any(size in (tracer.space.rows, tracer.space.steps) for size in others):
        raise CompileError("it slides over time steps, or over the rows of a batch")
    return value


def _pads(node: ir.Node, sizes: Sequence[int], extent: Sequence[int], strides: Sequence[int]) -> list[int]:
    """Give the numbers before each axis, then those behind each; ``auto_pad`` may leave them to be found."""
    kind = text_of(node, "auto_pad")
    if kind == "NOTSET":
        return _sizes(node, "pads", [0] * 2 * len(sizes))
    if kind == "VALID":
        return [0] * 2 * len(sizes)
    total = [
        max((ceil(size / stride) - 1) * stride + wide - size, 0)
        for size, wide, stride in zip(sizes, extent, strides, strict=True)
    ]
    less, more = [each // 2 for each in total], [each - each // 2 for each in total]
    return [*less, *more] if kind == "SAME_UPPER" else [*more, *less]


def _conv(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """``y[o, p] = b[o] + sum(x[c, p s + k d - before] W[o, c, k])``."""
    value, weight, bias = [*arguments, None][:3]
    value = _checked(tracer, value)
    if not isinstance(weight, np.ndarray) or isinstance(bias, Symbol):
        raise CompileError("its weights are computed")
    space = len(value.shape) - 2
    kernel = weight.shape[2:]
    strides, dilations = (_sizes(node, name, [1] * space) for name in ("strides", "dilations"))
    extent = [(size - 1) * apart + 1 for size, apart in zip(kernel, dilations, strict=True)]
    pads = _pads(node, value.shape[2:], extent, strides)
    called = tracer.called(weight), tracer.called(bias) if bias is not None else ""
    return [convolved(tracer, value, weight, bias, (strides, dilations, pads), int_of(node, "group"), called)]


def convolved(
    tracer: "Tracer",
    value: Symbol,
    weight: Array,
    bias: Array | None,
    sliding: tuple[Sequence[int], Sequence[int], Sequence[int]],
    groups: int,
    called: tuple[str, str] = ("", ""),
) -> Symbol:
    """Convolve ``[B, C, ...]`` with weights ``[O, C / groups, ...]``, given strides, dilations and pads."""
    strides, dilations, pads = sliding
    space = len(value.shape) - 2
    bias = np.zeros(weight.shape[0], np.float32) if bias is None else bias
    places = [
        (size + pads[k] + pads[k + space] - (weight.shape[2 + k] - 1) * dilations[k] - 1) // strides[k] + 1
        for k, size in enumerate(value.shape[2:])
    ]
    if prod(places) <= FEW:
        pairs = [(0, 0), (0, 0), *zip(pads[:space], pads[space:], strict=True)]
        map_ = padded(tracer, value, pairs, 0.0) if any(pads) else value
        taken = windows(map_.labels, weight.shape[2:], strides, dilations, places)
        return _as_products(tracer, taken, weight, bias, groups, called)
    if space > 2:
        raise CompileError("it slides over more than two axes")
    window = Window(
        sizes=_two(value.shape[2:], 1),
        kernel=_two(weight.shape[2:], 1),
        strides=_two(strides, 1),
        dilations=_two(dilations, 1),
        before=_two(pads[:space], 0),
        results=_two(places, 1),
    )
    columns = weight.reshape(groups, weight.shape[0] // groups, -1)
    operation = Convolution(
        (tracer.view(value, value.shape),),
        channels=value.shape[1],
        window=window,
        matrices=tuple(Weight.of(np.ascontiguousarray(each.T), called[0]) for each in columns),
        biases=tuple(Weight.of(each, called[1]) for each in bias.reshape(groups, -1)),
    )
    return tracer.emit(operation, (value.shape[0], weight.shape[0], *places))


def _two(numbers: Sequence[int], first: int) -> tuple[int, int]:
    """Give numbers for height and width; a map of one axis has the height of 1."""
    height, width = (first, *numbers) if len(numbers) == 1 else numbers
    return height, width


def windows(
    labels: Array,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    places: Sequence[int],
) -> Array:
    """Take the windows of ``[B, C, ...]``: ``[B, C, *places, *kernel]``."""
    space = len(kernel)
    index = [
        np.arange(places[k])[:, None] * strides[k] + np.arange(kernel[k]) * dilations[k] for k in range(space)
    ]
    for axis in range(space):  # [B, C, p0, k0, p1, k1, ...]
        labels = np.take(labels, index[axis], axis=2 + 2 * axis)
    order = [0, 1, *range(2, 2 + 2 * space, 2), *range(3, 2 + 2 * space, 2)]
    return np.transpose(labels, order)


def _as_products(
    tracer: "Tracer", taken: Array, weight: Array, bias: Array, groups: int, called: tuple[str, str]
) -> Symbol:
    """Multiply each of a few windows with the weights; those of one channel number by number."""
    space = weight.ndim - 2
    batch, channels, places = taken.shape[0], taken.shape[1], taken.shape[2 : 2 + space]
    flat = taken.reshape(batch, channels, prod(places), -1)
    own, each = weight.shape[0] // groups, channels // groups
    if each == 1 and groups > 1:
        numbers = Symbol(np.repeat(flat, own, 1))
        products = elementwise(tracer, "Mul", [numbers, weight.reshape(weight.shape[0], 1, -1)])
        sums = reduced(tracer, "sum", products, [3], keep=False).labels
    else:
        sums = np.empty((batch, weight.shape[0], prod(places)), np.int64)
        for group in range(groups):
            matrix = weight[group * own : (group + 1) * own].reshape(own, -1).T
            for place in range(prod(places)):
                part = Symbol(flat[:, group * each : (group + 1) * each, place].reshape(batch, -1))
                product = affine(tracer, part, matrix, [batch, own], called[0])
                sums[:, group * own : (group + 1) * own, place] = product.labels
    tracer.call(numbers_ := bias.reshape(-1, 1), called[1])
    result = elementwise(tracer, "Add", [Symbol(sums), numbers_])
    return Symbol(result.labels.reshape(batch, weight.shape[0], *places))


def _conv_transpose(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """The same with the weights turned about, over a map with ``stride - 1`` zeros between its numbers."""
    value, weight, bias = [*arguments, None][:3]
    value = _checked(tracer, value)
    if not isinstance(weight, np.ndarray) or isinstance(bias, Symbol):
        raise CompileError("its weights are computed")
    space, groups = len(value.shape) - 2, int_of(node, "group")
    if text_of(node, "auto_pad") != "NOTSET" or "output_shape" in node.attributes:
        raise CompileError("its padding follows from the size of the result")
    strides, dilations = (_sizes(node, name, [1] * space) for name in ("strides", "dilations"))
    pads, more = _sizes(node, "pads", [0] * 2 * space), _sizes(node, "output_padding", [0] * space)
    wide = [(size - 1) * stride + 1 for size, stride in zip(value.shape[2:], strides, strict=True)]
    labels = np.array(filled(tracer, 0.0, value, (*value.shape[:2], *wide)).labels)
    between = tuple(slice(None, None, stride) for stride in strides)
    labels[(slice(None), slice(None), *between)] = value.labels
    reach = [(weight.shape[2 + k] - 1) * dilations[k] for k in range(space)]
    around = [
        *(reach[k] - pads[k] for k in range(space)),
        *(reach[k] - pads[k + space] + more[k] for k in range(space)),
    ]
    pairs = [(0, 0), (0, 0), *((min(around[k], 0), min(around[k + space], 0)) for k in range(space))]
    spread = padded(tracer, Symbol(labels), pairs, 0.0)
    by_group = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
    turned = np.flip(np.swapaxes(by_group, 1, 2), tuple(range(3, 3 + space)))
    turned = np.ascontiguousarray(turned).reshape(-1, *turned.shape[2:])
    sliding = [1] * space, dilations, [max(pad, 0) for pad in around]
    called = tracer.called(weight), tracer.called(bias) if bias is not None else ""
    return [convolved(tracer, spread, turned, bias, sliding, groups, called)]


def _pool(function: str) -> Rule:
    """Give the rule of the largest, or of the mean, of each window."""

    def rule(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
        value = _checked(tracer, arguments[0])
        if len(node.outputs) > 1:
            raise CompileError("it gives the places of the largest numbers, too")
        space = len(value.shape) - 2
        kernel = _sizes(node, "kernel_shape", [])
        strides, dilations = (_sizes(node, name, [1] * space) for name in ("strides", "dilations"))
        extent = [(size - 1) * apart + 1 for size, apart in zip(kernel, dilations, strict=True)]
        pads = _pads(node, value.shape[2:], extent, strides)
        places, behind = [], []
        for k, size in enumerate(value.shape[2:]):
            whole = size + pads[k] + pads[k + space] - extent[k]
            count = (ceil(whole / strides[k]) if int_of(node, "ceil_mode") else whole // strides[k]) + 1
            if (count - 1) * strides[k] >= size + pads[k]:
                count -= 1  # a window that would begin behind all of it, as in PyTorch
            places.append(count)
            behind.append(max((count - 1) * strides[k] + extent[k] - size - pads[k], 0))
        pairs = [(0, 0), (0, 0), *zip(pads[:space], behind, strict=True)]
        sliding = kernel, strides, dilations, places
        fill = -np.inf if function == "max" else 0.0
        taken = windows(padded(tracer, value, pairs, fill).labels, *sliding)
        axes = list(range(2 + space, 2 + 2 * space))
        if function == "max":
            return [reduced(tracer, "max", Symbol(taken), axes, keep=False)]
        shape = [
            size + before + after for size, (before, after) in zip(value.shape[2:], pairs[2:], strict=True)
        ]
        counted, every = np.zeros((1, 1, *shape), np.float32), int_of(node, "count_include_pad")
        inside: tuple[slice, ...] = tuple(
            slice(0 if every else pads[k], pads[k] + size + (pads[k + space] if every else 0))
            for k, size in enumerate(value.shape[2:])
        )
        counted[0, 0][inside] = 1.0
        counts = windows(counted, *sliding).sum(tuple(axes))
        total = reduced(tracer, "sum", Symbol(taken), axes, keep=False)
        return [elementwise(tracer, "Div", [total, counts[0].astype(np.float32)])]

    return rule


def _global_pool(function: str) -> Rule:
    """Give the rule of the same over all of each channel."""

    def rule(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
        value = _checked(tracer, arguments[0])
        return [reduced(tracer, function, value, list(range(2, len(value.shape))), keep=True)]

    return rule


RULES: dict[str, Rule] = {
    "AveragePool": _pool("mean"),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "GlobalAveragePool": _global_pool("mean"),
    "GlobalMaxPool": _global_pool("max"),
    "MaxPool": _pool("max"),
}
