"""The graph of an ONNX file as a person wants to see it: operators and what flows between them.

Constants are not nodes but stand with the operator that uses them, by the name of their parameter;
``Identity`` is left out; the body of a loop is a diagram of its own inside of the loop's node.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import networkx as nx
import onnx

from rnn_export.program.scan import count_states
from rnn_export.signature.sizes import BATCH, TIME

LOOPS = ("Scan", "Loop")
OPERATOR, INPUT, STATE, OUTPUT, FRAME = "operator", "input", "state", "output", "frame"
LETTERS = {TIME: "T", BATCH: "B"}
INVENTED = "unk__"  # how a size begins that onnx's shape inference names, as nobody else has
HERE = "[t]"  # what a value in a loop is: the part of this time step
TURN = "t"  # the number of the time step, which a Loop counts
LONGEST = 22  # characters of a constant's name

Pair = tuple[int, int]


@dataclass(frozen=True)
class Node:
    """An operator, or a value that comes in or goes out.

    Attributes:
        title: the operator, or the value's name.
        kind: ``operator``, ``input``, ``state``, ``output`` or ``frame``, which is a loop.
        details: the constants it uses, or the value's shape.
        full: the same in full, for who points at it.
        body: what a loop does at each time step.
        on_path: whether the state goes through it.
    """

    title: str
    kind: str
    details: tuple[str, ...] = ()
    full: str = ""
    body: "Diagram | None" = None
    on_path: bool = False


@dataclass(frozen=True)
class Wire:
    """A value from one node to another.

    ``slot`` is the number of the source's output, ``place`` that of the target's input; where an end is a
    loop, the key of a node in its body.
    """

    source: str
    target: str
    slot: int | str
    place: int | str
    shape: str = ""
    on_path: bool = False


@dataclass(frozen=True)
class Diagram:
    """Nodes by key, what flows between them, and the pairs by which a state comes in and goes out."""

    nodes: dict[str, Node]
    wires: tuple[Wire, ...]
    states: tuple[tuple[str, str], ...] = ()

    @property
    def operators(self) -> int:
        """The number of operators, those in loops as well."""
        inside = sum(node.body.operators for node in self.nodes.values() if node.body)
        return inside + sum(node.kind in (OPERATOR, FRAME) for node in self.nodes.values())

    def collapsed(self) -> "Diagram":
        """Draw each loop as one operator."""
        nodes = {
            key: replace(node, kind=OPERATOR, body=None, details=(f"{node.body.operators} operators",))
            if node.body
            else node
            for key, node in self.nodes.items()
        }
        numbers: dict[tuple[str, str, int | str], int] = {}
        wires = tuple(
            replace(
                wire,
                slot=numbers.setdefault((wire.source, "out", wire.slot), len(numbers)),
                place=numbers.setdefault((wire.target, "in", wire.place), len(numbers)),
            )
            for wire in self.wires
        )
        return replace(self, nodes=nodes, wires=wires)


@dataclass(frozen=True)
class Value:
    """A value at the border of a graph, and what a person should read there."""

    name: str
    title: str
    kind: str
    details: tuple[str, ...] = ()


@dataclass
class _Reading:
    """A graph being read: which node gives which value, and which values are constants."""

    graph: onnx.GraphProto
    outside: dict[str, str]
    constants: dict[str, str] = field(default_factory=dict)
    same: dict[str, str] = field(default_factory=dict)
    made: dict[str, tuple[str, int | str]] = field(default_factory=dict)
    shapes: dict[str, str] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    wires: list[Wire] = field(default_factory=list)

    def origin(self, name: str) -> str:
        while name in self.same:
            name = self.same[name]
        return name

    def constant(self, name: str) -> str | None:
        return self.constants.get(name, self.outside.get(name))

    def connect(self, name: str, target: str, place: int | str) -> None:
        """Draw a value into a node, from what gives it; what comes from around the graph gets a node."""
        name = self.origin(name)
        if name not in self.made:
            key = f"around {name}"
            self.nodes = {key: Node(name, INPUT, full="the same at every time step"), **self.nodes}
            self.made[name] = (key, 0)
        source, slot = self.made[name]
        self.wires.append(Wire(source, target, slot, place, self.shapes.get(name, "")))


def read(
    graph: onnx.GraphProto, inputs: Sequence[Value], outputs: Sequence[Value], states: Sequence[Pair]
) -> Diagram:
    """Read a graph; ``states`` pairs the numbers of inputs with those of outputs."""
    return _mark(_read(graph, inputs, outputs, states, {}))


def _read(
    graph: onnx.GraphProto,
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    states: Sequence[Pair],
    outside: dict[str, str],
) -> Diagram:
    reading = _Reading(graph, outside)
    reading.constants |= {tensor.name: _describe(tensor.name, tensor) for tensor in graph.initializer}
    reading.shapes = {info.name: _shape(info) for info in (*graph.input, *graph.value_info, *graph.output)}
    for number, value in enumerate(inputs):
        key = f"in {number}"
        reading.nodes[key] = Node(value.title, value.kind, value.details)
        reading.made[value.name] = (key, 0)
    for number, node in enumerate(graph.node):
        _read_node(reading, node, f"node {number}")
    for number, value in enumerate(outputs):
        if reading.constant(reading.origin(value.name)) is None:
            reading.nodes[f"out {number}"] = Node(value.title, value.kind, value.details)
            reading.connect(value.name, f"out {number}", 0)
    used = {end for wire in reading.wires for end in (wire.source, wire.target)}
    nodes = {key: node for key, node in reading.nodes.items() if key in used}
    pairs = ((f"in {start}", f"out {end}") for start, end in states)
    return Diagram(nodes, tuple(reading.wires), tuple(pair for pair in pairs if {*pair} <= used))


def _read_node(reading: _Reading, node: onnx.NodeProto, key: str) -> None:
    bodies = [attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH]
    used = [name for name in node.input if name]
    if node.op_type == "Identity":
        reading.same[node.output[0]] = node.input[0]
    if not bodies and all(reading.constant(reading.origin(name)) is not None for name in used):
        values = [a.t for a in node.attribute if a.type == onnx.AttributeProto.TENSOR]
        text = _describe("", values[0]) if node.op_type == "Constant" and values else ""
        reading.constants |= dict.fromkeys(node.output, text)
        return
    if node.op_type == "Identity":
        return
    if node.op_type in LOOPS:
        _read_loop(reading, node, bodies[0], key)
        return
    constants = [reading.constant(reading.origin(name)) for name in used]
    full = [text for text in constants if text]
    reading.nodes[key] = Node(
        node.op_type, OPERATOR, tuple(map(_shortened, full)), ", ".join([node.op_type, *full])
    )
    captured = [name for body in bodies for name in _free(body) if reading.origin(name) in reading.made]
    varying = [name for name, constant in zip(used, constants, strict=True) if constant is None]
    for place, name in enumerate([*varying, *captured]):
        reading.connect(name, key, place)
    reading.made |= {name: (key, slot) for slot, name in enumerate(node.output) if name}


def _read_loop(reading: _Reading, node: onnx.NodeProto, body: onnx.GraphProto, key: str) -> None:
    """Read a loop: what its body takes at each time step, and what of it is handed on to the next."""
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    is_scan = node.op_type == "Scan"
    ahead = 0 if is_scan else 2  # a Loop's number of turns, and whether it goes on
    carried = count_states(node) if is_scan else len(node.input) - ahead
    taken = [_border(reading, node, body, number, ahead, carried) for number in range(len(body.input))]
    given = [
        Value(value.name, taken[ahead + number].title, taken[ahead + number].kind)
        if number < carried
        else Value(value.name, HERE, OUTPUT)
        for number, value in enumerate(list(body.output)[0 if is_scan else 1 :])
    ]
    states = [(ahead + number, number) for number in range(carried) if given[number].kind == STATE]
    diagram = _read(body, taken, given, states, {**reading.outside, **reading.constants})
    back = 1 in attributes.get("scan_input_directions", [])
    way = "every step, backwards" if back else "every step"
    reading.nodes[key] = Node(node.op_type, FRAME, (way,), f"{node.op_type}: {way}", diagram)
    arriving = {f"in {number}": name for number, name in enumerate(node.input) if number >= ahead and name}
    arriving |= {inner: inner.removeprefix("around ") for inner in diagram.nodes if "around " in inner}
    for inner, name in arriving.items():
        if inner in diagram.nodes and reading.constant(reading.origin(name)) is None:
            reading.connect(name, key, inner)
    for slot, name in enumerate(node.output):
        if name:
            reading.made[name] = (key, f"out {slot}")


def _border(
    reading: _Reading, node: onnx.NodeProto, body: onnx.GraphProto, number: int, ahead: int, carried: int
) -> Value:
    """Name what a loop's body takes: a state, the part of a sequence, or a Loop's own number of the turn."""
    name = body.input[number].name
    if number < ahead:
        return Value(name, TURN, INPUT)
    source, _ = reading.made.get(reading.origin(node.input[number]), ("", 0))
    title = reading.nodes[source].title if source.startswith("in ") else ""
    if number >= ahead + carried:
        return Value(name, f"{title}{HERE}", INPUT)
    if body.input[number].type.WhichOneof("value") != "tensor_type":
        return Value(name, "sequence", INPUT)
    return Value(name, title or "state", STATE)


def _free(graph: onnx.GraphProto) -> Iterator[str]:
    """List what a graph reads from around it."""
    own = {value.name for value in (*graph.input, *graph.initializer)}
    for node in graph.node:
        bodies = [a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
        inner = (name for body in bodies for name in _free(body))
        yield from dict.fromkeys(name for name in (*node.input, *inner) if name and name not in own)
        own |= {*node.output}


def _shape(info: onnx.ValueInfoProto) -> str:
    if not info.type.tensor_type.HasField("shape"):
        return ""
    sizes = (axis.dim_param or str(axis.dim_value) for axis in info.type.tensor_type.shape.dim)
    shown = ("?" if size.startswith(INVENTED) else LETTERS.get(size, size) for size in sizes)
    return f"[{', '.join(shown)}]"


def _describe(name: str, tensor: onnx.TensorProto) -> str:
    """Say what a constant is: a parameter's name and shape, or the number; axes and sizes go without."""
    if tensor.data_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
        return ""
    if not tensor.dims:
        return f"{onnx.numpy_helper.to_array(tensor).item():.4g}"
    return f"{_called(name)} [{', '.join(map(str, tensor.dims))}]".strip()


