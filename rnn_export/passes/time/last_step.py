"""What is wanted of one time step alone is computed for that one.

Outputs of the last time step are picked out of those of all: a ``Gather`` of one entry. It is pushed up
through what works entry by entry along its axis (:mod:`rnn_export.passes.cleanup.entrywise`), as long as
nothing else reads the result. Where it meets a loop whose outputs are its state, it picks the final state::

    H_T, Hs = Scan (H, xs) <body = step (H_s, x_t) => (H_t, H_t) { ... }>             # Hs: float[T,B,6]
    ys = MatMul (Hs, V)  y = Gather <axis = 0> (ys, -1)                               # ys: float[T,B,3]

    H_T = Scan (H, xs) <body = step (H_s, x_t) => (H_t) { ... }>                      # H_T: float[B,6]
    y = MatMul (H_T, V)                                                               # y: float[B,3]

The same holds of ONNX's recurrent operators. Results that nothing reads any more are dropped.

Requires: nothing.
Ensures: no last time step is picked out of what a loop gives as its final state as well.
"""

from functools import partial

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from rnn_export.passes.cleanup.entrywise import Without, rebuild, size_of, without
from rnn_export.passes.contract import TURNS, Property, rewriting, settle
from rnn_export.program.build import Builder, add_constant
from rnn_export.program.operator_facts import RECURRENT, SEQUENCE_LENS, int_of, text_of
from rnn_export.program.program import Program, take_place
from rnn_export.program.scan import Scan, scans
from rnn_export.program.values import constant_ints, constant_value, original

LAST = {"forward": [-1], "reverse": [0]}  # which of the results belongs to the step that runs last


def _picks_one(node: ir.Node) -> bool:
    """Whether a node is the ``Gather`` of one entry, known by its number, out of a value of known shape."""
    if node.op_type != "Gather" or node.domain or node.inputs[0] is None or node.inputs[0].shape is None:
        return False
    index = constant_value(node.inputs[1])
    return index is not None and index.ndim == 0


def _axis(gather: ir.Node) -> int:
    """Give the axis that a ``Gather`` picks along, counted from the front."""
    shape = gather.inputs[0].shape if gather.inputs[0] is not None else None
    return int_of(gather, "axis") % len(shape or (0,))


def _final(gather: ir.Node) -> ir.Value | None:
    """Give the final state that a loop's outputs end with, if the loop gives its state."""
    sequence = gather.inputs[0]
    node = sequence.producer() if sequence is not None else None
    if node is None or sequence is None or int_of(gather, "axis") != 0 or node.domain != "":
        return None
    index = constant_ints(gather.inputs[1])
    if node.op_type in RECURRENT:
        return _final_of_operator(node, sequence, index)
    return _final_of_loop(Scan(node), sequence, index) if node.op_type == "Scan" else None


def _final_of_operator(node: ir.Node, sequence: ir.Value, index: list[int] | None) -> ir.Value | None:
    # rows that end apart have their last outputs at different places of the sequence
    ragged = len(node.inputs) > SEQUENCE_LENS and node.inputs[SEQUENCE_LENS] is not None
    whole = sequence is node.outputs[0] and not int_of(node, "layout") and len(node.outputs) > 1
    last = index == LAST.get(text_of(node, "direction"))
    return node.outputs[1] if whole and last and not ragged else None


def _final_of_loop(scan: Scan, sequence: ir.Value, index: list[int] | None) -> ir.Value | None:
    if not scan.plain or index != LAST[str(scan.direction)] or sequence not in scan.results:
        return None
    following = [original(value) for value in scan.next_states]
    given = original(scan.emitted[scan.results.index(sequence)])
    return scan.final_states[following.index(given)] if given in following else None


FINAL_STATES = Property(
    "no last time step is picked out of what a loop gives as its final state as well",
    lambda program: not any(_picks_one(node) and _final(node) for node in program.model.graph),
)


@rewriting(ensures=[FINAL_STATES])
def last_step(program: Program) -> bool:
    """Push every ``Gather`` of one entry up as far as it goes, and read final states."""
    graph = program.model.graph
    changed = settle(partial(_push_one, graph), TURNS * (1 + len(graph)))
    for node in [node for node in graph if _picks_one(node)]:
        final = _final(node)
        if final is not None:
            take_place(graph, node.outputs[0], final)
            graph.remove(node, safe=True)
            changed = True
    dropped = [_drop_unread(graph, scan) for scan in scans(graph)]
    unused = common.RemoveUnusedNodesPass()(program.model)
    return changed or any(dropped) or unused.modified


def _push_one(graph: ir.Graph) -> bool:
    """Push one ``Gather`` up; say whether one can.

    The ranks of what all other nodes give become smaller in sum; of two that pick one entry, the one along
    the axis further in front goes first, and is never passed again. So this ends.
    """
    return any(_push(graph, node) for node in list(graph) if _picks_one(node))


def _push(graph: ir.Graph, gather: ir.Node) -> bool:
    """Let the node in front of a ``Gather`` make one entry alone; say whether it can."""
    value, index = gather.inputs
    node = value.producer() if value is not None else None
    if gather.graph is not graph or value is None or index is None or node is None or node.graph is not graph:
        return False
    # what others read of it is needed for all time steps anyway
    if sum(len(output.uses()) for output in node.outputs) > 1 or value.is_graph_output():
        return False
    axis = _axis(gather)
    plan = without(node, axis) if not _picks_one(node) or axis < _axis(node) else None
    if plan is None or not _same_size(node, plan, size_of(value, axis)):
        return False
    build = Builder()
    smaller = rebuild(
        build, graph, node, axis, plan, lambda source, own: _entry(build, graph, source, own, index)
    )
    graph.insert_before(gather, build.nodes)
    take_place(graph, gather.outputs[0], smaller[node.outputs.index(value)])
    graph.remove([gather, node], safe=True)
    return True


def _same_size(node: ir.Node, plan: Without, size: int | ir.SymbolicDim | None) -> bool:
    """Whether every axis that goes is as long as that of the results, or of size one."""
    pairs = [(value, own) for value, own in zip(node.inputs, plan.axes, strict=False) if own is not None]
    sizes = [size_of(value, own) for value, own in pairs if value is not None]
    known = isinstance(size, int) or (size is not None and size.value is not None)
    return len(sizes) == 1 or (known and all(other in (size, 1) for other in sizes))


def _entry(build: Builder, main: ir.Graph, value: ir.Value, axis: int, index: ir.Value) -> ir.Value:
    """Pick one entry; the only one where the axis has size one, and is broadcast."""
    sizes = list(value.shape or ())
    shape = [*sizes[:axis], *sizes[axis + 1 :]]
    if size_of(value, axis) == 1:
        place = add_constant(main, "axis", np.array([axis]))
        return build.emit("Squeeze", [value, place], like=value, shape=shape)
    return build.emit("Gather", [value, index], {"axis": axis}, like=value, shape=shape)


def _drop_unread(graph: ir.Graph, scan: Scan) -> bool:
    """Let a loop give no result that nothing reads; say whether there was one."""
    kept = [k for k, value in enumerate(scan.results) if value.uses() or value.is_graph_output()]
    if len(kept) == len(scan.results) or not (kept or scan.states) or not scan.plain:
        return False
    old = [*scan.final_states, *(scan.results[number] for number in kept)]
    smaller = scan.with_results(kept)
    ir.convenience.replace_nodes_and_values(
        graph, scan.node, [scan.node], [smaller.node], old, smaller.node.outputs
    )
    return True
