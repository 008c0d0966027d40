"""An operator runs where its kernel is right, and its equations run elsewhere.

The kernels of ONNX Runtime (1.32) for ``RNN``, ``GRU`` and ``LSTM`` cut what they are given to a range: NaN
or infinity in the inputs or the state comes out as a number. A call without a time step gives zeros as the
final state, and without a row, in ``GRU`` without a time step as well, it ends the process. So each of them
stands in a branch::

    Ys, Y_h = GRU (xs, W, R, B, , H)

    usual = And (Less (Add (ReduceSumSquare (xs), ReduceSumSquare (H)), 1e30), Cast <to = bool> (Size (xs)))
    Ys, Y_h = If (usual) <then_branch = { GRU (xs, W, R, B, , H) }, else_branch = { ... Scan ... }>

The other branch is in :mod:`rnn_export.passes.operators.definition`. That the squares sum up to less than a
bound keeps numbers out that could overflow inside, too. The condition costs about 3 microseconds a call.

Requires: nothing.
Ensures: no operator whose equations are known stands outside of such a branch.
"""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from rnn_export.passes.contract import Property, rewriting
from rnn_export.passes.operators.definition import Definition, is_written_out
from rnn_export.program.build import Builder, add_constant
from rnn_export.program.operator_facts import RECURRENT, RECURRENT_INPUTS
from rnn_export.program.program import Program
from rnn_export.program.values import constant_value, describe

BOUND = 1e30  # of the sum of squares: with weights below 1e20, no product overflows
# the doc_string of an If: what it asks
GUARD = "Is every number finite, and is there a time step and a row?"
EMPTY = "Is there a time step and a row?"
USUAL = "then_branch"
GUARDED = Property(
    "no operator whose equations are known stands outside of a branch",
    lambda program: not any(True for _ in _bare(program)),
)


@rewriting(ensures=[GUARDED])
def guard(program: Program) -> bool:
    """Put every operator whose equations are known into a branch."""
    bare = list(_bare(program))
    for graph, node in bare:
        _put_into_branch(program.model.graph, graph, node)
    return bool(bare)


def usual(graph: ir.Graph) -> Iterator[ir.Node]:
    """Give the nodes of a graph, and in the place of a guard those that it usually runs."""
    for node in graph:
        if is_guard(node):
            yield from usual(node.attributes[USUAL].as_graph())
        else:
            yield node


def unguarded(model: ir.Model) -> ir.Model:
    """Give a model with what is usually run in the place of every guard: to be read, not to be run."""
    model = model.clone()
    while guards := [(graph, node) for graph in model.graphs() for node in graph if is_guard(node)]:
        graph, node = guards[0]  # one less each time
        inner = node.attributes[USUAL].as_graph()
        nodes, outputs = list(inner), list(inner.outputs)
        inner.outputs.clear()
        inner.remove(nodes)
        graph.insert_before(node, nodes)
        for old, new in zip(node.outputs, outputs, strict=True):
            old.replace_all_uses_with(new, replace_graph_outputs=True)
            new.name, old.name = old.name, None
        graph.remove(node, safe=True)
    common.RemoveUnusedNodesPass()(model)
    return model


def is_guard(node: ir.Node) -> bool:
    """Whether a node is a branch one side of which is the usual one."""
    return node.op_type == "If" and node.doc_string in (GUARD, EMPTY)


def _bare(program: Program) -> Iterator[tuple[ir.Graph, ir.Node]]:
    inside = [
        node.attributes[USUAL].as_graph()
        for graph in program.model.graphs()
        for node in graph
        if is_guard(node)
    ]
    for graph in program.model.graphs():
        if graph not in inside:
            yield from ((graph, node) for node in graph if node.op_type in RECURRENT and is_written_out(node))


def _put_into_branch(main: ir.Graph, graph: ir.Graph, node: ir.Node) -> None:
    """Put an operator into one branch, and its equations into the other."""
    asked = _is_usual(main, node)
    written = Definition(main, node)
    equations = written.outputs()
    kept = [place for place, value in enumerate(node.outputs) if value.uses() or value.is_graph_output()]
    branch = ir.node("If", asked.nodes[-1].outputs, num_outputs=len(kept), doc_string=GUARD)
    old = [node.outputs[place] for place in kept]
    for value, new in zip(old, branch.outputs, strict=True):
        describe(new, value)
    ir.convenience.replace_nodes_and_values(graph, node, [], [*asked.nodes, branch], old, branch.outputs)
    graph.remove(node)
    other = [written.build.emit("Identity", [equations[place]], like=node.outputs[place]) for place in kept]
    for name, outputs, nodes in (
        (USUAL, [node.outputs[place] for place in kept], [node]),
        ("else_branch", other, written.build.nodes),
    ):
        branch.attributes[name] = ir.AttrGraph(name, ir.Graph([], outputs, nodes=nodes, name=name))


def _is_usual(main: ir.Graph, node: ir.Node) -> Builder:
    """Ask whether an operator is right; the last node gives the answer."""
    build, given = Builder(), dict(zip(RECURRENT_INPUTS, node.inputs, strict=False))
    inputs = given["X"]
    assert inputs is not None
    dtype = (inputs.dtype or ir.DataType.FLOAT).numpy()
    read = [given.get(name) for name in ("X", "initial_h", "initial_c")]
    varying = [value for value in read if value is not None and constant_value(value) is None]
    squares = [build.emit("ReduceSumSquare", [value], {"keepdims": 0}) for value in varying]
    total = squares[0]
    for square in squares[1:]:
        total = build.emit("Add", [total, square])
    small = build.emit("Less", [total, add_constant(main, "bound", np.array(BOUND, dtype))])
    some = build.emit("Cast", [build.emit("Size", [inputs])], {"to": ir.DataType.BOOL})
    build.emit("And", [small, some], type=ir.TensorType(ir.DataType.BOOL), shape=[])
    return build
