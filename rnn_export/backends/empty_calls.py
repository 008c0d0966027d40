"""A call without a time step or a row is answered: nothing comes out, and the state stays as it was.

A loop over no time steps is an error in runtimes; an operator outside of a guard ends the process. So a graph
that holds one stands in a branch as a whole::

    some = Cast <to = bool> (Size (inputs))
    outputs, state_0_out = If (some) <
        then_branch = { ... }
        else_branch = { ConstantOfShape (Concat (Shape (inputs)), [K]), Identity (state_0) }>
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from rnn_export.passes.operators.guard import EMPTY, USUAL, is_guard
from rnn_export.program.build import Builder
from rnn_export.program.operator_facts import ELEMENTWISE
from rnn_export.program.values import constant_value, describe
from rnn_export.signature.signature import Signature
from rnn_export.signature.sizes import TIME, Length, read_length
from rnn_export.signature.tensors import InputSpec, StateSpec, TensorSpec

# Of none they make none, in ONNX Runtime. A branch around a guard would cost twice the time: the weights of
# an operator so deep inside are not packed.
ANSWERING = ELEMENTWISE | frozenset(
    """
    Concat Constant Expand Gemm LayerNormalization LogSoftmax MatMul Range ReduceL2 ReduceMax ReduceMean
    ReduceSum ReduceSumSquare Shape Size Slice Softmax Split Squeeze Transpose Unsqueeze
    """.split()  # noqa: SIM905
)


def answer_empty_calls(graph: ir.Graph, signature: Signature) -> None:
    """Put a graph with the inputs and outputs of a signature into a branch, if anything in it needs that."""
    if all(map(_answers, graph)):
        return
    nodes, results = list(graph), list(graph.outputs)
    graph.outputs.clear()
    graph.remove(nodes)
    build = Builder()
    first = graph.inputs[signature.inputs.index(signature.sequence)]
    size = build.emit("Size", [first])
    some = build.emit("Cast", [size], {"to": ir.DataType.BOOL})
    graphs = {USUAL: _whole(nodes, results), "else_branch": _nothing(graph.inputs, signature)}
    outer = build.emit_several("If", [some], dict(graphs), count=len(results))
    build.nodes[-1].doc_string = EMPTY
    for inner, value in zip(results, outer, strict=True):
        describe(value, inner)
        value.name, inner.name = inner.name, f"{inner.name}/some"
    graph.extend(build.nodes)
    graph.outputs.extend(outer)


def _answers(node: ir.Node) -> bool:
    """Whether a node makes none of none, a guard and a look-up in a table among them."""
    table = node.op_type == "Gather" and constant_value(node.inputs[0]) is not None
    return node.op_type in ANSWERING or is_guard(node) or table


def _whole(nodes: Sequence[ir.Node], results: Sequence[ir.Value]) -> ir.Graph:
    return ir.Graph([], results, nodes=nodes, name="some")


def _nothing(inputs: Sequence[ir.Value], signature: Signature) -> ir.Graph:
    """Give the results of an empty call."""
    build, count = Builder(), len(signature.inputs)
    states = dict(zip((leaf.output_name for leaf in signature.state), inputs[count:], strict=False))
    given = dict(zip(signature.inputs, inputs, strict=False))
    results = [
        build.emit("Identity", [states[spec.output_name]], like=states[spec.output_name])
        if isinstance(spec, StateSpec)
        else _zeros(build, given, spec)
        for spec in signature.results
    ]
    for number, value in enumerate(value for node in build.nodes for value in node.outputs):
        value.name = f"none/{number}"
    return ir.Graph([], results, nodes=build.nodes, name="none")


def _zeros(build: Builder, given: Mapping[InputSpec, ir.Value], spec: TensorSpec) -> ir.Value:
    """Give a result that is as long as the inputs, and so empty, or all zeros where it has neither size."""
    sizes = build.emit("Concat", list(_sizes(build, given, spec)), {"axis": 0})
    zero = ir.tensor(np.zeros(1, spec.dtype))
    dtype = ir.TensorType(ir.DataType.from_numpy(np.dtype(spec.dtype)))
    return build.emit("ConstantOfShape", [sizes], {"value": zero}, shape=spec.shape, type=dtype)


def _sizes(build: Builder, given: Mapping[InputSpec, ir.Value], spec: TensorSpec) -> Iterator[ir.Value]:
    for size in spec.shape:
        if isinstance(size, int):
            yield build.constant([size])
            continue
        length = read_length(size)
        name = size if length is None else TIME
        own = next(input_spec for input_spec in given if name in input_spec.shape)
        axis = own.shape.index(name)
        number = build.emit("Shape", [given[own]], {"start": axis, "end": axis + 1})
        yield number if length in (None, Length()) else _length(build, number, length)


def _length(build: Builder, time: ir.Value, length: Length) -> ir.Value:
    """Compute how many outputs there are for a number of time steps."""
    times = build.emit("Mul", [time, build.constant([length.times])])
    more = build.emit("Add", [times, build.constant([length.more])])
    positive = build.emit("Max", [more, build.constant([0])])  # division rounds towards zero
    inner = build.emit("Div", [positive, build.constant([length.by])])
    each = build.emit("Mul", [inner, build.constant([length.each])])
    return build.emit("Add", [each, build.constant([length.plus])])
