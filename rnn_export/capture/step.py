"""One traced step becomes the body of a ``Scan``.

Run ``forward`` on a single time step and the step is traced, whatever Python the loop was written in. That
the module is such a fold is a hypothesis; :mod:`rnn_export.verification.grid` checks it, and every file is
verified.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx_ir as ir
import torch
from onnx_ir.passes import common
from torch import Tensor, nn
from torch._decomp import get_decompositions
from torch.export import ExportedProgram

from rnn_export.capture import traceable
from rnn_export.capture.decompositions import decomposed, without_bags, without_unbind
from rnn_export.capture.free_numbers import asks_for_numbers
from rnn_export.capture.registry import unparsed
from rnn_export.capture.traceable import Free
from rnn_export.errors import CaptureError, class_name
from rnn_export.failures import users_line
from rnn_export.garbage import uncollected
from rnn_export.module.subject import Subject
from rnn_export.program.build import Builder
from rnn_export.program.computed import name_computed
from rnn_export.program.program import IR_VERSION, OPSET, Program, name_apart
from rnn_export.program.quiet import quiet, unprinted
from rnn_export.program.scan import Scan
from rnn_export.program.values import describe
from rnn_export.signature.signature import Signature
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import TensorSpec

TRACED_BATCH = 3  # unlike 1, which the exporter would take for a constant
LARGEST = 1 << 24  # of a free size
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


def traced(subject: Subject) -> ExportedProgram:
    """Trace ``forward`` on one time step, as operators of PyTorch.

    Raises:
        CaptureError: upstream cannot trace the step.
    """
    flat, (arguments, _, free) = subject.flat().eval(), _one_step(subject)
    try:
        return _traced(flat, arguments, free, _named(subject), numbers=False)
    except CaptureError:
        if not asks_for_numbers(flat):
            raise
        return _traced(flat, arguments, free, _named(subject), numbers=True)


def _traced(
    flat: nn.Module, arguments: Sequence[Tensor], free: Free, what: str, *, numbers: bool
) -> ExportedProgram:
    try:
        with quiet(), uncollected(), unprinted(PRINTING), torch.no_grad():
            return traceable.trace(flat, arguments, free, numbers=numbers)
    except Exception as error:
        raise _untraceable(error, what) from error


def _trace(subject: Subject) -> ir.Model:
    arguments, specs, free = _one_step(subject)
    step = exported(subject.flat().eval(), arguments, specs, free, _named(subject))
    _name_sizes(step, specs)
    return step


def _named(subject: Subject) -> str:
    return f"one time step of {class_name(subject.original)}"


def _one_step(subject: Subject) -> tuple[list[Tensor], tuple[TensorSpec, ...], Free]:
    """Give the arguments of one time step, what they are, and which of their sizes are free."""
    signature = subject.signature
    rows = torch.arange(TRACED_BATCH) % signature.sizes(subject.inputs)[BATCH]
    sizes = {name: torch.export.Dim(name, min=1, max=LARGEST) for name in (BATCH, *signature.free_sizes)}
    one_step = [
        tensor if spec.time_axis is None else tensor.narrow(spec.time_axis, 0, 1)
        for tensor, spec in zip(subject.inputs, signature.inputs, strict=True)
    ]
    specs = signature.arguments
    arguments = [
        leaf.index_select(spec.batch_axis, rows)
        for leaf, spec in zip((*one_step, *subject.state), specs, strict=True)
    ]
    free = [
        {axis: sizes[str(spec.shape[axis])] for axis in spec.free_axes if spec.shape[axis] != TIME}
        for spec in specs
    ]
    return arguments, specs, free


def exported(
    flat: nn.Module, arguments: Sequence[Tensor], specs: Sequence[TensorSpec], free: Free, what: str
) -> ir.Model:
    """Trace a flat module, and export it to ONNX.

    Args:
        flat: takes tensors alone. One that asks for sizes as Python numbers is traced once more.
        arguments: of one call.
        specs: what they are.
        free: of each, the axes whose sizes are free, and what ``torch.export`` calls them.
        what: is traced, for the error.

    Raises:
        CaptureError: the exporter cannot trace it, or fixes a size.
    """
    try:
        return _exported(flat, arguments, specs, free, what, numbers=False)
    except CaptureError as error:
        if not asks_for_numbers(flat):
            raise
        try:
            return _exported(flat, arguments, specs, free, what, numbers=True)
        except CaptureError:
            raise error from error.__cause__


def _exported(
    flat: nn.Module,
    arguments: Sequence[Tensor],
    specs: Sequence[TensorSpec],
    free: Free,
    what: str,
    *,
    numbers: bool,
) -> ir.Model:
    try:
        with quiet(), uncollected(), unparsed(), unprinted(PRINTING), torch.no_grad():
            traced = traceable.trace(flat, arguments, free, numbers=numbers)
            without_unbind(traced)
            without_bags(traced)
            traced = decomposed(traced, get_decompositions(TIME_LOOPS))
            made = torch.onnx.export(traced, dynamo=True, opset_version=OPSET, verbose=False, optimize=False)
            if made is not None:
                name_computed(made.model)  # the exporter has names of its own for what it computes
                made.optimize()
    except Exception as error:
        raise _untraceable(error, what) from error
    if made is None:
        raise CaptureError("the exporter gave nothing")
    for value, spec, axes in zip(made.model.graph.inputs, specs, free, strict=True):
        for axis in axes:
            size, name = str((value.shape or ())[axis]), spec.shape[axis]
            if size.isdigit():
                called = "the batch" if name == BATCH else name
                raise CaptureError(f"the exporter fixes {called} of {what} at {size}")
    return made.model


def _untraceable(error: Exception, what: str) -> CaptureError:
    reason = str(error.__cause__ or error).strip().partition("\n")[0].rstrip(".")
    line = users_line(error)
    place = line and f" ({line})"
    return CaptureError(
        f"{what} cannot be traced: {reason}{place}. "
        "Keep Python decisions that depend on values, and the batch size as a number, out of forward()."
    )


def _name_sizes(step: ir.Model, specs: Sequence[TensorSpec]) -> None:
    """Call the free sizes by their names where the exporter has its own."""
    names = {
        (value.shape or ())[axis]: str(spec.shape[axis])
        for value, spec in zip(step.graph.inputs, specs, strict=True)
        for axis in spec.free_axes
        if spec.shape[axis] != TIME
    }
    for node in step.graph:
        for value in (*step.graph.inputs, *node.outputs):
            if value.shape is not None:
                value.shape = ir.Shape([names.get(size, size) for size in value.shape])


def _fold(step: ir.Model, signature: Signature) -> ir.Model:
    """Move the step's nodes into the body of one ``Scan`` over the time axes of the sequences.

    A context is read from outside.
    """
    graph = step.graph
    initializers = list(graph.initializers.values())
    old_inputs, old_outputs, nodes = list(graph.inputs), list(graph.outputs), list(graph)
    graph.outputs.clear()
    graph.remove(nodes)
    _name_apart_from(signature, nodes, graph)

    build, end = Builder(), Builder()
    outer = {spec.name: _value(spec.name, spec) for spec in signature.arguments}
    now, whole, axes = list[ir.Value](), list[ir.Value](), list[ir.Value]()
    for spec in signature.inputs:
        if spec.time_axis is None:
            whole.append(outer[spec.name])
            continue
        x_t = _value(f"step/{spec.name}", spec, without=TIME)
        axes.append(_axis(spec))
        like = _value(f"whole/{spec.name}", spec, step=True)
        whole.append(build.emit("Unsqueeze", [x_t, axes[-1]], like=like))
        now.append(x_t)
    before = [_value(f"step/{spec.name}", spec) for spec in signature.state]
    for old, new in zip(old_inputs, (*whole, *before), strict=True):
        old.replace_all_uses_with(new)
        old_outputs = [new if value is old else value for value in old_outputs]
    results = list[ir.Value]()
    for value, (name, result) in zip(old_outputs, _results(signature), strict=True):
        new = _value(f"step/{name}", result, without=TIME)
        alone = [] if result.time_axis is None else [_axis(result)]
        axes += alone
        results.append(end.emit("Squeeze" if alone else "Identity", [value, *alone], like=new))
    outputs = len(signature.outputs)
    body = ir.Graph(
        [*before, *now],
        [*results[outputs:], *results[:outputs]],
        nodes=[*build.nodes, *nodes, *end.nodes],
        opset_imports={"": OPSET},
        name="step",
    )
    return _scan(body, signature, outer, [*initializers, *axes])


def _name_apart_from(signature: Signature, nodes: list[ir.Node], graph: ir.Graph) -> None:
    """Name values and initializers of the step so that they are out of the way of the signature's names."""
    for number, value in enumerate(value for node in nodes for value in node.outputs):
        value.name = f"step/{number}"
    reserved = {*signature.input_names, *signature.output_names}
    for initializer in list(graph.initializers.values()):
        graph.initializers.pop(initializer.name or "")
        if initializer.name in reserved:
            initializer.name = f"parameter/{initializer.name}"


