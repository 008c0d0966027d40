"""A loop over no time steps gives its initial states, and results without a time step.

ONNX Runtime refuses a ``Scan`` over no time steps, which a ``Loop`` runs. So each stands in a branch whose
other side runs it once over zeros, for the shapes of the results alone::

    H_T, Ys = Scan (H, xs) <body = ...>

    some = Cast <to = bool> (Shape <start = 0, end = 1> (xs))
    H_T, Ys = If (some) <then_branch = { Scan (H, xs) <body = ...> }, else_branch = {
        xs_1 = ConstantOfShape (Concat ([1], Shape <start = 1> (xs)))
        _, Ys_1 = Scan (H, xs_1) <body = ...>  Identity (H)  Slice (Ys_1, 0, 0) }>

In bundles, a file whose loops stand beside no operator answers such calls as a whole instead.

Requires: nothing.
Ensures: no loop of the graph over leading axes stands outside of such a branch.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from rnn_export.passes.contract import Property, rewriting
from rnn_export.passes.operators.guard import EMPTY, USUAL
from rnn_export.program.build import Builder, add_constant
from rnn_export.program.program import Program
from rnn_export.program.scan import Scan, scans
from rnn_export.program.values import describe

BRANCHED = Property(
    "no loop of the graph over leading axes stands outside of a branch",
    lambda program: not any(scan.leading for scan in scans(program.model.graph)),
)


@rewriting(ensures=[BRANCHED])
def no_steps(program: Program) -> bool:
    """Put every loop over leading axes into a branch."""
    graph = program.model.graph
    found = [scan for scan in scans(graph) if scan.leading]
    for scan in found:
        _put_into_branch(graph, scan)
    return bool(found)


def _put_into_branch(graph: ir.Graph, scan: Scan) -> None:
    """Put a loop into one branch, and what it gives of no time steps into the other."""
    asked, old = Builder(), list(scan.node.outputs)
    steps = asked.emit("Shape", [scan.sequences[0]], {"start": 0, "end": 1})
    some = asked.emit("Cast", [steps], {"to": ir.DataType.BOOL})
    branch = ir.node("If", [some], num_outputs=len(old), doc_string=EMPTY)
    for value, new in zip(old, branch.outputs, strict=True):
        describe(new, value)
    nothing = _nothing(graph, scan)
    ir.convenience.replace_nodes_and_values(graph, scan.node, [], [*asked.nodes, branch], old, branch.outputs)
    graph.remove(scan.node)
    for name, inner in ((USUAL, ir.Graph([], old, nodes=[scan.node], name="some")), ("else_branch", nothing)):
        branch.attributes[name] = ir.AttrGraph(name, inner)


def _nothing(graph: ir.Graph, scan: Scan) -> ir.Graph:
    build = Builder()
    once = [_zeros(build, graph, sequence) for sequence in scan.sequences]
    body = scan.body.clone(allow_outer_scope_values=True)
    again = Scan.build(body, scan.initial_states, once, *scan.directions)
    build.nodes.append(again.node)
    states = _copied(build, scan.initial_states, scan.final_states)
    zeros = [add_constant(graph, "none", np.array([0]))] * 3 if scan.results else []
    results = [
        build.emit("Slice", [result, *zeros], like=like)
        for result, like in zip(again.results, scan.results, strict=True)
    ]
    return ir.Graph([], [*states, *results], nodes=build.nodes, name="none")


def _copied(build: Builder, values: Sequence[ir.Value], like: Sequence[ir.Value]) -> list[ir.Value]:
    return [build.emit("Identity", [value], like=old) for value, old in zip(values, like, strict=True)]


def _zeros(build: Builder, graph: ir.Graph, sequence: ir.Value) -> ir.Value:
    """Give a sequence of one time step, of the shape of another."""
    one, dtype = add_constant(graph, "one", np.array([1])), sequence.dtype or ir.DataType.FLOAT
    rest = build.emit("Shape", [sequence], {"start": 1})
    sizes = build.emit("Concat", [one, rest], {"axis": 0})
    value = ir.tensor(np.zeros(1, dtype.numpy()))
    return build.emit("ConstantOfShape", [sizes], {"value": value}, type=sequence.type)
