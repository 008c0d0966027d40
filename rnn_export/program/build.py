"""Makes nodes of a graph."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir


class Builder:
    """Collects the nodes of the outer graph."""

    def __init__(self) -> None:
        self.nodes: list[ir.Node] = []

    def emit(
        self, op: str, inputs: Sequence[ir.Value | None], attributes: dict[str, object] | None = None
    ) -> ir.Value:
        """Add a node with one output."""
        node = ir.node(op, inputs, attributes or {})  # type: ignore[arg-type]
        self.nodes.append(node)
        return node.outputs[0]

    def constant(self, numbers: Sequence[int]) -> ir.Value:
        """Give a list of int64 as a value."""
        return self.emit("Constant", [], {"value": ir.tensor(np.array(numbers, np.int64))})

    def copy(self, node: ir.Node, inputs: Sequence[ir.Value | None]) -> list[ir.Value]:
        """Add a node like another with other inputs."""
        attributes = list(node.attributes.values())
        twin = ir.Node(node.domain, node.op_type, inputs, attributes, num_outputs=len(node.outputs))
        self.nodes.append(twin)
        return list(twin.outputs)
