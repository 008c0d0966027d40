"""A loop's step, cut at its activations: what is between them, computed in float64.

The activations become free inputs; so do the state and the sequence from which, by algebra, everything
follows that the loop reads::

    ps = MatMul (xs, W)                                                               # xs: float[T,B,4]
    H_T, Hs = Scan (H, ps) <body = step (float[B,6] H_s, float[B,6] p) => (H_t, H_t) {
        r = MatMul (H_s, R)  s = Add (p, r)  H_t = Tanh (s) }>

    step (double[1,B,4] x, double[B,6] state_0, double[B,6] activation_0) => (s, activation_0) {
        ps = MatMul (x, W)  p = Squeeze (ps, [0])  r = MatMul (state_0, R)  s = Add (p, r) }

Part of :mod:`rnn_export.passes.operators.recognize`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from rnn_export.program.build import Builder
from rnn_export.program.program import IR_VERSION, OPSET
from rnn_export.program.scan import Scan
from rnn_export.program.values import constant_ints, original
from rnn_export.signature.tensors import Array

ACTIVATIONS = ("Sigmoid", "Tanh", "Relu")
# What may stand between activations: operators that compute the same in float64.
ALGEBRA = frozenset(
    "Add Concat Div Gemm Identity MatMul Mul Neg Reshape Slice Split Squeeze Sub Transpose Unsqueeze".split()  # noqa: SIM905
)
DOUBLE = ir.TensorType(ir.DataType.DOUBLE)


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
    def cut(cls, scan: Scan) -> "Step | None":
        """Cut a loop, if it has the outer form of one of the operators."""
        source = _common_source(scan.sequences)
        activations = [node for node in scan.body if node.op_type in ACTIVATIONS]
        if source is None or not scan.leading or scan.direction is None:
            return None
        if not _is_algebra(scan, source) or not _has_one_width(scan, source, activations):
            return None
        model = _Cut(scan, source, activations).model()
        return cls(
            source,
            scan.direction,
            last_size(source) or 0,
            last_size(scan.states[0]) or 0,
            len(scan.states),
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


def _is_algebra(scan: Scan, source: ir.Value) -> bool:
    """Whether all between the source and the results is algebra and activations, and one value is given."""
    nodes = [*_between(source, scan.sequences), *scan.body]
    known = all(node.domain == "" and node.op_type in ALGEBRA | set(ACTIVATIONS) for node in nodes)
    return known and len({original(value) for value in scan.emitted}) <= 1


def _has_one_width(scan: Scan, source: ir.Value, activations: Sequence[ir.Node]) -> bool:
    """Whether one state or two are rows of the operators' hidden size, and all activations are as wide."""
    if len(scan.states) not in (1, 2) or last_size(source) is None:
        return False
    rows = all(state.shape is not None and len(state.shape) == 2 for state in scan.states)
    same_type = all(state.dtype == source.dtype for state in scan.states)
    widths = {last_size(value) for value in (*scan.states, *(node.outputs[0] for node in activations))}
    return rows and same_type and bool(activations) and len(widths) == 1 and None not in widths


@dataclass
class _Cut:
    """A step being copied into a model of its own, in float64, each activation an input."""

    scan: Scan
    source: ir.Value
    activations: list[ir.Node]
    build: Builder = field(default_factory=Builder)
    copies: dict[ir.Value, ir.Value] = field(default_factory=dict)  # of the values of the loop
    constants: list[ir.Value] = field(default_factory=list)

    def model(self) -> ir.Model:
        """Give the model: source, states and activations in; the activations' arguments, next states out."""
        free = [
            self._input(self.source, "x"),
            *(self._input(state, f"state_{k}") for k, state in enumerate(self.scan.states)),
            *(self._input(node.outputs[0], f"activation_{k}") for k, node in enumerate(self.activations)),
        ]
        for node in _between(self.source, self.scan.sequences):
            self._copy(node)
        axis = self._constant(np.array([0]))
        for element, sequence in zip(self.scan.elements, self.scan.sequences, strict=True):
            self.copies[element] = self.build.emit("Squeeze", [self._known(sequence), axis])
        for node in self.scan.body:
            if node not in self.activations:
                self._copy(node)
        wanted = [*(node.inputs[0] for node in self.activations), *self.scan.next_states]
        outputs = [self.build.emit("Identity", [self._known(value)]) for value in wanted]
        for output in outputs:
            output.type = DOUBLE
        opsets = {"": OPSET}
        graph = ir.Graph(
            free,
            outputs,
            nodes=self.build.nodes,
            initializers=self.constants,
            opset_imports=opsets,
            name="step",
        )
        return ir.Model(graph, ir_version=IR_VERSION)

    def _input(self, value: ir.Value, name: str) -> ir.Value:
        self.copies[value] = ir.Value(name=name, type=DOUBLE)
        return self.copies[value]

    def _constant(self, array: Array) -> ir.Value:
        value = ir.val(f"constant_{len(self.constants)}", const_value=ir.tensor(array))
        self.constants.append(value)
        return value

    def _known(self, value: ir.Value | None) -> ir.Value | None:
        """Give the copy of a value, a constant one in float64."""
        if value is not None and value not in self.copies:
            if value.const_value is None:
                raise KeyError(value.name)
            array = value.const_value.numpy()
            self.copies[value] = self._constant(
                array.astype(np.float64) if array.dtype.kind == "f" else array
            )
        return self.copies[value] if value is not None else None

    def _copy(self, node: ir.Node) -> None:
        outputs = self.build.copy(node, list(map(self._known, node.inputs)))
        self.copies.update(zip(node.outputs, outputs, strict=True))


def _common_source(sequences: Sequence[ir.Value]) -> ir.Value | None:
    """Find the sequence from which all that a loop reads follows by algebra, with one product at the most.

    Through one product, since the operators multiply what they read themselves; of a second one they would
    know nothing.
    """
    chains = [list(_chain(value)) for value in sequences]
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
    """Whether a node moves the time axis, turns it around, or cuts it."""
    order, source = node.attributes.get_ints("perm", None), node.inputs[0]
    if node.op_type == "Slice":
        axes = constant_ints(node.inputs[3]) if len(node.inputs) > 3 else None
        rank = len(source.shape) if source is not None and source.shape is not None else 1
        return axes is None or 0 in [axis % rank for axis in axes]
    return node.op_type == "Transpose" and (order is None or order[0] != 0)


def _between(source: ir.Value, sequences: Sequence[ir.Value]) -> list[ir.Node]:
    """List the nodes that lead from the source to the sequences, in their order."""
    found: dict[ir.Node, None] = {}
    for sequence in sequences:
        path: list[ir.Node] = []
        value: ir.Value | None = sequence
        while value is not None and value is not source and (node := value.producer()) is not None:
            path.append(node)
            value = next((a for a in node.inputs if a is not None and a.const_value is None), None)
        found.update(dict.fromkeys(reversed(path)))
    return list(found)


def last_size(value: ir.Value) -> int | None:
    """Give the size of the last axis, if it is known."""
    size = value.shape[-1] if value.shape is not None and len(value.shape) else None
    return size if isinstance(size, int) else None
