"""Fewer, larger products, in the graph and in the bodies of its loops.

Products with the same left operand become one, with the matrices side by side, and a ``Split``. A product of
matrices with a term of its own shape, or one row, added becomes one ``Gemm``::

    a = MatMul (x, W)  b = MatMul (x, V)  c = Add (b, row)                            # W: float[4,6]
    y = MatMul (h, R)  z = Add (y, c)                                                 # V, R: float[4,3]

    ab = MatMul (x, WV)  a, b = Split <axis = -1> (ab, [6, 3])  c = Add (b, row)      # WV: float[4,9]
    z = Gemm (h, R, c)

Requires: every constant is an initializer of the graph.
Ensures: no two products of constant matrices share their left operand.
"""

from collections import defaultdict

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from rnn_export.passes.contract import CONSTANTS_OUTSIDE, Property, rewriting
from rnn_export.program.build import Builder, add_constant
from rnn_export.program.program import Program, take_place
from rnn_export.program.values import constant_value, describe
from rnn_export.signature.tensors import Array

Products = list[tuple[ir.Node, Array]]  # with their matrices
NOT_SHARED = Property(
    "no two products of constant matrices share their left operand",
    lambda program: not any(_shared(graph) for graph in program.model.graphs()),
)


@rewriting(requires=[CONSTANTS_OUTSIDE], ensures=[NOT_SHARED])
def products(program: Program) -> bool:
    """Merge the products of every graph."""
    changed = False
    for graph in program.model.graphs():
        # Looked for again after each: what one of them gives may be the left operand of others. Each leaves
        # fewer products than there were.
        while shared := _shared(graph):
            _merge(graph, program.model.graph, *shared[0])
            changed = True
        added = [_add_into_product(graph, node) for node in list(graph) if node.op_type == "Add"]
        changed |= any(added)
    return common.RemoveUnusedNodesPass()(program.model).modified or changed


def _shared(graph: ir.Graph) -> list[tuple[ir.Value, Products]]:
    """List the products with constant matrices that share a left operand."""
    shared: dict[ir.Value, Products] = defaultdict(list)
    for node in graph:
        if node.op_type == "MatMul" and not node.outputs[0].is_graph_output():
            left, matrix = node.inputs[0], constant_value(node.inputs[1])
            known = matrix is not None and matrix.ndim == 2 and node.outputs[0].shape is not None
            if left is not None and matrix is not None and known:
                shared[left].append((node, matrix))
    return [(left, parts) for left, parts in shared.items() if len(parts) > 1]


def _merge(graph: ir.Graph, main: ir.Graph, left: ir.Value, parts: Products) -> None:
    """Make one product of those that share their left operand."""
    nodes, widths = [node for node, _ in parts], [matrix.shape[1] for _, matrix in parts]
    name = "+".join(str(node.inputs[1].name) for node in nodes if node.inputs[1])
    joined = add_constant(main, name, np.hstack([matrix for _, matrix in parts]))
    sizes = add_constant(main, "sizes_" + "_".join(map(str, widths)), np.array(widths, np.int64))
    build, first = Builder(), nodes[0].outputs[0]
    whole = [*list(first.shape or ())[:-1], sum(widths)]
    product = build.emit("MatMul", [left, joined], like=first, shape=whole)
    split = build.emit_several("Split", [product, sizes], {"axis": -1}, count=len(nodes))
    graph.insert_before(nodes[0], build.nodes)
    for part, node in zip(split, nodes, strict=True):
        describe(part, node.outputs[0])
        node.outputs[0].replace_all_uses_with(part)
    graph.remove(nodes, safe=True)


def _add_into_product(graph: ir.Graph, node: ir.Node) -> bool:
    """Write ``a B + c`` as one Gemm where ``a`` is a matrix and ``c`` is as large as the sum, or one row."""
    [total] = node.outputs
    for product, term in (node.inputs, node.inputs[::-1]):
        maker = product.producer() if product else None
        if product is None or term is None or maker is None or not _only_feeds(maker, product, node):
            continue
        matrices = all(v and v.shape is not None and len(v.shape) == 2 for v in (*maker.inputs, total))
        if total.shape is not None and matrices and term.shape in (total.shape, total.shape[1:]):
            build = Builder()
            result = build.emit("Gemm", [*maker.inputs, term], like=total)
            graph.insert_before(node, build.nodes)
            take_place(graph, total, result)
            return True
    return False


def _only_feeds(maker: ir.Node, product: ir.Value, reader: ir.Node) -> bool:
    """Whether a value is a product of two that nothing else reads, made in the same graph."""
    alone = len(product.uses()) == 1 and not product.is_graph_output()
    return maker.op_type == "MatMul" and maker.graph is reader.graph and alone
