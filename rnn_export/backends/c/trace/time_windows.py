"""Convolutions and pooling over time: the frames of a window stand side by side, the rest is a step's work.

A convolution over ``T`` of ``[B, C, T, F]`` with a kernel of 3 by 5, at each of its places::

    x[t - 1], x[t], x[t + 1]      side by side, as 3 C channels of F
    y[t]                          a convolution over F of them, with a kernel of 5

A transposed one with a stride of 2 makes two time steps of a few frames, one after the other.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from rnn_export.backends.c.trace import windows
from rnn_export.backends.c.trace.graph import Constant, Gather
from rnn_export.backends.c.trace.products import matmul
from rnn_export.backends.c.trace.rules import Arguments, Rule, elementwise, reduced
from rnn_export.backends.c.trace.symbols import Symbol, Value
from rnn_export.backends.c.trace.windows import Sliding
from rnn_export.errors import CompileError
from rnn_export.program.operator_facts import int_of, text_of
from rnn_export.signature.sizes import Length
from rnn_export.signature.tensors import Array

if TYPE_CHECKING:
    from rnn_export.backends.c.trace.trace import Tracer

FEW = 16  # frames, up to which they are added up, or compared, one after the other


@dataclass(frozen=True)
class Along:
    """How a window slides along time: frame ``k`` of place ``p`` is ``p * stride + k * apart - before``.

    There are ``(T + spare) // stride + 1`` places.
    """

    frames: int
    stride: int
    apart: int
    before: int
    spare: int

    def clock(self, length: Length) -> Length:
        """Give the number of places, for a number of time steps."""
        if length.each == 1:
            more = (length.plus + self.spare + self.stride) * length.by + length.more
            return Length(length.times, more, length.by * self.stride, base=length.base)
        each, rest = divmod(length.each, self.stride)
        if rest or each == 1:
            raise CompileError(f"it takes every {self.stride}th of {length} time steps")
        return replace(length, each=each, plus=(length.plus + self.spare) // self.stride + 1)


def _time_axis(tracer: "Tracer", value: Value | None) -> int | None:
    """Find the axis of time behind the channels."""
    shape = value.shape[2:] if isinstance(value, Symbol) else ()
    found = [axis + 2 for axis, size in enumerate(shape) if size in tracer.space.clocks]
    return found[0] if found else None


def framed(tracer: "Tracer", value: Symbol, axis: int, along: Along, fill: float) -> tuple[Symbol, Length]:
    """Give the frames of each window, ``[B, K, C, ...]`` at each place; outside of all steps is ``fill``."""
    count = tracer.space.size(along.clock(tracer.space.clocks[value.shape[axis]]))
    clock = tracer.space.clocks[count]
    places, frames = np.arange(count)[:, None], np.arange(along.frames)
    index = places * along.stride + frames * along.apart - along.before
    inside = (index >= 0) & (index < value.shape[axis])
    taken = np.take(value.labels, np.where(inside, index, 0), axis)  # [B, C, ..., P, K, ...]
    sizes = [size if size == tracer.space.rows else 1 for size in value.shape]
    outside = tracer.symbol(np.full(sizes, fill, np.float32)).labels
    shape = [-1 if k == axis else 1 for k in range(len(value.shape))]
    shape[axis : axis + 1] = count, along.frames
    wide = np.where(inside.reshape(shape), taken, np.expand_dims(outside, axis))
    moved = tracer.plain(Symbol(np.moveaxis(wide, axis + 1, 1)))
    return moved, clock


def _conv(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    value, weight, bias = [*arguments, None][:3]
    axis = _time_axis(tracer, value)
    if axis is None or not isinstance(value, Symbol):
        return windows.RULES["Conv"](tracer, node, arguments)
    if not isinstance(weight, np.ndarray) or isinstance(bias, Symbol):
        raise CompileError("its weights are computed")
    sliding, groups = windows.sliding_of(node, value.shape[2:], weight.shape[2:]), int_of(node, "group")
    own, rest = _apart(sliding, axis - 2)
    called = tracer.called(weight), tracer.called(bias) if bias is not None else ""
    frames, clock = framed(tracer, value, axis, own, 0.0)
    with tracer.each_step(clock, [frames]):
        step = tracer.at_a_step(frames, axis + 1)
        kernel = np.moveaxis(weight, axis, 1)  # [O, K, C, ...]
        if groups == value.shape[1] and groups > 1 and weight.ndim == 3:
            result = _each_channel(tracer, step, kernel[:, :, 0], bias)
        else:
            result = _folded(tracer, step, kernel, bias, rest, groups, called)
    return [tracer.sequence(result, axis, clock)]


def _apart(sliding: Sliding, place: int) -> tuple[Along, Sliding]:
    """Take the time out of how a window slides; the rest slides at each time step."""
    spare = sum(sliding.pads[place]) - sliding.extent[place]
    frames, stride, apart = (each[place] for each in (sliding.kernel, sliding.strides, sliding.dilations))
    return Along(frames, stride, apart, sliding.pads[place][0], spare), sliding.without(place)


def _each_channel(tracer: "Tracer", step: Symbol, kernel: Array, bias: Array | None) -> Symbol:
    """Convolve each channel by itself, frame after frame; ``[B, K, C]`` with ``[O, K]``."""
    several = kernel.shape[0] // step.shape[2]
    result: Value | None = bias
    for number in range(kernel.shape[1]):
        frame = Symbol(np.repeat(step.labels[:, number], several, -1))
        product = elementwise(tracer, "Mul", [frame, np.ascontiguousarray(kernel[:, number])])
        result = product if result is None else elementwise(tracer, "Add", [result, product])
    assert isinstance(result, Symbol)
    return result


def _folded(
    tracer: "Tracer",
    step: Symbol,
    kernel: Array,
    bias: Array | None,
    rest: Sliding,
    groups: int,
    called: tuple[str, str],
) -> Symbol:
    """Convolve with the frames as channels: ``[B, K, C, ...]`` with ``[O, K, C / groups, ...]``."""
    batch, frames, channels, *others = step.shape
    apart = step.labels.reshape(batch, frames, groups, channels // groups, *others)
    folded = np.moveaxis(apart, 2, 1).reshape(batch, frames * channels, *(others or [1]))
    weight = kernel.reshape(kernel.shape[0], -1, *(kernel.shape[3:] or [1]))
    tracer.call(weight, called[0])
    if others:
        return windows.convolved(tracer, Symbol(folded), weight, bias, rest, groups, called)
    one = Sliding((1,), (1,), (1,), ((0, 0),))
    found = windows.convolved(tracer, Symbol(folded), weight, bias, one, groups, called)
    return Symbol(found.labels[..., 0])


def _conv_transpose(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """``y[s q + r] = b + sum x[q + e] W[k]`` over all ``k`` with ``r + before - k apart = s e``."""
    value, weight, bias = [*arguments, None][:3]
    axis = _time_axis(tracer, value)
    if axis is None or not isinstance(value, Symbol):
        return windows.RULES["ConvTranspose"](tracer, node, arguments)
    if not isinstance(weight, np.ndarray) or isinstance(bias, Symbol) or int_of(node, "group") != 1:
        raise CompileError("its weights are computed, or it has groups")
    sliding, more = windows.transposed_of(node, weight.shape[2:])
    place, size = axis - 2, value.shape[axis]
    stride, apart, (before, behind) = sliding.strides[place], sliding.dilations[place], sliding.pads[place]
    reach = (sliding.kernel[place] - 1) * apart
    length = (size - 1) * stride - before - behind + reach + more[place] + 1
    offsets = [
        [divmod(r + before - k * apart, stride) for k in range(sliding.kernel[place])] for r in range(stride)
    ]
    used = [e for row in offsets for e, left in row if not left]
    first, count = min(used), max(used) - min(used) + 1
    turns = -(-length // stride)
    frames, clock = framed(tracer, value, axis, Along(count, 1, 1, -first, turns - size - 1), 0.0)
    kernel = np.moveaxis(weight, axis, 0)  # [K, C, O, ...]
    parts = np.zeros((stride, count, *kernel.shape[1:]), np.float32)  # for each r, [E, C, O, ...]
    for r, row in enumerate(offsets):
        for k, (e, left) in enumerate(row):
            if not left:
                parts[r, e - first] += kernel[k]
    with tracer.each_step(clock, [frames]):
        step = tracer.at_a_step(frames, axis + 1)
        result = _phases(
            tracer, step, parts, bias, (sliding.without(place), more[:place] + more[place + 1 :])
        )
    turned = tracer.symbol(tracer.sequence(result, 1, clock)).labels  # [B, Q, S, O, ...]
    flat = turned.reshape(turned.shape[0], turns * stride, *turned.shape[3:])[:, :length]
    return [Symbol(np.moveaxis(flat, 1, axis))]


def _overlap_add(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """``y[c][s q + r] = sum x[c, k][q + e]``: pieces of a sequence, ``[B, C K, L]``, are added up again."""
    value, image, block = arguments
    if (
        not isinstance(value, Symbol)
        or not isinstance(image, np.ndarray)
        or not isinstance(block, np.ndarray)
    ):
        raise CompileError("its sizes are computed")
    ones = {name: tuple(node.attributes.get_ints(name, [1, 1])) for name in ("strides", "dilations")}
    flat = image.shape == (2,) and image[0] == 1 and block[0] == 1
    if not flat or any(node.attributes.get_ints("pads", [0])) or value.shape[2] not in tracer.space.clocks:
        raise CompileError("it adds up pieces of maps, or what is padded")
    kernel, stride, apart, size = int(block[1]), ones["strides"][1], ones["dilations"][1], value.shape[2]
    length = (size - 1) * stride + (kernel - 1) * apart + 1
    if int(image[1]) != length:
        raise CompileError("it adds up pieces to more time steps than they have")
    offsets = [[divmod(r - k * apart, stride) for k in range(kernel)] for r in range(stride)]
    used = [e for row in offsets for e, left in row if not left]
    first, count, turns = min(used), max(used) - min(used) + 1, -(-length // stride)
    frames, clock = framed(tracer, value, 2, Along(count, 1, 1, -first, turns - size - 1), 0.0)
    with tracer.each_step(clock, [frames]):
        step = tracer.at_a_step(frames, 3).labels  # [B, E, C K]
        step = step.reshape(*step.shape[:2], -1, kernel)
        phases = []
        for row in offsets:
            terms = [step[:, e - first, :, k] for k, (e, left) in enumerate(row) if not left]
            total = Symbol(terms[0])
            for term in terms[1:]:
                total = elementwise(tracer, "Add", [total, Symbol(term)])
            phases.append(total.labels)
    turned = tracer.symbol(tracer.sequence(Symbol(np.stack(phases, 1)), 1, clock)).labels  # [B, Q, S, C]
    found = turned.reshape(turned.shape[0], turns * stride, -1)[:, :length]
    return [Symbol(np.moveaxis(found, 1, -1)[:, :, None])]


def _phases(
    tracer: "Tracer", step: Symbol, parts: Array, bias: Array | None, rest: tuple[Sliding, tuple[int, ...]]
) -> Symbol:
    """Give what each phase makes of the frames ``[B, E, C, ...]``: ``[B, S, O, ...]``."""
    batch, _, _, *others = step.shape
    folded = Symbol(step.labels.reshape(batch, -1, *others))
    weights = parts.reshape(parts.shape[0], -1, *parts.shape[3:])  # [S, E C, O, ...]
    if others:
        each = [windows.transposed(tracer, folded, weight, bias, *rest).labels for weight in weights]
        return Symbol(np.stack(each, 1))
    stride, inner, channels = weights.shape
    product = matmul(tracer, folded, np.ascontiguousarray(np.moveaxis(weights, 0, 1)).reshape(inner, -1))
    if bias is not None:
        product = elementwise(tracer, "Add", [product, np.tile(bias, stride)])
    return Symbol(product.labels.reshape(batch, stride, channels))


def _pool(function: str) -> Rule:
    """Give the rule of the largest, or of the mean, of each window."""

    def rule(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
        value, kind = arguments[0], "MaxPool" if function == "max" else "AveragePool"
        axis = _time_axis(tracer, value)
        if axis is None or not isinstance(value, Symbol):
            return windows.RULES[kind](tracer, node, arguments)
        if len(node.outputs) > 1 or int_of(node, "ceil_mode") or text_of(node, "auto_pad") != "NOTSET":
            raise CompileError("it gives places, rounds up, or its padding depends on the time steps")
        kernel = tuple(node.attributes["kernel_shape"].as_ints())
        sliding = windows.sliding_of(node, value.shape[2:], kernel)
        own, rest = _apart(sliding, axis - 2)
        frames, clock = framed(tracer, value, axis, own, -np.inf if function == "max" else 0.0)
        every = function == "mean" and bool(int_of(node, "count_include_pad"))
        reads = [frames]
        if function == "mean" and not every and any(sliding.pads[axis - 2]):
            reads.append(_ones(tracer, value, axis, own))
        with tracer.each_step(clock, reads):
            step, *ones = (tracer.at_a_step(each, axis + 1) for each in reads)
            result = _together(tracer, "Max" if function == "max" else "Add", step)
            if len(value.shape) > 3:
                result, counts = windows.pooled(tracer, result, function, rest, every=every)
            else:
                counts = np.ones((), np.float32)
            if function == "mean":
                frames_ = [_together(tracer, "Add", each) for each in ones]
                for each in frames_:
                    result = elementwise(tracer, "Div", [result, each])
                several = counts if frames_ else counts * own.frames
                result = elementwise(tracer, "Div", [result, several.astype(np.float32)])
        return [tracer.sequence(result, axis, clock)]

    return rule


def _ones(tracer: "Tracer", value: Symbol, axis: int, along: Along) -> Symbol:
    """Give a one for each frame that is none of the padding."""
    shape = [size if k == axis or size == tracer.space.rows else 1 for k, size in enumerate(value.shape)]
    ones = tracer.emit(Gather((Constant(np.ones(1, np.float32)),)), shape)
    return framed(tracer, ones, axis, along, 0.0)[0]


def _together(tracer: "Tracer", kind: str, step: Symbol) -> Symbol:
    """Add up frames ``[B, K, ...]``, or take the largest of each number."""
    if step.shape[1] > FEW:
        return reduced(tracer, "max" if kind == "Max" else "sum", step, [1], keep=False)
    result = Symbol(step.labels[:, 0])
    for number in range(1, step.shape[1]):
        result = elementwise(tracer, kind, [result, Symbol(step.labels[:, number])])
    return result


def _global_pool(function: str) -> Rule:
    """Give the rule of the same over all of each channel."""

    def rule(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
        [value] = arguments
        assert isinstance(value, Symbol)
        return [reduced(tracer, function, value, list(range(2, len(value.shape))), keep=True)]

    return rule


RULES: dict[str, Rule] = {
    "AveragePool": _pool("mean"),
    "Col2Im": _overlap_add,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "GlobalAveragePool": _global_pool("mean"),
    "GlobalMaxPool": _global_pool("max"),
    "MaxPool": _pool("max"),
}
