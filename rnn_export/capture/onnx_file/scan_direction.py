"""Every ``Scan`` the one direction: over leading axes, all forward or all reversed.

::

    r = Slice (x, [-1], [-LARGE], [1], [-1])                                          # x: float[B,T,4]
    H_T, ys = Scan (H, r) <scan_input_axes = [1], body = ...>                         # ys: float[T,B,3]
    y = Slice (ys, [-1], [-LARGE], [0], [-1])

    s = Transpose <perm = [1, 0, 2]> (x)                                              # s: float[T,B,4]
    H_T, y = Scan (H, s) <scan_input_directions = [1], scan_output_directions = [1], body = ...>

Part of :mod:`rnn_export.capture.onnx_file.reader`. An axis that is not the leading one becomes a
``Transpose`` outside. A sequence that is turned around, by a ``Slice`` with step -1 or by a direction of the
``Scan``, is read from its end; if most of what a ``Scan`` reads and writes is, it becomes a reversed
``Scan``, which reads every sequence from its end and writes every result where it read. What goes the other
direction is turned around outside.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from rnn_export.capture.onnx_file.affine_index import flipped
from rnn_export.program.build import Builder
from rnn_export.program.program import Program, name_apart, take_place
from rnn_export.program.scan import FORWARD, REVERSED, Scan, scans

TURN = {"start": -1, "end": np.iinfo(np.int64).min, "axis": 0, "step": -1}


def straighten(program: Program) -> Program:
    """Rewrite every ``Scan`` of the graph."""
    program = program.copy()
    graph = program.model.graph
    for scan in scans(graph):
        _lead(graph, scan)
        _one_way(graph, scan)
    common.RemoveUnusedNodesPass()(program.model)
    name_apart(program.model)
    return program


# --- axes -------------------------------------------------------------------------------------------------


def _lead(graph: ir.Graph, scan: Scan) -> None:
    """Let a ``Scan`` run over leading axes, and write them."""
    read, written = scan.take_axes()
    for place, (axis, source) in enumerate(zip(read, scan.sequences, strict=True), len(scan.states)):
        rank = len(scan.body.inputs[place].shape or ()) + 1
        if axis % rank:
            order = list(range(rank))
            order.insert(0, order.pop(axis))
            moved = _transpose(source, order)
            graph.insert_before(scan.node, moved)
            scan.node.replace_input_with(place, moved.outputs[0])
    for axis, result, emitted in zip(written, scan.results, scan.emitted, strict=True):
        rank = len(emitted.shape or ()) + 1
        if axis % rank:
            order = list(range(1, rank))
            order.insert(axis % rank, 0)
            back = _transpose(result, order)
            back.outputs[0].shape = result.shape
            graph.insert_after(scan.node, back)
            take_place(graph, result, back.outputs[0])
            back.replace_input_with(0, result)
            result.shape = ir.Shape([None, *(emitted.shape or ())])


def _transpose(source: ir.Value, order: Sequence[int]) -> ir.Node:
    build = Builder()
    moved = build.emit("Transpose", [source], {"perm": list(order)}, type=source.type)
    if source.shape is not None:
        moved.shape = ir.Shape([source.shape[axis] for axis in order])
    return build.nodes[0]


# --- directions -------------------------------------------------------------------------------------------


def _one_way(graph: ir.Graph, scan: Scan) -> None:
    """Let a ``Scan`` read and write all sequences in one direction, that of the most."""
    read, written = scan.directions
    sources = [_source(graph, scan.node, value) for value in scan.sequences]
    effective = [direction ^ turned for direction, (_, turned) in zip(read, sources, strict=True)]
    whole = _majority(scan, effective, written)
    for place, direction in enumerate(read):
        number, (source, _) = len(scan.states) + place, sources[place]
        if effective[place] == whole:
            scan.node.replace_input_with(number, source)
        elif direction != whole:
            nodes = _turned(scan.sequences[place], 0)
            graph.insert_before(scan.node, nodes)
            scan.node.replace_input_with(number, nodes[-1].outputs[0])
    for result, direction in zip(scan.results, written, strict=True):
        if direction != whole:
            _turn_readers(graph, result, result, 0)
    scan.set_direction(whole)


def _majority(scan: Scan, read: Sequence[int], written: Sequence[int]) -> int:
    """Give the direction of most sequences and results; forward if it is as many of one as of the other."""
    votes = [direction for direction, value in zip(read, scan.sequences, strict=True) if not _is_clock(value)]
    votes += [
        direction ^ _all_turn(value, 0)
        for direction, value in zip(written, scan.results, strict=True)
        if value.uses() or value.is_graph_output()
    ]
    return REVERSED if 2 * sum(votes) > len(votes) else FORWARD


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
    build = Builder()
    numbers = [build.constant([entry]) for entry in {**TURN, "axis": axis}.values()]
    build.emit("Slice", [value, *numbers], like=value)
    return build.nodes
