"""Every ``Scan`` the one way: over leading axes, all forward or all reversed.

Part of :mod:`rnn_export.capture.onnx_file.reader`. An axis that is not the leading one becomes a
``Transpose`` outside. A sequence that is turned around, by a ``Slice`` with step -1 or by a direction of the
``Scan``, is read from its end; if most of what a ``Scan`` reads and writes is, it becomes a reversed
``Scan``, which reads every sequence from its end and writes every result where it read. What goes the other
way is turned around outside.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from rnn_export.capture.onnx_file.affine_index import flipped
from rnn_export.program.program import Program, name_apart, take_place

FORWARD, REVERSED = 0, 1
TURN = {"start": -1, "end": np.iinfo(np.int64).min, "axis": 0, "step": -1}


def straighten(program: Program) -> Program:
    """Rewrite every ``Scan`` of the graph."""
    program = program.copy()
    graph = program.model.graph
    for node in list(graph):
        if node.op_type == "Scan":
            _lead(graph, node)
            _one_way(graph, node)
    common.RemoveUnusedNodesPass()(program.model)
    name_apart(program.model)
    return program


def _counts(scan: ir.Node) -> tuple[int, int, int]:
    """Give the number of states, of sequences that are read, and of those that are written."""
    read = scan.attributes["num_scan_inputs"].as_int()
    states = len(scan.inputs) - read
    return states, read, len(scan.outputs) - states


def _take(scan: ir.Node, name: str, count: int) -> list[int]:
    """Take a list off the attributes; all zeros are the default."""
    listed = list(scan.attributes.get_ints(name, [0] * count))
    scan.attributes.pop(name, None)
    return listed


# --- axes -------------------------------------------------------------------------------------------------


def _lead(graph: ir.Graph, scan: ir.Node) -> None:
    """Let a ``Scan`` run over leading axes, and write them."""
    states, read, written = _counts(scan)
    body = scan.attributes["body"].as_graph()
    for place, axis in enumerate(_take(scan, "scan_input_axes", read), states):
        source, rank = scan.inputs[place], len(body.inputs[place].shape or ()) + 1
        if axis % rank and source is not None:
            order = list(range(rank))
            order.insert(0, order.pop(axis))
            moved = _transpose(source, order)
            graph.insert_before(scan, moved)
            scan.replace_input_with(place, moved.outputs[0])
    for place, axis in enumerate(_take(scan, "scan_output_axes", written), states):
        rank = len(body.outputs[place].shape or ()) + 1
        if axis % rank:
            result = scan.outputs[place]
            order = list(range(1, rank))
            order.insert(axis % rank, 0)
            back = _transpose(result, order)
            back.outputs[0].shape = result.shape
            graph.insert_after(scan, back)
            take_place(graph, result, back.outputs[0])
            back.replace_input_with(0, result)
            result.shape = ir.Shape([None, *(body.outputs[place].shape or ())])


def _transpose(source: ir.Value, order: Sequence[int]) -> ir.Node:
    node = ir.node("Transpose", [source], {"perm": list(order)})
    if source.shape is not None:
        node.outputs[0].shape = ir.Shape([source.shape[axis] for axis in order])
    node.outputs[0].type = source.type
    return node


# --- directions -------------------------------------------------------------------------------------------


def _one_way(graph: ir.Graph, scan: ir.Node) -> None:
    """Let a ``Scan`` read and write all sequences in one direction, that of the most."""
    states, read, written = _counts(scan)
    ways = _take(scan, "scan_input_directions", read)
    written_ways = _take(scan, "scan_output_directions", written)
    sources = [_source(graph, scan, value) for value in scan.inputs[states:]]
    effective = [way ^ turned for way, (_, turned) in zip(ways, sources, strict=True)]
    votes = [way for way, value in zip(effective, scan.inputs[states:], strict=True) if not _is_clock(value)]
    votes += [
        way ^ _all_turn(value, 0)
        for way, value in zip(written_ways, scan.outputs[states:], strict=True)
        if value.uses() or value.is_graph_output()
    ]
    whole = REVERSED if 2 * sum(votes) > len(votes) else FORWARD
    for place, way in enumerate(ways):
        value, (source, _) = scan.inputs[states + place], sources[place]
        if effective[place] == whole:
            scan.replace_input_with(states + place, source)
        elif way != whole and value is not None:
            nodes = _turned(value, 0)
            graph.insert_before(scan, nodes)
            scan.replace_input_with(states + place, nodes[-1].outputs[0])
    for result, way in zip(scan.outputs[states:], written_ways, strict=True):
        if way != whole:
            _turn_readers(graph, result, result, 0)
    if whole == REVERSED:
        scan.attributes["scan_input_directions"] = ir.AttrInt64s("scan_input_directions", [REVERSED] * read)
        if written:
            listed = [REVERSED] * written
            scan.attributes["scan_output_directions"] = ir.AttrInt64s("scan_output_directions", listed)


def _is_clock(value: ir.Value | None) -> bool:
    node = value.producer() if value is not None else None
    return node is not None and node.op_type == "Range"


def _source(graph: ir.Graph, scan: ir.Node, value: ir.Value | None) -> tuple[ir.Value | None, int]:
    """Look behind a sequence that is turned around, also if its axes are moved afterwards."""
    node = value.producer() if value is not None else None
    if node is None:
        return value, 0
    if flipped(node) == 0:
        return node.inputs[0], 1
    order = node.attributes.get_ints("perm", None) if node.op_type == "Transpose" else None
    inner = node.inputs[0].producer() if order and node.inputs[0] is not None else None
    if order and inner is not None and flipped(inner) == order[0] and inner.inputs[0] is not None:
        moved = _transpose(inner.inputs[0], order)
        graph.insert_before(scan, moved)
        return moved.outputs[0], 1
    return value, 0


def _all_turn(value: ir.Value, axis: int) -> bool:
    """Whether everything that reads a sequence turns it around."""
    readers = [use.node for use in value.uses()]
    return not value.is_graph_output() and all(
        flipped(node) == axis
        or ((order := _moved(node)) is not None and _all_turn(node.outputs[0], order.index(axis)))
        for node in readers
    )


def _moved(node: ir.Node) -> list[int] | None:
    order = node.attributes.get_ints("perm", None) if node.op_type == "Transpose" else None
    return list(order) if order else None


def _turn_readers(graph: ir.Graph, old: ir.Value, new: ir.Value, axis: int) -> None:
    """Let what reads ``old`` read ``new``, which is the same from its end to its start."""
    rest = []
    for node, place in [(use.node, use.idx) for use in old.uses()]:
        order = _moved(node)
        if flipped(node) == axis and place == 0 and node.graph is not None:
            take_place(node.graph, node.outputs[0], new)
        elif order is not None:
            twin = _transpose(new, order)
            node.graph.insert_after(node, twin)  # type: ignore[union-attr]
            _turn_readers(graph, node.outputs[0], twin.outputs[0], order.index(axis))
        else:
            rest.append((node, place))
    if not rest and not old.is_graph_output():
        return
    nodes = _turned(new, axis)
    graph.insert_after(new.producer(), nodes)  # type: ignore[arg-type]
    for node, place in rest:
        node.replace_input_with(place, nodes[-1].outputs[0])
    for place, output in enumerate(graph.outputs):
        if output is old:
            name, old.name = old.name, None
            nodes[-1].outputs[0].name = name
            graph.outputs[place] = nodes[-1].outputs[0]


def _turned(value: ir.Value, axis: int) -> list[ir.Node]:
    """Turn a tensor around along an axis."""
    numbers = [
        ir.node("Constant", [], {"value": ir.tensor(np.array([entry], np.int64))})
        for entry in ({**TURN, "axis": axis}).values()
    ]
    turned = ir.node("Slice", [value, *(node.outputs[0] for node in numbers)])
    turned.outputs[0].shape, turned.outputs[0].type = value.shape, value.type
    return [*numbers, turned]
