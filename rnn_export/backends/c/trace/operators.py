"""ONNX's ``RNN``, ``GRU`` and ``LSTM`` as ``Scan``, one for each direction: but one kind of loop is left.

The equations are the operators' own, in their symbols; ``x W`` and ``h R`` are products with the transposed
weights of a gate, ``b = Wb + Rb`` its biases, and ``f``, ``g``, ``h`` the activations::

    RNN    H = f(x Wi + h Ri + b)
    GRU    z, r = f(x W + h R + b)
           n = g(x Wh + (r h) Rh + b)             or, with linear_before_reset, g(x Wh + r (h Rh + Rb) + Wb)
           H = (1 - z) n + z h
    LSTM   i, f = f(x W + h R + P c + b)          or, with input_forget, f = 1 - i
           C = f c + i g(x Wc + h Rc + b)
           o = f(x Wo + h Ro + Po C + b)
           H = o h(C)

With ``clip``, the arguments of ``f`` and ``g`` are bounded; that of ``h`` is not, as in ONNX Runtime.

Rows that end apart: behind its end a row keeps its state, and its outputs are zero; in the other direction it
begins there. With the lengths of the call, C runs each row alone, over its own time steps: nothing is needed.

Source: https://onnx.ai/onnx/operators (opset 14).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from rnn_export.backends.c.trace.nodes import where
from rnn_export.errors import CompileError
from rnn_export.program.build import Builder, add_constant
from rnn_export.program.operator_facts import RECURRENT, RECURRENT_INPUTS, Recurrent, int_of, text_of
from rnn_export.program.program import Program
from rnn_export.program.scan import Scan
from rnn_export.program.values import constant_value
from rnn_export.signature.tensors import LENGTHS, Array

DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
# The functions that an activation may be, with what ``alpha`` and ``beta`` are unless they are given.
ACTIVATIONS: dict[str, dict[str, float]] = {
    "Affine": {"alpha": 1.0, "beta": 0.0},
    "Elu": {"alpha": 1.0},
    "HardSigmoid": {"alpha": 0.2, "beta": 0.5},
    "LeakyRelu": {"alpha": 0.01},
    "Relu": {},
    "ScaledTanh": {"alpha": 1.0, "beta": 1.0},
    "Sigmoid": {},
    "Softplus": {},
    "Softsign": {},
    "Tanh": {},
    "ThresholdedRelu": {"alpha": 1.0},
}


@dataclass(frozen=True)
class Activation:
    """A function and its parameters."""

    kind: str
    parameters: dict[str, float]


@dataclass
class Cell:
    """The step of one direction, being written; ``weights`` are its own, by the name of the input."""

    node: ir.Node
    graph: ir.Graph
    prefix: str
    gates: str
    weights: dict[str, Array]
    activations: list[Activation]
    hidden: int
    build: Builder = field(default_factory=Builder)

    def emit(self, op: str, *inputs: ir.Value, **attributes: object) -> ir.Value:
        """Add a node."""
        return self.build.emit(op, inputs, attributes)

    def number(self, value: float) -> ir.Value:
        """Give a single number."""
        return self.constant("number", np.array(value))

    def constant(self, name: str, array: Array) -> ir.Value:
        """Give constant numbers of the operator's type."""
        return add_constant(self.graph, f"{self.prefix}/{name}", array.astype(self.weights["W"].dtype))

    def product(self, name: str, gate: str, value: ir.Value, bias: ir.Value | None = None) -> ir.Value:
        """Multiply with the weights ``W`` or ``R`` of a gate, and add its bias."""
        place = self.gates.index(gate)
        rows = slice(place * self.hidden, (place + 1) * self.hidden)
        biases = self.weights["B"].reshape(2, -1)["WR".index(name), rows]
        product = self.emit("MatMul", value, self.constant(f"{name}_{gate}", self.weights[name][rows].T))
        return self.emit("Add", product, self.constant(f"{name}b_{gate}", biases))

    def gate(self, gate: str, x: ir.Value, h: ir.Value) -> ir.Value:
        """Give ``x W + h R + Wb + Rb`` of a gate."""
        return self.emit("Add", self.product("W", gate, x), self.product("R", gate, h))

    def peep(self, gate: str, value: ir.Value, c: ir.Value) -> ir.Value:
        """Add ``P c`` of a gate, if the operator looks at its cell."""
        if "P" not in self.weights:
            return value
        part = self.weights["P"].reshape(3, -1)["iof".index(gate)]
        return self.emit("Add", value, self.emit("Mul", c, self.constant(f"P_{gate}", part)))

    def squash(self, place: int, value: ir.Value) -> ir.Value:
        """Clip a gate, if the operator says so, and activate it."""
        clip = self.node.attributes.get_float("clip", 0.0)
        if clip:
            value = self.emit("Clip", value, self.number(-clip), self.number(clip))
        return self.activate(place, value)

    def activate(self, place: int, value: ir.Value) -> ir.Value:
        """Apply one of the activations."""
        kind, parameters = self.activations[place].kind, self.activations[place].parameters
        alpha, beta = (parameters.get(name, 0.0) for name in ("alpha", "beta"))
        if kind == "Affine":
            return self.emit("Add", self.emit("Mul", value, self.number(alpha)), self.number(beta))
        if kind == "ScaledTanh":
            inner = self.emit("Tanh", self.emit("Mul", value, self.number(beta)))
            return self.emit("Mul", inner, self.number(alpha))
        return self.emit(kind, value, **parameters)

    def rest(self, value: ir.Value) -> ir.Value:
        """Give ``1 - value``."""
        return self.emit("Sub", self.number(1.0), value)


