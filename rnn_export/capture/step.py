"""One traced step becomes the body of a ``Scan``.

Run ``forward`` on a single time step and the step is traced, whatever Python the loop was written in. That
the module is such a fold is a hypothesis; :mod:`rnn_export.verification.grid` checks it, and every file is
verified.
"""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
import torch
from onnx_ir.passes import common

from rnn_export.capture.decompositions import decomposed, without_bags, without_unbind
from rnn_export.errors import CaptureError
from rnn_export.garbage import uncollected
from rnn_export.module.subject import Subject
from rnn_export.program.build import Builder
from rnn_export.program.program import IR_VERSION, OPSET, Program, name_apart
from rnn_export.program.quiet import quiet, unprinted
from rnn_export.program.scan import Scan
from rnn_export.program.values import describe
from rnn_export.signature.signature import Signature, TensorSpec
from rnn_export.signature.sizes import BATCH, TIME

TRACED_BATCH = 3  # unlike 1, which the exporter would take for a constant
PRINTING = "torch.export._trace"  # prints the graph of what it cannot trace
# Operators that hold a loop over time: taken apart, the loop of a single time step is gone.
TIME_LOOPS = (torch.ops.aten.gru.input, torch.ops.aten.lstm.input)


def capture(subject: Subject) -> Program:
    """Trace ``forward`` on one time step and fold it with ``Scan``.

    Raises:
        CaptureError: the exporter cannot trace the step.
    """
    step = _trace(subject)
    common.InlinePass()(step)
    return Program(_fold(step, subject.signature), subject.signature)


def _trace(subject: Subject) -> ir.Model:
    batch = torch.export.Dim(BATCH, min=1, max=1 << 24)
    rows = torch.arange(TRACED_BATCH) % subject.inputs.shape[subject.signature.inputs.batch_axis]
    specs = subject.signature.arguments
    example = [subject.inputs.narrow(specs[0].shape.index(TIME), 0, 1), *subject.state]
    arguments = [leaf.index_select(spec.batch_axis, rows) for leaf, spec in zip(example, specs, strict=True)]
    first, *leaves = ({spec.batch_axis: batch} for spec in specs)
    try:
        with quiet(), uncollected(), unprinted(PRINTING), torch.no_grad():
            step = torch.export.export(
                subject.flat().eval(), tuple(arguments), dynamic_shapes=(first, tuple(leaves))
            )
            without_unbind(step)
            without_bags(step)
            known = torch.export.default_decompositions()
            step = decomposed(step, {operator: known[operator] for operator in TIME_LOOPS})
            exported = torch.onnx.export(step, dynamo=True, opset_version=OPSET, verbose=False)
    except Exception as error:
        reason = str(error.__cause__ or error).strip().partition("\n")[0]
        raise CaptureError(
            f"one time step of {type(subject.original).__name__} cannot be traced: {reason}. "
            "Keep Python decisions that depend on values, and the batch size as a number, out of forward()."
        ) from error
    if exported is None:
        raise CaptureError("the exporter gave nothing")
    _name_batch(exported.model, specs[0])
    return exported.model


def _name_batch(step: ir.Model, spec: TensorSpec) -> None:
    """Call the batch by its name where the exporter has its own.

    Raises:
        CaptureError: it has fixed the batch.
    """
    free = (step.graph.inputs[0].shape or ())[spec.batch_axis]
    if isinstance(free, int):
        raise CaptureError(f"the exporter fixes the batch of one time step at {free}")
    for node in step.graph:
        for value in (*step.graph.inputs, *node.outputs):
            if value.shape is not None:
                value.shape = ir.Shape([BATCH if size == free else size for size in value.shape])


