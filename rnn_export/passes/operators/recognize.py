"""Propose an ONNX ``RNN``, ``GRU`` or ``LSTM`` for a loop, and verify it: no syntactic patterns.

    H_T, Hs = Scan (H, ps) <body = step (H_s, p) => (H_t, H_t) {                      # Hs: float[T,B,6]
        r = MatMul (H_s, R)  s = Add (p, r)  H_t = Tanh (s) }>                        # ps = MatMul (xs, W)

    Ys, Y_h = RNN <hidden_size = 6, ...> (xs, W', R', B', , Unsqueeze (H, [0]))       # Ys: float[T,1,B,6]
    Hs = Squeeze (Ys, [1])  H_T = Squeeze (Y_h, [0])

1. Cut the step at its activations (Sigmoid, Tanh, Relu). What is left between them is computed in float64
   with the activations as free inputs.
2. Measure. A value that is affine in the inputs and the state gives its weights away when it is evaluated at
   zero and at unit vectors; whether it *is* affine, random points show.
3. For each operator, try every assignment of the activations to the operator's gates, and keep the one whose
   equations hold on random numbers:

       RNN    h' = a                          a  affine
       GRU    h' = (1 - z) n + z h            z, r affine; n before or after the reset gate's product
       LSTM   c' = f c + i g,  h' = o a(c')   i, o, f, g affine

4. Accept it only if the whole Program with the operator gives the same results as before.

A loop that holds the states of rows that have ended is tried without that, and takes the lengths afterwards:
the input ``lengths`` is the graph's last one.

Gates in another order, packed or separate weights, ``n + z (h - n)``, missing biases: none of it matters.

Requires: every constant is an initializer of the graph; others would not be known to be constant.
Ensures: what comes in and goes out stays, as for every pass.

Source: the operators' equations, https://onnx.ai/onnx/operators (opset 14).
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from rnn_export.passes.contract import CONSTANTS_OUTSIDE, rewriting
from rnn_export.passes.lengths import give_lengths, release
from rnn_export.passes.operators.cells import Operator, propose
from rnn_export.passes.operators.step_function import ACTIVATIONS, Step
from rnn_export.program.agree import agree
from rnn_export.program.build import Builder, add_constant
from rnn_export.program.operator_facts import RECURRENT
from rnn_export.program.program import Program, name_apart
from rnn_export.program.scan import Scan, scans
from rnn_export.signature.tensors import Array


@rewriting(requires=[CONSTANTS_OUTSIDE])
def recognize(program: Program) -> bool:
    """Replace every loop that is one of the operators; leave the others as they are."""
    found, place = program, 0
    # each turn leaves a loop less, or one less to look at
    while place < len(scans(found.model.graph)):
        candidate = _with_operator(found, place)
        if candidate is not None and _accepted(found, candidate):
            found = candidate
        else:
            place += 1
    program.model.graph = found.model.graph  # a candidate that fails is thrown away: each is a copy
    return found is not program


def _accepted(program: Program, candidate: Program) -> bool:
    try:
        return agree(program, candidate)
    except Exception:  # a runtime that lacks the operator for this dtype has its own error for it
        return False


def _with_operator(program: Program, place: int) -> Program | None:
    """Give a Program with an operator in the place of one loop; ``None`` if no operator can be proposed."""
    program = program.copy()
    graph = program.model.graph
    scan = scans(graph)[place]
    _activate_parts(scan.body)
    # a step that holds states has a Where in it, which is no algebra: the operator does that by itself
    lengths = graph.inputs[-1] if release(scan) else None
    step, operator = _proposed(scan)
    if step is None or operator is None:
        return None
    node = _Replacement(graph, scan, step, operator).run()
    if lengths is not None:
        give_lengths(graph, node, lengths)
    name_apart(program.model)
    return program


def _proposed(scan: Scan) -> tuple[Step | None, Operator | None]:
    try:
        step = Step.cut(scan)
        return step, next(propose(step), None) if step else None
    except Exception:  # a step that cannot be evaluated by itself, on one time step, is none of the operators
        return None, None


def _activate_parts(body: ir.Graph) -> None:
    """Take one activation of several gates side by side apart: activate each part that is cut out of it.

    Each activation is taken for one gate; one for all of them would be a single, wider gate.
    """
    for node in list(body):
        readers = node.outputs[0].consumers()
        packed = node.op_type in ACTIVATIONS and not node.outputs[0].is_graph_output()
        if packed and readers and all(reader.op_type in ("Split", "Slice") for reader in readers):
            for reader in readers:
                _activate_after(body, node, reader)
            body.remove(node, safe=True)


def _activate_after(body: ir.Graph, activation: ir.Node, reader: ir.Node) -> None:
    """Cut first and activate then what a ``Split`` or ``Slice`` takes out of an activation."""
    reader.replace_input_with(0, activation.inputs[0])
    for part in [part for part in reader.outputs if part.uses() or part.is_graph_output()]:
        build = Builder()
        activated = build.emit(activation.op_type, [part], like=part)
        part.replace_all_uses_with(activated, replace_graph_outputs=True)
        build.nodes[0].replace_input_with(0, part)  # it has just become its own input
        body.insert_after(reader, build.nodes)


@dataclass
class _Replacement:
    """An operator that takes the place of a loop."""

    graph: ir.Graph
    scan: Scan
    step: Step
    operator: Operator

    def run(self) -> ir.Node:
        """Put the operator in the loop's place, and give it."""
        build, states = Builder(), self.operator.states
        directions = self._constant("axis", np.array([0]))
        rows = self._constant("axis", np.array([1]))
        starts = [build.emit("Unsqueeze", [self.scan.initial_states[k], directions]) for k in states]
        everything, *finals = self._emit(build, starts)
        node = build.nodes[-1]
        node.metadata_props.update(self.scan.node.metadata_props)
        last = {
            k: build.emit("Squeeze", [final, directions]) for k, final in zip(states, finals, strict=True)
        }
        sequences = [build.emit("Squeeze", [everything, rows]) for _ in self.scan.results]
        new, old = [*(last[k] for k in sorted(last)), *sequences], self.scan.node
        ir.convenience.replace_nodes_and_values(self.graph, old, [old], build.nodes, old.outputs, new)
        return node

    def _emit(self, build: Builder, starts: list[ir.Value]) -> list[ir.Value]:
        """Add the operator; give the outputs of all time steps and the final states."""
        gates, step = self.operator.gates, self.step
        biases = [*(gate.b for gate in gates), *self.operator.recurrent_biases]
        weights = [
            self._weight("W", np.concatenate([gate.W.T for gate in gates])),
            self._weight("R", np.concatenate([gate.R.T for gate in gates])),
            self._weight("B", np.concatenate(biases)),
        ]
        attributes: dict[str, object] = {
            "hidden_size": step.hidden,
            "direction": step.direction,
            **self.operator.attributes,
        }
        if self.operator.activations != RECURRENT[self.operator.op_type].activations:
            attributes["activations"] = list(self.operator.activations)  # some engines take the usual alone
        inputs = [step.source, *weights, None, *starts]
        return list(build.emit_several(self.operator.op_type, inputs, attributes, count=1 + len(starts)))

    def _weight(self, name: str, array: Array) -> ir.Value:
        """Give weights of the loop's dtype, with the axis of directions in front."""
        dtype = (self.step.source.dtype or ir.DataType.FLOAT).numpy()
        return self._constant(name, array[None].astype(dtype))

    def _constant(self, name: str, array: Array) -> ir.Value:
        return add_constant(self.graph, f"{self.operator.op_type}/{name}", array)
