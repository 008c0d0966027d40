"""Fewer, larger products, in the graph and in the bodies of its loops.

- Products with the same left operand become one, with the matrices side by side, and a ``Split``.
- A product of matrices with a term of its own shape, or one row, added becomes one ``Gemm``.
"""

from collections import defaultdict

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from rnn_export.program.constants import add_constant
from rnn_export.program.program import Program, name_apart, take_place
from rnn_export.signature.signature import Array


def products(program: Program) -> Program:
    """Merge the products of every graph."""
    program = program.copy()
    for graph in program.model.graphs():
        _merge_products(graph, program.model.graph)
        _add_into_products(graph)
    common.RemoveUnusedNodesPass()(program.model)
    name_apart(program.model)
    return program


def _merge_products(graph: ir.Graph, main: ir.Graph) -> None:
    """Make one product of those that share their left operand."""
    for left, parts in _shared(graph):
        nodes = [node for node, _ in parts]
        widths = [matrix.shape[1] for _, matrix in parts]
        joined = add_constant(
            main,
            "+".join(str(node.inputs[1].name) for node in nodes if node.inputs[1]),
            np.hstack([m for _, m in parts]),
        )
        sizes = add_constant(main, "sizes_" + "_".join(map(str, widths)), np.array(widths, np.int64))
        product = ir.node("MatMul", [left, joined])
        rest = list(nodes[0].outputs[0].shape or ())[:-1]
        product.outputs[0].shape = ir.Shape([*rest, sum(widths)])
        product.outputs[0].type = nodes[0].outputs[0].type
        split = ir.node("Split", [product.outputs[0], sizes], {"axis": -1}, num_outputs=len(nodes))
        graph.insert_before(nodes[0], [product, split])
        for part, node in zip(split.outputs, nodes, strict=True):
            part.shape, part.type = node.outputs[0].shape, node.outputs[0].type
            node.outputs[0].replace_all_uses_with(part)
        graph.remove(nodes, safe=True)


def _shared(graph: ir.Graph) -> list[tuple[ir.Value, list[tuple[ir.Node, Array]]]]:
    """List the products with constant matrices that share a left operand."""
    shared: dict[ir.Value, list[tuple[ir.Node, Array]]] = defaultdict(list)
    for node in graph:
        if node.op_type == "MatMul" and not node.outputs[0].is_graph_output():
            left, right = node.inputs
            matrix = (
                right.const_value.numpy() if right is not None and right.const_value is not None else None
            )
            if (
                left is not None
                and matrix is not None
                and matrix.ndim == 2
                and node.outputs[0].shape is not None
            ):
                shared[left].append((node, matrix))
    return [(left, parts) for left, parts in shared.items() if len(parts) > 1]


def _add_into_products(graph: ir.Graph) -> None:
    """Write ``a B + c`` as one Gemm where ``a`` and ``c`` are matrices of the same batch."""
    for node in list(graph):
        if node.op_type != "Add":
            continue
        for product, term in (node.inputs, node.inputs[::-1]):
            maker = product.producer() if product else None
            if product is None or term is None or maker is None or not _only_feeds(maker, product, node):
                continue
            values, whole = (*maker.inputs, node.outputs[0]), node.outputs[0].shape
            matrices = all(value and value.shape is not None and len(value.shape) == 2 for value in values)
            if whole is not None and matrices and term.shape in (whole, whole[1:]):
                fused = ir.node("Gemm", [*maker.inputs, term])
                fused.outputs[0].shape, fused.outputs[0].type = node.outputs[0].shape, node.outputs[0].type
                graph.insert_before(node, fused)
                take_place(graph, node.outputs[0], fused.outputs[0])
                break


def _only_feeds(maker: ir.Node, product: ir.Value, reader: ir.Node) -> bool:
    """Whether a value is a product of two that nothing else reads, made in the same graph."""
    alone = len(product.uses()) == 1 and not product.is_graph_output()
    return maker.op_type == "MatMul" and maker.graph is reader.graph and alone