def _fold(step: ir.Model, signature: Signature) -> ir.Model:
    """Move the step's nodes into the body of one ``Scan`` over the time axis of the inputs."""
    graph = step.graph
    initializers = list(graph.initializers.values())
    old_inputs, old_outputs, nodes = list(graph.inputs), list(graph.outputs), list(graph)
    graph.outputs.clear()
    graph.remove(nodes)
    _name_apart_from(signature, nodes, graph)

    build, end = Builder(), Builder()
    x_t, *before = [_value(f"step/{spec.name}", spec, without=TIME) for spec in signature.arguments]
    time = _axis(signature.inputs)
    whole = build.emit("Unsqueeze", [x_t, time], like=_value("whole", signature.inputs, step=True))
    for old, new in zip(old_inputs, (whole, *before), strict=True):
        old.replace_all_uses_with(new)
        if old in old_outputs:
            old_outputs[old_outputs.index(old)] = new
    alone = [] if signature.outputs.time_axis is None else [_axis(signature.outputs)]
    y_t, *after = [_value(f"step/{name}", spec, without=TIME) for name, spec in _results(signature)]
    y_t = end.emit("Squeeze" if alone else "Identity", [old_outputs[0], *alone], like=y_t)
    after = [
        end.emit("Identity", [value], like=new) for value, new in zip(old_outputs[1:], after, strict=True)
    ]
    body = ir.Graph(
        [*before, x_t],
        [*after, y_t],
        nodes=[*build.nodes, *nodes, *end.nodes],
        opset_imports={"": OPSET},
        name="step",
    )
    return _scan(body, signature, [*initializers, time, *alone])


def _name_apart_from(signature: Signature, nodes: list[ir.Node], graph: ir.Graph) -> None:
    """Name values and initializers of the step so that they are out of the way of the signature's names."""
    for number, value in enumerate(value for node in nodes for value in node.outputs):
        value.name = f"step/{number}"
    reserved = {*signature.input_names, *signature.output_names}
    for initializer in list(graph.initializers.values()):
        graph.initializers.pop(initializer.name or "")
        if initializer.name in reserved:
            initializer.name = f"parameter/{initializer.name}"


def _scan(body: ir.Graph, signature: Signature, initializers: list[ir.Value]) -> ir.Model:
    """Run a step over the time axis of the inputs, wherever that is."""
    inputs, *state = map(_value, signature.input_names, signature.arguments)
    outputs, *new_state = map(_value, signature.output_names, signature.results)
    time, outputs_time = signature.inputs.shape.index(TIME), signature.outputs.time_axis
    build, sequence = Builder(), inputs
    if time:
        order = [time, *(axis for axis in range(len(signature.inputs.shape)) if axis != time)]
        sizes = [signature.inputs.shape[axis] for axis in order]
        sequence = build.emit("Transpose", [inputs], {"perm": order}, like=inputs, shape=sizes)
    scan = Scan.build(body, state, [sequence])
    build.nodes.append(scan.node)
    [result] = scan.results
    result.type = outputs.type
    if outputs_time is None:
        end = ir.val("end", const_value=ir.tensor(np.array(-1), name="end"))
        initializers = [*initializers, end]
        result = build.emit("Gather", [result, end], {"axis": 0})
    elif outputs_time:
        order = list(range(1, len(signature.outputs.shape)))
        order.insert(outputs_time, 0)
        result = build.emit("Transpose", [result], {"perm": order})
    results = [result, *scan.final_states]
    for value, wanted in zip(results, (outputs, *new_state), strict=True):
        describe(value, wanted)
        value.name = wanted.name
    graph = ir.Graph(
        [inputs, *state],
        results,
        nodes=build.nodes,
        initializers=initializers,
        opset_imports={"": OPSET},
        name="main",
    )
    model = ir.Model(graph, ir_version=IR_VERSION)
    name_apart(model)
    return model


def _results(signature: Signature) -> Iterator[tuple[str, TensorSpec]]:
    yield from zip(signature.output_names, signature.results, strict=True)


def _axis(spec: TensorSpec) -> ir.Value:
    """Give the time axis as a constant."""
    name = f"time_axis_of_{spec.name}"
    return ir.val(name, const_value=ir.tensor(np.array([spec.time_axis]), name=name))


def _value(name: str, spec: TensorSpec, without: str | None = None, step: bool = False) -> ir.Value:
    """Make a value; ``without`` an axis, or for a single time step."""
    shape = [1 if step and size == TIME else size for size in spec.shape if size != without]
    dtype = ir.DataType.from_numpy(np.dtype(spec.dtype))
    return ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(dtype))
