"""What is wanted of one time step alone is computed for that one.

Outputs of the last time step are picked out of those of all: a ``Gather`` of one entry. It is pushed up
through what works entry by entry along its axis (:mod:`rnn_export.passes.cleanup.entrywise`), as long as
nothing else reads the result, so that an output layer runs once. Where it meets a loop, or an operator, the
last outputs are the final state if they are the state at all; sequences that nothing reads any more are
dropped.
"""

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from rnn_export.passes.cleanup.entrywise import Without, rebuild, size_of, without
from rnn_export.passes.lengths import RECURRENT, SEQUENCE_LENS
from rnn_export.passes.time.distribute import DIRECTIONS, is_plain, is_reversed
from rnn_export.program.constants import add_constant, constant, constant_ints
from rnn_export.program.program import Program, name_apart, take_place


def last(program: Program) -> Program:
    """Push every ``Gather`` of one entry up as far as it goes, and read final states."""
    program = program.copy()
    graph = program.model.graph
    while any(_push(graph, node) for node in list(graph) if _picks_one(node)):
        pass
    for node in [node for node in graph if _picks_one(node)]:
        final = _final(node)
        if final is not None:
            take_place(graph, node.outputs[0], final)
            graph.remove(node, safe=True)
    for node in [node for node in graph if node.op_type == "Scan"]:
        _drop_unread(graph, node)
    common.RemoveUnusedNodesPass()(program.model)
    name_apart(program.model)
    return program


def _picks_one(node: ir.Node) -> bool:
    """Whether a node is the ``Gather`` of one entry, known by its number, out of a value of known shape."""
    if (
        node.op_type != "Gather"
        or node.domain != ""
        or node.inputs[0] is None
        or node.inputs[0].shape is None
    ):
        return False
    index = constant(node.inputs[1])
    return index is not None and index.ndim == 0


def _push(graph: ir.Graph, gather: ir.Node) -> bool:
    """Let the node in front of a ``Gather`` make one entry alone; say whether it can."""
    value, index = gather.inputs
    node = value.producer() if value is not None else None
    if gather.graph is not graph or value is None or index is None or node is None or node.graph is not graph:
        return False
    if sum(len(output.uses()) for output in node.outputs) > 1 or value.is_graph_output():
        return False
    axis = gather.attributes.get_int("axis", 0) % len(value.shape or ())
    plan = without(node, axis)
    if plan is None or not _same_size(node, plan, size_of(value, axis)):
        return False
    added: list[ir.Node] = []

    def take(source: ir.Value, own: int) -> ir.Value:
        picked = _entry(graph, source, own, index)
        added.append(picked)
        return picked.outputs[0]

    twin = rebuild(graph, node, axis, plan, take)
    graph.insert_before(gather, [*added, twin])
    take_place(graph, gather.outputs[0], twin.outputs[node.outputs.index(value)])
    graph.remove([gather, node], safe=True)
    return True


def _same_size(node: ir.Node, plan: Without, size: int | ir.SymbolicDim | None) -> bool:
    """Whether every axis that goes is as long as that of the results, or of size one."""
    pairs = [(value, own) for value, own in zip(node.inputs, plan.axes, strict=False) if own is not None]
    sizes = [size_of(value, own) for value, own in pairs if value is not None]
    known = isinstance(size, int) or (size is not None and size.value is not None)
    return len(sizes) == 1 or (known and all(other in (size, 1) for other in sizes))


def _entry(main: ir.Graph, value: ir.Value, axis: int, index: ir.Value) -> ir.Node:
    """Pick one entry; the only one where the axis has size one, and is broadcast."""
    if size_of(value, axis) == 1:
        node = ir.node("Squeeze", [value, add_constant(main, "axis", np.array([axis]))])
    else:
        node = ir.node("Gather", [value, index], {"axis": axis})
    sizes = list(value.shape or ())
    node.outputs[0].shape, node.outputs[0].type = ir.Shape([*sizes[:axis], *sizes[axis + 1 :]]), value.type
    return node


def _final(gather: ir.Node) -> ir.Value | None:
    """Give the final state that a loop's outputs end with, if the loop gives its state."""
    sequence, axis = gather.inputs[0], gather.attributes.get_int("axis", 0)
    node = sequence.producer() if sequence is not None else None
    if node is None or sequence is None or axis != 0 or node.domain != "":
        return None
    index = constant_ints(gather.inputs[1])
    if node.op_type in RECURRENT:
        ragged = len(node.inputs) > SEQUENCE_LENS and node.inputs[SEQUENCE_LENS] is not None
        ends = {"forward": [-1], "reverse": [0]}.get(node.attributes.get_string("direction", "forward"))
        first = sequence is node.outputs[0] and not node.attributes.get_int("layout", 0)
        return node.outputs[1] if first and not ragged and index == ends and len(node.outputs) > 1 else None
    if node.op_type != "Scan" or not is_plain(node) or index != ([0] if is_reversed(node) else [-1]):
        return None
    body = node.attributes["body"].as_graph()
    count = len(node.inputs) - node.attributes["num_scan_inputs"].as_int()
    following = [_root(value) for value in body.outputs[:count]]
    place = list(node.outputs).index(sequence)
    given = _root(body.outputs[place])
    return node.outputs[following.index(given)] if place >= count and given in following else None


def _root(value: ir.Value) -> ir.Value:
    """Give what a value is a copy of."""
    node = value.producer()
    while node is not None and node.op_type == "Identity" and node.inputs[0] is not None:
        value = node.inputs[0]
        node = value.producer()
    return value


def _drop_unread(graph: ir.Graph, scan: ir.Node) -> None:
    """Let a loop give no sequence that nothing reads."""
    body = scan.attributes["body"].as_graph()
    count = len(scan.inputs) - scan.attributes["num_scan_inputs"].as_int()
    kept = [
        place
        for place, value in enumerate(scan.outputs)
        if place < count or value.uses() or value.is_graph_output()
    ]
    if len(kept) == len(scan.outputs) or not kept or not is_plain(scan):
        return
    attributes, results = dict(scan.attributes), [body.outputs[place] for place in kept]
    ways = attributes.pop(DIRECTIONS[1], None)
    if ways is not None and len(kept) > count:
        attributes[DIRECTIONS[1]] = ir.AttrInt64s(DIRECTIONS[1], ways.as_ints()[: len(kept) - count])
    body.outputs.clear()
    body.outputs.extend(results)
    smaller = ir.Node("", "Scan", scan.inputs, attributes.values(), num_outputs=len(kept))
    smaller.metadata_props.update(scan.metadata_props)
    outputs = [scan.outputs[place] for place in kept]
    ir.convenience.replace_nodes_and_values(graph, scan, [scan], [smaller], outputs, smaller.outputs)