def _rnn(cell: Cell, x: ir.Value, h: ir.Value) -> list[ir.Value]:
    return [cell.squash(0, cell.gate("i", x, h))]


def _gru(cell: Cell, x: ir.Value, h: ir.Value) -> list[ir.Value]:
    z, r = (cell.squash(0, cell.gate(gate, x, h)) for gate in "zr")
    if int_of(cell.node, "linear_before_reset"):
        reset = cell.emit("Mul", r, cell.product("R", "h", h))
    else:
        reset = cell.product("R", "h", cell.emit("Mul", r, h))
    n = cell.squash(1, cell.emit("Add", cell.product("W", "h", x), reset))
    return [cell.emit("Add", cell.emit("Mul", cell.rest(z), n), cell.emit("Mul", z, h))]


def _lstm(cell: Cell, x: ir.Value, h: ir.Value, c: ir.Value) -> list[ir.Value]:
    i = cell.squash(0, cell.peep("i", cell.gate("i", x, h), c))
    if int_of(cell.node, "input_forget"):
        f = cell.rest(i)
    else:
        f = cell.squash(0, cell.peep("f", cell.gate("f", x, h), c))
    g = cell.squash(1, cell.gate("c", x, h))
    following = cell.emit("Add", cell.emit("Mul", f, c), cell.emit("Mul", i, g))
    o = cell.squash(0, cell.peep("o", cell.gate("o", x, h), following))
    return [cell.emit("Mul", o, cell.activate(2, following)), following]


STEPS: dict[str, Callable[..., list[ir.Value]]] = {"RNN": _rnn, "GRU": _gru, "LSTM": _lstm}


def expand(program: Program) -> Program:
    """Write every recurrent operator of the graph as a ``Scan``, or as two.

    Raises:
        CompileError: an operator has computed weights, lengths of its own, or another layout.
    """
    nodes = [node for node in program.model.graph if node.op_type in STEPS]
    if not nodes:
        return program
    program = program.copy()
    for node in [node for node in program.model.graph if node.op_type in STEPS]:
        try:
            _check(node)
            _replace(program.model.graph, node, _lengths(program, node))
        except CompileError as error:
            raise CompileError(f"{where(node)}: {error}", located=True) from error
    common.RemoveUnusedNodesPass()(program.model)
    return program


