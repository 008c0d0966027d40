"""A list of tensors that all look alike is one tensor.

``ConcatFromSequence``, ``SequenceAt`` and ``SequenceLength`` of such a list become ordinary operators on that
tensor::

    l = SplitToSequence <axis = 0, keepdims = 0> (x)  a = SequenceAt (l, i)           # x: float[T,B,4]
    y = ConcatFromSequence <axis = 1, new_axis = 1> (l)                               # a: float[B,4]

    a = Gather <axis = 0> (x, i)  y = Transpose <perm = [1, 0, 2]> (x)                # y: float[B,T,4]

Part of :mod:`rnn_export.capture.onnx_file.reader`.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from rnn_export.program.build import Builder, add_constant
from rnn_export.program.operator_facts import int_of
from rnn_export.program.program import take_place

WHOLE = ir.TensorType(ir.DataType.INT64)


def unsplit(model: ir.Model) -> None:
    """Undo every ``SplitToSequence`` into single entries that ordinary operators can read, in loops too."""
    for node in [node for graph in model.graphs() for node in graph if node.op_type == "SplitToSequence"]:
        source, listed = node.inputs[0], node.outputs[0]
        if len(node.inputs) > 1 or source is None or not source.shape or listed.is_graph_output():
            continue
        readers = [use.node for use in listed.uses() if not use.idx and use.node.op_type in RULES]
        if len(readers) == len(listed.uses()):
            axis = int_of(node, "axis") % len(source.shape)
            keeps = int_of(node, "keepdims") != 0
            for reader in readers:
                _replace(model.graph, reader, source, axis, keeps)
            _own_graph(node).remove(node, safe=True)


def _own_graph(node: ir.Node) -> ir.Graph:
    assert isinstance(node.graph, ir.Graph)
    return node.graph


def _replace(graph: ir.Graph, reader: ir.Node, stacked: ir.Value, axis: int, keeps: bool) -> None:
    """Let a reader of the list read the tensor whose ``axis`` counts its entries.

    ``keeps`` says that every entry still has that axis, with size 1.
    """
    build = Builder()
    new = RULES[reader.op_type](build, reader, _Stack(graph, stacked, axis, keeps))
    own = _own_graph(reader)
    own.insert_before(reader, build.nodes)
    take_place(own, reader.outputs[0], new)
    own.remove(reader, safe=True)


@dataclass(frozen=True)
class _Stack:
    """The tensor that a list is: its entries along an axis, each of which may have that axis, with size 1."""

    main: ir.Graph
    value: ir.Value
    axis: int
    keeps: bool

    def numbers(self, *numbers: int) -> ir.Value:
        """Give constant whole numbers."""
        return add_constant(self.main, f"list/{len(self.main.initializers)}", np.array(numbers, np.int64))


def _at(build: Builder, node: ir.Node, stack: _Stack) -> ir.Value:
    """SequenceAt: pick an entry, from the end if the place is negative."""
    value, axis = stack.value, stack.axis
    entry = build.emit("Gather", [value, node.inputs[1]], {"axis": axis}, type=value.type)
    entry.shape = _without(value.shape, axis)
    if not stack.keeps:
        return entry
    return build.emit("Unsqueeze", [entry, stack.numbers(axis)], type=value.type)


def _length(build: Builder, node: ir.Node, stack: _Stack) -> ir.Value:
    """SequenceLength: the size of the axis."""
    ends: dict[str, object] = {"start": stack.axis, "end": stack.axis + 1}
    sizes = build.emit("Shape", [stack.value], ends, shape=[1], type=WHOLE)
    return build.emit("Squeeze", [sizes], shape=[], type=WHOLE)


def _concat(build: Builder, node: ir.Node, stack: _Stack) -> ir.Value:
    """ConcatFromSequence: bring the axis of the entries to its place, and merge it if it is no new one."""
    value, axis, shape = stack.value, stack.axis, list(stack.value.shape or ())
    new = int_of(node, "new_axis") != 0
    if stack.keeps:
        value = build.emit("Unsqueeze", [value, stack.numbers(axis + 1)], type=value.type)
        shape = [*shape[: axis + 1], 1, *shape[axis + 1 :]]
    place = int_of(node, "axis") % (len(shape) if new else len(shape) - 1)
    order = [other for other in range(len(shape)) if other != axis]
    order.insert(place, axis)
    if order != sorted(order):
        value = build.emit("Transpose", [value], {"perm": order}, type=value.type)
    value.shape = ir.Shape([shape[other] for other in order])
    return value if new else _merge(build, stack, value, place)


def _merge(build: Builder, stack: _Stack, value: ir.Value, place: int) -> ir.Value:
    """Make one axis of an axis and the next."""
    shape = list(value.shape or ())
    if shape[place + 1] == 1:
        sizes = [*shape[: place + 1], *shape[place + 2 :]]
        return build.emit("Squeeze", [value, stack.numbers(place + 1)], shape=sizes, type=value.type)
    front = build.emit("Shape", [value], {"start": 0, "end": place}, type=WHOLE)
    back = build.emit("Shape", [value], {"start": place + 2}, type=WHOLE)
    merged = build.emit("Concat", [front, stack.numbers(-1), back], {"axis": 0}, type=WHOLE)
    known = [*shape[:place], None, *shape[place + 2 :]]
    return build.emit("Reshape", [value, merged], shape=known, type=value.type)


def _without(shape: ir.Shape | None, axis: int) -> ir.Shape | None:
    return None if shape is None else ir.Shape([size for place, size in enumerate(shape) if place != axis])


RULES = {"ConcatFromSequence": _concat, "SequenceAt": _at, "SequenceLength": _length}
