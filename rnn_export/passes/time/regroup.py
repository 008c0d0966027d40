"""Sum first what does not depend on the state: ``(x W + b) + (h R + c)`` becomes ``h R + (x W + (b + c))``.

In the body of a ``Scan``, a ``Gemm`` is written as a product and a sum
(:mod:`rnn_export.passes.cleanup.products` puts it together again), the product of a ``Concat`` ``[x, h] W``
as the sum of its parts' products, and every sum that lies on a cycle through the state is taken apart into
its terms. Those off the cycle are added up first, the constants before the others, and leave the loop with
:mod:`rnn_export.passes.time.distribute`. The sum is one of the same numbers in another order: its rounding
may change, by no more than that of any other order.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from rnn_export.passes.time.distribute import is_plain, recurrent_nodes
from rnn_export.program.constants import add_constant, constant
from rnn_export.program.program import Program, name_apart


def regroup(program: Program) -> Program:
    """Regroup the sums of every loop."""
    program = program.copy()
    for scan in program.model.graph:
        if scan.op_type == "Scan" and is_plain(scan):
            body = scan.attributes["body"].as_graph()
            for node in [node for node in body if node.op_type == "Gemm"]:
                _open_gemm(program.model.graph, body, node)
            for node in [node for node in body if node.op_type == "MatMul"]:
                _open_concat(program.model.graph, scan, node)
            recurrent = recurrent_nodes(scan)
            sums = [node for node in body if node in recurrent and node.op_type == "Add"]
            for node in [node for node in sums if not _is_term(node.outputs[0])]:
                _regroup(body, node, recurrent, _states(scan))
    common.RemoveUnusedNodesPass()(program.model)
    name_apart(program.model)
    return program


def _open_gemm(main: ir.Graph, body: ir.Graph, node: ir.Node) -> None:
    """Write ``a B + c`` as a product and a sum, if B is constant and nothing is scaled."""
    left, right, *rest = node.inputs
    matrix, scales = constant(right), [node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")]
    result = node.outputs[0]
    turned = [node.attributes.get_int(name, 0) for name in ("transA", "transB")]
    if matrix is None or scales != [1.0, 1.0] or turned[0] or result.shape is None:
        return
    if turned[1]:
        right = add_constant(main, f"{right.name}/transposed", matrix.T)  # type: ignore[union-attr]
    nodes = [ir.node("MatMul", [left, right])]
    if rest and rest[0] is not None:
        nodes.append(ir.node("Add", [nodes[0].outputs[0], rest[0]]))
    nodes[0].outputs[0].shape, nodes[0].outputs[0].type = result.shape, result.type
    ir.convenience.replace_nodes_and_values(body, node, [node], nodes, [result], nodes[-1].outputs)


def _open_concat(main: ir.Graph, scan: ir.Node, node: ir.Node) -> None:
    """Write ``[a, b] W`` as ``a W_a + b W_b``, if one part is on the cycle and another is not."""
    body, [left, right], [result] = scan.attributes["body"].as_graph(), node.inputs, node.outputs
    joined, matrix = left.producer() if left else None, constant(right)
    if left is None or right is None or joined is None or joined.op_type != "Concat":
        return
    parts = [value for value in joined.inputs if value is not None and value.shape is not None]
    widths = [width for value in parts if isinstance(width := value.shape[-1], int)]  # type: ignore[index]
    last = joined.attributes["axis"].as_int() in (-1, len(left.shape or ()) - 1)
    if not last or len(widths) < len(joined.inputs) or result.shape is None or matrix is None:
        return
    rows = np.split(matrix, np.cumsum(widths)[:-1], -2)
    recurrent, states = recurrent_nodes(scan), _states(scan)
    bound = [value in states or value.producer() in recurrent for value in parts]
    if len(set(bound)) == 1:
        return
    nodes, terms = [], []
    for side in (True, False):
        chosen = [number for number, on_cycle in enumerate(bound) if on_cycle is side]
        weight = add_constant(main, f"{right.name}/rows", np.concatenate([rows[k] for k in chosen], -2))
        operand = parts[chosen[0]]
        if len(chosen) > 1:
            nodes.append(ir.node("Concat", [parts[number] for number in chosen], {"axis": -1}))
            operand = nodes[-1].outputs[0]
            width = sum(widths[number] for number in chosen)
            operand.shape, operand.type = ir.Shape([*(left.shape or ())[:-1], width]), left.type
        nodes.append(ir.node("MatMul", [operand, weight]))
        terms.append(nodes[-1].outputs[0])
        terms[-1].shape, terms[-1].type = result.shape, result.type
    nodes.append(ir.node("Add", terms))
    ir.convenience.replace_nodes_and_values(body, node, [node], nodes, [result], nodes[-1].outputs)


def _states(scan: ir.Node) -> Sequence[ir.Value]:
    count = len(scan.inputs) - scan.attributes["num_scan_inputs"].as_int()
    return scan.attributes["body"].as_graph().inputs[:count]


def _is_term(value: ir.Value) -> bool:
    """Whether a value is nothing but a term of one sum."""
    uses = value.uses()
    return len(uses) == 1 and not value.is_graph_output() and all(use.node.op_type == "Add" for use in uses)


def _terms(node: ir.Node) -> Iterator[ir.Value]:
    for value in node.inputs:
        producer = value.producer() if value else None
        if value and producer is not None and producer.op_type == "Add" and _is_term(value):
            yield from _terms(producer)
        elif value is not None:
            yield value


def _regroup(body: ir.Graph, top: ir.Node, recurrent: set[ir.Node], states: Sequence[ir.Value]) -> None:
    terms = list(_terms(top))
    bound = [value for value in terms if value in states or value.producer() in recurrent]
    free = [value for value in terms if value not in bound]
    if len(free) < 2 or any(value.shape is None for value in terms):
        return
    constants = [value for value in free if constant(value) is not None]
    others = [value for value in free if value not in constants]
    nodes: list[ir.Node] = []
    total = _sum(nodes, [*others, *([_sum(nodes, constants)] if constants else [])])
    total = _sum(nodes, [*bound, total])
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
