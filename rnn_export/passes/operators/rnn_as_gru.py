"""An ``RNN`` as a ``GRU`` whose gates are held open: the same numbers from another kernel.

    GRU    z = sigmoid(x W_z + h R_z + b_z)            b_z = -100, W_z = R_z = 0:  z = 0
           r = sigmoid(x W_r + h R_r + b_r)            b_r = +100, W_r = R_r = 0:  r = 1
           n = f(x W + (r * h) R + b)
           h' = (1 - z) n + z h  =  f(x W + h R + b)

    Ys, Y_h = RNN <activations = ["Tanh"]> (xs, W, R, B, , H)                         # W: float[1,6,4]

    Ys, Y_h = GRU (xs, W_zrh, R_zrh, B_zrh, , H)  # W_zrh: float[1,18,4]

ONNX Runtime's RNN operator has a tanh that is off by 1e-7 near zero, which nets with small weights show; the
tanh of its GRU is exact there, and its arithmetic so much better that three products take less time than one
for a small state (the table in :mod:`rnn_export.passes.choose`). The operator has to have constant
weights, and Tanh or Relu as its activations. It may stand in a branch
(:mod:`rnn_export.passes.operators.guard`), whose other side stays as it is: a gate that is held open would
be NaN there for an infinite input.

Requires: every constant is an initializer of the graph.
Ensures: no ``RNN`` is left that a ``GRU`` can hold.

Source: https://onnx.ai/onnx/operators/onnx__GRU.html (opset 14).
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from rnn_export.passes.contract import CONSTANTS_OUTSIDE, Property, rewriting
from rnn_export.passes.operators.guard import usual
from rnn_export.program.build import Builder, add_constant
from rnn_export.program.operator_facts import RECURRENT, text_of
from rnn_export.program.program import Program
from rnn_export.program.values import constant_value
from rnn_export.signature.tensors import Array

OPEN = 100.0  # sigmoid(100) is 1 in float32, and sigmoid(-100) adds nothing to it
ACTIVATIONS = frozenset({"Tanh", "Relu"})
# The doc_string of such a GRU, for who looks at the graph.
WHY = (
    "This GRU is an RNN: biases of 100 and -100 hold its gates open, and its new state is that of the RNN. "
    "ONNX Runtime computes it faster this way, and its tanh is more exact."
)
KEPT = frozenset({"activations", "direction", "hidden_size"})  # all that may be set: no clip, no other layout


def _is_held_by_a_gru(node: ir.Node) -> bool:
    return (
        node.op_type == "RNN"
        and node.domain == ""
        and all(value is None or constant_value(value) is not None for value in node.inputs[1:4])
        and node.inputs[0] is not None
        and node.inputs[0].dtype == ir.DataType.FLOAT  # the dtype that ONNX Runtime has a GRU for
        and set(node.attributes) <= KEPT
        and set(_activations(node)) <= ACTIVATIONS
    )


NO_RNN = Property(
    "no RNN is left that a GRU can hold",
    lambda program: not any(map(_is_held_by_a_gru, usual(program.model.graph))),
)


@rewriting(requires=[CONSTANTS_OUTSIDE], ensures=[NO_RNN])
def rnn_as_gru(program: Program) -> bool:
    """Write every ``RNN`` with constant weights as a ``GRU``."""
    graph = program.model.graph
    nodes = [node for node in usual(graph) if _is_held_by_a_gru(node)]
    for node in nodes:
        _replace(graph, node)
    return bool(nodes)


def _activations(node: ir.Node) -> Sequence[str]:
    """Give one activation for each direction."""
    directions = 2 if text_of(node, "direction") == "bidirectional" else 1
    return node.attributes.get_strings("activations", RECURRENT["RNN"].activations * directions)


def _replace(main: ir.Graph, node: ir.Node) -> None:
    """Put a ``GRU`` in the place of an ``RNN``; its constants go to the outermost graph."""
    attributes: dict[str, object] = dict(node.attributes)
    used = [name for own in _activations(node) for name in ("Sigmoid", own)]
    attributes.pop("activations", None)
    if used != [*RECURRENT["GRU"].activations] * (len(used) // 2):
        attributes["activations"] = used
    weights = [add_constant(main, f"GRU/{name}", array) for name, array in _weights(node).items()]
    build = Builder()
    inputs = [node.inputs[0], *weights, *node.inputs[4:]]
    outputs = build.emit_several("GRU", inputs, attributes, count=2)
    build.nodes[0].metadata_props.update(node.metadata_props)
    build.nodes[0].doc_string = WHY
    old = list(node.outputs)
    graph = node.graph
    assert graph is not None
    ir.convenience.replace_nodes_and_values(graph, node, [node], build.nodes, old, outputs[: len(old)])


def _weights(node: ir.Node) -> dict[str, Array]:
    """Give the weights of a ``GRU`` with its gates held open: those of ``z``, of ``r``, and the RNN's own."""
    W, R, B = map(constant_value, (*node.inputs, None)[1:4])  # [D, H, I], [D, H, H], [D, 2 H]
    assert W is not None
    assert R is not None
    directions, hidden, _ = W.shape
    own = np.zeros((directions, 2 * hidden), W.dtype) if B is None else B
    biases = own.reshape(directions, 2, 1, hidden)
    held = np.broadcast_to(np.array([[-OPEN], [OPEN]], W.dtype), (directions, 2, hidden))
    shut = np.zeros_like(held)
    return {
        "W": np.concatenate([np.zeros_like(W), np.zeros_like(W), W], 1),
        "R": np.concatenate([np.zeros_like(R), np.zeros_like(R), R], 1),
        "B": np.concatenate([held, biases[:, 0], shut, biases[:, 1]], 1).reshape(directions, 6 * hidden),
    }
