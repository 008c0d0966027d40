"""Makes what is added to a graph: nodes, and constants."""

from collections.abc import Iterable, Sequence

import numpy as np
import onnx_ir as ir

from rnn_export.program.values import describe
from rnn_export.signature.tensors import Array


class Builder:
    """Collects new nodes in their order; its owner puts them into a graph.

    A value has no shape and no type unless it is made ``like`` another: passes that follow read both, and
    what is written of a Program has them.
    """

    def __init__(self) -> None:
        self.nodes: list[ir.Node] = []

    def emit(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: dict[str, object] | None = None,
        *,
        like: ir.Value | None = None,
        shape: Iterable[int | ir.SymbolicDim | str | None] | None = None,
        type: ir.TypeProtocol | None = None,
    ) -> ir.Value:
        """Add a node with one output; it has the shape and the type of ``like`` unless others are given."""
        [output] = self.emit_several(op_type, inputs, attributes, count=1)
        if like is not None:
            describe(output, like)
        if shape is not None:
            output.shape = ir.Shape(shape)
        if type is not None:
            output.type = type
        return output

    def emit_several(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: dict[str, object] | None = None,
        *,
        count: int,
    ) -> Sequence[ir.Value]:
        """Add a node with several outputs."""
        node = ir.node(op_type, inputs, attributes or {}, num_outputs=count)  # type: ignore[arg-type]
        self.nodes.append(node)
        return node.outputs

    def constant(self, numbers: int | Sequence[int] | Array) -> ir.Value:
        """Add a ``Constant``: whole numbers as int64, or an array as it is."""
        array = numbers if isinstance(numbers, np.ndarray) else np.array(numbers, np.int64)
        return self.emit("Constant", [], {"value": ir.tensor(array)})

    def copy(self, node: ir.Node, inputs: Sequence[ir.Value | None]) -> list[ir.Value]:
        """Add a node like another with other inputs; its outputs have no shape and no type yet."""
        attributes = list(node.attributes.values())
        twin = ir.Node(node.domain, node.op_type, inputs, attributes, num_outputs=len(node.outputs))
        self.nodes.append(twin)
        return list(twin.outputs)


def add_constant(main: ir.Graph, name: str, array: Array) -> ir.Value:
    """Add an initializer to the outermost graph, under a name that is still free.

    Unlike a ``Constant`` node, it can be read in the bodies of loops and is there before every node.
    """
    number, stem = 0, name
    while name in main.initializers:
        number, name = number + 1, f"{stem}_{number + 1}"
    value = ir.val(name, const_value=ir.tensor(array, name=name))
    main.register_initializer(value)
    return value
