"""How one node of a step runs over all time steps at once.

A lifted value has the time axis in front of the axes it has in the step; an invariant one is the same at
every time step. In a step, and lifted::

    a = MatMul (x, W)  b = Softmax <axis = 0> (a)  c = Squeeze (b, [1])       # x: float[B,4], W: float[4,1]
    a = MatMul (x, W)  b = Softmax <axis = 1> (a)  c = Squeeze (b, [2])       # x: float[T,B,4]

A rule takes a node and its arguments and gives the lifted outputs, or ``None`` where it knows no safe way:
the node then stays in a loop. A new operator is one line in ``RULES``. Part of
:mod:`rnn_export.passes.time.distribute`.
"""

import onnx_ir as ir

from rnn_export.passes.time import lift_rows
from rnn_export.passes.time.lifted import Argument, Rule, next_axes, prefixed, repeated, value_of
from rnn_export.program.build import Builder
from rnn_export.program.operator_facts import ELEMENTWISE, float_of, int_of
from rnn_export.program.values import constant_ints
from rnn_export.signature.sizes import TIME


def lift(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value] | None:
    """Add what a node does, for all time steps at once; ``None`` where no rule is safe."""
    values = [*node.inputs, *node.outputs]
    if node.domain not in ("", "ai.onnx") or any(
        value is not None and value.shape is None for value in values
    ):
        return None
    rule = _elementwise if node.op_type in ELEMENTWISE else RULES.get(node.op_type)
    outputs = rule(build, node, arguments) if rule else None
    for old, new in zip(node.outputs, outputs or (), strict=bool(outputs)):
        new.shape = ir.Shape([TIME, *old.shape])  # type: ignore[misc]
        new.type = old.type
    return outputs


def _aligned(build: Builder, argument: Argument, rank: int) -> ir.Value:
    """Give a lifted value the axes that broadcasting would put in front.

    In a step, ``[B, 6] + [6]`` is defined; lifted, ``[T, B, 6] + [T, 6]`` is not, and ``[T, B, 6] + [T, 1,
    6]`` is.
    """
    if not argument.lifted or argument.rank >= rank:
        return argument.value
    return build.emit("Unsqueeze", [argument.value, build.constant(range(1, 1 + rank - argument.rank))])


def _elementwise(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value]:
    """Broadcast as before, over one more axis in front."""
    rank = max(argument.rank for argument in arguments if argument)
    return build.copy(node, [_aligned(build, argument, rank) if argument else None for argument in arguments])


def _matmul(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value] | None:
    """Treat time as one more batch axis."""
    left, right = arguments
    assert left
    assert right
    if left.rank < 2 or right.rank < 2:
        if any(each.rank < 2 and each.lifted for each in (left, right)):
            return None
        return build.copy(node, [left.value, right.value])
    rank = max(left.rank, right.rank)
    return build.copy(node, [_aligned(build, left, rank), _aligned(build, right, rank)])


def _gemm(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value] | None:
    """Write it as MatMul and Add: Gemm itself takes matrices alone."""
    left, right, *rest = arguments
    assert left
    assert right
    scaled = float_of(node, "alpha") != 1.0 or float_of(node, "beta") not in (0.0, 1.0)
    if int_of(node, "transA") or right.lifted or scaled:
        return None
    matrix = right.value
    if int_of(node, "transB"):
        matrix = build.emit("Transpose", [matrix], {"perm": [1, 0]})
    product = build.emit("MatMul", [left.value, matrix])
    bias = rest[0] if rest and float_of(node, "beta") else None
    return [build.emit("Add", [product, _aligned(build, bias, 2)]) if bias else product]


def _along_axis(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value] | None:
    """Operators with an attribute ``axis`` that counts the axes of the first input: the next axis."""
    first = arguments[0]
    assert first
    if not first.lifted or any(a and a.lifted for a in arguments[1:]):
        return None
    outputs = build.copy(node, list(map(value_of, arguments)))
    _set_axis(build.nodes[-1], int_of(node, "axis"), first.rank)
    return outputs


def _set_axis(node: ir.Node, axis: int, rank: int) -> None:
    node.attributes["axis"] = ir.AttrInt64("axis", axis % rank + 1)


def _concat(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value] | None:
    """Join parts on the next axis."""
    parts = repeated(build, arguments)
    if parts is None:
        return None
    outputs = build.copy(node, parts)
    _set_axis(build.nodes[-1], int_of(node, "axis"), arguments[0].rank)  # type: ignore[union-attr]
    return outputs


