"""Propose an ONNX ``RNN``, ``GRU`` or ``LSTM`` for a loop, and verify it: no syntactic patterns.

1. Cut the step at its activations (Sigmoid, Tanh, Relu). What is left between them is computed in float64
   with the activations as free inputs.
2. Measure. A value that is affine in the inputs and the state gives its weights away when it is evaluated at
   zero and at unit vectors; whether it *is* affine, random points tell.
3. For each operator, try every assignment of the activations to the operator's gates, and keep the one whose
   equations hold on random numbers:

       RNN    h' = a                          a  affine
       GRU    h' = (1 - z) n + z h            z, r affine; n before or after the reset gate's product
       LSTM   c' = f c + i g,  h' = o a(c')   i, o, f, g affine

4. Accept it only if the whole Program with the operator gives the same results as before.

A loop that holds the states of rows that have ended is tried without that, and takes the lengths afterwards:
the input ``lengths`` is the graph's last one.

Gates in another order, packed or separate weights, ``n + z (h - n)``, missing biases: none of it matters.

Source: the operators' equations, https://onnx.ai/onnx/operators (opset 14).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from rnn_export.passes.lengths import release, tell
from rnn_export.passes.operators.cells import Operator, propose
from rnn_export.passes.operators.step_function import ACTIVATIONS, Step
from rnn_export.program.agree import agree
from rnn_export.program.constants import add_constant
from rnn_export.program.program import Program, name_apart
from rnn_export.signature.signature import Array


def fuse(program: Program) -> Program:
    """Replace every loop that is one of the operators; leave the others as they are."""
    place = 0
    while place < len(_loops(program)):
        candidate = _with_operator(program, place)
        if candidate is not None and _accepted(program, candidate):
            program = candidate
        else:
            place += 1
    return program


def _loops(program: Program) -> list[ir.Node]:
    return [node for node in program.model.graph if node.op_type == "Scan"]


def _accepted(program: Program, candidate: Program) -> bool:
    try:
        return agree(program, candidate)
    except Exception:  # a runtime that lacks the operator for this dtype has its own error for it
        return False


def _with_operator(program: Program, place: int) -> Program | None:
    program = program.copy()
    graph = program.model.graph
    scan = _loops(program)[place]
    _activate_parts(scan.attributes["body"].as_graph())
    lengths = graph.inputs[-1] if release(scan) else None
    step, operator = _proposed(scan)
    if step is None or operator is None:
        return None
    node = _build(graph, scan, step, operator)
    if lengths is not None:
        tell(graph, node, lengths)
    name_apart(program.model)
    return program


def _proposed(scan: ir.Node) -> tuple[Step | None, Operator | None]:
    try:
        step = Step.cut(scan)
        return step, next(propose(step), None) if step else None
    except Exception:  # a step that cannot be evaluated by itself, on one time step, is none of the operators
        return None, None


def _activate_parts(body: ir.Graph) -> None:
    """Take one activation of several gates side by side apart: activate each part that is cut out of it."""
    for node in list(body):
        readers = node.outputs[0].consumers()
        packed = node.op_type in ACTIVATIONS and not node.outputs[0].is_graph_output()
        if not packed or not readers or any(reader.op_type not in ("Split", "Slice") for reader in readers):
            continue
        for reader in readers:
            reader.replace_input_with(0, node.inputs[0])
            for part in [part for part in reader.outputs if part.uses() or part.is_graph_output()]:
                activated = ir.node(node.op_type, [part])
                activated.outputs[0].shape, activated.outputs[0].type = part.shape, part.type
                part.replace_all_uses_with(activated.outputs[0], replace_graph_outputs=True)
                activated.replace_input_with(0, part)
                body.insert_after(reader, activated)
        body.remove(node, safe=True)


def _build(graph: ir.Graph, scan: ir.Node, step: Step, operator: Operator) -> ir.Node:
    """Put the operator in the loop's place, and give it."""
    dtype = (step.source.dtype or ir.DataType.FLOAT).numpy()
    nodes: list[ir.Node] = []

    def constant(name: str, array: Array) -> ir.Value:
        return add_constant(graph, f"{operator.op_type}/{name}", array)

    def emit(
        op: str, inputs: Sequence[ir.Value | None], count: int = 1, **attributes: Any
    ) -> Sequence[ir.Value]:
        nodes.append(ir.node(op, inputs, attributes, num_outputs=count))
        return nodes[-1].outputs

    weights = np.concatenate([gate.W.T for gate in operator.gates])[None].astype(dtype)
    recurrent = np.concatenate([gate.R.T for gate in operator.gates])[None].astype(dtype)
    biases = np.concatenate([*(gate.b for gate in operator.gates), *operator.recurrent_biases])[None].astype(
        dtype
    )
    directions, rows = constant("axis", np.array([0])), constant("axis", np.array([1]))
    start = [emit("Unsqueeze", [scan.inputs[number], directions])[0] for number in operator.states]
    everything, *finals = emit(
        operator.op_type,
        [step.source, constant("W", weights), constant("R", recurrent), constant("B", biases), None, *start],
        1 + len(start),
        hidden_size=step.hidden,
        direction=step.direction,
        activations=list(operator.activations),
        **operator.attributes,
    )
    fused = nodes[-1]
    fused.metadata_props.update(scan.metadata_props)
    last = dict(
        zip(operator.states, (emit("Squeeze", [final, directions])[0] for final in finals), strict=True)
    )
    sequences = [emit("Squeeze", [everything, rows])[0] for _ in scan.outputs[step.states :]]
    new = [*(last[number] for number in range(step.states)), *sequences]
    ir.convenience.replace_nodes_and_values(graph, scan, [scan], nodes, scan.outputs, new)
    return fused
