"""Sum first what does not depend on the state: ``(x W + h R) + b`` becomes ``h R + (x W + b)``.

In the body of a ``Scan``, take every sum that lies on a cycle through the state apart into its terms; those
off the cycle are added up first, and leave the loop with :mod:`rnn_export.passes.distribute`. The sum is one
of the same numbers in another order: its rounding may change, by no more than that of any other order.
"""

from collections.abc import Iterator, Sequence

import onnx_ir as ir
from onnx_ir.passes import common

from rnn_export.passes.distribute import is_plain, recurrent_nodes
from rnn_export.program import Program, name_apart


def regroup(program: Program) -> Program:
    """Regroup the sums of every loop."""
    program = program.copy()
    for scan in program.model.graph:
        if scan.op_type == "Scan" and is_plain(scan):
            body = scan.attributes["body"].as_graph()
            recurrent = recurrent_nodes(scan)
            for node in [node for node in body if node in recurrent and _is_top(node, recurrent)]:
                _regroup(body, node, recurrent)
    common.RemoveUnusedNodesPass()(program.model)
    name_apart(program.model)
    return program


def _is_top(node: ir.Node, recurrent: set[ir.Node]) -> bool:
    """Whether a sum is not just a term of another one."""
    return node.op_type == "Add" and not _is_term(node.outputs[0], recurrent)


def _is_term(value: ir.Value, recurrent: set[ir.Node]) -> bool:
    uses = value.uses()
    return (
        len(uses) == 1
        and not value.is_graph_output()
        and all(use.node.op_type == "Add" and use.node in recurrent for use in uses)
    )


def _terms(node: ir.Node, recurrent: set[ir.Node]) -> Iterator[ir.Value]:
    for value in node.inputs:
        producer = value.producer() if value else None
        if value and producer in recurrent and producer.op_type == "Add" and _is_term(value, recurrent):
            yield from _terms(producer, recurrent)
        elif value is not None:
            yield value


def _regroup(body: ir.Graph, top: ir.Node, recurrent: set[ir.Node]) -> None:
    terms = list(_terms(top, recurrent))
    states = {value for node in recurrent for value in node.inputs if value in body.inputs}
    on_cycle = [value for value in terms if value.producer() in recurrent]
    off_cycle = [value for value in terms if value not in on_cycle]
    steps = [value for value in off_cycle if value not in states]
    if len(steps) < 2 or any(value.shape is None for value in terms):
        return
    bound = [value for value in terms if value not in steps]
    nodes: list[ir.Node] = []
    total = _sum(nodes, [*bound, _sum(nodes, steps)])
    body.insert_before(top, nodes)
    top.outputs[0].replace_all_uses_with(total, replace_graph_outputs=True)


def _sum(nodes: list[ir.Node], terms: Sequence[ir.Value]) -> ir.Value:
    total = terms[0]
    for term in terms[1:]:
        node = ir.node("Add", [total, term])
        node.outputs[0].shape = _broadcast(total.shape, term.shape)  # type: ignore[arg-type]
        node.outputs[0].type = total.type
        nodes.append(node)
        total = node.outputs[0]
    return total


def _broadcast(one: ir.Shape, other: ir.Shape) -> ir.Shape:
    """Give the shape of a sum of two tensors whose shapes fit."""
    rank = max(len(one), len(other))
    pairs = zip([1] * (rank - len(one)) + list(one), [1] * (rank - len(other)) + list(other), strict=True)
    return ir.Shape([b if a == 1 else a for a, b in pairs])
