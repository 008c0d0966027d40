"""Rows of a batch that end apart: a Program takes the number of time steps of each row as well.

In every loop, a state of a row that has ended stays as it was, and outputs of such a row are zero, or what
the signature says::

    H_T, Ys = Scan (H, xs) <body = step (H_s, x_t) => (H_t, y_t) { ... }>             # xs: float[T,B,4]

    running = Less (Unsqueeze (Range (0, T, 1), [1]), Unsqueeze (lengths, [0]))       # bool[T,B]
    H_T, Ys = Scan (H, xs, running) <body = step (H_s, x_t, float[B] runs) => (H_n, y_t) {
        ...  H_n = Where (Unsqueeze (runs, [1]), H_t, H_s) }>
    ys = Where (Unsqueeze (running, [2]), Ys, 0)                                      # float[T,B,3]

- A loop that runs backward so begins at the row's own last time step, with the state that came in.
- The operators ``RNN``, ``GRU`` and ``LSTM`` take the lengths as their ``sequence_lens``.
- Outputs of the last time step alone are picked at the row's own.

``Where`` selects: NaN in the inputs of a row that has ended reaches nothing.

Requires: nothing; :class:`LengthsError` says what cannot take lengths.
Ensures: ``lengths`` is the last input, if the signature has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from rnn_export.errors import LengthsError
from rnn_export.passes.contract import Property, rewriting
from rnn_export.program.build import Builder
from rnn_export.program.operator_facts import RECURRENT, SEQUENCE_LENS
from rnn_export.program.program import Program, take_place, takes_lengths
from rnn_export.program.scan import Scan
from rnn_export.program.values import describe
from rnn_export.signature.signature import Signature
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import LENGTHS, Array, TensorSpec


def _wants_lengths(program: Program) -> bool:
    return program.signature is not None and program.signature.lengths


TAKES_LENGTHS = Property(
    "lengths is the last input, if the signature has it",
    lambda program: takes_lengths(program) or not _wants_lengths(program),
)


@rewriting(ensures=[TAKES_LENGTHS])
def lengths(program: Program) -> bool:
    """Add the input ``lengths``, if the signature has it and the graph has not.

    Raises:
        LengthsError: a loop is not one whose rows can end apart.
    """
    graph, signature = program.model.graph, program.signature
    if signature is None or not signature.lengths or takes_lengths(program):
        return False
    value = ir.Value(name=LENGTHS.name, shape=ir.Shape([BATCH]), type=ir.TensorType(ir.DataType.INT64))
    graph.inputs.append(value)
    ragged = _Ragged(graph, signature, value)
    nodes = list(graph)  # before ours are among them
    graph.insert_before(nodes[0], ragged.build.nodes)
    for node in nodes:
        if node.op_type == "Scan":
            ragged.hold(Scan(node))
        elif node.op_type in RECURRENT:
            give_lengths(graph, node, value)
    ragged.end()
    return True


def give_lengths(graph: ir.Graph, node: ir.Node, lengths: ir.Value) -> None:
    """Give an operator the lengths, and let rows without a time step keep their state.

    Raises:
        LengthsError: it has lengths already.
    """
    if len(node.inputs) > SEQUENCE_LENS and node.inputs[SEQUENCE_LENS] is not None:
        raise LengthsError(f"{node.op_type} has lengths already")
    before, after = Builder(), Builder()
    node.resize_inputs(max(len(node.inputs), SEQUENCE_LENS + 1))
    node.replace_input_with(SEQUENCE_LENS, before.emit("Cast", [lengths], {"to": ir.DataType.INT32}))
    # [D, B, H]: the rows stand behind the directions and in front of the units
    zero, shape = after.constant(0), after.constant([1, -1, 1])
    some = after.emit("Reshape", [after.emit("Greater", [lengths, zero]), shape])
    graph.insert_before(node, before.nodes)
    pairs = list(zip(node.outputs[1:], node.inputs[SEQUENCE_LENS + 1 :], strict=False))
    # ONNX Runtime gives zeros as the final state of a row of no time steps
    kept = [(final, after.emit("Where", [some, final, start], like=final)) for final, start in pairs if start]
    graph.insert_after(node, after.nodes)
    for final, where in kept:
        take_place(graph, final, where)
        # the Where read the final state as well, and has just become its own input
        where.producer().replace_input_with(1, final)  # type: ignore[union-attr]


def release(scan: Scan) -> bool:
    """Undo what makes a loop hold the states of rows that have ended; say whether there was such a thing."""
    held = [node for value in scan.next_states if (node := value.producer()) and node.op_type == "Where"]
    flags = list(dict.fromkeys(node.inputs[0] for node in held))
    read = dict(zip(scan.elements, scan.sequences, strict=True))
    if any(flag not in read for flag in flags) or len({read[flag] for flag in flags if flag}) != 1:
        return False
    # every state is held by the same lengths, or the operator could not hold them
    if [node.inputs[2] for node in held] != list(scan.states):
        return False
    for node in held:
        _, following, _ = node.inputs
        assert following is not None
        node.outputs[0].replace_all_uses_with(following, replace_graph_outputs=True)
        scan.body.remove(node, safe=True)
    scan.remove_sequences(flag for flag in flags if flag)
    return True


@dataclass
class _Ragged:
    """A graph being changed; ``running``, ``[T, B]``, says whether a row has not ended at a time step."""

    graph: ir.Graph
    signature: Signature
    lengths: ir.Value
    build: Builder = field(default_factory=Builder)

    def __post_init__(self) -> None:
        build, sequence = self.build, self.signature.sequence
        inputs, time = self.graph.inputs[self.signature.inputs.index(sequence)], sequence.shape.index(TIME)
        size = build.emit("Shape", [inputs], {"start": time, "end": time + 1})
        steps = build.emit("Squeeze", [size, build.constant([0])])
        zero, one = build.constant(0), build.constant(1)
        numbers = build.emit("Range", [zero, steps, one])
        self.times = build.emit("Unsqueeze", [numbers, build.constant([1])])
        self.ends = build.emit("Unsqueeze", [self.lengths, build.constant([0])])
        self.running = build.emit("Less", [self.times, self.ends])
        self.running.shape, self.running.type = ir.Shape([TIME, BATCH]), ir.TensorType(ir.DataType.BOOL)

    def hold(self, scan: Scan) -> None:
        """Let a loop hold the states of rows that have ended."""
        if not scan.plain:
            raise LengthsError("a loop over other axes, or in both directions, cannot take lengths")
        states, following = scan.states, scan.next_states
        running = ir.Value(name=None, shape=ir.Shape([BATCH]), type=self.running.type)
        scan.append_sequence(self.running, running)
        build = Builder()
        for place, (state, value) in enumerate(zip(states, following, strict=True)):
            going_on = self._beside(build, running, state)
            held = _select(build, going_on, value, state, truth=state.dtype == ir.DataType.BOOL)
            describe(held, state)
            scan.body.outputs[place] = held
        scan.body.extend(build.nodes)

    def _beside(self, build: Builder, running: ir.Value, state: ir.Value) -> ir.Value:
        """Give whether rows have not ended in a shape that broadcasts to a state's."""
        sizes = list(map(str, state.shape or ()))
        if BATCH not in sizes:
            raise LengthsError(
                f"a state of shape {state.shape} has no axis for the batch: it cannot take lengths"
            )
        axis = sizes.index(BATCH)
        others = [other for other in range(len(sizes)) if other != axis]
        if not others:
            return running
        shape = [BATCH if place == axis else 1 for place in range(len(sizes))]
        return build.emit("Unsqueeze", [running, build.constant(others)], like=running, shape=shape)

    def end(self) -> None:
        """Let the outputs be their padding from each row's end on, or pick its own last ones."""
        for place, spec in enumerate(self.signature.outputs):
            outputs, build = self.graph.outputs[place], Builder()
            if spec.time_axis is None:
                result = self._last(build, spec, outputs)
            else:
                order = (spec.time_axis, spec.batch_axis)
                first = order[0] < order[1]
                running = self.running if first else build.emit("Transpose", [self.running], {"perm": [1, 0]})
                ended = spec.ended(spec.dtype)
                result = self._only(build, running, order, spec, outputs, ended)
            self.graph.extend(build.nodes)
            self.graph.outputs[place] = result
            result.name, outputs.name = outputs.name, None
            result.shape, result.type = ir.Shape(spec.shape), outputs.type

    def _last(self, build: Builder, spec: TensorSpec, outputs: ir.Value) -> ir.Value:
        """Pick the outputs of each row's last time step out of those of all, of which the last were taken."""
        gather = outputs.producer()
        everything = gather.inputs[0] if gather is not None and gather.op_type == "Gather" else None
        loop = everything.producer() if everything is not None else None
        if everything is None or loop is None or loop.op_type != "Scan":
            raise LengthsError("outputs of the last time step that are no loop's cannot take lengths")
        before = build.emit("Sub", [self.ends, build.constant(1)])
        last = build.emit("Equal", [self.times, before])
        kept = self._only(build, last, (0, spec.batch_axis + 1), spec, everything)
        truth = spec.dtype == "bool"  # of which there is no sum
        kept = build.emit("Cast", [kept], {"to": ir.DataType.INT64}) if truth else kept
        # all other time steps are zero: the sum is exact
        own = build.emit("ReduceSum", [kept, build.constant([0])], {"keepdims": 0})
        return build.emit("Cast", [own], {"to": ir.DataType.BOOL}) if truth else own

    def _only(
        self,
        build: Builder,
        where: ir.Value,
        axes: Sequence[int],
        spec: TensorSpec,
        values: ir.Value,
        others_are: Array | int = 0,
    ) -> ir.Value:
        """Keep the values at some places of two axes; the others become zero, or other numbers."""
        rank = len(spec.shape) + (spec.time_axis is None)
        others = [axis for axis in range(rank) if axis not in axes]
        if others:
            where = build.emit("Unsqueeze", [where, build.constant(others)])
        numbers = build.constant(np.asarray(others_are, spec.dtype))
        return _select(build, where, values, numbers, truth=spec.dtype == "bool")


def _select(build: Builder, where: ir.Value, values: ir.Value, others: ir.Value, *, truth: bool) -> ir.Value:
    """Give the values at some places, and others elsewhere; they may be ``truth`` values."""
    if not truth:
        return build.emit("Where", [where, values, others])
    # ONNX Runtime has no Where of truth values
    kept = build.emit("And", [where, values])
    rest = build.emit("And", [build.emit("Not", [where]), others])
    return build.emit("Or", [kept, rest])
