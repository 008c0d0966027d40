"""The recurrences of a loop: what lies on a cycle through its state.

The vertices of the dataflow graph are the nodes of the body and the states. An edge leads from what makes a
value to what reads it, and from what makes a next state to the state. In

    H_t = Tanh (X_t W + H R + b),  y_t = H_t V

``H`` and the nodes from ``H R`` to ``Tanh`` are one component, ``X_t W`` and ``H_t V`` are one each.
"""

import networkx as nx
import onnx_ir as ir

from rnn_export.program.scan import Scan

State = int  # the number of a state, as a vertex of the graph beside the nodes
Vertex = ir.Node | State


def components(scan: Scan) -> list[list[Vertex]]:
    """Order the strongly connected components by what they read, each in the order of the body."""
    graph = _dataflow(scan)
    order = {vertex: number for number, vertex in enumerate(graph)}
    condensed = nx.condensation(graph)
    members = nx.get_node_attributes(condensed, "members")
    first = {component: min(order[vertex] for vertex in vertices) for component, vertices in members.items()}
    return [
        sorted(members[component], key=order.__getitem__)
        for component in nx.lexicographical_topological_sort(condensed, key=first.__getitem__)
    ]


def _dataflow(scan: Scan) -> "nx.DiGraph[Vertex]":
    graph: nx.DiGraph[Vertex] = nx.DiGraph()
    graph.add_nodes_from([*range(len(scan.states)), *scan.body])
    maker: dict[ir.Value, Vertex] = {value: state for state, value in enumerate(scan.states)}
    maker.update({output: node for node in scan.body for output in node.outputs})
    for node in scan.body:
        graph.add_edges_from((maker[value], node) for value in node.inputs if value in maker)
    for state, value in enumerate(scan.next_states):
        if value in maker:
            graph.add_edge(maker[value], state)
    return graph


def recurrent_nodes(scan: Scan) -> set[ir.Node]:
    """Give the nodes of a loop's body that lie on a cycle through the state."""
    cycles = [component for component in components(scan) if len(component) > 1]
    return {vertex for cycle in cycles for vertex in cycle if isinstance(vertex, ir.Node)}
