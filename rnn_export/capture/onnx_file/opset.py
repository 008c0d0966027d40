"""A model for another opset than its own: up by ONNX's own converter, down by a table.

::

    u = Unsqueeze (x, [0])  m = ReduceMax (u, [1])  n = Shape <start = 1> (x)        # opset 18

    u = Unsqueeze <axes = [0]> (x)  m = ReduceMax <axes = [1]> (u)                   # opset 12
    s = Shape (x)  n = Slice (s, [1], [LARGEST])

Down only what operators take and how is written otherwise; that each of them is there, and computes what is
to be computed, has to be checked. ONNX's own converter does not go down for most of them.

Source: https://github.com/onnx/onnx/blob/main/docs/Changelog.md.
"""

from collections.abc import Callable
from numbers import Integral

import numpy as np
import onnx
import onnx.version_converter
import onnx_ir as ir
from onnx_ir.passes import common

from rnn_export.errors import OnnxFileError, mismatch
from rnn_export.program.build import Builder
from rnn_export.program.operator_facts import int_of
from rnn_export.program.program import OPSET, name_apart
from rnn_export.program.values import constant_ints

ALL = np.iinfo(np.int64).max
OLDEST = 7  # opset that a file can be written for
REDUCED = "L1 L2 LogSum LogSumExp Max Mean Min Prod SumSquare"


def opset_of(model: onnx.ModelProto) -> int:
    """Give the version of ONNX's own operators that a model means."""
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    return max(versions, default=OPSET)


def raised(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Bring a model to an opset, if its own is older.

    Raises:
        OnnxFileError: ONNX's converter cannot do it.
    """
    own = opset_of(model)
    if own >= opset:
        return model
    try:
        return onnx.version_converter.convert_version(model, opset)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise OnnxFileError(f"it cannot be converted from opset {own} to {opset}: {reason}") from error


def lowered(model: ir.Model, opset: int) -> None:
    """Bring a model to an older opset, in place.

    Raises:
        OnnxFileError: a node cannot be written so.
    """
    for newer in range(model.opset_imports[""], opset, -1):
        for node in [node for graph in model.graphs() for node in graph if not node.domain]:
            for since, rule in RULES.get(node.op_type, ()):
                if since == newer:
                    rule(node)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(
        model
    )  # once all were floats
    model.opset_imports[""] = opset
    common.RemoveUnusedNodesPass()(model)
    name_apart(model)
    try:
        onnx.checker.check_model(ir.to_proto(model), full_check=True)
    except Exception as error:  # a C++ exception, of a type that depends on what is wrong
        reason = str(error).strip().partition("\n")[0]
        raise OnnxFileError(f"it cannot be written for opset {opset}: {reason}") from error


def at_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Give a model at an opset, under the names that it has.

    Raises:
        OnnxFileError: it cannot be written so.
    """
    if opset < opset_of(model):
        older = ir.from_proto(model)
        lowered(older, opset)
        made = ir.to_proto(older)
    else:
        made = raised(model, opset)
    needed = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)])
    made.ir_version = max(model.ir_version, needed)
    return made


def check_opset(opset: int | None, remedy: str) -> None:
    """Check that there is such an opset.

    Raises:
        OnnxFileError: there is not.
    """
    newest = onnx.defs.onnx_opset_version()
    known = range(OLDEST, newest + 1)
    if opset is not None and (not isinstance(opset, Integral) or opset not in known):
        raise OnnxFileError(mismatch("opset", f"a number from {OLDEST} to {newest}", repr(opset), remedy))


# --- rules ------------------------------------------------------------------------------------------------


def _without(name: str) -> Callable[[ir.Node], None]:
    """Leave out an attribute that has to be 0."""

    def rule(node: ir.Node) -> None:
        attribute = node.attributes.pop(name, None)
        if attribute is not None and attribute.as_int():
            raise _refused(node, f"has {name} = {attribute.as_int()}")

    return rule


