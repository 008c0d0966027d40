"""Loop distribution: only what is on a cycle through the state stays in a loop.

Take the dataflow graph of a ``Scan`` body, with an edge from each next state to its state. The strongly
connected components with a cycle are the true recurrences; each becomes a ``Scan`` of its own. All other
nodes run once over all time steps, before, between or after them:

- what depends on neither inputs nor state is computed once;
- a state that is no part of a cycle is the sequence of its next values, one step late (one step early in a
  reversed ``Scan``, which runs from the last time step to the first);
- a node that no rule of :mod:`rnn_export.passes.time.lift` covers gets a ``Scan`` without state.

Hoisted input projections, output layers behind the loop and one loop per layer all follow from this.

Source: K. Kennedy and K. McKinley, "Loop distribution with arbitrary control flow", Supercomputing 1990.
"""

from dataclasses import dataclass, field

import networkx as nx
import numpy as np
import onnx_ir as ir

from rnn_export.passes.time.lift import Argument, lift, value_of
from rnn_export.program.build import Builder
from rnn_export.program.program import Program, name_apart, take_place
from rnn_export.signature.signature import TIME

DIRECTIONS = ("scan_input_directions", "scan_output_directions")
State = int  # the number of a state, as a vertex of the graph beside the nodes
Vertex = ir.Node | State


def distribute(program: Program) -> Program:
    """Take every ``Scan`` of the graph that runs one way apart."""
    program = program.copy()
    graph = program.model.graph
    for node in list(graph):
        if node.op_type == "Scan" and is_plain(node):
            nodes, outputs = _Distribution(node).run()
            graph.insert_before(node, nodes)
            for old, new in zip(node.outputs, outputs, strict=True):
                take_place(graph, old, new)
            graph.remove(node, safe=True)
    name_apart(program.model)
    return program


def is_plain(scan: ir.Node) -> bool:
    """Whether it runs over leading axes, all forward or all reversed, and holds no graphs of its own."""
    body = scan.attributes["body"].as_graph()
    nested = any(
        attribute.type == ir.AttributeType.GRAPH for n in body for attribute in n.attributes.values()
    )
    axes = any(name in scan.attributes for name in ("scan_input_axes", "scan_output_axes"))
    return (
        not nested and not axes and (is_reversed(scan) or not any(n in scan.attributes for n in DIRECTIONS))
    )


def is_reversed(scan: ir.Node) -> bool:
    """Whether it runs from the last time step to the first, and puts every result where it read."""
    over = scan.attributes["num_scan_inputs"].as_int()
    counts = over, len(scan.outputs) - (len(scan.inputs) - over)
    return all(
        list(scan.attributes.get_ints(name, [0] * count)) == [1] * count
        for name, count in zip(DIRECTIONS, counts, strict=True)
    )


def recurrent_nodes(scan: ir.Node) -> set[ir.Node]:
    """Give the nodes of a loop's body that lie on a cycle through the state."""
    count = len(scan.inputs) - scan.attributes["num_scan_inputs"].as_int()
    loops = [part for part in _components(scan.attributes["body"].as_graph(), count) if len(part) > 1]
    return {vertex for part in loops for vertex in part if isinstance(vertex, ir.Node)}


def _components(body: ir.Graph, count: int) -> list[list[Vertex]]:
    """Order the strongly connected components, each in the order of the body; ``count`` states."""
    graph: nx.DiGraph[Vertex] = nx.DiGraph()
    graph.add_nodes_from([*range(count), *body])
    owner: dict[ir.Value, Vertex] = {value: state for state, value in enumerate(body.inputs[:count])}
    owner.update({output: node for node in body for output in node.outputs})
    for node in body:
        graph.add_edges_from((owner[value], node) for value in node.inputs if value in owner)
    for state, value in enumerate(body.outputs[:count]):
        if value in owner:
            graph.add_edge(owner[value], state)
    order = {vertex: number for number, vertex in enumerate(graph)}
    condensed = nx.condensation(graph)
    members = nx.get_node_attributes(condensed, "members")
    first = {component: min(order[vertex] for vertex in vertices) for component, vertices in members.items()}
    return [
        sorted(members[component], key=order.__getitem__)
        for component in nx.lexicographical_topological_sort(condensed, key=first.__getitem__)
    ]