def _gather(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value] | None:
    """Look up along the next axis, or look up all time steps in one table."""
    data, indices = arguments
    assert data
    assert indices
    axis = int_of(node, "axis") % data.rank
    if data.lifted == indices.lifted or (indices.lifted and axis):
        return None
    outputs = build.copy(node, [data.value, indices.value])
    if data.lifted:
        _set_axis(build.nodes[-1], axis, data.rank)
    return outputs


def _reduce(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value] | None:
    """Reduce along the next axes; without a list of them, along all but time."""
    data, axes = arguments[0], arguments[1] if len(arguments) > 1 else None
    assert data
    listed = constant_ints(axes.value) if axes else list(range(data.rank))
    if not data.lifted or listed is None or (axes is None and int_of(node, "noop_with_empty_axes")):
        return None
    return build.copy(node, [data.value, next_axes(build, listed, data.rank)])


def _squeeze(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value] | None:
    """Drop the next axes. Without a list, which axes go depends on their sizes."""
    data, axes = arguments[0], arguments[1] if len(arguments) > 1 else None
    assert data
    listed = constant_ints(axes.value) if axes else None
    if not data.lifted or listed is None:
        return None
    return build.copy(node, [data.value, next_axes(build, listed, data.rank)])


def _unsqueeze(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value] | None:
    """Add the next axes; they are counted in the result."""
    data, axes = arguments
    assert data
    assert axes
    listed = constant_ints(axes.value)
    if not data.lifted or listed is None:
        return None
    return build.copy(node, [data.value, next_axes(build, listed, data.rank + len(listed))])


def _transpose(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value]:
    """Permute the axes behind time."""
    [data] = arguments
    assert data
    order = node.attributes.get_ints("perm", list(reversed(range(data.rank))))
    return [build.emit("Transpose", [data.value], {"perm": [0, *(axis + 1 for axis in order)]})]


def _reshape(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value] | None:
    """Keep the time axis and reshape what is behind it: a size of 0 is the input's at the same place."""
    data, shape = arguments
    assert data
    assert shape
    if shape.lifted or not data.lifted:
        return None
    sizes = constant_ints(shape.value)
    if not int_of(node, "allowzero") or (sizes is not None and 0 not in sizes):
        return [build.emit("Reshape", [data.value, prefixed(build, 0, shape.value)])]
    steps = build.emit("Shape", [data.value], {"start": 0, "end": 1})  # a size of 0 means none
    wanted = build.emit("Concat", [steps, shape.value], {"axis": 0})
    return [build.emit("Reshape", [data.value, wanted], {"allowzero": 1})]


def _expand(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value] | None:
    """Broadcast behind the time axis: a size of 1 leaves that of the input as it is."""
    data, shape = arguments
    assert data
    assert shape
    if shape.lifted:
        return None
    rank = len(node.outputs[0].shape or ())
    return [build.emit("Expand", [_aligned(build, data, rank), prefixed(build, 1, shape.value)])]


def _slice(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value] | None:
    """Slice the axes behind time."""
    data, starts, *rest = arguments
    assert data
    assert starts
    if any(argument and argument.lifted for argument in arguments[1:]):
        return None
    axes = constant_ints(rest[1].value) if len(rest) > 1 and rest[1] else None
    if axes is None:
        if len(rest) > 1 and rest[1]:
            return None
        axes = list(range(data.rank))
    moved = build.constant([axis % data.rank + 1 for axis in axes])
    steps = list(map(value_of, rest[2:]))
    return build.copy(node, [data.value, starts.value, value_of(rest[0]), moved, *steps])


RULES: dict[str, Rule] = {
    **lift_rows.RULES,
    "ArgMax": _along_axis,
    "ArgMin": _along_axis,
    "Concat": _concat,
    "Expand": _expand,
    "Gather": _gather,
    "Gemm": _gemm,
    "LayerNormalization": _along_axis,
    "LogSoftmax": _along_axis,
    "Hardmax": _along_axis,
    "LpNormalization": _along_axis,
    "MatMul": _matmul,
    **{
        f"Reduce{kind}": _reduce
        for kind in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
    },
    "Reshape": _reshape,
    "Slice": _slice,
    "Softmax": _along_axis,
    "Split": _along_axis,
    "Squeeze": _squeeze,
    "TopK": _along_axis,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
