"""Ragged batches: a Program takes the number of time steps of each row as well.

- In every loop, a state of a row that has ended stays as it was: ``next' = Where(t < lengths, next, state)``.
  A loop that runs backward so begins at the row's own last time step, with the state that came in.
- The operators ``RNN``, ``GRU`` and ``LSTM`` take the lengths as their ``sequence_lens``.
- Outputs of rows that have ended are zero; those of the last time step alone are picked at the row's own.

``Where`` selects: NaN in the inputs of a row that has ended reaches nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import onnx_ir as ir

from rnn_export.errors import LengthsError
from rnn_export.passes.distribute import DIRECTIONS, is_plain, is_reversed
from rnn_export.passes.lift import Builder
from rnn_export.program import Program, name_apart, take_place
from rnn_export.signature import BATCH, LENGTHS, TIME, Signature

RECURRENT = ("RNN", "GRU", "LSTM")
SEQUENCE_LENS = 4  # the place of that input, in all three


def ragged(program: Program, signature: Signature) -> Program:
    """Add the input ``lengths``; ``signature`` is that of the Program.

    Raises:
        LengthsError: a loop is not one whose rows can end apart.
    """
    program = Program(program.copy().model, replace(signature, lengths=True))
    graph = program.model.graph
    lengths = ir.Value(name=LENGTHS.name, shape=ir.Shape([BATCH]), type=ir.TensorType(ir.DataType.INT64))
    graph.inputs.append(lengths)
    pass_ = _Ragged(program, signature, lengths)
    nodes = list(graph)
    graph.insert_before(nodes[0], pass_.build.nodes)
    for node in nodes:
        if node.op_type == "Scan":
            pass_.hold(node)
        elif node.op_type in RECURRENT:
            pass_.tell(node)
    pass_.end()
    name_apart(program.model)
    return program


@dataclass
class _Ragged:
    """A Program being changed; ``running``, ``[T, B]``, says whether a row has not ended at a time step."""

    program: Program
    signature: Signature
    lengths: ir.Value
    build: Builder = field(default_factory=Builder)

    def __post_init__(self) -> None:
        self.graph = self.program.model.graph
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
        backward = is_reversed(scan)
        scan.resize_inputs(len(scan.inputs) + 1)
        scan.replace_input_with(len(scan.inputs) - 1, self.running)
        scan.attributes["num_scan_inputs"] = ir.AttrInt64("num_scan_inputs", over + 1)
        if backward:
            scan.attributes[DIRECTIONS[0]] = ir.AttrInt64s(DIRECTIONS[0], [1] * (over + 1))
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

    def tell(self, node: ir.Node) -> None:
        """Give an operator the lengths."""
        if len(node.inputs) > SEQUENCE_LENS and node.inputs[SEQUENCE_LENS] is not None:
            raise LengthsError(f"{node.op_type} has lengths already")
        build = Builder()
        lengths = build.emit("Cast", [self.lengths], {"to": ir.DataType.INT32})
        self.graph.insert_before(node, build.nodes)
        node.resize_inputs(max(len(node.inputs), SEQUENCE_LENS + 1))
        node.replace_input_with(SEQUENCE_LENS, lengths)
        self._keep_empty(node)

    def _keep_empty(self, node: ir.Node) -> None:
        """Let rows without a time step keep their state, which ONNX Runtime's operators do not."""
        build = Builder()
        shape = build.constant([1, -1, 1])  # behind the directions, in front of the units
        some = build.emit("Reshape", [build.emit("Greater", [self.lengths, self._zero(build)]), shape])
        finals = zip(node.outputs[1:], node.inputs[SEQUENCE_LENS + 1 :], strict=False)
        kept = [(final, ir.node("Where", [some, final, start])) for final, start in finals if start]
        self.graph.insert_after(node, [*build.nodes, *(where for _, where in kept)])
        for final, where in kept:
            where.outputs[0].shape, where.outputs[0].type = final.shape, final.type
            take_place(self.graph, final, where.outputs[0])
            where.replace_input_with(1, final)

    @staticmethod
    def _zero(build: Builder) -> ir.Value:
        return build.emit("Constant", [], {"value": ir.tensor(np.array(0))})

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
