"""Sum first what does not depend on the state: ``(x W + b) + (h R + c)`` becomes ``h R + (x W + (b + c))``.

In the body of a loop, a ``Gemm`` is written as a product and a sum, the product of a ``Concat`` as the sum of
its parts' products, and every sum on a cycle through the state is taken apart into its terms. Those off the
cycle are added up first, the constants before the others::

    xh = Concat <axis = -1> (x_t, H_s)  s = Gemm (xh, WR, b)  H_t = Tanh (s)          # WR: float[10,6]

    r = MatMul (H_s, R)  p = MatMul (x_t, W)  q = Add (p, b)                          # R: float[6,6]
    s = Add (r, q)  H_t = Tanh (s)                                                    # W: float[4,6]

``p`` and ``q`` now leave the loop with :mod:`rnn_export.passes.time.distribute`, and
:mod:`rnn_export.passes.cleanup.products` puts products and sums together again. The sum is one of the same
numbers in another order: its rounding may change, by no more than that of any other order.

Requires: nothing; a loop that is not plain stays as it is.
Ensures: no plain loop holds a ``Gemm`` that can be a product and a sum.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from rnn_export.passes.contract import Property, rewriting
from rnn_export.passes.time.recurrences import recurrent_nodes
from rnn_export.program.build import Builder, add_constant
from rnn_export.program.computed import TURNED
from rnn_export.program.operator_facts import float_of, int_of
from rnn_export.program.program import Program
from rnn_export.program.scan import Scan, scans
from rnn_export.program.values import constant_value


def _is_product_and_sum(node: ir.Node) -> bool:
    """Whether a node is ``a B + c`` or ``a B`` with a constant B, nothing scaled and ``a`` as it stands."""
    if node.op_type != "Gemm" or node.outputs[0].shape is None or constant_value(node.inputs[1]) is None:
        return False
    scaled = float_of(node, "alpha") != 1.0 or float_of(node, "beta") not in (0.0, 1.0)
    return not int_of(node, "transA") and not scaled


NO_GEMM = Property(
    "no plain loop holds a Gemm that can be a product and a sum",
    lambda program: (
        not any(
            map(
                _is_product_and_sum,
                (n for scan in scans(program.model.graph) if scan.plain for n in scan.body),
            )
        )
    ),
)


@rewriting(ensures=[NO_GEMM])
def regroup(program: Program) -> bool:
    """Regroup the sums of every plain loop."""
    main = program.model.graph
    changed = [_regroup_loop(main, scan) for scan in scans(main) if scan.plain]
    unused = common.RemoveUnusedNodesPass()(program.model)
    return any(changed) or unused.modified


def _regroup_loop(main: ir.Graph, scan: Scan) -> bool:
    gemms = [node for node in scan.body if _is_product_and_sum(node)]
    for node in gemms:  # first: the sums in them are terms of larger ones
        _open_gemm(main, scan.body, node)
    products = [node for node in scan.body if node.op_type == "MatMul"]
    opened = [_open_concat(main, scan, node) for node in products]
    recurrent = recurrent_nodes(scan)  # anew, with the nodes that were just made
    sums = [node for node in scan.body if node in recurrent and node.op_type == "Add"]
    sums = [node for node in sums if not _is_term(node.outputs[0])]
    regrouped = [_regroup_sum(scan, node, recurrent) for node in sums]
    return bool(gemms) or any(opened) or any(regrouped)


def _open_gemm(main: ir.Graph, body: ir.Graph, node: ir.Node) -> None:
    """Write ``a B + c`` as a product and a sum; ``c`` counts for nothing where ``beta`` is 0."""
    left, right, *rest = node.inputs
    [result], matrix = node.outputs, constant_value(right)
    assert matrix is not None
    if int_of(node, "transB"):
        right = add_constant(main, f"{right.name}{TURNED}", matrix.T)  # type: ignore[union-attr]
    build = Builder()
    total = build.emit("MatMul", [left, right], like=result)
    if rest and rest[0] is not None and float_of(node, "beta"):
        total = build.emit("Add", [total, rest[0]])
    ir.convenience.replace_nodes_and_values(body, node, [node], build.nodes, [result], [total])


def _open_concat(main: ir.Graph, scan: Scan, node: ir.Node) -> bool:
    """Write ``[a, b] W`` as ``a W_a + b W_b``, if one part is on the cycle and another is not."""
    [left, right], [result] = node.inputs, node.outputs
    parts, matrix = _joined(left), constant_value(right)
    if not parts or left is None or right is None or result.shape is None or matrix is None:
        return False
    recurrent = recurrent_nodes(scan)
    bound = [value in scan.states or value.producer() in recurrent for value in parts]
    if len(set(bound)) == 1:
        return False
    widths = [value.shape[-1] for value in parts]  # type: ignore[index]
    rows, build, terms = np.split(matrix, np.cumsum(widths)[:-1], -2), Builder(), []  # type: ignore[arg-type]
    for side in (True, False):  # on the cycle, and off it
        chosen = [number for number, on_cycle in enumerate(bound) if on_cycle is side]
        weight = add_constant(main, f"{right.name}/rows", np.concatenate([rows[k] for k in chosen], -2))
        operand = _join(build, [parts[number] for number in chosen], like=left)
        terms.append(build.emit("MatMul", [operand, weight], like=result))
    total = build.emit("Add", terms)
    ir.convenience.replace_nodes_and_values(scan.body, node, [node], build.nodes, [result], [total])
    return True


def _joined(value: ir.Value | None) -> list[ir.Value]:
    """List the parts of a ``Concat`` along the last axis, if their widths are known."""
    node = value.producer() if value else None
    if value is None or node is None or node.op_type != "Concat":
        return []
    last = int_of(node, "axis") in (-1, len(value.shape or ()) - 1)
    parts = [part for part in node.inputs if part is not None and part.shape is not None]
    widths = [part for part in parts if isinstance(part.shape[-1], int)]  # type: ignore[index]
    return parts if last and len(widths) == len(node.inputs) else []


def _join(build: Builder, parts: Sequence[ir.Value], like: ir.Value) -> ir.Value:
    """Put parts side by side, if there are several; ``like`` holds all of them and others."""
    if len(parts) == 1:
        return parts[0]
    width = sum(part.shape[-1] for part in parts)  # type: ignore[index, misc]
    return build.emit("Concat", parts, {"axis": -1}, like=like, shape=[*(like.shape or ())[:-1], width])


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


def _regroup_sum(scan: Scan, top: ir.Node, recurrent: set[ir.Node]) -> bool:
    """Add up the terms of a sum: those on the cycle, and to them the others, constants first."""
    terms = list(_terms(top))
    bound = [value for value in terms if value in scan.states or value.producer() in recurrent]
    free = [value for value in terms if value not in bound]
    if len(free) < 2 or any(value.shape is None for value in terms):
        return False
    constants = [value for value in free if constant_value(value) is not None]
    others = [value for value in free if value not in constants]
    build = Builder()
    total = _sum(build, [*others, *([_sum(build, constants)] if constants else [])])
    total = _sum(build, [*bound, total])
    scan.body.insert_before(top, build.nodes)
    top.outputs[0].replace_all_uses_with(total, replace_graph_outputs=True)
    return True


def _sum(build: Builder, terms: Sequence[ir.Value]) -> ir.Value:
    total = terms[0]
    for term in terms[1:]:
        shape = _broadcast(total.shape, term.shape)  # type: ignore[arg-type]
        total = build.emit("Add", [total, term], like=total, shape=shape)
    return total


def _broadcast(one: ir.Shape, other: ir.Shape) -> list[int | ir.SymbolicDim]:
    """Give the shape of a sum of two tensors whose shapes fit."""
    rank = max(len(one), len(other))
    pairs = zip([1] * (rank - len(one)) + list(one), [1] * (rank - len(other)) + list(other), strict=True)
    return [b if a == 1 else a for a, b in pairs]
