"""What an integer of an ONNX graph is: a sum over the number of the iteration, sizes of tensors, and one.

Part of :mod:`rnn_export.capture.onnx_file.loop_to_scan`: an index equal to the number of the iteration reads
a sequence from its start to its end, one equal to ``length - 1 - iteration`` from its end to its start.
"""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from rnn_export.program.operator_facts import int_of
from rnn_export.program.values import constant_value
from rnn_export.signature.signature import Array

Form = dict[str, int]  # a factor for each symbol; the constant's symbol is empty
ONE = ""
ITERATION = "the iteration"
PASSING = ("Identity", "Cast", "Squeeze", "Unsqueeze", "Reshape", "Ceil", "Floor")  # of whole numbers
MOST = 16  # entries of a list that may be sizes
FAR = (1 << 31) - 1  # what exporters write for "to the end", or more


def form(value: ir.Value | None, known: Mapping[ir.Value, Form]) -> Form | None:
    """Say what a number, or a list of one, is; ``None`` where it is no such sum."""
    found = forms(value, known)
    return found[0] if found is not None and len(found) == 1 else None


def forms(value: ir.Value | None, known: Mapping[ir.Value, Form]) -> list[Form] | None:
    """Say what every entry of a number or a list is."""
    if value is None or value in known:
        return [known[value]] if value is not None else None
    array, node = constant_value(value), value.producer()
    if array is not None:
        return _numbers(array)
    if node is None or node.domain:
        return None
    if node.op_type in PASSING:
        return forms(node.inputs[0], known)
    sum_of = _part if node.op_type in ("Shape", "Gather", "Slice") else _arithmetic
    return sum_of(node, known)


def _numbers(array: Array) -> list[Form] | None:
    few = array.ndim < 2 and array.size <= MOST and array.dtype.kind in "iuf"
    whole = few and np.isfinite(array).all() and (array == np.round(array)).all()
    return [number(int(entry)) for entry in np.atleast_1d(array)] if whole else None


def _arithmetic(node: ir.Node, known: Mapping[ir.Value, Form]) -> list[Form] | None:
    result = None
    match node.op_type, [form(value, known) for value in node.inputs]:
        case "Neg", [dict() as one]:
            result = times(one, -1)
        case "Add", [dict() as one, dict() as other]:
            result = plus(one, other)
        case "Sub", [dict() as one, dict() as other]:
            result = minus(one, other)
        case "Mul", [dict() as factor, dict() as one] if set(factor) <= {ONE}:
            result = times(one, factor.get(ONE, 0))
        case "Mul", [dict() as one, dict() as factor] if set(factor) <= {ONE}:
            result = times(one, factor.get(ONE, 0))
        case "Div", [dict() as one, {"": 1 | -1 as sign, **rest}] if not rest:
            result = times(one, sign)
    return None if result is None else [result]


def _part(node: ir.Node, known: Mapping[ir.Value, Form]) -> list[Form] | None:
    """Shape, and Gather or Slice with constant places from what is known."""
    if node.op_type == "Shape":
        source = node.inputs[0]
        if source is None or source.shape is None:
            return None
        start, end = int_of(node, "start"), node.attributes.get_int("end", None)
        return [size(source, axis) for axis in range(len(source.shape))][start:end]
    whole, *places = forms(node.inputs[0], known), *map(constant_value, node.inputs[1:])
    if whole is None or any(place is None for place in places):
        return None
    numbers = [np.atleast_1d(place).tolist() for place in places if place is not None]
    if node.op_type == "Gather":
        inside = all(-len(whole) <= place < len(whole) for place in numbers[0])
        return [whole[place] for place in numbers[0]] if inside else None
    start, end = numbers[:2]
    step = numbers[3] if len(numbers) > 3 else [1]
    return whole[start[0] : end[0] : step[0]]


def size(value: ir.Value, axis: int) -> Form:
    """Give the size of a tensor along an axis: a number, a name, or the axis itself as a symbol."""
    known = value.shape[axis] if value.shape is not None and axis < len(value.shape) else None
    if isinstance(known, int):
        return number(known)
    if known is not None and known.value is not None:
        return {known.value: 1}
    node = value.producer()
    if (
        node is not None
        and node.inputs[0] is not None
        and (node.op_type == "Identity" or flipped(node) is not None)
    ):
        return size(node.inputs[0], axis)
    return {f"axis {axis} of {value.name}": 1}


def flipped(node: ir.Node) -> int | None:
    """Give the axis, counted from the front, that a ``Slice`` with step -1 turns around as a whole."""
    if node.op_type != "Slice" or node.domain or len(node.inputs) < 5 or node.inputs[0] is None:
        return None
    places = [constant_value(value) for value in node.inputs[1:]]
    if any(place is None or place.size != 1 for place in places):
        return None
    start, end, axis, step = (int(place.item()) for place in places if place is not None)
    shape = node.inputs[0].shape
    if step != -1 or (axis < 0 and shape is None):
        return None
    axis = axis + len(shape) if axis < 0 and shape is not None else axis
    length = shape[axis] if shape is not None else None
    long = length if isinstance(length, int) else FAR
    return axis if (start == -1 or start >= long - 1) and end < -long else None


def number(value: int) -> Form:
    """Give a whole number as a form."""
    return {ONE: value} if value else {}


def plus(one: Form, other: Form) -> Form:
    """Add two forms."""
    total = {symbol: one.get(symbol, 0) + other.get(symbol, 0) for symbol in one | other}
    return {symbol: factor for symbol, factor in total.items() if factor}


def minus(one: Form, other: Form) -> Form:
    """Subtract one form from another."""
    return plus(one, times(other, -1))


def times(one: Form, factor: int) -> Form:
    """Multiply a form with a number."""
    return {symbol: value * factor for symbol, value in one.items() if factor}
