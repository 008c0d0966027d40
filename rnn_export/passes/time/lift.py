"""How one node of a step runs over all time steps at once.

A lifted value has the time axis in front of the axes it has in the step; an invariant one is the same at
every time step. A rule takes a node and its arguments and gives the lifted outputs, or ``None`` where it
knows no safe way: the node then stays in a loop. A new operator is one line in ``RULES``.
"""

from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir

from rnn_export.program.build import Builder
from rnn_export.program.constants import constant_ints
from rnn_export.program.operator_facts import ELEMENTWISE
from rnn_export.signature.signature import TIME


@dataclass(frozen=True)
class Argument:
    """An input of a node: its value in the outer graph, and how it looks in the step."""

    value: ir.Value
    lifted: bool
    rank: int


def value_of(argument: Argument | None) -> ir.Value | None:
    """Give the value of an argument; an optional one may be missing."""
    return argument.value if argument else None


Rule = Callable[[Builder, ir.Node, list[Argument | None]], list[ir.Value] | None]


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
    """Give a lifted value room for the axes that broadcasting would put in front."""
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
        return None
    rank = max(left.rank, right.rank)
    return build.copy(node, [_aligned(build, left, rank), _aligned(build, right, rank)])


def _gemm(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value] | None:
    """Write it as MatMul and Add: Gemm itself takes matrices alone."""
    left, right, *rest = arguments
    assert left
    assert right
    scales = [node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")]
    if node.attributes.get_int("transA", 0) or right.lifted or scales != [1.0, 1.0]:
        return None
    matrix = right.value
    if node.attributes.get_int("transB", 0):
        matrix = build.emit("Transpose", [matrix], {"perm": [1, 0]})
    product = build.emit("MatMul", [left.value, matrix])
    bias = rest[0] if rest else None
    return [build.emit("Add", [product, _aligned(build, bias, 2)]) if bias else product]


def _with_axis(default: int) -> Rule:
    """Give the rule for operators with an attribute ``axis`` that counts the axes of the first input."""

    def rule(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value] | None:
        first = arguments[0]
        assert first
        axis = node.attributes.get_int("axis", default)
        if not first.lifted or any(a and a.lifted for a in arguments[1:]):
            return None
        outputs = build.copy(node, list(map(value_of, arguments)))
        _set_axis(build.nodes[-1], axis, first.rank)
        return outputs

    return rule


def _set_axis(node: ir.Node, axis: int, rank: int) -> None:
    node.attributes["axis"] = ir.AttrInt64("axis", axis % rank + 1)


def _concat(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value] | None:
    """Join lifted parts on the next axis; an invariant part would have to be repeated."""
    if not all(argument and argument.lifted for argument in arguments):
        return None
    outputs = build.copy(node, list(map(value_of, arguments)))
    _set_axis(build.nodes[-1], node.attributes.get_int("axis", 0), arguments[0].rank)  # type: ignore[union-attr]
    return outputs


def _gather(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value] | None:
    """Look up along the next axis, or look up all time steps in one table."""
    data, indices = arguments
    assert data
    assert indices
    axis = node.attributes.get_int("axis", 0) % data.rank
    if data.lifted == indices.lifted or (indices.lifted and axis):
        return None
    outputs = build.copy(node, [data.value, indices.value])
    if data.lifted:
        _set_axis(build.nodes[-1], axis, data.rank)
    return outputs


def _with_axes(grows: bool) -> Rule:
    """Give the rule for operators whose second input lists axes, of the output where it has more of them."""

    def rule(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value] | None:
        data = arguments[0]
        assert data
        axes = constant_ints(arguments[1].value) if len(arguments) > 1 and arguments[1] else None
        if not data.lifted or (axes is None and len(arguments) > 1 and arguments[1] is not None):
            return None
        if axes is None:
            if grows or node.attributes.get_int("noop_with_empty_axes", 0) != 0:
                return None
            axes = list(range(data.rank))
        rank = data.rank + len(axes) if grows else data.rank
        return build.copy(node, [data.value, build.constant([axis % rank + 1 for axis in axes])])

    return rule


def _transpose(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value]:
    """Permute the axes behind time."""
    [data] = arguments
    assert data
    order = node.attributes.get_ints("perm", list(reversed(range(data.rank))))
    return [build.emit("Transpose", [data.value], {"perm": [0, *(axis + 1 for axis in order)]})]


def _reshape(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value] | None:
    """Keep the time axis (0 copies a size) and reshape what is behind it."""
    data, shape = arguments
    assert data
    assert shape
    if shape.lifted or node.attributes.get_int("allowzero", 0) != 0:
        return None
    return [build.emit("Reshape", [data.value, _prefixed(build, 0, shape.value)])]


def _expand(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value] | None:
    """Broadcast behind the time axis (1 leaves a size as it is)."""
    data, shape = arguments
    assert data
    assert shape
    if shape.lifted:
        return None
    rank = len(node.outputs[0].shape or ())
    return [build.emit("Expand", [_aligned(build, data, rank), _prefixed(build, 1, shape.value)])]


def _prefixed(build: Builder, number: int, shape: ir.Value) -> ir.Value:
    known = constant_ints(shape)
    if known is not None:
        return build.constant([number, *known])
    return build.emit("Concat", [build.constant([number]), shape], {"axis": 0})


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
    "ArgMax": _with_axis(0),
    "ArgMin": _with_axis(0),
    "Concat": _concat,
    "Expand": _expand,
    "Gather": _gather,
    "Gemm": _gemm,
    "LayerNormalization": _with_axis(-1),
    "LogSoftmax": _with_axis(-1),
    "LpNormalization": _with_axis(-1),
    "MatMul": _matmul,
    **{
        f"Reduce{kind}": _with_axes(grows=False)
        for kind in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
    },
    "Reshape": _reshape,
    "Slice": _slice,
    "Softmax": _with_axis(-1),
    "Split": _with_axis(0),
    "Squeeze": _with_axes(grows=False),
    "Transpose": _transpose,
    "Unsqueeze": _with_axes(grows=True),
}
