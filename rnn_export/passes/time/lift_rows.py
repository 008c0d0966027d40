"""Lifting what works row by row, as windows over a map do: time steps become more rows. And what names axes.

In a step, and lifted::

    y = Conv (x, W)                                     # x: float[B,2,6,5], W: float[4,2,3,3]

    rows = Reshape (x, [-1,2,6,5])                      # x: float[T,B,2,6,5]
    ys = Conv (rows, W)                                 # float[T*B,4,4,3]
    y = Reshape (ys, Concat (Shape <end = 2> (x), [4,4,3]))
"""

from string import ascii_letters

import onnx_ir as ir

from rnn_export.passes.time.lifted import Argument, Rule, next_axes, prefixed, repeated, value_of
from rnn_export.program.build import Builder
from rnn_export.program.operator_facts import int_of, text_of
from rnn_export.program.values import constant_ints


def _as_rows(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value] | None:
    """Let time steps be more rows of an operator that does the same for each; its weights are constants."""
    data, *others = arguments
    assert data
    [result] = node.outputs if len(node.outputs) == 1 else (None,)
    if result is None or not data.lifted or any(other and other.lifted for other in others):
        return None
    before, after = ([*(value.shape or ())[1:]] for value in (node.inputs[0], result) if value is not None)
    if not all(isinstance(size, int) for size in (*before, *after)) or 0 in before:
        return None
    if node.op_type == "Resize" and len(arguments) > 3 and arguments[3]:
        return None  # its sizes count the rows
    rows = build.emit("Reshape", [data.value, build.constant([-1, *before])])  # type: ignore[list-item]
    [found] = build.copy(node, [rows, *map(value_of, others)])
    front = build.emit("Shape", [data.value], {"start": 0, "end": 2})
    shape = build.emit("Concat", [front, build.constant([*after])], {"axis": 0})  # type: ignore[list-item]
    return [build.emit("Reshape", [found, shape])]


def _einsum(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value] | None:
    """Give time a letter of its own: ``bhi,hij->bhj`` becomes ``abhi,hij->abhj``."""
    equation = text_of(node, "equation").replace(" ", "")
    left, arrow, right = equation.partition("->")
    unused = [letter for letter in ascii_letters if letter not in equation]
    if not arrow or not unused:
        return None
    terms = [
        f"{unused[0] if argument and argument.lifted else ''}{term}"
        for term, argument in zip(left.split(","), arguments, strict=True)
    ]
    lifted = f"{','.join(terms)}->{unused[0]}{right}"
    return [build.emit("Einsum", list(map(value_of, arguments)), {"equation": lifted})]


def _pad(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value] | None:
    """Pad the next axes."""
    data, pads, value, axes = [*arguments, None, None][:4]
    assert data
    assert pads
    listed = constant_ints(axes.value) if axes else list(range(data.rank))
    if not data.lifted or pads.lifted or (value and value.lifted) or listed is None:
        return None
    moved = next_axes(build, listed, data.rank)
    return build.copy(node, [data.value, pads.value, value_of(value), moved])


def _last_axes(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value] | None:
    """Operators on the last axes, whatever stands in front."""
    data, *others = arguments
    assert data
    if not data.lifted or any(other and other.lifted for other in others):
        return None
    return build.copy(node, list(map(value_of, arguments)))


def _elements(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value] | None:
    """Operators that pair the entries of their arguments along an axis: the next one."""
    pairs = repeated(build, arguments)
    if pairs is None:
        return None
    [first, *_] = arguments
    outputs = build.copy(node, pairs)
    axis = int_of(node, "axis") % first.rank + 1  # type: ignore[union-attr]
    build.nodes[-1].attributes["axis"] = ir.AttrInt64("axis", axis)
    return outputs


def _looked_up(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value] | None:
    """Look up all time steps in one table, or each in its own: time is one more axis that both have."""
    data, indices = arguments
    assert data
    assert indices
    front = int_of(node, "batch_dims")
    if not indices.lifted or (front and not data.lifted):
        return None
    outputs = build.copy(node, [data.value, indices.value])
    build.nodes[-1].attributes["batch_dims"] = ir.AttrInt64("batch_dims", front + data.lifted)
    return outputs


def _cumsum(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value] | None:
    """Add up along the next axis."""
    data, axis = arguments
    assert data
    assert axis
    known = axis.value.const_value
    if not data.lifted or axis.lifted or known is None:
        return None
    moved = build.constant(int(known.numpy().reshape(())) % data.rank + 1)
    return build.copy(node, [data.value, moved])


def _tile(build: Builder, node: ir.Node, arguments: list[Argument | None]) -> list[ir.Value] | None:
    """Repeat the axes behind time."""
    data, repeats = arguments
    assert data
    assert repeats
    if not data.lifted or repeats.lifted:
        return None
    return [build.emit("Tile", [data.value, prefixed(build, 1, repeats.value)])]


RULES: dict[str, Rule] = {
    **dict.fromkeys(
        """
        AveragePool BatchNormalization Conv ConvTranspose DFT DepthToSpace GlobalAveragePool GlobalMaxPool
        InstanceNormalization LRN LpPool MaxPool Resize SpaceToDepth
        """.split(),  # noqa: SIM905
        _as_rows,
    ),
    "CumSum": _cumsum,
    "Einsum": _einsum,
    "GatherElements": _elements,
    "GatherND": _looked_up,
    "Pad": _pad,
    "ScatterElements": _elements,
    "Tile": _tile,
    "Trilu": _last_axes,
}
