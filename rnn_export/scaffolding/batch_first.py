"""An ONNX file with the batch as the first axis of all that goes in and comes out, as servers want it.

    before: inputs [time, batch, 16], state_0 [batch, 32]  ->  outputs [time, batch, 1]
    after:  inputs [batch, time, 16], state_0 [batch, 32]  ->  outputs [batch, time, 1]

``Transpose`` moves the axes; a tensor of the batch alone, ``[batch]``, gets an axis of one behind it, since a
server that puts the batch in front wants a shape behind it. The numbers are not touched.
"""

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir

from rnn_export.program.build import Builder
from rnn_export.signature.signature import Signature
from rnn_export.signature.tensors import Array, OutputSpec, TensorSpec

UNIT = 1  # the axis behind the batch of a tensor that has no other


def order(spec: TensorSpec) -> list[int]:
    """Give the axes of a tensor in their new order: the batch, then the others as they stood."""
    return [spec.batch_axis, *spec.other_axes]


def shape_of(spec: TensorSpec) -> list[int | str]:
    """Give the shape of a tensor in its new order."""
    return [spec.shape[axis] for axis in order(spec)] + [1] * (len(spec.shape) == 1)


def moved(array: Array, spec: TensorSpec) -> Array:
    """Give an array in the new order."""
    result = np.ascontiguousarray(array.transpose(order(spec)))
    return result[:, None] if array.ndim == 1 else result


def moved_back(array: Array, spec: TensorSpec) -> Array:
    """Give an array of the new order in the signature's own."""
    own = array[:, 0] if len(spec.shape) == 1 else array
    return own.transpose(np.argsort(order(spec)))


def batch_first(model: bytes, signature: Signature) -> bytes:
    """Give the ONNX file of a bundle with the batch in front; the names stay.

    Args:
        model: an ONNX file with the names and axes of the signature.
        signature: of the call.
    """
    opened = ir.from_proto(onnx.load_from_string(model))
    graph = opened.graph
    inputs = {str(value.name): value for value in graph.inputs}
    before, after = Builder(), Builder()
    for spec in signature.arguments:
        _put_before(inputs[spec.name], spec, before)
    names = dict(zip(signature.output_names, signature.results, strict=True))
    sizes = {spec.name: inputs[spec.name] for spec in signature.inputs}
    for at, value in enumerate(graph.outputs):
        graph.outputs[at] = _put_behind(value, names[str(value.name)], sizes, signature, after)
    if before.nodes:
        graph.insert_before(graph[0], before.nodes)
    graph.extend(after.nodes)
    result = ir.to_proto(opened)
    onnx.checker.check_model(result, full_check=True)
    written: bytes = result.SerializeToString(deterministic=True)
    return written


def _put_before(value: ir.Value, spec: TensorSpec, before: Builder) -> None:
    """Let an input come in the new order: what used it uses it in its own, moved back."""
    if order(spec) == [*range(len(spec.shape))] and len(spec.shape) > 1:
        return
    used = [*value.uses()]
    if len(spec.shape) == 1:
        own = before.emit("Squeeze", [value, before.constant([UNIT])], like=value)
    else:
        back = [int(axis) for axis in np.argsort(order(spec))]
        own = before.emit("Transpose", [value], {"perm": back}, like=value)
    own.name = f"{value.name}_of_the_model"
    for node, at in used:
        node.replace_input_with(at, own)
    value.shape = ir.Shape(shape_of(spec))


def _put_behind(
    value: ir.Value, spec: TensorSpec, inputs: dict[str, ir.Value], signature: Signature, after: Builder
) -> ir.Value:
    """Give the output in the new order, under the name that the old one had."""
    name, own = str(value.name), value
    if isinstance(spec, OutputSpec) and spec.flattened:
        own = _apart(value, spec, inputs, signature, after)
    elif order(spec) == [*range(len(spec.shape))] and len(spec.shape) > 1:
        return value
    value.name = f"{name}_of_the_model"
    shape = shape_of(spec)
    if len(spec.shape) == 1:
        result = after.emit("Unsqueeze", [own, after.constant([UNIT])], shape=shape, type=value.type)
    else:
        result = after.emit("Transpose", [own], {"perm": order(spec)}, shape=shape, type=value.type)
    result.name = name
    return result


def _apart(
    value: ir.Value, spec: OutputSpec, inputs: dict[str, ir.Value], signature: Signature, after: Builder
) -> ir.Value:
    """Give an output whose first two axes are one, time and batch, with both."""
    second = str(spec.shape[1])
    source = next(given for given in signature.inputs if second in given.shape)
    axis = shape_of(source).index(second)
    size = after.emit("Shape", [inputs[source.name]], {"start": axis, "end": axis + 1})
    rest: Sequence[int] = [size for size in spec.shape[2:] if isinstance(size, int)]
    parts = [after.constant([-1]), size, *([after.constant([*rest])] if rest else [])]
    shape = after.emit("Concat", parts, {"axis": 0})
    return after.emit("Reshape", [value, shape], shape=spec.shape, type=value.type)
