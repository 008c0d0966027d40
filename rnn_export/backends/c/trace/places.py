"""Operators that move numbers to places known here: they change labels, and put constants between."""

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from rnn_export.backends.c.trace.choices import scattered
from rnn_export.backends.c.trace.nodes import evaluate
from rnn_export.backends.c.trace.rules import Arguments, Rule, elementwise
from rnn_export.backends.c.trace.symbols import Symbol, Value
from rnn_export.backends.c.trace.windows import filled, padded
from rnn_export.errors import CompileError
from rnn_export.program.operator_facts import int_of, text_of
from rnn_export.signature.tensors import Array

if TYPE_CHECKING:
    from rnn_export.backends.c.trace.trace import Tracer

MODES = {"edge": "edge", "reflect": "reflect", "wrap": "wrap"}  # of padding, as NumPy calls them
TAKES = {"add": "Add", "max": "Max", "min": "Min", "mul": "Mul"}  # what a scatter does with several numbers


def _pad(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """Put constants, or numbers of the value itself, around it."""
    value, pads, fill, axes = [*arguments, None, None][:4]
    if not isinstance(value, Symbol) or isinstance(pads, Symbol) or isinstance(fill, Symbol) or pads is None:
        raise CompileError("its sizes or its constant are computed")
    assert not isinstance(axes, Symbol)
    rank, half = len(value.shape), pads.size // 2
    listed = np.arange(rank) if axes is None else axes % rank
    pairs = [(0, 0)] * rank
    for place, axis in enumerate(listed.tolist()):
        pairs[axis] = int(pads[place]), int(pads[place + half])
    mode = text_of(node, "mode")
    if mode == "constant":
        return [padded(tracer, value, pairs, 0.0 if fill is None else fill.item())]
    free = tracer.space.free
    if any(pair != (0, 0) and size in free for pair, size in zip(pairs, value.shape, strict=True)):
        raise CompileError("it pads the batch or the time")
    less = padded(tracer, value, [(min(a, 0), min(b, 0)) for a, b in pairs], 0.0)
    more = [(max(a, 0), max(b, 0)) for a, b in pairs]
    return [Symbol(np.pad(less.labels, more, mode=MODES[mode]))]  # type: ignore[call-overload]


def _triangle(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """Keep one side of the diagonal of matrices; the other one is zero."""
    value, diagonal = [*arguments, None][:2]
    if not isinstance(value, Symbol) or isinstance(diagonal, Symbol):
        raise CompileError("its diagonal is computed")
    first = 0 if diagonal is None else int(diagonal.reshape(()))
    ones = np.ones(value.shape[-2:], bool)
    kept = np.triu(ones, first) if int_of(node, "upper") else np.tril(ones, first)
    return [Symbol(np.where(kept, value.labels, filled(tracer, 0.0, value, value.shape).labels))]


def _targets(node: ir.Node, shape: Sequence[int], indices: Array, updates: Sequence[int]) -> Array:
    """Say where each update goes: its place in the flattened data."""
    if node.op_type == "ScatterElements":
        axis = int_of(node, "axis") % len(shape)
        grid: list[Array] = list(np.indices(indices.shape))
        grid[axis] = indices % shape[axis]
        return np.asarray(np.ravel_multi_index(tuple(grid), tuple(shape)))
    depth = indices.shape[-1]
    wrapped = indices % np.array(shape[:depth])
    front = np.ravel_multi_index(tuple(np.moveaxis(wrapped, -1, 0)), tuple(shape[:depth]))
    rest = prod(shape[depth:])
    return np.asarray(front[..., None] * rest + np.arange(rest)).reshape(updates)


def _scatter(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """Put numbers in the place of others, or add them up with these."""
    given, indices, updated = arguments
    assert given is not None
    assert indices is not None
    assert updated is not None
    data, updates = tracer.symbol(given), tracer.symbol(updated)
    function = text_of(node, "reduction").replace("none", "")
    if isinstance(indices, Symbol):
        return [scattered(tracer, node, data, indices, updates, function)]
    targets = _targets(node, data.shape, indices, updates.shape).ravel()
    labels, kind = updates.labels.ravel(), TAKES.get(function)
    if kind is None:
        return [_placed(data, targets, labels)]
    order = np.argsort(targets, kind="stable")
    ordered = targets[order]
    turns = np.empty(targets.size, np.int64)  # which of the updates of its place each is
    turns[order] = np.arange(targets.size) - np.searchsorted(ordered, ordered)
    result = data
    for turn in range(int(turns.max(initial=-1)) + 1):
        now = turns == turn
        around = result if kind in ("Max", "Min") else filled(tracer, float(kind == "Mul"), data, data.shape)
        result = elementwise(tracer, kind, [result, _placed(around, targets[now], labels[now])])
    return [result]


def _placed(value: Symbol, targets: Array, labels: Array) -> Symbol:
    """Put labels in the place of others."""
    changed = value.labels.ravel().copy()
    changed[targets] = labels
    return Symbol(changed.reshape(value.shape))


def _resize(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """Make maps larger or smaller: along each axis, a few numbers times a few weights."""
    value, roi, scales, sizes = [*arguments, None, None, None][:4]
    if not isinstance(value, Symbol) or any(isinstance(each, Symbol) for each in (roi, scales, sizes)):
        raise CompileError("its sizes are computed")
    cropped = text_of(node, "coordinate_transformation_mode") == "tf_crop_and_resize"
    if "axes" in node.attributes or int_of(node, "antialias") or cropped:
        raise CompileError("it lists axes, smooths or crops")
    given = scales if sizes is None else sizes
    assert isinstance(given, np.ndarray)
    for axis, size in enumerate(value.shape):
        if given[axis] != (1 if sizes is None else size):
            if size in tracer.space.clocks and text_of(node, "mode") == "nearest":
                value = Symbol(np.take(value.labels, _nearest(node, axis, size, given), axis))
                continue
            if size in tracer.space.free:
                raise CompileError("it makes another number of rows or time steps")
            value = _weighed(tracer, tracer.plain(value), axis, _resizing(node, axis, size, given))
    return [value]


def _resizing(node: ir.Node, axis: int, size: int, given: Array) -> Array:
    """Give the matrix that resizes an axis: what becomes of each of its numbers."""
    alone = np.ones_like(given)
    alone[axis] = given[axis]
    shape = [size if number == axis else 1 for number in range(given.size)]
    sized = np.issubdtype(given.dtype, np.integer)
    found = []
    for row in np.eye(size, dtype=np.float32):
        arguments: list[Value | None] = [row.reshape(shape), None, None, alone]
        found.append(evaluate(node, arguments if sized else [*arguments[:2], alone])[0].ravel())
    return np.stack(found, 1)


def _nearest(node: ir.Node, axis: int, size: int, given: Array) -> Array:
    """Say which number of an axis becomes each of the resized one."""
    found: Array = np.argmax(_resizing(node, axis, size, given), 1)
    return found


def _weighed(tracer: "Tracer", value: Symbol, axis: int, matrix: Array) -> Symbol:
    """Multiply an axis with a matrix of few numbers that are not 0, as sums of products number by number."""
    most = int((matrix != 0).sum(1).max())
    order = np.argsort(matrix == 0, axis=1, kind="stable")[:, :most]
    result: Symbol | None = None
    for number in range(most):
        taken = Symbol(np.take(value.labels, order[:, number], axis))
        weights = np.take_along_axis(matrix, order[:, number : number + 1], 1).astype(np.float32)
        if (weights != 1).any():
            shaped = weights.reshape([-1] + [1] * (len(value.shape) - 1 - axis))
            taken = elementwise(tracer, "Mul", [taken, shaped])
        result = taken if result is None else elementwise(tracer, "Add", [result, taken])
    assert result is not None
    return result


RULES: dict[str, Rule] = {
    "Pad": _pad,
    "Resize": _resize,
    "ScatterElements": _scatter,
    "ScatterND": _scatter,
    "Trilu": _triangle,
}