def _as_attribute(name: str) -> Callable[[ir.Node], None]:
    """Write the second input, a constant list of whole numbers, as an attribute."""

    def rule(node: ir.Node) -> None:
        if len(node.inputs) > 1 and node.inputs[1] is not None:
            node.attributes[name] = ir.AttrInt64s(name, _constant(node, 1))
            node.resize_inputs(1)

    return rule


def _even_split(node: ir.Node) -> None:
    """Split into equal parts: older ones have no last part that is smaller."""
    parts, source = node.attributes.pop("num_outputs", None), node.inputs[0]
    if parts is None:
        return
    whole = source.shape[int_of(node, "axis")] if source is not None and source.shape is not None else None
    if not isinstance(whole, int) or whole % parts.as_int():
        raise _refused(node, "may have a last part that is smaller")


def _part_of_shape(node: ir.Node) -> None:
    """Shape of some axes: of all, and a part of it."""
    start, end = (node.attributes.pop(name, None) for name in ("start", "end"))
    if start is None and end is None:
        return
    build, [sizes] = Builder(), node.outputs
    limits = [build.constant([0 if start is None else start.as_int()])]
    limits.append(build.constant([ALL if end is None else end.as_int()]))
    whole = build.emit("Shape", node.inputs, type=sizes.type)
    part = build.emit("Slice", [whole, *limits], like=sizes)
    assert isinstance(node.graph, ir.Graph)
    ir.convenience.replace_nodes_and_values(node.graph, node, [node], build.nodes, [sizes], [part])


def _last_axis(node: ir.Node) -> None:
    """Softmax: older ones merge all axes from ``axis`` on, which is the same for the last one."""
    source = node.inputs[0]
    rank = len(source.shape) if source is not None and source.shape is not None else 0
    if not rank or int_of(node, "axis") % rank != rank - 1:
        raise _refused(node, "does not work along the last axis")
    node.attributes["axis"] = ir.AttrInt64("axis", rank - 1)


def _slice_attributes(node: ir.Node) -> None:
    """Slice: older ones have no steps."""
    numbers = [_constant(node, place) for place in range(1, len(node.inputs))]
    if any(step != 1 for step in (numbers[3] if len(numbers) > 3 else [])):
        raise _refused(node, "has steps")
    for name, listed in zip(("starts", "ends", "axes"), numbers, strict=False):
        node.attributes[name] = ir.AttrInt64s(name, listed)
    node.resize_inputs(1)


def _constant(node: ir.Node, place: int) -> list[int]:
    found = constant_ints(node.inputs[place])
    if found is None:
        raise _refused(node, f"takes what is no constant as its input {place}")
    return found


def _refused(node: ir.Node, reason: str) -> OnnxFileError:
    return OnnxFileError(f"{node.op_type} {node.name!r} {reason}, which an older opset does not have")


# By operator: the opset since which it is written as it is now, and how it was before.
RULES: dict[str, list[tuple[int, Callable[[ir.Node], None]]]] = {
    **{
        f"Reduce{name}": [(18, _without("noop_with_empty_axes")), (18, _as_attribute("axes"))]
        for name in REDUCED.split()
    },
    "ReduceSum": [(13, _without("noop_with_empty_axes")), (13, _as_attribute("axes"))],
    "Split": [(18, _even_split), (13, _as_attribute("split"))],
    "Squeeze": [(13, _as_attribute("axes"))],
    "Unsqueeze": [(13, _as_attribute("axes"))],
    "Shape": [(15, _part_of_shape)],
    "Softmax": [(13, _last_axis)],
    "LogSoftmax": [(13, _last_axis)],
    "Reshape": [(14, _without("allowzero"))],
    **{name: [(14, _without("layout"))] for name in ("RNN", "GRU", "LSTM")},
    "Slice": [(10, _slice_attributes)],
}