def _scan(
    body: ir.Graph, signature: Signature, outer: Mapping[str, ir.Value], initializers: list[ir.Value]
) -> ir.Model:
    """Run a step over the time axes of the sequences, wherever these are."""
    arguments = list(outer.values())
    build, sequences = Builder(), list[ir.Value]()
    for spec in signature.inputs:
        if spec.time_axis is None:
            continue
        sequence = outer[spec.name]
        if spec.time_axis:
            order = [spec.time_axis, *(axis for axis in range(len(spec.shape)) if axis != spec.time_axis)]
            sizes = [spec.shape[axis] for axis in order]
            sequence = build.emit("Transpose", [sequence], {"perm": order}, like=sequence, shape=sizes)
        sequences.append(sequence)
    states = [outer[leaf.name] for leaf in signature.state]
    scan = Scan.build(body, states, sequences)
    build.nodes.append(scan.node)
    results = list[ir.Value]()
    end: ir.Value | None = None
    for result, output in zip(scan.results, signature.outputs, strict=True):
        result.type = _value(output.name, output).type
        if output.time_axis is None:
            end = end or ir.val("end", const_value=ir.tensor(np.array(-1), name="end"))
            results.append(build.emit("Gather", [result, end], {"axis": 0}))
        elif output.time_axis:
            order = list(range(1, len(output.shape)))
            order.insert(output.time_axis, 0)
            results.append(build.emit("Transpose", [result], {"perm": order}))
        else:
            results.append(result)
    results += scan.final_states
    for value, (name, returned) in zip(results, _results(signature), strict=False):
        wanted = _value(name, returned)
        describe(value, wanted)
        value.name = wanted.name
    graph = ir.Graph(
        arguments,
        results[: len(signature.results)],
        nodes=build.nodes,
        initializers=[*initializers, *([] if end is None else [end])],
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
