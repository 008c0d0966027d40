"""Where the body of a ``Loop`` reads a sequence, one time step after the other.

Part of :mod:`rnn_export.capture.onnx_file.loop_to_scan`: a ``Gather`` or ``Slice`` of one entry, from outside
of the loop, at the number of the iteration or at the same place counted from the end.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from rnn_export.capture.onnx_file.affine_index import ITERATION, Form, form, minus, number
from rnn_export.errors import NotAFoldError
from rnn_export.program.operator_facts import int_of
from rnn_export.program.scan import FORWARD, REVERSED
from rnn_export.program.values import constant_value


@dataclass(frozen=True)
class Read:
    """A node of the body that reads a sequence at a time step."""

    node: ir.Node
    source: ir.Value
    axis: int
    direction: int
    whole: bool  # whether the time axis, of size 1, stays


def find_reads(
    body: ir.Graph, varying: Collection[ir.Value], known: Mapping[ir.Value, Form], length: Form | None
) -> list[Read]:
    """List the reads of a body.

    Args:
        body: of a loop.
        varying: all that is not the same in every step.
        known: the numbers that it counts.
        length: how often it runs.

    Raises:
        NotAFoldError: the axis of a read is not known.
    """
    backward = minus(minus(length, number(1)), {ITERATION: 1}) if length is not None else None
    directions = {FORWARD: {ITERATION: 1}, REVERSED: backward}
    found = []
    for node in body:
        source = node.inputs[0] if node.inputs else None
        place = _place(node, known)
        direction = next((d for d, at in directions.items() if at is not None and at == place), None)
        if source is not None and source not in varying and direction is not None:
            index = node.inputs[1]
            whole = node.op_type == "Slice" or bool(index is not None and index.shape)
            found.append(Read(node, source, _axis(node, source), direction, whole))
    return found


def _place(node: ir.Node, known: Mapping[ir.Value, Form]) -> Form | None:
    """Say at which place a node picks one entry of an axis."""
    if node.op_type == "Gather":
        index = node.inputs[1]
        few = index is not None and index.shape is not None and len(index.shape) < 2
        return form(index, known) if few else None
    if node.op_type != "Slice" or len(node.inputs) < 3:
        return None
    start, end = form(node.inputs[1], known), form(node.inputs[2], known)
    steps = constant_value(node.inputs[4]) if len(node.inputs) > 4 and node.inputs[4] else np.array([1])
    one = steps is not None and steps.tolist() == [1]
    return start if one and start and end and minus(end, start) == number(1) else None


def _axis(node: ir.Node, source: ir.Value) -> int:
    axes: np.ndarray | None = np.array([int_of(node, "axis") if node.op_type == "Gather" else 0])
    if node.op_type == "Slice" and len(node.inputs) > 3 and node.inputs[3] is not None:
        axes = constant_value(node.inputs[3])
    if axes is None or source.shape is None:
        raise NotAFoldError(f"the axis along which it reads {source.name!r} is unknown")
    return int(axes.item()) % len(source.shape)
