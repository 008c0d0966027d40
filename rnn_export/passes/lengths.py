"""Ragged batches: a Program takes the number of time steps of each row as well.

- In every loop, a state of a row that has ended stays as it was: ``next' = Where(t < lengths, next, state)``.
  A loop that runs backward so begins at the row's own last time step, with the state that came in.
- The operators ``RNN``, ``GRU`` and ``LSTM`` take the lengths as their ``sequence_lens``.
- Outputs of rows that have ended are zero; those of the last time step alone are picked at the row's own.

``Where`` selects: NaN in the inputs of a row that has ended reaches nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from rnn_export.errors import LengthsError
from rnn_export.passes.time.distribute import DIRECTIONS, is_plain, is_reversed
from rnn_export.program.build import Builder
from rnn_export.program.program import Program, name_apart, take_place, takes_lengths
from rnn_export.signature.signature import BATCH, LENGTHS, TIME, Signature

RECURRENT = ("RNN", "GRU", "LSTM")
SEQUENCE_LENS = 4  # the place of that input, in all three


def lengths(program: Program) -> Program:
    """Add the input ``lengths``, if the signature has it and the graph has not.

    Raises:
        LengthsError: a loop is not one whose rows can end apart.
    """
    program = program.copy()
    graph, signature = program.model.graph, program.signature
    if signature is None or not signature.lengths or takes_lengths(program):
        return program
    value = ir.Value(name=LENGTHS.name, shape=ir.Shape([BATCH]), type=ir.TensorType(ir.DataType.INT64))
    graph.inputs.append(value)
    ragged = _Ragged(graph, signature, value)
    nodes = list(graph)
    graph.insert_before(nodes[0], ragged.build.nodes)
    for node in nodes:
        if node.op_type == "Scan":
            ragged.hold(node)
        elif node.op_type in RECURRENT:
            tell(graph, node, value)
    ragged.end()
    name_apart(program.model)
    return program


def tell(graph: ir.Graph, node: ir.Node, lengths: ir.Value) -> None:
    """Give an operator the lengths, and let rows without a time step keep their state.

    Raises:
        LengthsError: it has lengths already.
    """
    if len(node.inputs) > SEQUENCE_LENS and node.inputs[SEQUENCE_LENS] is not None:
        raise LengthsError(f"{node.op_type} has lengths already")
    before, after = Builder(), Builder()
    node.resize_inputs(max(len(node.inputs), SEQUENCE_LENS + 1))
    node.replace_input_with(SEQUENCE_LENS, before.emit("Cast", [lengths], {"to": ir.DataType.INT32}))
    zero = after.emit("Constant", [], {"value": ir.tensor(np.array(0))})
    shape = after.constant([1, -1, 1])  # behind the directions, in front of the units
    some = after.emit("Reshape", [after.emit("Greater", [lengths, zero]), shape])
    finals = zip(node.outputs[1:], node.inputs[SEQUENCE_LENS + 1 :], strict=False)
    kept = [(final, ir.node("Where", [some, final, start])) for final, start in finals if start]
    graph.insert_before(node, before.nodes)
    graph.insert_after(node, [*after.nodes, *(where for _, where in kept)])  # ONNX Runtime gives zeros there
    for final, where in kept:
        where.outputs[0].shape, where.outputs[0].type = final.shape, final.type
        take_place(graph, final, where.outputs[0])
        where.replace_input_with(1, final)


def release(scan: ir.Node) -> bool:
    """Undo what makes a loop hold the states of rows that have ended; say whether there was such a thing."""
    body = scan.attributes["body"].as_graph()
    count = len(scan.inputs) - scan.attributes["num_scan_inputs"].as_int()
    held = [node for value in body.outputs[:count] if (node := value.producer()) and node.op_type == "Where"]
    flags = list(dict.fromkeys(node.inputs[0] for node in held))
    places = [body.inputs.index(flag) for flag in flags if flag in body.inputs[count:]]
    told = {scan.inputs[place] for place in places}
    if [node.inputs[2] for node in held] != body.inputs[:count] or len(places) < len(flags) or len(told) != 1:
        return False
    for node in held:
        _, following, _ = node.inputs
        assert following is not None
        node.outputs[0].replace_all_uses_with(following, replace_graph_outputs=True)
        body.remove(node, safe=True)
    for place in sorted(places, reverse=True):
        del body.inputs[place]
        for later, value in list(enumerate(scan.inputs))[place + 1 :]:
            scan.replace_input_with(later - 1, value)
        scan.resize_inputs(len(scan.inputs) - 1)
    _set_count(scan, scan.attributes["num_scan_inputs"].as_int() - len(places))
    return True


def _set_count(scan: ir.Node, over: int) -> None:
    """Say how many sequences a loop reads, all in one direction."""
    if is_reversed(scan):
        scan.attributes[DIRECTIONS[0]] = ir.AttrInt64s(DIRECTIONS[0], [1] * over)
    scan.attributes["num_scan_inputs"] = ir.AttrInt64("num_scan_inputs", over)


@dataclass
class _Ragged:
    """A graph being changed; ``running``, ``[T, B]``, says whether a row has not ended at a time step."""

    graph: ir.Graph
    signature: Signature
    lengths: ir.Value
    build: Builder = field(default_factory=Builder)

    def __post_init__(self) -> None:
        inputs, time = self.graph.inputs[0], self.signature.inputs.shape.index(TIME)
        size = self.build.emit("Shape", [inputs], {"start": time, "end": time + 1})
        steps = self.build.emit("Squeeze", [size, self.build.constant([0])])
        zero, one = (self._scalar(number) for number in (0, 1))
        numbers = self.build.emit("Range", [zero, steps, one])
        self.times = self.build.emit("Unsqueeze", [numbers, self.build.constant([1])])
        self.ends = self.build.emit("Unsqueeze", [self.lengths, self.build.constant([0])])
        self.running = self.build.emit("Less", [self.times, self.ends])
        self.running.shape, self.running.type = ir.Shape([TIME, BATCH]), ir.TensorType(ir.DataType.BOOL)

    def hold(self, scan: ir.Node) -> None:
        """Let a loop hold the states of rows that have ended."""
        body, over = scan.attributes["body"].as_graph(), scan.attributes["num_scan_inputs"].as_int()
        count = len(scan.inputs) - over
        if not is_plain(scan):
            raise LengthsError("a loop over other axes, or in both directions, cannot take lengths")
        running = ir.Value(name=None, shape=ir.Shape([BATCH]), type=self.running.type)
        _set_count(scan, over + 1)
        scan.resize_inputs(len(scan.inputs) + 1)
        scan.replace_input_with(len(scan.inputs) - 1, self.running)
        build = Builder()
        for place, (state, following) in enumerate(
            zip(body.inputs[:count], body.outputs[:count], strict=True)
        ):
            if state.shape is None or BATCH not in list(map(str, state.shape)):
                raise LengthsError(
                    f"a state of shape {state.shape} has no axis for the batch: it cannot take lengths"
                )
            axis = list(map(str, state.shape)).index(BATCH)
            others = [other for other in range(len(state.shape)) if other != axis]
            going_on = build.emit("Unsqueeze", [running, build.constant(others)]) if others else running
            going_on.type = running.type
            going_on.shape = ir.Shape([BATCH if k == axis else 1 for k in range(len(state.shape))])
            held = build.emit("Where", [going_on, following, state])
            held.shape, held.type = state.shape, state.type
            body.outputs[place] = held
        body.inputs.append(running)
        body.extend(build.nodes)

    def end(self) -> None:
        """Let the outputs be zero from each row's end on, or pick its own last ones."""
        spec, outputs = self.signature.outputs, self.graph.outputs[0]
        build = Builder()
        if spec.time_axis is None:
            result = self._last(build, outputs)
        else:
            order = (spec.time_axis, spec.batch_axis)
            running = (
                self.running
                if order[0] < order[1]
                else build.emit("Transpose", [self.running], {"perm": [1, 0]})
            )
            result = self._only(build, running, order, outputs)
        self.graph.extend(build.nodes)
        self.graph.outputs[0] = result
        result.name, outputs.name = outputs.name, None
        result.shape, result.type = ir.Shape(spec.shape), outputs.type

    def _last(self, build: Builder, outputs: ir.Value) -> ir.Value:
        """Pick the outputs of each row's last time step out of those of all, of which the last were taken."""
        gather = outputs.producer()
        everything = gather.inputs[0] if gather is not None and gather.op_type == "Gather" else None
        loop = everything.producer() if everything is not None else None
        if everything is None or loop is None or loop.op_type != "Scan":
            raise LengthsError("outputs of the last time step that are no loop's cannot take lengths")
        before = build.emit("Sub", [self.ends, build.emit("Constant", [], {"value": ir.tensor(np.array(1))})])
        last = build.emit("Equal", [self.times, before])
        kept = self._only(build, last, (0, self.signature.outputs.batch_axis + 1), everything)
        return build.emit("ReduceSum", [kept, build.constant([0])], {"keepdims": 0})

    def _only(self, build: Builder, where: ir.Value, axes: Sequence[int], values: ir.Value) -> ir.Value:
        """Keep the values at some places of two axes; the others become zero."""
        rank = len(self.signature.outputs.shape) + (self.signature.outputs.time_axis is None)
        others = [axis for axis in range(rank) if axis not in axes]
        if others:
            where = build.emit("Unsqueeze", [where, build.constant(others)])
        dtype = np.dtype(self.signature.outputs.dtype)
        zero = build.emit("Constant", [], {"value": ir.tensor(np.zeros((), dtype))})
        return build.emit("Where", [where, values, zero])

    def _scalar(self, number: int) -> ir.Value:
        return self.build.emit("Constant", [], {"value": ir.tensor(np.array(number))})
