"""Draw the graph of a bundle's step: boxes and lines with their places, ready to be written as SVG."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import onnx
import onnx_ir as ir

from rnn_export.bundle.bundle import Bundle
from rnn_export.passes.operators.guard import unguarded
from rnn_export.report.graph import (
    INPUT,
    LOOPS,
    OPERATOR,
    OUTPUT,
    STATE,
    TURN,
    Diagram,
    Node,
    Value,
    Wire,
    read,
)
from rnn_export.report.layout import Edge, Point, arrange
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import StateSpec, TensorSpec

SHOWN = 1 << 10  # bytes of a tensor: of a larger one a picture shows the shape alone
CROWDED = 120  # operators; a picture of more is not looked at
TITLE, NAME, DETAIL = 7.3, 6.7, 6.1  # pixels a character
LINE, PADDING = 13.0, 9.0
NARROWEST, PORT = 52.0, 20.0
HEADER, EDGE, CHANNEL = 22.0, 14.0, 9.0  # over a loop's body, around it, between the lines that lead back


@dataclass(frozen=True)
class Box:
    """A box with its lines of text, as its node says; the caption of a loop begins at ``caption``."""

    x: float
    y: float
    width: float
    height: float
    node: Node
    caption: float = 0.0


@dataclass(frozen=True)
class Line:
    """A line through some points, with a tip at its end or without; ``back`` leads up."""

    points: tuple[Point, ...]
    on_path: bool
    tip: bool = True
    back: bool = False

    @property
    def path(self) -> str:
        """The line in SVG's words."""
        return angular(self.points) if self.back else curve(self.points)


@dataclass(frozen=True)
class Picture:
    """What is drawn, from the back to the front; ``places`` holds the boxes of the diagram's own nodes."""

    width: float
    height: float
    frames: tuple[Box, ...]
    lines: tuple[Line, ...]
    boxes: tuple[Box, ...]
    places: dict[str, Box]


@dataclass(frozen=True)
class StepGraph:
    """The picture of a bundle's step, from ``file``; none where there are too many ``operators``."""

    file: str
    operators: int
    picture: Picture | None
    collapsed: bool = False


def draw(bundle: Bundle) -> StepGraph:
    """Draw the form of the model that shows its step best: the one whose loops hold the recurrence alone."""
    file, model = _chosen(bundle)
    graph = onnx.shape_inference.infer_shapes(model).graph
    signature = bundle.signature
    inputs = [_value(spec) for spec in signature.arguments]
    outputs = [_value(spec, going_out=True) for spec in signature.results]
    pairs = [(number, number) for number in range(1, len(outputs))]
    diagram = read(graph, inputs, outputs, pairs)
    if diagram.operators <= CROWDED:
        return StepGraph(file, diagram.operators, _picture(diagram))
    small = diagram.collapsed()
    picture = _picture(small) if small.operators <= CROWDED else None
    return StepGraph(file, diagram.operators, picture, collapsed=True)


def _chosen(bundle: Bundle) -> tuple[str, onnx.ModelProto]:
    form = bundle.manifest.form
    wanted = ["model.onnx"] if form in ("scan", "step") else []
    wanted += ["variants/scan.onnx", "variants/step.onnx", "model.onnx", "variants/loop.onnx"]
    files = dict.fromkeys(file for file in wanted if file in bundle.manifest.files)
    opened = {file: _without_weights(bundle.folder / file) for file in files}
    models = {file: ir.to_proto(unguarded(ir.from_proto(model))) for file, model in opened.items()}
    for loop in LOOPS:
        for file, model in models.items():
            if any(node.op_type == loop for node in model.graph.node):
                return file, model
    return next(iter(models.items()))


def _without_weights(path: Path) -> onnx.ModelProto:
    """Read an ONNX file, its large tensors without their numbers: no picture shows them."""
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) > SHOWN:
            tensor.ClearField("raw_data")
    return model