def _called(name: str) -> str:
    """Give the names of weights that stand side by side, without those of their modules.

    >>> _called("cell.W_xz^T+cell.W_hz^T"), _called("from(cell.b_ih+cell.b_hh, scale)")
    ('W_xz^T, W_hz^T', 'from(b_ih+b_hh, scale)')
    """
    beside = re.sub(r"\+(?![^()]*\))", ", ", name)
    return re.sub(r"[^\s(,+]*\.", "", beside)


def _shortened(text: str) -> str:
    name, bracket, shape = text.partition(" [")
    return (name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…") + bracket + shape


def _mark(diagram: Diagram) -> Diagram:
    """Mark what the state goes through: all that lies on a way from where it comes in to its end."""
    graph = nx.MultiDiGraph((wire.source, wire.target) for wire in diagram.wires)
    # In a loop every state may feed every other one; around it each keeps its own way.
    inside = not any(node.body for node in diagram.nodes.values())
    groups: Iterable[Sequence[tuple[str, str]]] = (
        [diagram.states] if inside else [[pair] for pair in diagram.states]
    )
    reached = [
        _between(graph, [start for start, _ in group], [end for _, end in group]) for group in groups if group
    ]
    nodes = {
        key: replace(
            node,
            body=node.body and _mark(node.body),
            on_path=any(key in nodes for nodes in reached),
        )
        for key, node in diagram.nodes.items()
    }
    wires = tuple(
        replace(wire, on_path=any(wire.source in way and wire.target in way for way in reached))
        for wire in diagram.wires
    )
    return replace(diagram, nodes=nodes, wires=wires)


def _between(graph: Any, starts: Sequence[str], ends: Sequence[str]) -> set[str]:
    after = {node for start in starts for node in (start, *nx.descendants(graph, start))}
    before = {node for end in ends for node in (end, *nx.ancestors(graph, end))}
    return after & before
