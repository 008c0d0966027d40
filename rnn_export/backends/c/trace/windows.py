"""Convolutions and pooling: operators that slide a window over the axes behind the channels.

The window of a row at a time step: time itself is no axis here. With few places, as of a causal convolution
over the frames that a state holds, a convolution is a product with a matrix. A transposed one is a plain one
over a map that has zeros between its numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, prod
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from rnn_export.backends.c.trace.elementwise import FLOAT, INT
from rnn_export.backends.c.trace.graph import Weight
from rnn_export.backends.c.trace.operations import Convolution, Window
from rnn_export.backends.c.trace.products import affine
from rnn_export.backends.c.trace.rules import Arguments, Rule, elementwise, reduced
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
    free = tracer.space.free
    sizes = [size if size in free else 1 for size in like.shape]
    return Symbol(np.broadcast_to(tracer.symbol(np.broadcast_to(number, sizes)).labels, shape))


def padded(tracer: "Tracer", value: Symbol, pads: Sequence[tuple[int, int]], fill: float) -> Symbol:
    """Put a number around a value, or leave some of it out; so many before and behind each axis."""
    for axis, pair in enumerate(pads):
        if pair != (0, 0) and value.shape[axis] in tracer.space.clocks:
            apart = [(0, 0) if k == axis else each for k, each in enumerate(pads)]
            return padded(tracer, _longer(tracer, value, axis, pair, fill), apart, fill)
    shape = [size + before + behind for size, (before, behind) in zip(value.shape, pads, strict=True)]
    free = tracer.space.free
    if any(pad != (0, 0) and size in free for pad, size in zip(pads, value.shape, strict=True)):
        raise CompileError("it pads the batch")
    labels = np.array(filled(tracer, fill, value, shape).labels)
    inner, outer = [], []
    for size, (before, behind) in zip(value.shape, pads, strict=True):
        inner.append(slice(max(-before, 0), size - max(-behind, 0)))
        outer.append(slice(max(before, 0), size + before + min(behind, 0)))
    labels[tuple(outer)] = value.labels[tuple(inner)]
    return Symbol(labels)


def _longer(tracer: "Tracer", value: Symbol, axis: int, pads: tuple[int, int], fill: float) -> Symbol:
    """Put a number before and behind the time steps, or leave some of them out."""
    size, (before, behind) = value.shape[axis], pads
    labels = np.take(value.labels, range(max(-before, 0), size - max(-behind, 0)), axis)
    alone = tuple(size if size == tracer.space.rows else 1 for size in value.shape)
    outside = filled(
        tracer, fill, Symbol(value.labels[tuple(slice(0, size) for size in alone)]), alone
    ).labels
    wide = [size if k != axis else 1 for k, size in enumerate(value.shape)]
    one = np.broadcast_to(outside, wide)
    parts = [np.repeat(one, max(before, 0), axis), labels, np.repeat(one, max(behind, 0), axis)]
    return Symbol(np.concatenate(parts, axis))


def _sizes(node: ir.Node, name: str, default: Sequence[int]) -> list[int]:
    return list(node.attributes.get_ints(name, default))


def _checked(tracer: "Tracer", value: Value | None) -> Symbol:
    """Give what a window slides over: its axes behind batch and channels are neither rows nor time steps."""
    if not isinstance(value, Symbol):
        raise CompileError("it slides a computed window over constants")
    batch, *others = value.shape
    if batch not in {*tracer.space.free, 1}:
        raise CompileError("its first axis is not the batch")
    if any(size in tracer.space.free for size in others):
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


@dataclass(frozen=True)
class Sliding:
    """How a window slides over the axes behind the channels; pads are before and behind each."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]

    def without(self, place: int) -> "Sliding":
        """Leave an axis out."""
        return Sliding(
            self.kernel[:place] + self.kernel[place + 1 :],
            self.strides[:place] + self.strides[place + 1 :],
            self.dilations[:place] + self.dilations[place + 1 :],
            self.pads[:place] + self.pads[place + 1 :],
        )

    @property
    def extent(self) -> list[int]:
        """How far a window reaches."""
        pairs = zip(self.kernel, self.dilations, strict=True)
        return [(size - 1) * apart + 1 for size, apart in pairs]


