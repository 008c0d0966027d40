"""A ``Loop`` that carries other things than before.

Part of :mod:`rnn_export.capture.onnx_file.loop_to_scan`.
"""

from collections.abc import Sequence

import onnx_ir as ir

from rnn_export.program.program import take_place
from rnn_export.program.values import describe


def rebuilt(
    graph: ir.Graph,
    loop: ir.Node,
    inputs: Sequence[ir.Value | None],
    replaced: Sequence[ir.Value | None],
) -> ir.Node:
    """Put a node with the same body into the place of a ``Loop``, whose inputs and outputs are others.

    Args:
        graph: the one that the loop stands in.
        loop: its body has the inputs and outputs of the new node already.
        inputs: of the new node.
        replaced: for each output of the new node that of the old one whose place it takes, if there is one.
            Nothing may read an output of the old node whose place none takes.
    """
    attributes = list(loop.attributes.values())
    made = ir.Node("", "Loop", inputs, attributes, num_outputs=len(replaced), name=loop.name)
    made.metadata_props.update(loop.metadata_props)
    for old, new in zip(replaced, made.outputs, strict=True):
        if old is not None:
            describe(new, old)
            take_place(graph, old, new)
    graph.insert_before(loop, made)
    graph.remove(loop, safe=True)
    return made
