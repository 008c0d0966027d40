"""A ``Loop`` that is a fold over time becomes a ``Scan``.

::

    l = SequenceEmpty ()
    H_T, L = Loop (T, , H, l) <body = step (i, go, float[B,6] H_s, seq(float) l_s) => (go, H_t, l_t) {
        x_t = Gather (xs, i)  ...  l_t = SequenceInsert (l_s, H_t) }>

    H_T, Hs = Scan (H, xs) <body = step (float[B,6] H_s, float[B,4] x_t) => (H_t, H_t) { ... }>
    L = SplitToSequence <axis = 0, keepdims = 0> (Hs)                                 # Hs: float[T,B,6]

- How often it runs is its trip count, or known from its condition (:mod:`.trip_count`).
- What it reads at the number of the iteration, from either end, becomes a sequence of the ``Scan``; the trip
  count has to be the length of one. The number, used otherwise, becomes one more sequence, 0, 1, 2, ...
- What it carries from step to step is its state; a list that it only appends to is a sequence that it writes.
- What it computes alike in every step moves in front of it.

Source: https://onnx.ai/onnx/operators/onnx__Loop.html and onnx__Scan.html.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from rnn_export.capture.onnx_file.affine_index import (
    ITERATION,
    Form,
    form,
    minus,
    number,
    plus,
    symbol,
)
from rnn_export.capture.onnx_file.list_entries import entries_of
from rnn_export.capture.onnx_file.list_states import open_lists
from rnn_export.capture.onnx_file.loop_node import rebuilt
from rnn_export.capture.onnx_file.sequence_reads import Read, direction_of, find_reads, is_read, picked
from rnn_export.capture.onnx_file.trip_count import Trips, trips_of
from rnn_export.errors import NotAFoldError
from rnn_export.program.build import Builder, add_constant
from rnn_export.program.program import Program, name_apart, take_place
from rnn_export.program.scan import FORWARD, REVERSED, Scan
from rnn_export.program.values import original
from rnn_export.signature.tensors import Array

RANDOM = ("Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform")


def scan_of_loop(program: Program, place: int) -> Program:
    """Turn one ``Loop`` of the graph into a ``Scan``.

    Raises:
        NotAFoldError: it cannot be proven to be a fold.
    """
    program = program.copy()
    graph = program.model.graph
    loop = [node for node in graph if node.op_type == "Loop"][place]
    _Conversion(graph, loop).run()
    name_apart(program.model)
    return program


@dataclass(frozen=True)
class _Appended:
    """What is put into a list in each step, at its end or at its front, and what it holds at the start."""

    entry: ir.Value | None
    direction: int
    begun: list[ir.Value]


@dataclass
class _Conversion:
    """A ``Loop`` of a graph that is being turned into a ``Scan``."""

    graph: ir.Graph
    loop: ir.Node
    before: Builder = field(default_factory=Builder)  # what is computed in front of the loop

    def __post_init__(self) -> None:
        self.loop = open_lists(self.graph, self.loop)
        self.body = self.loop.attributes["body"].as_graph()
        self.count = len(self.loop.inputs) - 2
        self.iteration, self.condition, *self.inner = self.body.inputs
        self.known: dict[ir.Value, Form] = {self.iteration: {ITERATION: 1}}

    def run(self) -> None:
        """Check, and rewrite the graph."""
        self._drop_what_stays()
        self._hoist()
        kept = [k for k in range(self.count) if not self._is_list(k)]
        lists = {k: self._appended(k) for k in range(self.count) if k not in kept}
        for k in kept:
            self._check_state(k)
        self._count_along(kept)
        trips = trips_of(self.loop, self.known, self.before)
        sequences = self._sequences(trips)
        self._rewrite(kept, lists, sequences, trips.value)

    # --- what has to hold ---------------------------------------------------------------------------------

    def _check_state(self, k: int) -> None:
        start, following = self.loop.inputs[2 + k], self.body.outputs[1 + k]
        if start is None or isinstance(start.type, ir.OptionalType | ir.SparseTensorType):
            raise NotAFoldError("a state of it is not a tensor")
        own = self.inner[k]
        if own.shape is None:  # not all exporters declare it, and that of a Scan's state stays
            own.shape = start.shape
        before, after = start.shape, following.shape
        if before is None or after is None:
            return
        pairs = zip(before, after, strict=False)
        changed = any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in pairs)
        if changed or len(before) != len(after):
            raise NotAFoldError(f"a state changes its shape, from {before} to {after}")

    # --- what is the same in every step -------------------------------------------------------------------

    def _drop_what_stays(self) -> None:
        """Take out what is carried unchanged: the body reads it where it comes from."""
        for k in reversed(range(self.count)):
            start = self.loop.inputs[2 + k]
            if start is not None and original(self.body.outputs[1 + k]) is self.inner[k]:
                take_place(self.graph, self.loop.outputs[k], start)
                self._drop(k, start)

    def _drop(self, k: int, start: ir.Value) -> None:
        """Carry one thing less: the body reads ``start``."""
        # a value that is deleted from a graph's outputs would still say that it is one of them
        self.body.outputs[:] = [value for place, value in enumerate(self.body.outputs) if place != 1 + k]
        for place, value in enumerate(self.body.outputs):
            if value is self.inner[k]:  # what a body gives has to be its own
                self.body.outputs[place] = self._copied(value)
        self.inner[k].replace_all_uses_with(start)
        del self.inner[k], self.body.inputs[2 + k]
        self.count -= 1
        rest = [value for place, value in enumerate(self.loop.inputs) if place != 2 + k]
        outputs = [value for place, value in enumerate(self.loop.outputs) if place != k]
        self.loop = rebuilt(self.graph, self.loop, rest, outputs)

    def _copied(self, value: ir.Value) -> ir.Value:
        build = Builder()
        copied = build.emit("Identity", [value], like=value)
        self.body.extend(build.nodes)
        return copied

    def _hoist(self) -> None:
        """Move what depends on no step in front of the loop."""
        varying = set(self.body.inputs)
        for node in list(self.body):
            graphs = any(a.type == ir.AttributeType.GRAPH for a in node.attributes.values())
            if graphs or node.op_type in RANDOM or varying & set(node.inputs):
                varying |= set(node.outputs)
            elif not any(value.is_graph_output() for value in node.outputs):
                self.body.remove(node)
                self.graph.insert_before(self.loop, node)
        self.varying = varying

    # --- what is carried ----------------------------------------------------------------------------------

    def _is_list(self, k: int) -> bool:
        start = self.loop.inputs[2 + k]
        return start is not None and isinstance(start.type, ir.SequenceType)

    def _appended(self, k: int) -> _Appended:
        """Say what is put into a list in each step, and at which of its ends."""
        start, own = self.loop.inputs[2 + k], self.inner[k]
        begun = entries_of(start, {})
        if begun is None:
            raise NotAFoldError("it is not known what a list of it holds at the start")
        node = original(self.body.outputs[1 + k]).producer()
        inserts = node is not None and node.op_type == "SequenceInsert" and node.inputs[0] is own
        if node is None or not inserts or len(own.uses()) > 1 or len(node.outputs[0].uses()) > 1:
            raise NotAFoldError("a list of it is read inside, or not appended to just once a step")
        place = form(node.inputs[2], {}) if len(node.inputs) > 2 and node.inputs[2] is not None else None
        if len(node.inputs) > 2 and node.inputs[2] is not None and place != number(0):
            raise NotAFoldError("a list of it is not appended to at one of its ends")
        return _Appended(node.inputs[1], FORWARD if place is None else REVERSED, begun)

    def _count_along(self, states: Sequence[int]) -> None:
        """Know the numbers that are counted up, or down, once a step."""
        for k in states:
            first = self._start(self.loop.inputs[2 + k])
            following = form(self.body.outputs[1 + k], {self.inner[k]: {"it": 1}})
            if first is not None and following is not None and following.get("it") == 1:
                step = minus(following, {"it": 1})
                if not set(step) - {""}:
                    self.known[self.inner[k]] = plus(first, {ITERATION: step[""]} if step else {})

    def _start(self, value: ir.Value | None) -> Form | None:
        """Give the number at which something starts to count, which has a symbol of its own if unknown."""
        first = form(value, self.known)
        if first is None and value is not None and (first := symbol(value)) is not None:
            self.known[value] = first
        return first

    # --- what is read -------------------------------------------------------------------------------------

    def _sequences(self, trips: Trips) -> list[tuple[ir.Value, ir.Value, int]]:
        """Turn what is read into inputs of the body; give these, their sequences and directions."""
        made: dict[tuple[ir.Value, int, str], tuple[ir.Value, ir.Value, int]] = {}
        for read in find_reads(self.body, self.varying, self.known):
            if is_read(read, trips):
                key = read.source, read.axis, repr(sorted(read.place.items()))
                if key not in made:
                    made[key] = self._sequence(read, trips)
                self._replace_read(read, made[key][0])
        return list(made.values())

    def _sequence(self, read: Read, trips: Trips) -> tuple[ir.Value, ir.Value, int]:
        """Give what the body reads, the sequence that holds it, time in front, and the direction."""
        direction = direction_of(read, trips)
        outer = read.source if direction is not None else picked(read, trips, self.loop, self.before)
        shape = list(outer.shape or ())
        if read.axis:
            order = [read.axis, *(axis for axis in range(len(shape)) if axis != read.axis)]
            outer = self._emit("Transpose", [outer], {"perm": order})
            outer.shape = ir.Shape([shape[axis] for axis in order])
        del shape[read.axis]
        inner = ir.Value(name=None, shape=ir.Shape(shape), type=read.source.type)
        return inner, outer, FORWARD if direction is None else direction

    def _replace_read(self, read: Read, step: ir.Value) -> None:
        [result] = read.node.outputs
        if read.whole:
            build = Builder()
            step = build.emit("Unsqueeze", [step, self._numbers(read.axis)], like=result)
            self.body.insert_before(read.node, build.nodes)
        result.replace_all_uses_with(step, replace_graph_outputs=True)
        self.body.remove(read.node, safe=True)

    # --- the Scan -----------------------------------------------------------------------------------------

    def _rewrite(
        self,
        states: Sequence[int],
        lists: dict[int, _Appended],
        sequences: list[tuple[ir.Value, ir.Value, int]],
        trips: ir.Value,
    ) -> None:
        starts = [self.loop.inputs[2 + k] for k in states]
        inner = [self._fresh(self.inner[k], start) for k, start in zip(states, starts, strict=True)]
        appended = [each.entry for each in lists.values()]
        emitted = self.body.outputs[1 + self.count :]
        results = self._give([*(self.body.outputs[1 + k] for k in states), *appended, *emitted])
        sequences = [*sequences, *self._clock(sequences, trips)]
        if self.condition.uses():
            self.condition.replace_all_uses_with(self._constant(np.array(True)))
        body = self._scan_body([*inner, *(step for step, _, _ in sequences)])
        scan = Scan.build(
            body,
            starts,
            [outer for _, outer, _ in sequences],
            [direction for _, _, direction in sequences],
            [*(each.direction for each in lists.values()), *(FORWARD for _ in emitted)],
            name=self.loop.name,
        )
        scan.node.metadata_props.update(self.loop.metadata_props)
        self.graph.insert_before(self.loop, [*self.before.nodes, scan.node])
        self._hand_over(scan.node, states, lists, results)

    def _give(self, values: Sequence[ir.Value | None]) -> list[ir.Value]:
        """Let the body give some values and nothing else, and drop what nothing needs any more."""
        build = Builder()
        # ONNX Runtime wants every output of the body to be a value of its own
        results = [build.emit("Identity", [value], like=value) for value in values]
        self.body.extend(build.nodes)
        self.body.outputs[:] = results
        _prune(self.body)
        return results

    def _scan_body(self, inputs: Sequence[ir.Value]) -> ir.Graph:
        """Move nodes and outputs of the body into one with other inputs."""
        nodes, results = list(self.body), list(self.body.outputs)
        self.body.outputs.clear()
        self.body.inputs.clear()
        self.body.remove(nodes)
        return ir.Graph(inputs, results, nodes=nodes, name="step")

    def _hand_over(
        self, scan: ir.Node, states: Sequence[int], lists: dict[int, _Appended], results: Sequence[ir.Value]
    ) -> None:
        """Let what read the ``Loop`` read the ``Scan``."""
        old = [*states, *lists, *range(self.count, len(self.loop.outputs))]
        for place, (new, number_) in enumerate(zip(scan.outputs, old, strict=True)):
            result, replaced = results[place], self.loop.outputs[number_]
            new.type = result.type
            stacked = [None] if place >= len(states) else []
            new.shape = ir.Shape([*stacked, *result.shape]) if result.shape is not None else None
            if number_ in lists:
                new = self._listed(new, lists[number_], replaced)  # noqa: PLW2901
            if stacked and number_ not in lists:  # as long as the loop runs, whatever is declared
                replaced.shape = new.shape
            take_place(self.graph, replaced, new)
        self.graph.remove(self.loop, safe=True)

    def _listed(self, stacked: ir.Value, appended: _Appended, like: ir.Value) -> ir.Value:
        """Give the list whose entries are those of the start and those of all time steps."""
        build, axes = Builder(), self._numbers(0)
        begun = [build.emit("Unsqueeze", [entry, axes], type=stacked.type) for entry in appended.begun]
        if begun:
            parts = [*begun, stacked] if appended.direction == FORWARD else [stacked, *begun]
            whole = build.emit("Concat", parts, {"axis": 0}, type=stacked.type)
            whole.shape, stacked = stacked.shape, whole
        ends: dict[str, object] = {"axis": 0, "keepdims": 0}
        listed = build.emit("SplitToSequence", [stacked], ends, type=like.type)
        self.graph.insert_before(self.loop, build.nodes)
        return listed

    def _clock(self, sequences: Sequence[object], trips: ir.Value) -> list[tuple[ir.Value, ir.Value, int]]:
        """Give the number of the iteration as a sequence, if something else but reading needs it."""
        if sequences and not self.iteration.uses():
            return []
        scalar = self._emit("Squeeze", [trips])
        scalar.shape = ir.Shape([])
        ends = self._constant(np.array(0)), scalar, self._constant(np.array(1))
        numbers = self._emit("Range", list(ends))
        tick = self._fresh(self.iteration, None)
        tick.shape, tick.type = ir.Shape([]), ir.TensorType(ir.DataType.INT64)
        numbers.shape, numbers.type = ir.Shape([None]), tick.type
        return [(tick, numbers, FORWARD)]

    def _fresh(self, old: ir.Value, start: ir.Value | None) -> ir.Value:
        new = ir.Value(name=None, shape=old.shape, type=old.type)
        if start is not None:
            new.shape, new.type = start.shape or old.shape, start.type or old.type
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        return new

    def _emit(
        self, op: str, inputs: Sequence[ir.Value], attributes: dict[str, object] | None = None
    ) -> ir.Value:
        """Compute something in front of the loop, of the type of its first input."""
        return self.before.emit(op, inputs, attributes, type=inputs[0].type)

    def _numbers(self, *numbers: int) -> ir.Value:
        return self._constant(np.array(numbers, np.int64))

    def _constant(self, array: Array) -> ir.Value:
        return add_constant(self.graph, f"fold/{len(self.graph.initializers)}", array)


def _prune(body: ir.Graph) -> None:
    """Drop the nodes that nothing reads any more."""
    for node in reversed(list(body)):
        if not any(value.uses() or value.is_graph_output() for value in node.outputs):
            body.remove(node, safe=True)