def sliding_of(node: ir.Node, sizes: Sequence[int], kernel: Sequence[int]) -> Sliding:
    """Read how an operator's window slides over axes of some sizes."""
    space = len(sizes)
    strides, dilations = (_sizes(node, name, [1] * space) for name in ("strides", "dilations"))
    plain = Sliding(tuple(kernel), tuple(strides), tuple(dilations), ((0, 0),) * space)
    pads = _pads(node, sizes, plain.extent, strides)
    return replace(plain, pads=tuple(zip(pads[:space], pads[space:], strict=True)))


def _conv(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """``y[o, p] = b[o] + sum(x[c, p s + k d - before] W[o, c, k])``."""
    value, weight, bias = [*arguments, None][:3]
    value = _checked(tracer, value)
    if not isinstance(weight, np.ndarray) or isinstance(bias, Symbol):
        raise CompileError("its weights are computed")
    sliding = sliding_of(node, value.shape[2:], weight.shape[2:])
    called = tracer.called(weight), tracer.called(bias) if bias is not None else ""
    return [convolved(tracer, value, weight, bias, sliding, int_of(node, "group"), called)]


def convolved(
    tracer: "Tracer",
    value: Symbol,
    weight: Array,
    bias: Array | None,
    sliding: Sliding,
    groups: int,
    called: tuple[str, str] = ("", ""),
) -> Symbol:
    """Convolve ``[B, C, ...]`` with weights ``[O, C / groups, ...]``."""
    strides, dilations, pads = sliding.strides, sliding.dilations, sliding.pads
    space = len(value.shape) - 2
    bias = np.zeros(weight.shape[0], np.float32) if bias is None else bias
    places = [
        (size + sum(pads[k]) - sliding.extent[k]) // strides[k] + 1 for k, size in enumerate(value.shape[2:])
    ]
    if prod(places) <= FEW:
        map_ = padded(tracer, value, [(0, 0), (0, 0), *pads], 0.0) if any(map(any, pads)) else value
        taken = windows(map_.labels, weight.shape[2:], strides, dilations, places)
        return _as_products(tracer, taken, weight, bias, groups, called)
    if space > 2:
        raise CompileError("it slides over more than two axes")
    window = Window(
        sizes=_two(value.shape[2:], 1),
        kernel=_two(weight.shape[2:], 1),
        strides=_two(strides, 1),
        dilations=_two(dilations, 1),
        before=_two([before for before, _ in pads], 0),
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


def transposed_of(node: ir.Node, kernel: Sequence[int]) -> tuple[Sliding, tuple[int, ...]]:
    """Read how a transposed operator's window slides, and how much is added behind the results."""
    space = len(kernel)
    if text_of(node, "auto_pad") != "NOTSET" or "output_shape" in node.attributes:
        raise CompileError("its padding follows from the size of the result")
    more = _sizes(node, "output_padding", [0] * space)
    return sliding_of(node, [1] * space, kernel), tuple(more)


def _conv_transpose(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """The same with the weights turned about, over a map with ``stride - 1`` zeros between its numbers."""
    value, weight, bias = [*arguments, None][:3]
    value = _checked(tracer, value)
    if not isinstance(weight, np.ndarray) or isinstance(bias, Symbol):
        raise CompileError("its weights are computed")
    sliding, more = transposed_of(node, weight.shape[2:])
    called = tracer.called(weight), tracer.called(bias) if bias is not None else ""
    return [transposed(tracer, value, weight, bias, sliding, more, int_of(node, "group"), called)]


def transposed(
    tracer: "Tracer",
    value: Symbol,
    weight: Array,
    bias: Array | None,
    sliding: Sliding,
    more: Sequence[int],
    groups: int = 1,
    called: tuple[str, str] = ("", ""),
) -> Symbol:
    """Convolve ``[B, C, ...]`` with weights ``[C, O / groups, ...]`` the other way about."""
    space, pads = len(value.shape) - 2, sliding.pads
    wide = [(size - 1) * stride + 1 for size, stride in zip(value.shape[2:], sliding.strides, strict=True)]
    labels = np.array(filled(tracer, 0.0, value, (*value.shape[:2], *wide)).labels)
    between = tuple(slice(None, None, stride) for stride in sliding.strides)
    labels[(slice(None), slice(None), *between)] = value.labels
    around = [
        (reach - 1 - pads[k][0], reach - 1 - pads[k][1] + more[k]) for k, reach in enumerate(sliding.extent)
    ]
    less = [(0, 0), (0, 0), *((min(before, 0), min(behind, 0)) for before, behind in around)]
    spread = padded(tracer, Symbol(labels), less, 0.0)
    by_group = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
    turned = np.flip(np.swapaxes(by_group, 1, 2), tuple(range(3, 3 + space)))
    turned = np.ascontiguousarray(turned).reshape(-1, *turned.shape[2:])
    outer = tuple((max(before, 0), max(behind, 0)) for before, behind in around)
    plain = Sliding(sliding.kernel, (1,) * space, sliding.dilations, outer)
    return convolved(tracer, spread, turned, bias, plain, groups, called)


def _pool(function: str) -> Rule:
    """Give the rule of the largest, or of the mean, of each window."""

    def rule(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
        value = _checked(tracer, arguments[0])
        if len(node.outputs) > 1:
            raise CompileError("it gives the places of the largest numbers, too")
        sliding = sliding_of(node, value.shape[2:], _sizes(node, "kernel_shape", []))
        every = function == "mean" and bool(int_of(node, "count_include_pad"))
        rounds_up = bool(int_of(node, "ceil_mode"))
        result, counts = pooled(tracer, value, function, sliding, every=every, rounds_up=rounds_up)
        return [result if function == "max" else elementwise(tracer, "Div", [result, counts])]

    return rule


def pooled(
    tracer: "Tracer", value: Symbol, function: str, sliding: Sliding, *, every: bool, rounds_up: bool = False
) -> tuple[Symbol, Array]:
    """Give the largest or the sum of each window, and how many numbers it has; ``every`` with the padding."""
    space, extent, strides = len(value.shape) - 2, sliding.extent, sliding.strides
    places, behind = [], []
    for k, size in enumerate(value.shape[2:]):
        before = sliding.pads[k][0]
        whole = size + sum(sliding.pads[k]) - extent[k]
        count = (ceil(whole / strides[k]) if rounds_up else whole // strides[k]) + 1
        if (count - 1) * strides[k] >= size + before:
            count -= 1  # a window that would begin behind all of it, as in PyTorch
        places.append(count)
        behind.append(max((count - 1) * strides[k] + extent[k] - size - before, 0))
    pairs = [(0, 0), (0, 0), *((pad[0], more) for pad, more in zip(sliding.pads, behind, strict=True))]
    slid = sliding.kernel, strides, sliding.dilations, places
    fill = -np.inf if function == "max" else 0.0
    taken = Symbol(windows(padded(tracer, value, pairs, fill).labels, *slid))
    axes = list(range(2 + space, 2 + 2 * space))
    shape = [size + sum(pair) for size, pair in zip(value.shape[2:], pairs[2:], strict=True)]
    counted = np.zeros((1, 1, *shape), np.float32)
    inside: tuple[slice, ...] = tuple(
        slice(0 if every else pad[0], pad[0] + size + (pad[1] if every else 0))
        for pad, size in zip(sliding.pads, value.shape[2:], strict=True)
    )
    counted[0, 0][inside] = 1.0
    counts = windows(counted, *slid).sum(tuple(axes))
    result = reduced(tracer, "max" if function == "max" else "sum", taken, axes, keep=False)
    return result, counts[0].astype(np.float32)


RULES: dict[str, Rule] = {
    "AveragePool": _pool("mean"),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _pool("max"),
}
