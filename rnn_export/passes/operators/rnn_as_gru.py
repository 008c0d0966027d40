"""An ``RNN`` as a ``GRU`` whose gates are held open: the same numbers from another kernel.

    GRU    z = sigmoid(x W_z + h R_z + b_z)            b_z = -100, W_z = R_z = 0:  z = 0
           r = sigmoid(x W_r + h R_r + b_r)            b_r = +100, W_r = R_r = 0:  r = 1
           n = f(x W + (r * h) R + b)
           h' = (1 - z) n + z h  =  f(x W + h R + b)

ONNX Runtime's RNN operator has a tanh that is off by 1e-7 near zero, which nets with small weights show; the
tanh of its GRU is exact there, and its arithmetic so much better that three products take less time than one
for a small state (the table in :mod:`rnn_export.passes.choose`). The operator has to have constant
weights, and Tanh or Relu as its activations.

Source: https://onnx.ai/onnx/operators/onnx__GRU.html (opset 14).
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from rnn_export.program.constants import add_constant, constant
from rnn_export.program.program import Program, name_apart

OPEN = 100.0  # sigmoid(100) is 1 in float32, and sigmoid(-100) adds nothing to it
ACTIVATIONS = frozenset({"Tanh", "Relu"})
KEPT = frozenset({"activations", "direction", "hidden_size"})  # all that may be set: no clip, no other layout


def gate(program: Program) -> Program:
    """Write every ``RNN`` with constant weights as a ``GRU``."""
    program = program.copy()
    graph = program.model.graph
    for node in list(graph):
        if node.op_type == "RNN" and node.domain == "" and _can_be_gated(node):
            _gate(graph, node)
    name_apart(program.model)
    return program


def _can_be_gated(node: ir.Node) -> bool:
    return (
        all(value is None or constant(value) is not None for value in node.inputs[1:4])
        and node.inputs[0] is not None
        and node.inputs[0].dtype == ir.DataType.FLOAT  # the dtype that ONNX Runtime has a GRU for
        and set(node.attributes) <= KEPT
        and set(_activations(node)) <= ACTIVATIONS
    )


def _activations(node: ir.Node) -> Sequence[str]:
    """Give one activation for each direction."""
    directions = 2 if node.attributes.get_string("direction", "forward") == "bidirectional" else 1
    return node.attributes.get_strings("activations", ["Tanh"] * directions)


def _gate(graph: ir.Graph, node: ir.Node) -> None:
    W, R, B = map(constant, (*node.inputs, None)[1:4])  # [D, H, I], [D, H, H], [D, 2 H]
    assert W is not None
    assert R is not None
    directions, hidden, _ = W.shape
    biases = (
        np.zeros((directions, 2, 1, hidden), W.dtype) if B is None else B.reshape(directions, 2, 1, hidden)
    )
    held = np.broadcast_to(np.array([[-OPEN], [OPEN]], W.dtype), (directions, 2, hidden))
    shut = np.zeros_like(held)
    arrays = {
        "W": np.concatenate([np.zeros_like(W), np.zeros_like(W), W], 1),
        "R": np.concatenate([np.zeros_like(R), np.zeros_like(R), R], 1),
        "B": np.concatenate([held, biases[:, 0], shut, biases[:, 1]], 1).reshape(directions, 6 * hidden),
    }
    attributes = dict(node.attributes)
    names = [name for activation in _activations(node) for name in ("Sigmoid", activation)]
    attributes["activations"] = ir.AttrStrings("activations", names)
    weights = [add_constant(graph, f"GRU/{name}", array) for name, array in arrays.items()]
    gated = ir.Node(
        "", "GRU", [node.inputs[0], *weights, *node.inputs[4:]], attributes.values(), num_outputs=2
    )
    gated.metadata_props.update(node.metadata_props)
    old, new = list(node.outputs), list(gated.outputs)[: len(node.outputs)]
    ir.convenience.replace_nodes_and_values(graph, node, [node], [gated], old, new)
