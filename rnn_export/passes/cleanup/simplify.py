"""Nodes that do nothing, that nothing reads, or that are there twice go; in the graph and in its loops.

onnx-ir drops unused nodes and merges equal ones. What a traced step leaves over is added here: a node that
undoes its only argument's ``Unsqueeze``, ``Squeeze`` or ``Transpose``, takes one part of a ``Concat``, or
does nothing (an ``Identity``, a ``Slice`` of everything, a ``Reshape`` or ``Expand`` to the same shape, a
``Concat`` of one)::

    u = Unsqueeze (x, [0])  s = Squeeze (u, [0])  c = Concat <axis = 0> (s)           # x: float[B,4]
    a = Tanh (c)  b = Tanh (x)  y = Add (a, b)

    a = Tanh (x)  y = Add (a, a)

A node that undoes what the one in front did reads what that one read: a ``Cast`` of a truth value that was
cast before, a ``Reshape`` of a tensor that had another shape before, a ``Transpose`` of one::

    t = Transpose <perm = [1, 0, 2]> (x)  y = Transpose <perm = [2, 0, 1]> (t)

    y = Transpose <perm = [2, 1, 0]> (x)

Requires: nothing.
Ensures: no graph gives one value twice.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import onnx_ir as ir
from onnx_ir.passes import common

from rnn_export.passes.contract import DISTINCT_OUTPUTS, rewriting, settle
from rnn_export.program.operator_facts import int_of
from rnn_export.program.program import IR_VERSION, Program, name_apart
from rnn_export.program.values import constant_ints

MERGING = common.CommonSubexpressionEliminationPass()


@rewriting(ensures=[DISTINCT_OUTPUTS])
def simplify(program: Program) -> bool:
    """Clean and merge until nothing changes."""
    model = program.model
    # each turn drops or merges nodes, or shortens the chain of nodes in front of one
    changed = settle(partial(_simplify_once, model))
    return common.OutputFixPass()(model).modified or changed


def _simplify_once(model: ir.Model) -> bool:
    changed = False
    for graph in list(model.graphs()):
        # The pass looks at the graph of a model and not at the bodies of its loops: each is one for a moment.
        changed |= MERGING(ir.Model(graph, ir_version=IR_VERSION)).modified
    changed |= common.RemoveUnusedNodesPass()(model).modified
    name_apart(model)
    for graph in model.graphs():
        for node in list(graph):
            rule = RULES.get(node.op_type) if node.domain == "" else None
            changed |= _drop(graph, node, rule(node) if rule else None) or _skip(node)
    return common.RemoveUnusedNodesPass()(model).modified or changed


def _drop(graph: ir.Graph, node: ir.Node, source: ir.Value | None) -> bool:
    """Let readers of a node that does nothing read its source; say whether it has one."""
    if source is None:
        return False
    result = node.outputs[0]
    if result.is_graph_output():
        maker = source.producer()
        if maker is None or maker.graph is not graph or source.is_graph_output():
            return False
        # What comes out has a name that is fixed: the source takes it over.
        graph.outputs[graph.outputs.index(result)] = source
        source.name, result.name = result.name, source.name
    source.shape, source.type = source.shape or result.shape, source.type or result.type
    result.replace_all_uses_with(source)
    return True


def _same_shape(node: ir.Node) -> ir.Value | None:
    """Reshape, Expand: nothing happens if the shape is known to stay."""
    source, result = node.inputs[0], node.outputs[0]
    if source is None or source.shape is None or result.shape is None:
        return None
    return source if source.shape == result.shape and None not in list(map(str, source.shape)) else None


def _skip(node: ir.Node) -> bool:
    """Let a node read what the node in front of it reads, if that one makes no difference; say whether so."""
    producer = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
    source = producer.inputs[0] if producer is not None and producer.inputs else None
    if node.domain or producer is None or producer.domain or source is None:
        return False
    match producer.op_type, node.op_type:
        case "Cast", "Cast":
            skipped = source.dtype == ir.DataType.BOOL
        case "Reshape" | "Squeeze" | "Unsqueeze", "Reshape":
            sizes = constant_ints(node.inputs[1])
            # a zero copies the size of the shape in front
            skipped = sizes is not None and 0 not in sizes and source.shape is not None
        case "Transpose", "Transpose":
            earlier, order = (each.attributes.get_ints("perm", None) for each in (producer, node))
            skipped = earlier is not None and order is not None
            if earlier is not None and order is not None:
                node.attributes["perm"] = ir.AttrInt64s("perm", [earlier[axis] for axis in order])
        case _:
            skipped = False
    if skipped:
        node.replace_input_with(0, source)
    return skipped


def _sliced(node: ir.Node) -> ir.Value | None:
    """Slice: all of a value, or just one part of a Concat."""
    return _whole_slice(node) or _part_of(node)


def _part_of(node: ir.Node) -> ir.Value | None:
    """Find the part of a Concat of known sizes that a slice along its axis is.

    ::

        c = Concat <axis = 0> (a, b)  s = Slice (c, [1], [2], [0])                    # a, b: float[1,B,5]
    """
    whole, *ranges = node.inputs
    numbers = [constant_ints(value) for value in ranges]
    if whole is None or len(numbers) < 3:
        return None
    starts, ends, axes, *steps = (each or [] for each in numbers)
    if len(starts) != 1 or len(ends) != 1 or len(axes) != 1 or (steps and steps[0] != [1]):
        return None
    return _joined_there(whole, axes[0], slice(starts[0], ends[0]))


def _joined_there(whole: ir.Value, axis: int, place: slice) -> ir.Value | None:
    """Give what a Concat along an axis has at a place, if that is one of its parts."""
    joined = whole.producer()
    if joined is None or joined.op_type != "Concat" or whole.shape is None:
        return None
    own, rank = int_of(joined, "axis"), len(whole.shape)
    sizes = [
        part.shape[own] if part is not None and part.shape is not None else None for part in joined.inputs
    ]
    bounds = [0]
    for size in sizes:
        if not isinstance(size, int):
            return None
        bounds.append(bounds[-1] + size)
    first, end, _ = place.indices(bounds[-1])
    found = [part for part, pair in zip(joined.inputs, pairwise(bounds), strict=True) if pair == (first, end)]
    return found[0] if len(found) == 1 and own % rank == axis % rank else None


def _whole_slice(node: ir.Node) -> ir.Value | None:
    """Slice: from the start to the end of axes whose sizes are known."""
    source, *ranges = node.inputs
    numbers = [constant_ints(value) for value in ranges]
    if source is None or source.shape is None or len(numbers) < 3 or any(n is None for n in numbers):
        return None
    starts, ends, axes, *steps = numbers
    sizes = [source.shape[axis] for axis in axes or ()]
    whole = all(
        start == 0 and isinstance(size, int) and end >= size
        for start, end, size in zip(starts or (), ends or (), sizes, strict=True)
    )
    return source if whole and all(step == 1 for step in (steps[0] if steps else []) or []) else None


def _inverse_of(op: str) -> Callable[[ir.Node], ir.Value | None]:
    """Squeeze, Unsqueeze: nothing happens if the argument did the opposite on the same axes."""

    def rule(node: ir.Node) -> ir.Value | None:
        producer = node.inputs[0].producer() if node.inputs[0] else None
        if producer is None or producer.op_type != op or len(node.inputs) < 2 or len(producer.inputs) < 2:
            return None
        axes = constant_ints(node.inputs[1])
        return producer.inputs[0] if axes and axes == constant_ints(producer.inputs[1]) else None

    return rule


def _picked_again(node: ir.Node) -> ir.Value | None:
    """Gather: picking the only entry of an axis that was just added, maybe to one of joined parts."""
    source, indices = node.inputs
    if source is None or indices is None or indices.shape is None or len(indices.shape):
        return None
    index, axis = constant_ints(indices), int_of(node, "axis")
    if not index:
        return None
    place = slice(index[0], index[0] + 1 or None)
    source = _joined_there(source, axis, place) or source
    producer = source.producer()
    if (
        producer is None
        or producer.op_type != "Unsqueeze"
        or (source is node.inputs[0] and index not in ([0], [-1]))
    ):
        return None
    return producer.inputs[0] if constant_ints(producer.inputs[1]) == [axis] else None


def _only_part(node: ir.Node) -> ir.Value | None:
    """Concat: of one part. Split: into one part. Identity."""
    return node.inputs[0] if len(node.inputs) == 1 and len(node.outputs) == 1 else None


def _reordered_back(node: ir.Node) -> ir.Value | None:
    """Transpose: nothing happens if the order stays, or if it restores what a Transpose changed."""
    order = node.attributes.get_ints("perm", None)
    producer = node.inputs[0].producer() if node.inputs[0] else None
    if order and list(order) == sorted(order):
        return node.inputs[0]
    if order is None or producer is None or producer.op_type != "Transpose":
        return None
    earlier = producer.attributes.get_ints("perm", None)
    restored = earlier is not None and [earlier[axis] for axis in order] == sorted(order)
    return producer.inputs[0] if restored else None


RULES: dict[str, Callable[[ir.Node], ir.Value | None]] = {
    "Concat": _only_part,
    "Expand": _same_shape,
    "Gather": _picked_again,
    "Identity": _only_part,
    "Reshape": _same_shape,
    "Slice": _sliced,
    "Split": _only_part,
    "Squeeze": _inverse_of("Unsqueeze"),
    "Transpose": _reordered_back,
    "Unsqueeze": _inverse_of("Squeeze"),
}
