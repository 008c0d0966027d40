"""A traced model whose recurrences are nodes: its names, and what the nodes stand for in their place.

::

    y, c = Recurrence <number = 0> (x, c_0)      =>      Transpose, Scan, Transpose
"""

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from rnn_export.capture.around.opaque import NUMBER, Piece
from rnn_export.errors import CaptureError
from rnn_export.program.program import name_apart
from rnn_export.program.values import describe
from rnn_export.signature.signature import Signature


def name_all(model: ir.Model, signature: Signature) -> None:
    """Call inputs, outputs and free sizes by their names; other sizes are found again."""
    graph = model.graph
    names = {
        (value.shape or ())[axis]: str(spec.shape[axis])
        for value, spec in zip(graph.inputs, signature.arguments, strict=True)
        for axis in spec.free_axes
    }
    for value in (*graph.inputs, *(output for node in graph for output in node.outputs)):
        if value.shape is not None:
            sizes = [size if isinstance(size, int) else names.get(size) for size in value.shape]
            value.shape = ir.Shape(sizes)
    for initializer in [*graph.initializers.values()]:
        if initializer.name in (*signature.input_names, *signature.output_names):
            initializer.name = f"parameter/{initializer.name}"
    for number, value in enumerate(value for node in graph for value in node.outputs):
        value.name = f"around/{number}"
    for value, name in zip(graph.inputs, signature.input_names, strict=True):
        value.name = name
    ends = [ir.node("Identity", [value], num_outputs=1) for value in graph.outputs]
    graph.extend(ends)
    for place, (node, name) in enumerate(zip(ends, signature.output_names, strict=True)):
        end = node.outputs[0]
        describe(end, graph.outputs[place])
        end.name = name
        graph.outputs[place] = end


def _forget_sizes(nodes: Sequence[ir.Node]) -> None:
    """Forget what free sizes are called in a piece: its time is not that of the model."""
    for node in nodes:
        bodies = [
            attribute.as_graph()
            for attribute in node.attributes.values()
            if attribute.type == ir.AttributeType.GRAPH
        ]
        values = [*node.outputs, *(value for body in bodies for value in body.inputs)]
        for value in values:
            if value.shape is not None:
                value.shape = ir.Shape([size if isinstance(size, int) else None for size in value.shape])
        for body in bodies:
            _forget_sizes([*body])


def put_in(model: ir.Model, node: ir.Node, piece: Piece, called: Callable[[str], str]) -> None:
    """Put a piece in the place of its node; ``called`` names its weights."""
    main, graph = model.graph, piece.program.model.clone().graph
    given = dict(zip(piece.signature.input_names, node.inputs, strict=True))
    for value in [*graph.inputs]:
        own = given[str(value.name)]
        assert own is not None  # a node is given all that the piece takes
        value.replace_all_uses_with(own)
    for name, initializer in [*graph.initializers.items()]:
        graph.initializers.pop(name)
        _register(main, initializer, called(name), f"piece_{node.attributes[NUMBER].as_int()}/{name}")
    results, inner = [*graph.outputs], [*graph]
    _forget_sizes(inner)
    graph.outputs.clear()
    graph.remove(inner)
    main.insert_before(node, inner)
    for old, new in zip(node.outputs, results, strict=True):
        old.replace_all_uses_with(new)
    main.remove(node, safe=True)
    name_apart(model)


def _register(main: ir.Graph, initializer: ir.Value, *names: str) -> None:
    """Add a constant of a piece under the first name that is free, or that has the same numbers."""
    for name in names:
        known = main.initializers.get(name)
        if known is None:
            initializer.name = name
            main.register_initializer(initializer)
            return
        one, other = (each.const_value for each in (known, initializer))
        if one is not None and other is not None and np.array_equal(one.numpy(), other.numpy()):
            initializer.replace_all_uses_with(known)
            return
    raise CaptureError(f"two constants are called {names[-1]}")
