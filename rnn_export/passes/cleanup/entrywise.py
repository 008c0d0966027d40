"""How a node does without an axis of its results along which it works entry by entry.

``without(node, axis)`` says which axis of each input goes with that of the results, and what else changes;
``rebuild`` makes the smaller node. Without axis 1 of its result::

    c = Concat <axis = 2> (a, b)                   # a: float[B,1,4], b: float[B,1,3], c: float[B,1,7]
    c = Concat <axis = 1> (a, b)                   # a: float[B,4],   b: float[B,3],   c: float[B,7]

An axis of size one may go where another may not: a sum along it is the identity. A new operator is one line
in ``RULES``. Part of :mod:`rnn_export.passes.cleanup.unit_axes` and of
:mod:`rnn_export.passes.time.last_step`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from rnn_export.program.build import Builder, add_constant
from rnn_export.program.operator_facts import ELEMENTWISE, int_of
from rnn_export.program.values import constant_ints

SAME_ALONE = ("Max", "Mean", "Min", "Prod", "Sum")  # ReduceX of one number is that number
OTHERS = ("L1", "L2", "LogSum", "LogSumExp", "SumSquare")


@dataclass(frozen=True)
class Without:
    """What becomes of a node: the axis that each input loses, and what else is different."""

    axes: Sequence[int | None]
    attributes: Mapping[str, int | Sequence[int]] = field(default_factory=dict)
    constants: Mapping[int, Sequence[int]] = field(default_factory=dict)  # in the place of inputs
    op_type: str = ""  # if it is another operator


Rule = Callable[[ir.Node, int, bool], Without | None]
Take = Callable[[ir.Value, int], ir.Value]  # gives an input without an axis


def without(node: ir.Node, axis: int) -> Without | None:
    """Say how a node does without an axis of its results; ``None`` where no rule is safe."""
    values = [value for value in (*node.inputs, *node.outputs) if value is not None]
    if node.domain not in ("", "ai.onnx") or any(value.shape is None for value in values):
        return None
    rule = _broadcast if node.op_type in ELEMENTWISE else RULES.get(node.op_type)
    return rule(node, axis, size_of(node.outputs[0], axis) == 1) if rule else None


def rebuild(
    build: Builder, main: ir.Graph, node: ir.Node, axis: int, plan: Without, take: Take
) -> Sequence[ir.Value]:
    """Add the node that does without an axis and reads what ``take`` gives; give its outputs."""
    inputs = [
        value if value is None or own is None else take(value, own)
        for value, own in zip(node.inputs, plan.axes, strict=False)
    ]
    for place, numbers in plan.constants.items():
        inputs[place] = add_constant(main, "axes", np.array(numbers, np.int64))
    attributes: dict[str, object] = {} if plan.op_type else dict(node.attributes)
    attributes |= plan.attributes
    count = len(node.outputs)
    outputs = build.emit_several(plan.op_type or node.op_type, inputs, attributes, count=count)
    for old, new in zip(node.outputs, outputs, strict=True):
        sizes = list(old.shape or ())
        new.shape, new.type = ir.Shape([*sizes[:axis], *sizes[axis + 1 :]]), old.type
    return outputs


def size_of(value: ir.Value, axis: int) -> int | ir.SymbolicDim | None:
    """Give the size of an axis, as far as it is known."""
    return value.shape[axis] if value.shape is not None and axis < len(value.shape) else None


def _rank(value: ir.Value | None) -> int:
    return len(value.shape) if value is not None and value.shape is not None else 0


def _shifted(axes: Sequence[int], gone: int) -> list[int]:
    """Count axes anew after one of them is gone."""
    return [axis - (axis > gone) for axis in axes if axis != gone]


def _axes_of(node: ir.Node, place: int, rank: int) -> list[int] | None:
    """Give the axes that an input lists; ``None`` if they are not known."""
    axes = constant_ints(node.inputs[place]) if len(node.inputs) > place else None
    return None if axes is None else [axis % rank for axis in axes]


def _broadcast(node: ir.Node, axis: int, single: bool) -> Without | None:
    """Take the axis from every input that has it; the last axes of the inputs meet."""
    rank = _rank(node.outputs[0])
    if node.op_type == "CastLike":
        return Without([axis, None])
    own = [axis - rank + _rank(value) for value in node.inputs]
    return Without([axis if axis >= 0 else None for axis in own])


def _matmul(node: ir.Node, axis: int, single: bool) -> Without | None:
    """An axis of the batch, or the rows of the left operand if the right one is a single matrix."""
    rank, left, right = _rank(node.outputs[0]), *map(_rank, node.inputs)
    if left < 2 or right < 2:
        return None
    if axis < rank - 2:
        return _broadcast(node, axis, single)
    return Without([axis, None]) if axis == rank - 2 and left == rank > 2 and right == 2 else None


def _along(node: ir.Node, axis: int, single: bool) -> Without | None:
    """Operators that work along one axis, an attribute: every other one may go."""
    rank = _rank(node.outputs[0])
    along = int_of(node, "axis") % rank
    if along == axis or any(_rank(value) != rank for value in node.outputs):
        return None
    whole = [_rank(value) == rank for value in node.inputs]
    if node.op_type != "Concat":  # the other inputs of the rest list sizes
        whole[1:] = [False] * (len(whole) - 1)
    return Without([axis if has else None for has in whole], {"axis": along - (along > axis)})


def _layer_norm(node: ir.Node, axis: int, single: bool) -> Without | None:
    """Every axis in front of those that it works along may go."""
    along = int_of(node, "axis") % _rank(node.inputs[0])
    if axis >= along or len(node.outputs) > 1:
        return None
    return Without([axis, *(None for _ in node.inputs[1:])], {"axis": along - 1})


def _cumsum(node: ir.Node, axis: int, single: bool) -> Without | None:
    """A sum of one number is the number."""
    along = _axes_of(node, 1, _rank(node.outputs[0]))
    if along is None:
        return None
    if along == [axis]:
        same = single and not int_of(node, "exclusive")
        return Without([axis], op_type="Identity") if same else None
    plan = Without([axis, None], constants={1: _shifted(along, axis)})
    return plan if _rank(node.inputs[1]) == 1 else None


def _reduce(node: ir.Node, axis: int, single: bool) -> Without | None:
    rank = _rank(node.inputs[0])
    axes = _axes_of(node, 1, rank)
    if not axes:
        return None
    if not int_of(node, "keepdims"):
        own = [number for number in range(rank) if number not in axes][axis]
        return Without([own, None], constants={1: _shifted(axes, own)})
    left = _shifted(axes, axis)
    if axis in axes:
        alone = size_of(node.inputs[0], axis) == 1 and node.op_type.removeprefix("Reduce") in SAME_ALONE  # type: ignore[arg-type]
        if not alone:
            return None
        if not left:
            return Without([axis], op_type="Identity")
    return Without([axis, None], constants={1: left})


def _unsqueeze(node: ir.Node, axis: int, single: bool) -> Without | None:
    rank = _rank(node.outputs[0])
    axes = _axes_of(node, 1, rank)
    if axes is None:
        return None
    if axes == [axis]:
        return Without([None], op_type="Identity")
    left = _shifted(axes, axis)
    own = None if axis in axes else [number for number in range(rank) if number not in axes].index(axis)
    return Without([own, None], constants={1: left})


def _squeeze(node: ir.Node, axis: int, single: bool) -> Without | None:
    rank = _rank(node.inputs[0])
    axes = _axes_of(node, 1, rank)
    if axes is None:
        return None
    own = [number for number in range(rank) if number not in axes][axis]
    return Without([own, None], constants={1: _shifted(axes, own)})


def _transpose(node: ir.Node, axis: int, single: bool) -> Without | None:
    order = node.attributes.get_ints("perm", list(reversed(range(_rank(node.inputs[0])))))
    left = _shifted(order, order[axis])
    if left == sorted(left):
        return Without([order[axis]], op_type="Identity")
    return Without([order[axis]], {"perm": left})


def _gather(node: ir.Node, axis: int, single: bool) -> Without | None:
    """An axis of the data that is not the one looked up along, or one of the indices."""
    data, indices = map(_rank, node.inputs)
    along = int_of(node, "axis") % data
    if axis < along:
        return Without([axis, None], {"axis": along - 1})
    return Without([None, axis - along]) if axis < along + indices else Without([axis - indices + 1, None])


def _slice(node: ir.Node, axis: int, single: bool) -> Without | None:
    """An axis that is not cut, or one that has a single entry before and after."""
    axes = _axes_of(node, 3, _rank(node.outputs[0]))
    if axes is None:
        return None
    if axis not in axes:
        return Without([axis] + [None] * (len(node.inputs) - 1), constants={3: _shifted(axes, axis)})
    numbers = [constant_ints(value) for value in node.inputs[1:]]
    if not single or size_of(node.inputs[0], axis) != 1 or None in numbers:  # type: ignore[arg-type]
        return None
    kept = [place for place, along in enumerate(axes) if along != axis]
    if not kept:
        return Without([axis], op_type="Identity")
    left = {place: [values[k] for k in kept] for place, values in enumerate(numbers, 1) if values}
    return Without([axis] + [None] * (len(node.inputs) - 1), constants=left | {3: _shifted(axes, axis)})


def _reshape(node: ir.Node, axis: int, single: bool) -> Without | None:
    """An axis of size one that is made goes, if no other size is copied by its place."""
    sizes = constant_ints(node.inputs[1])
    if not single or sizes is None or sizes[axis] != 1 or 0 in sizes:
        return None
    return Without([None, None], constants={1: [*sizes[:axis], *sizes[axis + 1 :]]})


def _expand(node: ir.Node, axis: int, single: bool) -> Without | None:
    sizes, rank = constant_ints(node.inputs[1]), _rank(node.outputs[0])
    if sizes is None or len(sizes) != rank:
        return None
    own = axis - rank + _rank(node.inputs[0])
    return Without([own if own >= 0 else None, None], constants={1: [*sizes[:axis], *sizes[axis + 1 :]]})


RULES: dict[str, Rule] = {
    "Concat": _along,
    "CumSum": _cumsum,
    "Expand": _expand,
    "Gather": _gather,
    "LayerNormalization": _layer_norm,
    "LogSoftmax": _along,
    "LpNormalization": _along,
    "MatMul": _matmul,
    **{f"Reduce{kind}": _reduce for kind in (*SAME_ALONE, *OTHERS)},
    "Reshape": _reshape,
    "Slice": _slice,
    "Softmax": _along,
    "Split": _along,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
