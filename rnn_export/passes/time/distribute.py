"""Loop distribution: only what is on a cycle through the state stays in a loop.

Take the components of a loop's dataflow graph (:mod:`rnn_export.passes.time.recurrences`). Each with a cycle
is a recurrence and becomes a ``Scan`` of its own; all other nodes run once over all time steps, before,
between or after them::

    H_T, ys = Scan (H, xs) <body = step (float[B,6] H_s, float[B,4] x_t) => (H_t, y_t) {
        p = MatMul (x_t, W)  r = MatMul (H_s, R)  s = Add (p, r)  H_t = Tanh (s)  y_t = MatMul (H_t, V) }>

    ps = MatMul (xs, W)                                                               # float[T,B,6]
    H_T, Hs = Scan (H, ps) <body = step (float[B,6] H_s, float[B,6] p) => (H_t, H_t) {
        r = MatMul (H_s, R)  s = Add (p, r)  H_t = Tanh (s) }>                        # Hs: float[T,B,6]
    ys = MatMul (Hs, V)                                                               # float[T,B,3]

- What depends on neither inputs nor state is computed once.
- A state that is no part of a cycle is the sequence of its next values, one step late (one step early in a
  reversed loop, which runs from the last time step to the first).
- A node that no rule of :mod:`rnn_export.passes.time.lift` covers gets a ``Scan`` without state.

Hoisted input projections, output layers behind the loop and one loop for each layer all follow from this.

Requires: nothing; a loop that is not plain (:attr:`rnn_export.program.scan.Scan.plain`) stays as it is.
Ensures: every plain loop is one recurrence, or one node.

Source: K. Kennedy and K. McKinley, "Loop distribution with arbitrary control flow", Supercomputing 1990.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from rnn_export.passes.contract import Property, rewriting
from rnn_export.passes.time.lift import lift
from rnn_export.passes.time.lifted import Argument, value_of
from rnn_export.passes.time.recurrences import State, Vertex, components
from rnn_export.program.build import Builder
from rnn_export.program.operator_facts import int_of
from rnn_export.program.program import Program, take_place
from rnn_export.program.scan import REVERSED, Scan, scans
from rnn_export.program.values import describe
from rnn_export.signature.sizes import TIME


def _is_one_recurrence(scan: Scan) -> bool:
    return len([part for part in components(scan) if not _is_copied_output(part)]) <= 1


def _is_copied_output(part: list[Vertex]) -> bool:
    """Whether a part is a copy that makes the outputs of a body distinct, as ONNX Runtime needs them."""
    [vertex, *others] = part
    if others or not isinstance(vertex, ir.Node):
        return False
    return vertex.op_type == "Identity" and vertex.outputs[0].is_graph_output()


ONE_RECURRENCE = Property(
    "every plain loop is one recurrence, or one node",
    lambda program: all(_is_one_recurrence(scan) for scan in scans(program.model.graph) if scan.plain),
)


@rewriting(ensures=[ONE_RECURRENCE])
def distribute(program: Program) -> bool:
    """Take every plain loop of the graph apart."""
    graph = program.model.graph
    loops = [scan for scan in scans(graph) if scan.plain]
    for scan in loops:
        nodes, outputs = _Distribution(scan).run()
        graph.insert_before(scan.node, nodes)
        for old, new in zip(scan.node.outputs, outputs, strict=True):
            take_place(graph, old, new)
        graph.remove(scan.node, safe=True)
    return bool(loops)


@dataclass
class _Distribution:
    """A loop being taken apart: which values of its body are known outside of it, and how."""

    scan: Scan
    build: Builder = field(default_factory=Builder)
    sequences: dict[ir.Value, ir.Value] = field(default_factory=dict)  # with the time axis in front
    invariants: dict[ir.Value, ir.Value] = field(default_factory=dict)  # the same at every time step
    finals: dict[State, ir.Value] = field(default_factory=dict)

    def run(self) -> tuple[list[ir.Node], list[ir.Value]]:
        """Give the nodes that take the place of the loop, and the values of its outputs."""
        self.sequences.update(zip(self.scan.elements, self.scan.sequences, strict=True))
        for component in components(self.scan):  # each after what it reads
            self._place(component)
        finals = [self._final(state) for state in range(len(self.scan.states))]
        return self.build.nodes, [*finals, *(self._as_sequence(value) for value in self.scan.emitted)]

    def _place(self, component: list[Vertex]) -> None:
        """Put a component outside of the loop, as a loop of its own if it is a cycle."""
        [vertex, *others] = component
        if others:
            self._loop(component)
        elif isinstance(vertex, ir.Node):
            self._node(vertex)
        else:
            self._state(vertex)

    def _state(self, state: State) -> None:
        """Put a state outside that is on no cycle: it stays what it was, or is some value, one step late."""
        value, following = self.scan.states[state], self.scan.next_states[state]
        if following is value:
            self.invariants[value] = self.finals[state] = self.scan.initial_states[state]
        else:
            self.sequences[value] = self._late(state)

    def _node(self, node: ir.Node) -> None:
        """Put a node outside that is on no cycle: once, or for all time steps at once."""
        arguments = [self._argument(value) for value in node.inputs]
        if node.op_type == "Shape" and arguments[0] and arguments[0].lifted:
            self._shape(node, arguments[0])
        elif not any(argument and argument.lifted for argument in arguments):
            copied = self.build.copy(node, list(map(value_of, arguments)))
            self.invariants.update(zip(node.outputs, copied, strict=True))
        elif (lifted := lift(self.build, node, arguments)) is not None:
            self.sequences.update(zip(node.outputs, lifted, strict=True))
        else:
            self._loop([node])

    def _argument(self, value: ir.Value | None) -> Argument | None:
        if value is None:
            return None
        rank = len(value.shape) if value.shape is not None else 0
        if value in self.sequences:
            return Argument(self.sequences[value], True, rank)
        return Argument(self.invariants.get(value, value), False, rank)

    def _shape(self, node: ir.Node, argument: Argument) -> None:
        """Sizes of a step are the sizes behind the time axis, the same at every time step."""
        start = int_of(node, "start") % max(argument.rank, 1)
        attributes: dict[str, object] = {"start": start + 1}
        end = node.attributes.get_int("end", None)
        if end is not None:
            attributes["end"] = (end if end >= 0 else end + argument.rank) + 1
        self.invariants[node.outputs[0]] = self.build.emit("Shape", [argument.value], attributes)

    def _late(self, state: State) -> ir.Value:
        """Give the sequence of a state that is on no cycle: its next values, one step late.

        At the first time step the state is the initial one; the last of its next values is the final state.
        """
        following = self._as_sequence(self.scan.next_states[state])
        first = self.build.emit("Unsqueeze", [self.scan.initial_states[state], self.build.constant([0])])
        ends = (1, np.iinfo(np.int64).max, 0) if self.scan.reversed else (0, -1, 0)
        others = self.build.emit("Slice", [following, *(self.build.constant([end]) for end in ends)])
        parts = [others, first] if self.scan.reversed else [first, others]
        late = self.build.emit("Concat", parts, {"axis": 0})
        _describe_sequence(late, self.scan.states[state])
        return late

    def _final(self, state: State) -> ir.Value:
        """Give a state after the time step that runs last."""
        if state in self.finals:
            return self.finals[state]
        value = self.scan.next_states[state]
        if value in self.sequences:
            last = self.build.constant(0 if self.scan.reversed else -1)
            return self.build.emit("Gather", [self.sequences[value], last], {"axis": 0})
        return self.invariants.get(value, value)

    def _as_sequence(self, value: ir.Value) -> ir.Value:
        """Give a value for all time steps, repeated if it is the same at each."""
        if value in self.sequences:
            return self.sequences[value]
        once = self.build.emit("Unsqueeze", [self.invariants.get(value, value), self.build.constant([0])])
        steps = self.build.emit("Shape", [self.scan.sequences[-1]], {"start": 0, "end": 1})
        ones = self.build.constant([1] * len(value.shape or ()))
        size = self.build.emit("Concat", [steps, ones], {"axis": 0})
        repeated = self.build.emit("Expand", [once, size])
        _describe_sequence(repeated, value)
        return repeated

    def _loop(self, component: list[Vertex]) -> None:
        """Make a ``Scan`` of some nodes and states, and know outside what it gives."""
        states = [vertex for vertex in component if not isinstance(vertex, ir.Node)]
        nodes = [vertex for vertex in component if isinstance(vertex, ir.Node)]
        own = [self.scan.states[state] for state in states]
        following = [self.scan.next_states[state] for state in states]
        read, leaving = self._read(nodes, own, following), self._leaving(nodes, own)
        body = _body(nodes, [*own, *read], [*following, *leaving], self.invariants)
        # ONNX takes the number of time steps from a sequence: a loop that reads none gets one all the same
        sequences = [self.sequences[value] for value in read] or [self._clock(body)]
        way = [REVERSED] if self.scan.reversed else []
        initial = [self.scan.initial_states[state] for state in states]
        loop = Scan.build(body, initial, sequences, way * len(sequences), way * len(leaving))
        loop.node.metadata_props.update(self.scan.node.metadata_props)
        self.build.nodes.append(loop.node)
        for state, final in zip(states, loop.final_states, strict=True):
            describe(final, self.scan.states[state])
            self.finals[state] = final
        for value, sequence in zip(leaving, loop.results, strict=True):
            _describe_sequence(sequence, value)
            self.sequences[value] = sequence

    def _read(
        self, nodes: list[ir.Node], states: list[ir.Value], following: list[ir.Value]
    ) -> list[ir.Value]:
        """List what some nodes and states read of others that is another value at every time step."""
        own = {*states, *(output for node in nodes for output in node.outputs)}
        read = [value for node in nodes for value in node.inputs if value is not None] + following
        return [value for value in dict.fromkeys(read) if value not in own and value in self.sequences]

    def _leaving(self, nodes: list[ir.Node], states: list[ir.Value]) -> list[ir.Value]:
        """List what others read of some nodes and states at every time step: first the states, by name."""
        values = [*states, *(output for node in nodes for output in node.outputs)]
        leaving = [value for value in values if self._leaves(value, nodes, states)]
        return sorted(leaving, key=lambda value: (value.producer() is not None, str(value.name)))

    def _leaves(self, value: ir.Value, nodes: list[ir.Node], states: list[ir.Value]) -> bool:
        """Whether something else than some nodes and states reads a value at every time step."""
        pairs = zip(self.scan.states, self.scan.next_states, strict=True)
        becomes_state = any(following is value and state not in states for state, following in pairs)
        read = any(use.node not in nodes for use in value.uses())
        return becomes_state or value in self.scan.emitted or read

    def _clock(self, body: ir.Graph) -> ir.Value:
        """Give a sequence to a loop that reads none: it runs as often as that is long."""
        body.inputs.append(_fresh(self.scan.elements[-1]))
        return self.scan.sequences[-1]


def _body(
    nodes: Sequence[ir.Node],
    inputs: Sequence[ir.Value],
    kept: Sequence[ir.Value],
    invariants: dict[ir.Value, ir.Value],
) -> ir.Graph:
    """Copy nodes into a body of their own that reads ``inputs`` and gives ``kept``."""
    inner, build = {value: _fresh(value) for value in inputs}, Builder()
    for node in nodes:
        arguments = [value and inner.get(value, invariants.get(value, value)) for value in node.inputs]
        for old, new in zip(node.outputs, build.copy(node, arguments), strict=True):
            describe(new, old)
            inner[old] = new
    # A next state may be a result as well, and ONNX Runtime takes no value twice: each is a copy.
    results = [build.emit("Identity", [inner[value]], like=value) for value in kept]
    return ir.Graph([inner[value] for value in inputs], results, nodes=build.nodes, name="step")


def _describe_sequence(sequence: ir.Value, value: ir.Value) -> None:
    """Give a sequence the shape and type that follow from a value of a time step."""
    if value.shape is not None:
        sequence.shape = ir.Shape([TIME, *value.shape])
    sequence.type = value.type


def _fresh(value: ir.Value) -> ir.Value:
    return ir.Value(name=None, shape=value.shape, type=value.type)
