"""What is known of a value of a graph: its numbers, what it is a copy of, its shape and type."""

from math import prod

import numpy as np
import onnx_ir as ir

from rnn_export.signature.tensors import Array


def constant_value(value: ir.Value | None) -> Array | None:
    """Give the numbers of an initializer or of a ``Constant`` node, or ``None`` if it is neither."""
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def constant_ints(value: ir.Value | None) -> list[int] | None:
    """Give the integers of a constant, or ``None`` if it is not one."""
    array = constant_value(value)
    return None if array is None else [int(number) for number in np.atleast_1d(array)]


def may_be_computed(node: ir.Node, most: int) -> bool:
    """Whether no result of a node is known to have more numbers than ``most``.

    A few bytes of a file, an ``Expand`` of constants, can ask for more than the memory.
    """
    shapes = [list(output.shape) for output in node.outputs if output.shape is not None]
    known = [[size for size in shape if isinstance(size, int)] for shape in shapes]
    return all(prod(shape) <= most for shape in known)


def original(value: ir.Value) -> ir.Value:
    """Give the value of which a value is a copy: look through ``Identity``."""
    while (
        (node := value.producer()) is not None and node.op_type == "Identity" and node.inputs[0] is not None
    ):
        value = node.inputs[0]
    return value


def describe(value: ir.Value, like: ir.Value) -> None:
    """Give a value the shape and the type of another."""
    value.shape, value.type = like.shape, like.type