def _value(spec: TensorSpec, *, going_out: bool = False) -> Value:
    short = str(spec).partition(" ")[2].replace(TIME, "T").replace(BATCH, "B")
    if not isinstance(spec, StateSpec):
        return Value(spec.name, spec.name, OUTPUT if going_out else INPUT, (f"{spec.dtype} {short}",))
    if going_out:
        return Value(spec.output_name, spec.output_name, STATE, (short,))
    start = f"starts at {spec.initial:g}" if isinstance(spec.initial, int | float) else "starts at a row"
    return Value(spec.name, spec.name, STATE, (short, start))


def _picture(diagram: Diagram) -> Picture:
    diagram = replace(diagram, nodes=_told(diagram))
    inside = {key: _picture(node.body) for key, node in diagram.nodes.items() if node.body}
    ports = _Ports(diagram, inside)
    sizes = {key: ports.size(key) for key in diagram.nodes}
    edges = [
        Edge(wire.source, wire.target, ports.leaves(wire), ports.arrives(wire)) for wire in diagram.wires
    ]
    last = [key for key in diagram.nodes if key.startswith("out ")]
    placed = arrange(sizes, edges, last=last)
    places = {key: Box(*placed.corners[key], *sizes[key], node) for key, node in diagram.nodes.items()}
    lines = [
        Line(tuple(route), wire.on_path, tip=isinstance(wire.place, int))
        for wire, route in zip(diagram.wires, placed.routes, strict=True)
    ]
    frames = []
    boxes = [box for key, box in places.items() if key not in inside]
    for key, body in inside.items():
        inner = _moved(body, places[key].x + ports.margin(key), places[key].y + ports.top(key))
        framed = replace(places[key], caption=places[key].x + ports.caption(key))
        used = {str(wire.slot) for wire in diagram.wires if wire.source == key}
        frames += [framed, *inner.frames]
        lines += [*inner.lines, *_borders(places[key], inner, used), *_back(places[key], inner)]
        boxes += inner.boxes
    return Picture(placed.width, placed.height, tuple(frames), tuple(lines), tuple(boxes), places)


class _Ports:
    """How large the boxes are, and where lines leave and reach them."""

    def __init__(self, diagram: Diagram, inside: dict[str, Picture]) -> None:
        self.nodes, self.inside = diagram.nodes, inside
        self.slots: dict[str, set[int]] = defaultdict(set)
        self.places: dict[str, set[int]] = defaultdict(set)
        for wire in diagram.wires:
            if isinstance(wire.slot, int):
                self.slots[wire.source].add(wire.slot)
            if isinstance(wire.place, int):
                self.places[wire.target].add(wire.place)

    def margin(self, key: str) -> float:
        """Give the room beside a loop's body for what leads back."""
        body = self.nodes[key].body
        return EDGE + CHANNEL * (len(body.states) if body else 0)

    def top(self, key: str) -> float:
        """Give the room above a loop's body."""
        return HEADER + self.margin(key)

    def caption(self, key: str) -> float:
        """Say where a loop's caption begins: beside all lines that come in, which would cross it."""
        lines = [self._end(key, inner, set()) for inner in self.inside[key].places if _comes_in(inner)]
        return max(lines, default=0.0) + PADDING

    def size(self, key: str) -> tuple[float, float]:
        """Give width and height of a box."""
        node = self.nodes[key]
        if key in self.inside:
            inner, margin = self.inside[key], self.margin(key)
            named = self.caption(key) + len(f"{node.title}: {node.details[0]}") * NAME + PADDING
            return max(inner.width + margin + EDGE, named), inner.height + HEADER + 2 * margin
        text = max([len(node.title) * TITLE, *(len(detail) * DETAIL for detail in node.details)])
        ends = max(len(self.slots[key]), len(self.places[key]))
        return max(NARROWEST, text + 2 * PADDING, ends * PORT), LINE * (1 + len(node.details)) + PADDING

    def leaves(self, wire: Wire) -> float:
        """Say where a line leaves its source."""
        return self._end(wire.source, wire.slot, self.slots[wire.source])

    def arrives(self, wire: Wire) -> float:
        """Say where a line reaches its target."""
        return self._end(wire.target, wire.place, self.places[wire.target])

    def _end(self, key: str, end: int | str, ends: set[int]) -> float:
        if isinstance(end, str):
            box = self.inside[key].places[end]
            return self.margin(key) + box.x + box.width / 2
        return self.size(key)[0] * (sorted(ends).index(end) + 1) / (len(ends) + 1)


