"""The logistic function as a formula: ONNX Runtime's operator loses digits below -3, and all below -18.

    g = Sigmoid(x)      =>      g = Reciprocal(Add(1, Exp(Neg(x))))

The operator is off by up to 2e-7, the formula by some units of the last digit: a state behind an input gate
with a bias of -4, or a small probability, is as exact as eager PyTorch's. It takes longer, so only models
have it of which no other form is right.

Requires: every constant is an initializer of the graph.
Ensures: no ``Sigmoid`` is left.
"""

import numpy as np
import onnx_ir as ir

from rnn_export.passes.contract import CONSTANTS_OUTSIDE, Property, rewriting
from rnn_export.program.build import Builder, add_constant
from rnn_export.program.program import Program
from rnn_export.signature.tensors import Array


def _sigmoids(program: Program) -> list[ir.Node]:
    return [node for graph in program.model.graphs() for node in graph if node.op_type == "Sigmoid"]


NO_SIGMOID = Property("no Sigmoid is left", lambda program: not _sigmoids(program))


@rewriting(requires=[CONSTANTS_OUTSIDE], ensures=[NO_SIGMOID])
def exact_sigmoid(program: Program) -> bool:
    """Write every ``Sigmoid`` as a formula."""
    nodes = _sigmoids(program)
    ones = dict[ir.DataType, ir.Value]()
    for node in nodes:
        dtype = node.outputs[0].dtype or ir.DataType.FLOAT
        if dtype not in ones:
            one: Array = np.ones((), dtype.numpy())
            ones[dtype] = add_constant(program.model.graph, "one", one)
        _replace(node, ones[dtype])
    return bool(nodes)


def _replace(node: ir.Node, one: ir.Value) -> None:
    build, [old] = Builder(), node.outputs
    power = build.emit("Exp", [build.emit("Neg", node.inputs, like=old)], like=old)
    new = build.emit("Reciprocal", [build.emit("Add", [power, one], like=old)], like=old)
    build.nodes[-1].metadata_props.update(node.metadata_props)
    graph = node.graph
    assert graph is not None
    ir.convenience.replace_nodes_and_values(graph, node, [node], build.nodes, [old], [new])
