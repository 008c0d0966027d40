"""What a value of a loop's body is in the first step, computed in front of the loop.

Part of :mod:`rnn_export.capture.onnx_file.loop_to_scan`.
"""

import numpy as np
import onnx_ir as ir

from rnn_export.program.build import Builder

Starts = dict[ir.Value, ir.Value | None]


def at_first(value: ir.Value, loop: ir.Node, build: Builder) -> ir.Value:
    """Copy the nodes that make a value of the body in front of a ``Loop``; they do not read the condition."""
    body = loop.attributes["body"].as_graph()
    starts: Starts = dict(zip(body.inputs, (build.constant(0), None, *loop.inputs[2:]), strict=True))
    return _at_first(value, starts, body, build)


def _at_first(value: ir.Value, starts: Starts, body: ir.Graph, build: Builder) -> ir.Value:
    if (start := starts.get(value)) is not None:
        return start
    node = value.producer()
    if node is None or node.graph is not body:
        return value
    inputs = [each and _at_first(each, starts, body, build) for each in node.inputs]
    return build.copy(node, inputs)[value.index() or 0]


def scalar(build: Builder, value: ir.Value, place: int = 0) -> ir.Value:
    """Give a number, or an entry of a list of numbers, as int64 without an axis."""
    whole = ir.TensorType(ir.DataType.INT64)
    if value.shape is None or len(value.shape):
        value = build.emit("Reshape", [value, build.constant([-1])], type=value.type)
        value = build.emit("Gather", [value, build.constant(np.array(place))], shape=[], type=value.type)
    if value.dtype == ir.DataType.INT64:
        return value
    return build.emit("Cast", [value], {"to": ir.DataType.INT64}, shape=[], type=whole)