def _check(node: ir.Node) -> None:
    """Refuse what is not one loop over all time steps of a row."""
    if int_of(node, "layout"):
        raise CompileError("expected layout 0, time in front, got layout 1. Transpose its inputs instead.")
    way = text_of(node, "direction")
    if way not in DIRECTIONS:
        raise CompileError(f"expected a direction of {', '.join(DIRECTIONS)}, got {way!r}")


def _lengths(program: Program, node: ir.Node) -> ir.Value | None:
    """Give the lengths of an operator's rows, unless there are none or they are those of the call."""
    given = _inputs(node).get("sequence_lens")
    lengths = None if given is None else _unconverted(given)
    told = program.signature is not None and program.signature.lengths
    calls = lengths in program.model.graph.inputs and lengths.name == LENGTHS.name if lengths else False
    return None if told and calls else lengths


def _unconverted(lengths: ir.Value) -> ir.Value:
    """Give what lengths were before they became the operator's int32."""
    cast = lengths.producer()
    converted = cast is not None and cast.op_type == "Cast" and cast.inputs[0]
    return converted or lengths


def _inputs(node: ir.Node) -> dict[str, ir.Value]:
    """Give the inputs that are not left out, by name; only one of the operators has the last two."""
    return {
        name: value for name, value in zip(RECURRENT_INPUTS, node.inputs, strict=False) if value is not None
    }


def _weights(node: ir.Node, kind: Recurrent, directions: int) -> list[dict[str, Array]]:
    """Give the weights of each direction; missing biases are zero."""
    found: dict[str, Array] = {}
    for name, value in _inputs(node).items():
        if name in ("W", "R", "B", "P"):
            array = constant_value(value)
            if array is None:
                raise CompileError(f"its weight {name} is computed; C is written for constant weights")
            found[name] = array
    zeros = np.zeros((directions, 2 * len(kind.gates) * found["R"].shape[-1]), found["R"].dtype)
    found.setdefault("B", zeros)
    return [{name: array[number] for name, array in found.items()} for number in range(directions)]


def _activations(node: ir.Node, kind: Recurrent, directions: int) -> list[list[Activation]]:
    """Give the activations of each direction; each takes what it needs of the parameters, in order."""
    names = node.attributes.get_strings("activations", kind.activations * directions)
    count = len(kind.activations)
    if len(names) != count * directions:
        raise CompileError(f"expected {count * directions} activations, got {len(names)}")
    given = {name: iter(node.attributes.get_floats(f"activation_{name}", ())) for name in ("alpha", "beta")}
    found = [_activation(name, given) for name in names]
    return [found[start : start + count] for start in range(0, len(found), count)]


def _activation(name: str, given: dict[str, Iterator[float]]) -> Activation:
    kind = next((known for known in ACTIVATIONS if known.lower() == name.lower()), None)
    if kind is None:
        raise CompileError(f"expected an activation of {', '.join(ACTIVATIONS)}, got the activation {name!r}")
    defaults = ACTIVATIONS[kind].items()
    return Activation(kind, {parameter: next(given[parameter], default) for parameter, default in defaults})


def _replace(graph: ir.Graph, node: ir.Node, lengths: ir.Value | None) -> None:
    """Put the loops in an operator's place."""
    kind = RECURRENT[node.op_type]
    ways = DIRECTIONS[text_of(node, "direction")]
    weights = _weights(node, kind, len(ways))
    activations = _activations(node, kind, len(ways))
    prefix = next(str(value.name) for value in node.outputs if value.name)
    outer, results = Builder(), []
    there = _there(graph, outer, node, lengths, prefix) if lengths is not None else None
    for number, reverse in enumerate(ways):
        stem = f"{prefix}/backward" if number else prefix
        hidden = weights[number]["R"].shape[-1]
        cell = Cell(node, graph, stem, kind.gates, weights[number], activations[number], hidden)
        starts = [_start(outer, cell, f"initial_{name}", number) for name in kind.states]
        results.append(_scan(outer, cell, starts, reverse, there))
    everything, *finals = zip(*results, strict=True)
    new = [_beside(outer, everything, 1), *(_beside(outer, final, 0) for final in finals)]
    _name(outer.nodes, prefix, node)
    pairs = [(old, value) for old, value in zip(node.outputs, new, strict=False) if old.name]
    ir.convenience.replace_nodes_and_values(
        graph, node, [node], outer.nodes, [old for old, _ in pairs], [value for _, value in pairs]
    )


