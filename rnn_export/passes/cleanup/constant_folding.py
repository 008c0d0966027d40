"""Constant folding, in the graph and in the bodies of its loops.

What depends on constants alone is computed, and every constant is an initializer of the outermost graph,
equal ones only once::

    t = Transpose (W)  one = Constant <value = float[1] {1.0}> ()                     # W: float[6,4]
    p = MatMul (x, t)  q = Add (p, one)

    p = MatMul (x, W^T)  q = Add (p, one)                                             # W^T: float[4,6] {...}

What is computed is called after the weights that it is computed from: see :mod:`rnn_export.program.computed`.
A constant is computed whatever its size: a weight that is transposed at every call costs more than its bytes
in the file. onnxscript computes, onnx-ir moves and compares; a ``Split`` of a constant, which onnxscript
leaves, is taken apart here.

Requires: nothing.
Ensures: every constant is an initializer of the outermost graph.
"""

import numpy as np
import onnx_ir as ir
import onnxscript.optimizer
from onnx_ir.passes import common

from rnn_export.passes.contract import CONSTANTS_OUTSIDE, rewriting, settle
from rnn_export.program.build import add_constant
from rnn_export.program.computed import name_computed
from rnn_export.program.operator_facts import int_of
from rnn_export.program.program import Program, name_apart
from rnn_export.program.quiet import quiet
from rnn_export.program.values import constant_ints, constant_value, may_be_computed

LARGEST = 1 << 28  # numbers in a constant that is computed
MOVING = (
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
    common.LiftSubgraphInitializersToMainGraphPass(),
    common.DeduplicateInitializersPass(),
)


@rewriting(ensures=[CONSTANTS_OUTSIDE])
def fold_constants(program: Program) -> bool:
    """Compute what is constant, and keep every constant once."""
    model, changed = program.model, False

    def fold() -> bool:
        nonlocal changed
        before = _operators(model)
        changed |= _fold_once(model)
        # a part of a constant, or two constants that are one, may make another node constant
        return _operators(model) != before

    settle(fold)
    return common.RemoveUnusedNodesPass()(model).modified or changed


def _operators(model: ir.Model) -> list[str]:
    return [node.op_type for graph in model.graphs() for node in graph]


def _fold_once(model: ir.Model) -> bool:
    name_computed(model)
    with quiet():
        folded = onnxscript.optimizer.fold_constants(
            model,
            input_size_limit=LARGEST,
            output_size_limit=LARGEST,
            should_fold=lambda node: None if may_be_computed(node, LARGEST) else False,
        )
    name_apart(model)
    changed = folded.modified
    for move in MOVING:
        changed |= move(model).modified
        name_apart(model)  # the passes of onnx-ir take names for unique, and may give one twice
    splits = [node for graph in model.graphs() for node in graph if node.op_type == "Split"]
    taken = [_split(model.graph, node) for node in splits]
    return changed or any(taken)


def _split(main: ir.Graph, node: ir.Node) -> bool:
    """Take a constant apart as ``Split`` does; say whether it was one."""
    array = constant_value(node.inputs[0])
    sizes = constant_ints(node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] else []
    if array is None or sizes is None or any(output.is_graph_output() for output in node.outputs):
        return False
    axis, count = int_of(node, "axis"), len(node.outputs)
    even = -(-array.shape[axis] // count)  # all parts but the last, if no sizes are given
    parts = np.split(array, np.cumsum(sizes or [even] * count)[:-1], axis)
    for number, (output, part) in enumerate(zip(node.outputs, parts, strict=True)):
        output.replace_all_uses_with(add_constant(main, f"{node.inputs[0].name}/{number}", part))  # type: ignore[union-attr]
    node.graph.remove(node, safe=True)  # type: ignore[union-attr]
    return True