@dataclass
class _Distribution:
    """One ``Scan`` being taken apart: which values of its body are known outside of it, and how."""

    scan: ir.Node
    build: Builder = field(default_factory=Builder)
    sequences: dict[ir.Value, ir.Value] = field(default_factory=dict)  # with the time axis in front
    invariants: dict[ir.Value, ir.Value] = field(default_factory=dict)  # the same at every time step
    finals: dict[State, ir.Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.body = self.scan.attributes["body"].as_graph()
        self.count = len(self.scan.inputs) - self.scan.attributes["num_scan_inputs"].as_int()
        self.states, self.steps = self.body.inputs[: self.count], self.body.inputs[self.count :]
        self.following, self.results = self.body.outputs[: self.count], self.body.outputs[self.count :]
        self.start = list(self.scan.inputs[: self.count])
        self.reversed = is_reversed(self.scan)
        self.sequences.update(zip(self.steps, self.scan.inputs[self.count :], strict=True))  # type: ignore[arg-type]

    def run(self) -> tuple[list[ir.Node], list[ir.Value]]:
        """Give the nodes that take the place of the loop, and the values of its outputs."""
        for component in _components(self.body, self.count):
            self._place(component)
        finals = [self._final(state) for state in range(self.count)]
        return self.build.nodes, [*finals, *(self._as_sequence(value) for value in self.results)]

    def _place(self, component: list[Vertex]) -> None:
        """Put a component outside of the loop, as a loop of its own if it is one."""
        [vertex, *others] = component
        if others:
            self._loop(component)
        elif isinstance(vertex, ir.Node):
            self._node(vertex)
        elif self.following[vertex] is self.states[vertex]:
            self.invariants[self.states[vertex]] = self.finals[vertex] = self.start[vertex]  # type: ignore[assignment]
        else:
            self.sequences[self.states[vertex]] = self._late(vertex)

    def _node(self, node: ir.Node) -> None:
        arguments = [self._argument(value) for value in node.inputs]
        if node.op_type == "Shape" and arguments[0] and arguments[0].lifted:
            self._shape(node, arguments[0])
        elif not any(argument and argument.lifted for argument in arguments):
            copied = self.build.copy(node, list(map(value_of, arguments)))
            self.invariants.update(zip(node.outputs, copied, strict=True))
        else:
            lifted = lift(self.build, node, arguments)
            if lifted is None:
                self._loop([node])
            else:
                self.sequences.update(zip(node.outputs, lifted, strict=True))

    def _argument(self, value: ir.Value | None) -> Argument | None:
        if value is None:
            return None
        rank = len(value.shape) if value.shape is not None else 0
        if value in self.sequences:
            return Argument(self.sequences[value], True, rank)
        return Argument(self.invariants.get(value, value), False, rank)

    def _shape(self, node: ir.Node, argument: Argument) -> None:
        """Sizes of a step are the sizes behind the time axis, the same at every time step."""
        start = node.attributes.get_int("start", 0) % max(argument.rank, 1)
        attributes: dict[str, object] = {"start": start + 1}
        end = node.attributes.get_int("end", None)
        if end is not None:
            attributes["end"] = (end if end >= 0 else end + argument.rank) + 1
        self.invariants[node.outputs[0]] = self.build.emit("Shape", [argument.value], attributes)

    def _late(self, state: State) -> ir.Value:
        """Give the sequence of a state that is no part of a cycle: its next values, one step late."""
        following = self._as_sequence(self.following[state])
        first = self.build.emit("Unsqueeze", [self.start[state], self.build.constant([0])])
        ends = (1, np.iinfo(np.int64).max, 0) if self.reversed else (0, -1, 0)
        others = self.build.emit("Slice", [following, *(self.build.constant([end]) for end in ends)])
        parts = [others, first] if self.reversed else [first, others]
        late = self.build.emit("Concat", parts, {"axis": 0})
        self._describe(late, self.states[state])
        return late

    def _final(self, state: State) -> ir.Value:
        """Give a state after the time step that runs last."""
        if state in self.finals:
            return self.finals[state]
        value = self.following[state]
        if value in self.sequences:
            place = np.array(0 if self.reversed else -1, np.int64)
            last = self.build.emit("Constant", [], {"value": ir.tensor(place)})
            return self.build.emit("Gather", [self.sequences[value], last], {"axis": 0})
        return self.invariants.get(value, value)

    def _as_sequence(self, value: ir.Value) -> ir.Value:
        """Give a value for all time steps, repeated if it is the same at each."""
        if value in self.sequences:
            return self.sequences[value]
        once = self.build.emit("Unsqueeze", [self.invariants.get(value, value), self.build.constant([0])])
        steps = self.build.emit("Shape", [self.scan.inputs[-1]], {"start": 0, "end": 1})
        ones = self.build.constant([1] * len(value.shape or ()))
        size = self.build.emit("Concat", [steps, ones], {"axis": 0})
        repeated = self.build.emit("Expand", [once, size])
        self._describe(repeated, value)
        return repeated

    def _describe(self, sequence: ir.Value, value: ir.Value) -> None:
        if value.shape is not None:
            sequence.shape = ir.Shape([TIME, *value.shape])
        sequence.type = value.type

    def _loop(self, component: list[Vertex]) -> None:
        """Make a ``Scan`` of some nodes and states."""
        states = [vertex for vertex in component if not isinstance(vertex, ir.Node)]
        nodes = [vertex for vertex in component if isinstance(vertex, ir.Node)]
        made = {output for node in nodes for output in node.outputs}
        own = {self.states[state] for state in states}
        read = [value for node in nodes for value in node.inputs if value is not None]
        read += [self.following[state] for state in states]
        outside = [
            value for value in dict.fromkeys(read) if value not in made | own and value in self.sequences
        ]
        leaving = [value for value in (*own, *made) if self._leaves(value, set(nodes), own)]
        leaving.sort(key=lambda value: (value.producer() is not None, str(value.name)))

        inner = {value: _like(value) for value in (*(self.states[state] for state in states), *outside)}
        copies = Builder()
        for node in nodes:
            inputs = [value and inner.get(value, self.invariants.get(value, value)) for value in node.inputs]
            for old, new in zip(node.outputs, copies.copy(node, inputs), strict=True):
                new.shape, new.type = old.shape, old.type
                inner[old] = new
        kept = [self.following[state] for state in states] + leaving
        results = [copies.emit("Identity", [inner[value]]) for value in kept]
        for result, value in zip(results, kept, strict=True):
            result.shape, result.type = value.shape, value.type
        body = ir.Graph(
            [inner[value] for value in (*(self.states[state] for state in states), *outside)],
            results,
            nodes=copies.nodes,
            name="step",
        )
        over = [self.sequences[value] for value in outside] or [self._clock(body)]
        scan = ir.node(
            "Scan",
            [*(self.start[state] for state in states), *over],
            {"body": body, "num_scan_inputs": len(over), **self._directions(len(over), len(leaving))},
            num_outputs=len(kept),
        )
        scan.metadata_props.update(self.scan.metadata_props)
        self.build.nodes.append(scan)
        for state, final in zip(states, scan.outputs, strict=False):
            final.shape, final.type = self.states[state].shape, self.states[state].type
            self.finals[state] = final
        for value, sequence in zip(leaving, scan.outputs[len(states) :], strict=True):
            self._describe(sequence, value)
            self.sequences[value] = sequence

    def _directions(self, *counts: int) -> dict[str, list[int]]:
        """Give the attributes that let a loop run as the whole one does; a list may not be empty."""
        pairs = zip(DIRECTIONS, counts, strict=True)
        return {name: [1] * count for name, count in pairs if self.reversed and count}

    def _clock(self, body: ir.Graph) -> ir.Value:
        """Give a sequence to a loop that reads none, so that it knows the number of time steps."""
        tick = ir.Value(name=None, shape=self.steps[-1].shape, type=self.steps[-1].type)
        body.inputs.append(tick)
        return self.scan.inputs[-1]  # type: ignore[return-value]

    def _leaves(self, value: ir.Value, nodes: set[ir.Node], own: set[ir.Value]) -> bool:
        """Whether something outside of the component reads a value at every time step."""
        becomes_state = any(
            following is value and state not in own
            for state, following in zip(self.states, self.following, strict=True)
        )
        read = any(use.node not in nodes for use in value.uses())
        return becomes_state or value in self.results or read


def _like(value: ir.Value) -> ir.Value:
    return ir.Value(name=None, shape=value.shape, type=value.type)