def _start(outer: Builder, cell: Cell, name: str, number: int) -> ir.Value:
    """Give the first state of one direction, ``[B, H]``: zeros unless the operator has another."""
    given = _inputs(cell.node)
    if name in given:
        place = add_constant(cell.graph, f"{cell.prefix}/direction", np.array(number))
        return outer.emit("Gather", [given[name], place], {"axis": 0})
    rows = outer.emit("Shape", [given["X"]], {"start": 1, "end": 2})
    units = add_constant(cell.graph, f"{cell.prefix}/units", np.array([cell.hidden]))
    return outer.emit("Expand", [cell.number(0.0), outer.emit("Concat", [rows, units], {"axis": 0})])


def _there(graph: ir.Graph, outer: Builder, node: ir.Node, lengths: ir.Value, prefix: str) -> ir.Value:
    """Say of every row at which time steps it has not ended: ``[T, B, 1]``."""
    zero, one = (
        add_constant(graph, f"{prefix}/{name}", np.array(k)) for name, k in (("zero", 0), ("one", 1))
    )
    size = outer.emit("Shape", [node.inputs[0]], {"start": 0, "end": 1})
    steps = outer.emit("Range", [zero, outer.emit("Squeeze", [size]), one])
    apart = outer.emit("Unsqueeze", [steps, outer.constant([1])])
    ends = outer.emit("Cast", [lengths], {"to": ir.DataType.INT64})
    before = outer.emit("Less", [apart, outer.emit("Unsqueeze", [ends, outer.constant([0])])])
    return outer.emit("Unsqueeze", [before, outer.constant([2])])


def _scan(
    outer: Builder, cell: Cell, starts: Sequence[ir.Value], reverse: bool, there: ir.Value | None
) -> list[ir.Value]:
    """Run the step over time; give the outputs ``[T, B, H]`` and the last states ``[B, H]``."""
    source = cell.node.inputs[0]
    assert source is not None
    before = [ir.Value(name=f"{cell.prefix}/{name}", type=source.type) for name in "hc"[: len(starts)]]
    x = ir.Value(name=f"{cell.prefix}/x", type=source.type)
    after = STEPS[cell.node.op_type](cell, x, *before)
    sequences, elements = [source], [x]
    if there is None:
        emitted = cell.emit("Identity", after[0])  # a state and an output of a body are two values
    else:
        now = ir.Value(name=f"{cell.prefix}/there", type=ir.TensorType(ir.DataType.BOOL))
        sequences, elements = [source, there], [x, now]
        after = [cell.emit("Where", now, new, old) for new, old in zip(after, before, strict=True)]
        emitted = cell.emit("Where", now, after[0], cell.number(0.0))
    _name(cell.build.nodes, f"{cell.prefix}/step", cell.node)
    body = ir.Graph([*before, *elements], [*after, emitted], nodes=cell.build.nodes, name="step")
    scan = Scan.build(body, starts, sequences, [int(reverse)] * len(sequences), [int(reverse)])
    outer.nodes.append(scan.node)
    return [*scan.results, *scan.final_states]


def _beside(outer: Builder, parts: Sequence[ir.Value], axis: int) -> ir.Value:
    """Put the directions on an axis of their own."""
    wide = [outer.emit("Unsqueeze", [part, outer.constant([axis])]) for part in parts]
    return outer.emit("Concat", wide, {"axis": axis})


def _name(nodes: Sequence[ir.Node], prefix: str, origin: ir.Node) -> None:
    """Name nodes and what they make after the operator, and let them tell the line it comes from."""
    for number, node in enumerate(nodes):
        node.name = f"{prefix}/{node.op_type}_{number}"
        node.metadata_props.update(origin.metadata_props)
        for place, value in enumerate(node.outputs):
            value.name = f"{node.name}_{place}" if place else node.name
