"""A list of tensors that all look alike is one tensor.

Part of :mod:`rnn_export.capture.onnx_file.reader`. ``ConcatFromSequence``, ``SequenceAt`` and
``SequenceLength`` of such a list become ordinary operators on that tensor.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from rnn_export.program.program import take_place


def unsplit(graph: ir.Graph) -> None:
    """Undo every ``SplitToSequence`` into single entries that ordinary operators can read."""
    for node in list(graph):
        source = node.inputs[0] if node.inputs else None
        if node.op_type != "SplitToSequence" or len(node.inputs) > 1 or source is None or not source.shape:
            continue
        readers = [use.node for use in node.outputs[0].uses() if not use.idx]
        known = all(reader.op_type in RULES for reader in readers)
        if known and len(readers) == len(node.outputs[0].uses()) and not node.outputs[0].is_graph_output():
            axis = node.attributes.get_int("axis", 0) % len(source.shape)
            keeps = node.attributes.get_int("keepdims", 1) != 0
            for reader in readers:
                _replace(graph, reader, source, axis, keeps)
            graph.remove(node, safe=True)


def _replace(graph: ir.Graph, reader: ir.Node, stacked: ir.Value, axis: int, keeps: bool) -> None:
    """Let a reader of the list read the tensor whose ``axis`` counts its entries.

    ``keeps`` says that every entry still has that axis, with size 1.
    """
    build = _Build(graph)
    new = RULES[reader.op_type](build, reader, stacked, axis, keeps)
    own = reader.graph
    assert isinstance(own, ir.Graph)
    own.insert_before(reader, build.nodes)
    take_place(own, reader.outputs[0], new)
    own.remove(reader, safe=True)


class _Build:
    """Collects nodes."""

    def __init__(self, graph: ir.Graph) -> None:
        self.main = graph
        self.nodes: list[ir.Node] = []

    def emit(self, op: str, inputs: Sequence[ir.Value | None], **attributes: object) -> ir.Value:
        node = ir.node(op, inputs, attributes)  # type: ignore[arg-type]
        node.outputs[0].type = inputs[0].type if inputs[0] is not None else None
        self.nodes.append(node)
        return node.outputs[0]

    def numbers(self, *numbers: int) -> ir.Value:
        name = f"list/{len(self.main.initializers)}"
        value = ir.val(name, const_value=ir.tensor(np.array(numbers, np.int64), name=name))
        self.main.register_initializer(value)
        return value


def _at(build: _Build, node: ir.Node, stacked: ir.Value, axis: int, keeps: bool) -> ir.Value:
    """SequenceAt: pick an entry, from the end if the place is negative."""
    entry = build.emit("Gather", [stacked, node.inputs[1]], axis=axis)
    entry.shape = _without(stacked.shape, axis)
    return build.emit("Unsqueeze", [entry, build.numbers(axis)]) if keeps else entry


def _length(build: _Build, node: ir.Node, stacked: ir.Value, axis: int, keeps: bool) -> ir.Value:
    """SequenceLength: the size of the axis."""
    sizes = build.emit("Shape", [stacked], start=axis, end=axis + 1)
    sizes.type, sizes.shape = ir.TensorType(ir.DataType.INT64), ir.Shape([1])
    length = build.emit("Squeeze", [sizes])
    length.shape = ir.Shape([])
    return length


def _concat(build: _Build, node: ir.Node, stacked: ir.Value, axis: int, keeps: bool) -> ir.Value:
    """ConcatFromSequence: bring the axis of the entries to its place, and merge it if it is no new one."""
    shape = list(stacked.shape or ())
    new = node.attributes.get_int("new_axis", 0) != 0
    if keeps:
        stacked = build.emit("Unsqueeze", [stacked, build.numbers(axis + 1)])
        shape = [*shape[: axis + 1], 1, *shape[axis + 1 :]]
    place = node.attributes["axis"].as_int() % (len(shape) if new else len(shape) - 1)
    order = [other for other in range(len(shape)) if other != axis]
    order.insert(place, axis)
    if order != sorted(order):
        stacked = build.emit("Transpose", [stacked], perm=order)
    stacked.shape = shape = ir.Shape([shape[other] for other in order])  # type: ignore[assignment]
    return stacked if new else _merge(build, stacked, place, shape)  # type: ignore[arg-type]


def _merge(build: _Build, stacked: ir.Value, place: int, shape: ir.Shape) -> ir.Value:
    """Make one axis of an axis and the next."""
    if shape[place + 1] == 1:
        merged = build.emit("Squeeze", [stacked, build.numbers(place + 1)])
        merged.shape = _without(shape, place + 1)
        return merged
    front = build.emit("Shape", [stacked], start=0, end=place)
    back = build.emit("Shape", [stacked], start=place + 2)
    sizes = build.emit("Concat", [front, build.numbers(-1), back], axis=0)
    for value in (front, back, sizes):
        value.type = ir.TensorType(ir.DataType.INT64)
    merged = build.emit("Reshape", [stacked, sizes])
    merged.shape = ir.Shape([*shape[:place], None, *shape[place + 2 :]])
    return merged


def _without(shape: ir.Shape | None, axis: int) -> ir.Shape | None:
    return None if shape is None else ir.Shape([size for place, size in enumerate(shape) if place != axis])


RULES = {"ConcatFromSequence": _concat, "SequenceAt": _at, "SequenceLength": _length}
