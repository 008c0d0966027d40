"""Constants of a graph: read, and added."""

import numpy as np
import onnx_ir as ir

from rnn_export.signature.signature import Array


def constant(value: ir.Value | None) -> Array | None:
    """Give the numbers of an initializer or of a ``Constant`` node, or ``None`` if it is neither."""
    if value is None:
        return None
    tensor = value.const_value
    producer = value.producer()
    if tensor is None and producer is not None and producer.op_type == "Constant":
        tensor = producer.attributes["value"].as_tensor() if "value" in producer.attributes else None
    return None if tensor is None else tensor.numpy()


def constant_ints(value: ir.Value | None) -> list[int] | None:
    """Give the integers of a constant, or ``None`` if it is not one."""
    array = constant(value)
    return None if array is None else [int(number) for number in np.atleast_1d(array)]


def add_constant(main: ir.Graph, name: str, array: Array) -> ir.Value:
    """Add an initializer to the outermost graph, under a name that is still free."""
    number, stem = 0, name
    while name in main.initializers:
        number, name = number + 1, f"{stem}_{number + 1}"
    tensor = ir.tensor(array, name=name)
    value = ir.Value(
        name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    main.register_initializer(value)
    return value
