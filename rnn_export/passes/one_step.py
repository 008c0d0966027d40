"""One time step of a Program, in plain operators: what engines without loops can run.

The time axis has one entry, so each loop over time is its body, once::

    H_T, Ys = Scan (H, xs) <body = step (H_s, x_t) => (H_t, y_t) { ... }>             # xs: float[T,B,4]

    ...  H_t = Tanh (...)  y_t = MatMul (H_t, V)                                      # x_t: float[B,4]

Inputs and outputs have the names that they have in the Program, and no time axis. What else the graph does
with time, such as a ``Transpose`` in front of the loop, goes with the axis.
"""

import onnx_ir as ir

from rnn_export.errors import PassError
from rnn_export.passes.cleanup import constant_folding, products, simplify, unit_axes
from rnn_export.passes.contract import Pass
from rnn_export.program.build import Builder
from rnn_export.program.operator_facts import RECURRENT
from rnn_export.program.program import Program, name_apart
from rnn_export.program.scan import Scan, scans
from rnn_export.signature.sizes import TIME
from rnn_export.signature.tensors import TensorSpec

CLEANING: tuple[Pass, ...] = (
    constant_folding.fold_constants,
    simplify.simplify,
    unit_axes.remove_unit_axes,
    constant_folding.fold_constants,
    simplify.simplify,
    products.products,
    simplify.simplify,
)
NOT_PLAIN = frozenset({"Scan", "Loop", "If", *RECURRENT})


def one_step(program: Program) -> Program:
    """Give one time step of a Program that can be streamed.

    Raises:
        PassError: it holds a loop, a branch or a recurrent operator that is not its loop over time.
    """
    signature = program.signature
    assert signature is not None
    step = program.copy()
    graph = step.model.graph
    _without_time(graph, signature.inputs, signature.outputs)
    for scan in scans(graph):
        _unrolled(graph, scan)
    name_apart(step.model)
    step = Program(step.model, signature.one_step)
    for each in CLEANING:
        step = each(step)
    left = sorted({node.op_type for node in step.model.graph.all_nodes()} & NOT_PLAIN)
    if left:
        raise PassError(f"one time step of the model holds {', '.join(left)}, which is no plain operator")
    return step


def _without_time(graph: ir.Graph, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
    """Let inputs and outputs have no time axis; inside, it has one entry."""
    begin, end = Builder(), Builder()
    for place, spec in enumerate(inputs):
        if spec.time_axis is None:
            continue
        whole, axis = graph.inputs[place], begin.constant([spec.time_axis])
        now = ir.Value(name=spec.name, shape=_shape(spec, drop=True), type=whole.type)
        one = begin.emit("Unsqueeze", [now, axis], shape=_shape(spec), type=whole.type)
        whole.replace_all_uses_with(one, replace_graph_outputs=True)
        graph.inputs[place] = now
    for place, spec in enumerate(outputs):
        if spec.time_axis is None:
            continue
        one, axis = graph.outputs[place], end.constant([spec.time_axis])
        now = end.emit("Squeeze", [one, axis], shape=_shape(spec, drop=True), type=one.type)
        now.name, one.name = one.name, None
        graph.outputs[place] = now
    for value in (value for node in graph for value in node.outputs):
        sizes = value.shape
        value.shape = None if sizes is None else ir.Shape([1 if size == TIME else size for size in sizes])
    graph.insert_before(graph[0], begin.nodes)
    graph.extend(end.nodes)


def _shape(spec: TensorSpec, *, drop: bool = False) -> ir.Shape:
    return ir.Shape([1 if size == TIME else size for size in spec.shape if not (drop and size == TIME)])


def _unrolled(graph: ir.Graph, scan: Scan) -> None:
    """Put the body of a loop that runs once into its place."""
    begin, end, (read, written) = Builder(), Builder(), scan.axes
    elements = [
        begin.emit("Squeeze", [sequence, begin.constant([axis])], like=element)
        for sequence, element, axis in zip(scan.sequences, scan.elements, read, strict=True)
    ]
    starts = (*scan.initial_states, *elements)
    for old, new in zip((*scan.states, *scan.elements), starts, strict=True):
        old.replace_all_uses_with(new, replace_graph_outputs=True)
    states = [end.emit("Identity", [value], like=value) for value in scan.next_states]
    results = [
        end.emit("Unsqueeze", [value, end.constant([axis])], shape=_with_one(value, axis), type=value.type)
        for value, axis in zip(scan.emitted, written, strict=True)
    ]
    nodes = list(scan.body)
    scan.body.outputs.clear()
    scan.body.remove(nodes)
    loop, made = scan.node, [*begin.nodes, *nodes, *end.nodes]
    ir.convenience.replace_nodes_and_values(graph, loop, [loop], made, loop.outputs, [*states, *results])


def _with_one(value: ir.Value, axis: int) -> list[int | ir.SymbolicDim] | None:
    """Give the shape of a value with one more axis, of one entry."""
    if value.shape is None:
        return None
    sizes = list(value.shape)
    return [*sizes[:axis], 1, *sizes[axis:]]
