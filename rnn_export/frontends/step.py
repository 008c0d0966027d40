"""One traced step becomes the body of a ``Scan``.

Run ``forward`` on a single time step and the step is traced, whatever Python the loop was written in. That
the module is such a fold is a hypothesis; :mod:`rnn_export.grid` checks it, and every file is verified.
"""

from collections.abc import Iterator

import onnx_ir as ir
import torch
from onnx_ir.passes import common

from rnn_export.errors import CaptureError
from rnn_export.program import IR_VERSION, OPSET, Program, name_apart
from rnn_export.quiet import quiet
from rnn_export.signature import BATCH, TIME, Signature, TensorSpec, tree_build, tree_leaves
from rnn_export.subject import Subject

TRACED_BATCH = 3  # unlike 1, which the exporter would take for a constant


def capture(subject: Subject) -> Program:
    """Trace ``forward`` on one time step and fold it with ``Scan``.

    Raises:
        CaptureError: the exporter cannot trace the step.
    """
    step = _trace(subject)
    common.InlinePass()(step)
    return Program(_fold(step, subject.signature), subject.signature)


def _trace(subject: Subject) -> ir.Model:
    rows = torch.arange(TRACED_BATCH) % subject.inputs.shape[1]
    batch = torch.export.Dim(BATCH, min=1, max=1 << 24)
    tree = subject.signature.tree
    axes = {leaf.name: leaf.shape.index(BATCH) for leaf in subject.signature.state}
    leaves = dict(zip(axes, tree_leaves(subject.state), strict=True))
    state = tree_build(tree, lambda name: leaves[name].index_select(axes[name], rows))
    arguments = (subject.inputs[:1].index_select(1, rows), state)
    free = ({1: batch}, tree_build(tree, lambda name: {axes[name]: batch}))
    try:
        with quiet(), torch.no_grad():
            exported = torch.onnx.export(
                subject.model,
                arguments,
                dynamo=True,
                dynamic_shapes=free,
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as error:
        reason = str(error.__cause__ or error).strip().partition("\n")[0]
        raise CaptureError(
            f"one time step of {type(subject.model).__name__} cannot be traced: {reason}. "
            "Keep Python decisions that depend on values, and the batch size as a number, out of forward()."
        ) from error
    if exported is None:
        raise CaptureError("the exporter gave nothing")
    return exported.model


def _fold(step: ir.Model, signature: Signature) -> ir.Model:
    """Move the step's nodes into the body of one ``Scan`` over the leading axis of the inputs."""
    graph = step.graph
    initializers = list(graph.initializers.values())
    old_inputs, old_outputs, nodes = list(graph.inputs), list(graph.outputs), list(graph)
    graph.outputs.clear()
    graph.remove(nodes)
    for number, value in enumerate(value for node in nodes for value in node.outputs):
        value.name = f"step/{number}"  # out of the way of the names below

    inputs, *state = (_value(name, spec) for name, spec in _pairs(signature, signature.input_names))
    outputs, *new_state = (_value(name, spec) for name, spec in _pairs(signature, signature.output_names))
    reserved = {value.name for value in (inputs, *state, outputs, *new_state)}
    for initializer in initializers:
        graph.initializers.pop(initializer.name or "")
        if initializer.name in reserved:
            initializer.name = f"parameter/{initializer.name}"

    zero = ir.val("axis_0", const_value=ir.tensor([0], dtype=ir.DataType.INT64, name="axis_0"))
    x_t = _value("step/x_t", signature.inputs, without=TIME)
    before = [_value(f"step/{leaf.name}", leaf) for leaf in signature.state]
    whole = ir.node("Unsqueeze", [x_t, zero])
    whole.outputs[0].shape, whole.outputs[0].type = ir.Shape([1, *(x_t.shape or ())]), x_t.type
    for old, new in zip(old_inputs, (whole.outputs[0], *before), strict=True):
        old.replace_all_uses_with(new)
        if old in old_outputs:
            old_outputs[old_outputs.index(old)] = new
    y_t = ir.node("Squeeze", [old_outputs[0], zero])
    kept = [ir.node("Identity", [value]) for value in old_outputs[1:]]
    results = [*(node.outputs[0] for node in kept), y_t.outputs[0]]
    for result, spec, place in zip(
        results, (*signature.state, signature.outputs), (*range(len(kept)), "y_t"), strict=True
    ):
        named = _value(f"step/next_{place}" if place != "y_t" else "step/y_t", spec, without=TIME)
        result.name, result.shape, result.type = named.name, named.shape, named.type
    body = ir.Graph(
        [*before, x_t], results, nodes=[whole, *nodes, y_t, *kept], opset_imports={"": OPSET}, name="step"
    )
    scan = ir.node(
        "Scan",
        [*state, inputs],
        {"body": body, "num_scan_inputs": 1},
        outputs=[*new_state, outputs],
        name="scan",
    )
    folded = ir.Graph(
        [inputs, *state],
        [outputs, *new_state],
        nodes=[scan],
        initializers=[*initializers, zero],
        opset_imports={"": OPSET},
        name="main",
    )
    model = ir.Model(folded, ir_version=IR_VERSION)
    name_apart(model)
    return model


def _pairs(signature: Signature, names: list[str]) -> Iterator[tuple[str, TensorSpec]]:
    first = signature.inputs if names == signature.input_names else signature.outputs
    yield from zip(names, (first, *signature.state), strict=True)


def _value(name: str, spec: TensorSpec, without: str | None = None) -> ir.Value:
    shape = [size for size in spec.shape if size != without]
    dtype = getattr(
        ir.DataType, {"float32": "FLOAT", "float64": "DOUBLE"}.get(spec.dtype, spec.dtype.upper())
    )
    return ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(dtype))