def _comes_in(key: str) -> bool:
    """Whether something is what a loop's body takes."""
    return not key.startswith(("out ", "node "))


def _told(diagram: Diagram) -> dict[str, Node]:
    """Write to each operator the shape of what it gives, where it is not that of what it takes."""
    takes: dict[str, set[str]] = defaultdict(set)
    gives: dict[str, dict[str, None]] = defaultdict(dict)
    for wire in diagram.wires:
        takes[wire.target].add(wire.shape)
        gives[wire.source][wire.shape] = None
    nodes = {}
    for key, node in diagram.nodes.items():
        new = [f"→ {shape}" for shape in gives[key] if shape and shape not in takes[key]]
        detailed = node.kind == OPERATOR and new
        nodes[key] = replace(node, details=(*node.details, *new)) if detailed else node
    return nodes


def _borders(frame: Box, inner: Picture, used: set[str]) -> list[Line]:
    """Lead from a loop's border to what its body takes, and back out from what it gives."""
    lines = []
    for key, box in inner.places.items():
        middle = box.x + box.width / 2
        if key in used:
            points = ((middle, box.y + box.height), (middle, frame.y + frame.height))
            lines.append(Line(points, box.node.on_path, tip=False))
        elif _comes_in(key) and box.node.title != TURN:
            lines.append(Line(((middle, frame.y), (middle, box.y)), box.node.on_path))
    return lines


def _back(frame: Box, inner: Picture) -> list[Line]:
    """Lead each state of a loop from the end of a time step back to the start of the next."""
    body = frame.node.body
    lines = []
    for number, (start, end) in enumerate(body.states if body else ()):
        first, last = inner.places[start], inner.places[end]
        aside = CHANNEL * (number + 1)
        low, high = last.y + last.height + aside, first.y - aside
        side = frame.x + EDGE / 2 + aside - CHANNEL / 2
        x, to_x = last.x + last.width / 2 - PADDING, first.x + first.width / 2 - PADDING
        points = ((x, low - aside), (x, low), (side, low), (side, high), (to_x, high), (to_x, first.y))
        lines.append(Line(points, on_path=True, back=True))
    return lines


def curve(route: Sequence[Point]) -> str:
    """Write a line that leaves and reaches every point vertically.

    >>> curve([(0, 0), (0, 10), (8, 20)])
    'M0.0 0.0V10.0C0.0 15.0 8.0 15.0 8.0 20.0'
    """
    (x, y), *_ = route
    parts = [f"M{x:.1f} {y:.1f}"]
    for (x, y), (to_x, to_y) in pairwise(route):
        middle = (y + to_y) / 2
        straight = abs(to_x - x) < 0.05
        bent = f"C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {to_y:.1f}"
        parts += [] if straight and to_y - y < 0.05 else [f"V{to_y:.1f}" if straight else bent]
    return "".join(parts)


def angular(points: Sequence[Point]) -> str:
    """Write a line of straight pieces.

    >>> angular([(0, 0), (0, 10)])
    'M0.0 0.0L0.0 10.0'
    """
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _moved(picture: Picture, x: float, y: float) -> Picture:
    def box(old: Box) -> Box:
        return replace(old, x=old.x + x, y=old.y + y)

    def line(old: Line) -> Line:
        return replace(old, points=tuple((at + x, down + y) for at, down in old.points))

    return replace(
        picture,
        frames=tuple(map(box, picture.frames)),
        lines=tuple(map(line, picture.lines)),
        boxes=tuple(map(box, picture.boxes)),
        places={key: box(old) for key, old in picture.places.items()},
    )
