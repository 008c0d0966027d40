"""Constant folding, in the graph and in the bodies of its loops.

- What depends on constants alone is computed (onnxscript), whatever its size: a weight that is
  transposed at every call costs more than its bytes in the file. A ``Split`` of a constant, which
  onnxscript leaves, is taken apart here.
- Constants become initializers of the outermost graph, equal ones one (onnx-ir).
"""

import numpy as np
import onnx_ir as ir
import onnxscript.optimizer
from onnx_ir.passes import common

from rnn_export.program.constants import add_constant, constant, constant_ints
from rnn_export.program.program import Program, name_apart
from rnn_export.program.quiet import quiet

LARGEST = 1 << 28  # numbers in a constant that is computed
LIFTING = (
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
    common.LiftSubgraphInitializersToMainGraphPass(),
    common.DeduplicateInitializersPass(),
)


def fold(program: Program) -> Program:
    """Compute what is constant, and keep every constant once."""
    program = program.copy()
    model = program.model
    before = None
    while before != (before := [node.op_type for graph in model.graphs() for node in graph]):
        with quiet():
            onnxscript.optimizer.fold_constants(model, input_size_limit=LARGEST, output_size_limit=LARGEST)
        name_apart(model)
        for lifting in LIFTING:
            lifting(model)
            name_apart(model)
        for graph in model.graphs():
            for node in [node for node in graph if node.op_type == "Split"]:
                _split(model.graph, graph, node)
    common.RemoveUnusedNodesPass()(model)
    name_apart(model)
    return program


def _split(main: ir.Graph, graph: ir.Graph, node: ir.Node) -> None:
    """Take a constant apart as ``Split`` does."""
    array = constant(node.inputs[0])
    sizes = constant_ints(node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] else []
    if array is None or sizes is None or any(output.is_graph_output() for output in node.outputs):
        return
    axis, count = node.attributes.get_int("axis", 0), len(node.outputs)
    even = -(-array.shape[axis] // count)  # all parts but the last, if no sizes are given
    parts = np.split(array, np.cumsum(sizes or [even] * count)[:-1], axis)
    for number, (output, part) in enumerate(zip(node.outputs, parts, strict=True)):
        output.replace_all_uses_with(add_constant(main, f"{node.inputs[0].name}/{number}", part))  # type: ignore[union-attr]
    graph.remove(node, safe=True)
