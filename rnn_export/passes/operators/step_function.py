"""A loop's step, cut at its activations: what is between them, computed in float64.

Part of :mod:`rnn_export.passes.operators.recognize`. The activations become free inputs; so do the state and
the sequence from which, by algebra, everything follows that the loop reads.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from rnn_export.program.program import IR_VERSION, OPSET
from rnn_export.signature.signature import Array

ACTIVATIONS = ("Sigmoid", "Tanh", "Relu")
# What may stand between activations: operators that compute the same in float64.
ALGEBRA = frozenset(
    "Add Concat Div Gemm Identity MatMul Mul Neg Reshape Slice Split Squeeze Sub Transpose Unsqueeze".split()  # noqa: SIM905
)


@dataclass(frozen=True)
class Step:
    """A loop's step in float64, its activations free: ``call(x, states, activations)`` gives what they are
    computed from, and the next states.
    """

    source: ir.Value  # the sequence that the step reads
    direction: str  # "forward", or "reverse" from the last time step to the first
    size: int  # of its last axis
    hidden: int
    states: int
    kinds: tuple[str, ...]  # the activations, in the order of the step
    evaluator: ReferenceEvaluator

    @classmethod
    def cut(cls, scan: ir.Node) -> "Step | None":
        """Cut a ``Scan``, if it has the outer form of one of the operators."""
        direction = _direction(scan)
        body = scan.attributes["body"].as_graph()
        count = len(scan.inputs) - scan.attributes["num_scan_inputs"].as_int()
        sequences = list(scan.inputs[count:])
        source = _common_source(sequences)
        sizes = [last_size(value) for value in (*body.inputs[:count], *([source] if source else []))]
        flat = all(value.shape is not None and len(value.shape) == 2 for value in body.inputs[:count])
        emitted = {_root(value) for value in body.outputs[count:]}
        nodes = [*_between(source, sequences), *body] if source else []
        known = all(node.domain == "" and node.op_type in ALGEBRA | set(ACTIVATIONS) for node in nodes)
        if (
            source is None
            or not flat
            or not known
            or count not in (1, 2)
            or None in sizes
            or len(emitted) > 1
            or direction is None
        ):
            return None
        if len(set(sizes[:count])) > 1:
            return None
        activations = [node for node in body if node.op_type in ACTIVATIONS]
        floats = all(value.dtype == source.dtype for value in body.inputs[:count])
        widths = {last_size(node.outputs[0]) for node in activations}
        if widths != {sizes[0]} or not floats:
            return None
        model = _cut_model(scan, source, activations)
        return cls(
            source,
            direction,
            int(sizes[-1] or 0),
            int(sizes[0] or 0),
            count,
            tuple(node.op_type for node in activations),
            ReferenceEvaluator(ir.to_proto(model)),
        )

    def call(
        self, x: Array, states: Sequence[Array], activations: Sequence[Array]
    ) -> tuple[list[Array], list[Array]]:
        """Compute the arguments of the activations, and the next states, for rows of numbers."""
        feeds: dict[str, Any] = {"x": x[None]}
        feeds |= {f"state_{k}": state for k, state in enumerate(states)}
        feeds |= {f"activation_{k}": activation for k, activation in enumerate(activations)}
        results = [np.asarray(result) for result in self.evaluator.run(None, feeds)]
        return results[: len(self.kinds)], results[len(self.kinds) :]


def _direction(scan: ir.Node) -> str | None:
    """Say which way a loop goes over the leading axes of all sequences; ``None`` if it mixes ways or axes."""
    sequences = scan.attributes["num_scan_inputs"].as_int()
    ways: set[int] = set()
    for side, count in (("input", sequences), ("output", len(scan.outputs) - len(scan.inputs) + sequences)):
        if any(scan.attributes.get_ints(f"scan_{side}_axes", [])):
            return None
        ways |= set(scan.attributes.get_ints(f"scan_{side}_directions", [0] * count))
    return "forward" if ways == {0} else "reverse" if ways == {1} else None


def _cut_model(scan: ir.Node, source: ir.Value, activations: list[ir.Node]) -> ir.Model:
    """Copy the step into a model of its own, in float64, each activation an input."""
    body = scan.attributes["body"].as_graph()
    count = len(scan.inputs) - scan.attributes["num_scan_inputs"].as_int()
    double = ir.TensorType(ir.DataType.DOUBLE)
    inside: dict[ir.Value, ir.Value] = {source: ir.Value(name="x", type=double)}
    inputs = [inside[source]]
    for number, state in enumerate(body.inputs[:count]):
        inside[state] = ir.Value(name=f"state_{number}", type=double)
        inputs.append(inside[state])
    for number, node in enumerate(activations):
        inside[node.outputs[0]] = ir.Value(name=f"activation_{number}", type=double)
        inputs.append(inside[node.outputs[0]])
    constants: list[ir.Value] = []
    nodes: list[ir.Node] = []

    def known(value: ir.Value | None) -> ir.Value | None:
        if value is not None and value not in inside:
            if value.const_value is None:
                raise KeyError(value.name)
            array = value.const_value.numpy()
            wide = array.astype(np.float64) if array.dtype.kind == "f" else array
            inside[value] = ir.val(f"constant_{len(constants)}", const_value=ir.tensor(wide))
            constants.append(inside[value])
        return inside[value] if value is not None else None

    def copy(node: ir.Node) -> None:
        twin = ir.Node(
            "",
            node.op_type,
            list(map(known, node.inputs)),
            list(node.attributes.values()),
            num_outputs=len(node.outputs),
        )
        nodes.append(twin)
        inside.update(zip(node.outputs, twin.outputs, strict=True))

    for node in _between(source, list(scan.inputs[count:])):
        copy(node)
    for inner, outer in zip(body.inputs[count:], scan.inputs[count:], strict=True):
        first = ir.val("axis_0", const_value=ir.tensor(np.array([0])))
        constants.extend([first] if first.name not in {value.name for value in constants} else [])
        axis = next(value for value in constants if value.name == "axis_0")
        squeezed = ir.node("Squeeze", [known(outer), axis])
        nodes.append(squeezed)
        inside[inner] = squeezed.outputs[0]
    for node in body:
        if node not in activations:
            copy(node)
    outputs = []
    for value in (*(node.inputs[0] for node in activations), *body.outputs[:count]):
        identity = ir.node("Identity", [known(value)])
        identity.outputs[0].type = double
        nodes.append(identity)
        outputs.append(identity.outputs[0])
    graph = ir.Graph(
        inputs, outputs, nodes=nodes, initializers=constants, opset_imports={"": OPSET}, name="step"
    )
    return ir.Model(graph, ir_version=IR_VERSION)


def _common_source(sequences: Sequence[ir.Value | None]) -> ir.Value | None:
    """Find the sequence from which all that a loop reads follows by algebra, with one product at the most."""
    chains = [list(_chain(value)) for value in sequences if value is not None]
    everywhere = (value for value in (chains[0] if chains else ()) if all(value in chain for chain in chains))
    return next((value for value in everywhere if value.shape is not None and len(value.shape) == 3), None)


def _chain(value: ir.Value) -> Iterator[ir.Value]:
    """Walk from a value to what it is computed from, the last step first, through one product."""
    deepest: list[ir.Value] = [value]
    products = 0
    while (node := value.producer()) is not None and node.op_type in ALGEBRA and products < 1:
        arguments = [
            argument for argument in node.inputs if argument is not None and argument.const_value is None
        ]
        if len(arguments) != 1 or _moves_time(node):
            break
        products += node.op_type in ("MatMul", "Gemm")
        value = arguments[0]
        deepest.append(value)
    yield from reversed(deepest)


def _moves_time(node: ir.Node) -> bool:
    order = node.attributes.get_ints("perm", None)
    return node.op_type == "Transpose" and (order is None or order[0] != 0)


def _between(source: ir.Value | None, sequences: Sequence[ir.Value | None]) -> list[ir.Node]:
    """List the nodes that lead from the source to the sequences, in their order."""
    found: dict[ir.Node, None] = {}
    for sequence in sequences:
        path, value = [], sequence
        while value is not None and value is not source and (node := value.producer()) is not None:
            path.append(node)
            value = next((a for a in node.inputs if a is not None and a.const_value is None), None)
        found.update(dict.fromkeys(reversed(path)))
    return list(found)


def _root(value: ir.Value) -> ir.Value:
    node = value.producer()
    return (
        _root(node.inputs[0]) if node is not None and node.op_type == "Identity" and node.inputs[0] else value
    )


def last_size(value: ir.Value) -> int | None:
    """Give the size of the last axis, if it is known."""
    size = value.shape[-1] if value.shape is not None and len(value.shape) else None
    return size if isinstance(size, int) else None
